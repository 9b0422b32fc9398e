// The plug-in's side of core/device.h: devices, streams, memory from the driver's stream-ordered pools, graphs.

#include <pthread.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <vector>

#include "core/device.h"
#include "cuda/cuda.h"
#include "cuda/pinned.h"

namespace fastnn {
namespace cuda {

void* find_launcher(const char* name);  // table.cu

namespace {

constexpr int kMaxDevices = 64;

struct Counters {
  std::atomic<int64_t> allocated{0}, peak{0}, calls{0};
};
Counters counters[kMaxDevices];

// A graph while it is recorded and afterwards: the states of its draws, in the order of its launches, read from the
// host's memory at every run.
struct Graph {
  cudaGraphExec_t exec = nullptr;
  DeviceIndex device = 0;
  cudaStream_t outside = nullptr;  // while it is recorded: the thread's stream before
  std::vector<const PhiloxState*> states;
  std::vector<PhiloxState> staged;
  PhiloxState* on_device = nullptr;
};
constexpr int64_t kMaxDraws = 4096;

thread_local int device_now = -2;
thread_local cudaStream_t stream_now = nullptr;
thread_local cudaStream_t stream_of[kMaxDevices] = {};  // chosen by this thread; null: the default one
thread_local Graph* recording = nullptr;
std::atomic<bool> blocking{false};

struct DeviceState {
  cudaStream_t stream = nullptr;
  int multiprocessors = 0, capability = 0;
  bool ready = false;
};
DeviceState devices[kMaxDevices];
std::mutex devices_mutex;

// A child has the parent's memory but not its driver, which would fail with errors that name no reason.
std::atomic<bool> forked{false};

DeviceState& device_state(int device) {
  DeviceState& d = devices[device];
  std::lock_guard<std::mutex> lock(devices_mutex);
  if (d.ready) return d;
  check(cudaSetDevice(device), "cudaSetDevice");
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
  d.multiprocessors = p.multiProcessorCount;
  d.capability = 10 * p.major + p.minor;
  check(cudaStreamCreateWithFlags(&d.stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
#ifndef FASTNN_CUDA_EMULATED
  // Freed memory stays with the pool: asking the driver anew at every step is slow.
  cudaMemPool_t pool;
  check(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
  uint64_t keep = UINT64_MAX;
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute");
#endif
  static const int registered = pthread_atfork(nullptr, nullptr, [] {
    if (!forked.exchange(true)) device_now = -2;
  });
  (void)registered;
  d.ready = true;
  return d;
}

std::string& count_message() {
  static std::string text;
  return text;
}
int32_t device_count() {
  static const int32_t count = [] {
    int n = 0;
    const cudaError_t code = cudaGetDeviceCount(&n);
    if (code == cudaSuccess) {
      if (n == 0) count_message() = "no CUDA device";
      return n < kMaxDevices ? n : kMaxDevices;
    }
    count_message() = cudaGetErrorString(code);
#ifndef FASTNN_CUDA_EMULATED
    int driver = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) count_message() = "there is no NVIDIA driver";
#endif
    cudaGetLastError();  // not the next call's error
    return 0;
  }();
  return count;
}
const char* why_none() {
  device_count();
  return count_message().c_str();
}

void enter(DeviceIndex device) {
  if (forked.load(std::memory_order_relaxed))
    throw DeviceError(
        "cuda: this process was forked after its parent had used a device, and has none; start processes with the "
        "method 'spawn'");
  if (device_now == device) return;
  if (device < 0 || device >= device_count()) throw DeviceError(str("cuda: there is no device ", device));
  DeviceState& d = device_state(device);
  check(cudaSetDevice(device), "cudaSetDevice");
  device_now = device;
  stream_now = stream_of[device] ? stream_of[device] : d.stream;
}

void* allocate(DeviceIndex device, int64_t bytes) {
  enter(device);
  void* p = nullptr;
  const cudaError_t code = cudaMallocAsync(&p, static_cast<size_t>(bytes < 1 ? 1 : bytes), stream_now);
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw DeviceError(str("cuda: out of memory on ", device_name(device), ": wanted ", bytes, " bytes, ", free, " of ",
                          total, " are free, ", counters[device].allocated.load(), " are held by tensors"));
  }
  check(code, "cudaMallocAsync");
  Counters& c = counters[device];
  const int64_t now = c.allocated += bytes;
  ++c.calls;
  int64_t peak = c.peak.load();
  while (now > peak && !c.peak.compare_exchange_weak(peak, now)) {
  }
  return p;
}

void deallocate(DeviceIndex device, void* p, int64_t bytes) noexcept {
  if (!p || forked) return;
  counters[device].allocated -= bytes;
  const int before = device_now;
  if (before != device) cudaSetDevice(device);
  const cudaStream_t stream = before == device    ? stream_now
                              : stream_of[device] ? stream_of[device]
                                                  : devices[device].stream;
  if (cudaFreeAsync(p, stream) != cudaSuccess) cudaGetLastError();  // not the next launch's error
  if (before != device && before >= 0) cudaSetDevice(before);
}

struct Event {
  cudaEvent_t e = nullptr;
  Event() { check(cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "cudaEventCreate"); }
  ~Event() { cudaEventDestroy(e); }
};

// What comes on `later` waits for what is on `earlier`, a stream of the current device, now.
void order(cudaStream_t earlier, cudaStream_t later) {
  Event e;
  check(cudaEventRecord(e.e, earlier), "cudaEventRecord");
  check(cudaStreamWaitEvent(later, e.e, 0), "cudaStreamWaitEvent");
}

#ifndef FASTNN_CUDA_EMULATED
// The device that memory lies on.
int device_of(const void* p) {
  cudaPointerAttributes a;
  check(cudaPointerGetAttributes(&a, p), "cudaPointerGetAttributes");
  return a.device;
}
// From one device to another: behind the work of both, and later work of both behind it. Memory from pools can be
// reached from another device only by copies that name both.
void copy_from(int source, int device, void* to, const void* from, size_t bytes) {
  const cudaStream_t here = stream_now;
  enter(source);
  const cudaStream_t there = stream_now;
  order(there, here);
  enter(device);
  check(cudaMemcpyPeerAsync(to, device, from, source, bytes, here), "cudaMemcpyPeerAsync");
  order(here, there);
}
#endif

void copy(DeviceIndex device, void* to, const void* from, int64_t bytes, CopyKind kind) {
  enter(device);
  const cudaMemcpyKind k = kind == CopyKind::device_to_host     ? cudaMemcpyDeviceToHost
                           : kind == CopyKind::device_to_device ? cudaMemcpyDeviceToDevice
                                                                : cudaMemcpyHostToDevice;
#ifndef FASTNN_CUDA_EMULATED
  if (kind == CopyKind::device_to_device && device_count() > 1) {
    const int source = device_of(from);
    if (source != device && recording) throw DeviceError("cuda: a graph holds no copies between devices");
    if (source != device) return copy_from(source, device, to, from, static_cast<size_t>(bytes));
  }
#endif
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), k, stream_now), "cudaMemcpyAsync");
  if (kind == kPinnedToDevice) {
    if (!recording) pinned_copied(from);            // a graph's launches keep what they read
  } else if (kind != CopyKind::device_to_device) {  // the caller may use the host's memory at once
    check(cudaStreamSynchronize(stream_now), "a copy, or a kernel before it");
  }
}

void synchronize(DeviceIndex device) {
  enter(device);
  check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
}

DeviceMemory memory(DeviceIndex device) {
  enter(device);
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  const Counters& c = counters[device];
  DeviceMemory m{c.allocated.load(),         c.peak.load(),
                 c.allocated.load(),         c.calls.load(),
                 static_cast<int64_t>(free), static_cast<int64_t>(total)};
#ifndef FASTNN_CUDA_EMULATED
  cudaMemPool_t pool;
  check(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
  uint64_t reserved = 0;
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved), "cudaMemPoolGetAttribute");
  m.reserved = static_cast<int64_t>(reserved);
#endif
  return m;
}
void reset_peak(DeviceIndex device) {
  enter(device);
  counters[device].peak = counters[device].allocated.load();
}
void empty_cache(DeviceIndex device) {
  enter(device);
  check(cudaStreamSynchronize(stream_now), "cudaStreamSynchronize");
  free_pinned();
#ifndef FASTNN_CUDA_EMULATED
  cudaMemPool_t pool;
  check(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
  check(cudaMemPoolTrimTo(pool, 0), "cudaMemPoolTrimTo");
#endif
}

DeviceProperties properties(DeviceIndex device) {
  enter(device);
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties");
  DeviceProperties out{};
  std::snprintf(out.name, sizeof out.name, "%s", p.name);
  out.memory = static_cast<int64_t>(p.totalGlobalMem);
  out.major = p.major;
  out.minor = p.minor;
  out.multiprocessors = p.multiProcessorCount;
  return out;
}

// --- streams and events -------------------------------------------------------------------------------------------

// Streams are kept for the next who wants one, so a handle is good for as long as the process.
struct Streams {
  std::mutex mutex;
  std::vector<std::pair<cudaStream_t, DeviceIndex>> made;
  std::vector<cudaStream_t> idle[kMaxDevices];
};
Streams& streams() {
  static auto* all = new Streams;
  return *all;
}
void* stream_create(DeviceIndex device) {
  enter(device);
  Streams& all = streams();
  std::lock_guard<std::mutex> lock(all.mutex);
  if (!all.idle[device].empty()) {
    const cudaStream_t s = all.idle[device].back();
    all.idle[device].pop_back();
    return s;
  }
  cudaStream_t s = nullptr;
  check(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  all.made.emplace_back(s, device);
  return s;
}
void stream_destroy(void* s) noexcept {
  Streams& all = streams();
  std::lock_guard<std::mutex> lock(all.mutex);
  for (const auto& [stream, device] : all.made)
    if (stream == s) all.idle[device].push_back(stream);
}
cudaStream_t stream_or_default(void* s) {
  if (device_now < 0) enter(0);
  return s ? static_cast<cudaStream_t>(s) : devices[device_now].stream;
}
void* stream_use(void* s) {
  if (device_now < 0) enter(0);
  const cudaStream_t before = stream_now, next = stream_or_default(s);
  if (before != next) order(before, next);
  stream_now = stream_of[device_now] = next;
  return before;
}
void* stream_current() {
  if (device_now < 0) enter(0);
  return stream_now;
}
void stream_synchronize(void* s) { check(cudaStreamSynchronize(stream_or_default(s)), "cudaStreamSynchronize"); }
bool stream_done(void* s) {
#ifdef FASTNN_CUDA_EMULATED
  (void)s;
  return true;
#else
  const cudaError_t code = cudaStreamQuery(stream_or_default(s));
  if (code == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  check(code, "cudaStreamQuery");
  return true;
#endif
}
void* event_create() {
  if (device_now < 0) enter(0);
  cudaEvent_t e = nullptr;
  check(cudaEventCreateWithFlags(&e, 0), "cudaEventCreate");
  return e;
}
void event_destroy(void* e) noexcept { cudaEventDestroy(static_cast<cudaEvent_t>(e)); }
void event_record(void* e, void* s) {
  check(cudaEventRecord(static_cast<cudaEvent_t>(e), stream_or_default(s)), "cudaEventRecord");
}
void event_wait(void* e, void* s) {
  check(cudaStreamWaitEvent(stream_or_default(s), static_cast<cudaEvent_t>(e), 0), "cudaStreamWaitEvent");
}
void event_synchronize(void* e) { check(cudaEventSynchronize(static_cast<cudaEvent_t>(e)), "cudaEventSynchronize"); }
float event_ms(void* from, void* to) {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(from), static_cast<cudaEvent_t>(to)),
        "cudaEventElapsedTime");
  return ms;
}

// --- graphs -------------------------------------------------------------------------------------------------------

void graph_destroy(void* graph) noexcept {
  auto* g = static_cast<Graph*>(graph);
  if (!g || forked) return;
  if (g->exec) cudaGraphExecDestroy(g->exec);
  if (g->on_device) cudaFreeAsync(g->on_device, devices[g->device].stream);
  delete g;
}

void graph_begin() {
  if (device_now < 0) enter(0);
  if (recording) throw DeviceError("cuda: a graph is being recorded already");
  auto* g = new Graph;
  g->device = device_now;
  void* states = nullptr;
  const cudaError_t code = cudaMallocAsync(&states, kMaxDraws * sizeof(PhiloxState), stream_now);
  g->on_device = static_cast<PhiloxState*>(states);
  if (code != cudaSuccess) {
    delete g;
    check(code, "cudaMallocAsync");
  }
  // In a stream of its own: what other threads put into theirs meanwhile is none of the graph's.
  cudaStream_t own = nullptr;
  cudaError_t begun = cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking);
  if (begun == cudaSuccess) begun = cudaStreamBeginCapture(own, cudaStreamCaptureModeThreadLocal);
  if (begun != cudaSuccess) {
    if (own) cudaStreamDestroy(own);
    graph_destroy(g);
    check(begun, "cudaStreamBeginCapture");
  }
  g->outside = stream_now;
  stream_now = own;
  recording = g;
}

// Back to the stream before; the graph may be null.
Graph* end_recording(cudaGraph_t* graph, cudaError_t* code) {
  Graph* g = recording;
  recording = nullptr;
  const cudaStream_t own = stream_now;
  stream_now = g->outside;
  *code = cudaStreamEndCapture(own, graph);
  cudaStreamDestroy(own);
  return g;
}

void graph_cancel() noexcept {
  if (!recording) return;
  cudaGraph_t graph = nullptr;
  cudaError_t code = cudaSuccess;
  Graph* g = end_recording(&graph, &code);
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError();
  graph_destroy(g);
}

void* graph_end() {
  cudaGraph_t graph = nullptr;
  cudaError_t code = cudaSuccess;
  Graph* g = end_recording(&graph, &code);
  if (code == cudaSuccess) {
    code = cudaGraphInstantiate(&g->exec, graph, 0);
    cudaGraphDestroy(graph);
  }
  if (code != cudaSuccess) {
    graph_destroy(g);
    check(code, "a graph");
  }
  g->staged.resize(g->states.size());
  return g;
}

void graph_run(void* graph) {
  auto* g = static_cast<Graph*>(graph);
  enter(g->device);
  if (!g->states.empty()) {
    for (size_t i = 0; i < g->states.size(); ++i) g->staged[i] = *g->states[i];
    // From pageable memory: the driver has its own copy when the call returns.
    check(cudaMemcpyAsync(g->on_device, g->staged.data(), g->staged.size() * sizeof(PhiloxState),
                          cudaMemcpyHostToDevice, stream_now),
          "cudaMemcpyAsync");
  }
  check(cudaGraphLaunch(g->exec, stream_now), "cudaGraphLaunch");
  if (blocking.load(std::memory_order_relaxed)) check(cudaStreamSynchronize(stream_now), "a graph");
}

void set_blocking(bool on) { blocking = on; }
bool is_blocking() { return blocking.load(std::memory_order_relaxed); }

const DeviceApi api{DeviceApi::kVersion, device_count,   why_none,      enter,          allocate,
                    deallocate,          copy,           synchronize,   find_launcher,  memory,
                    reset_peak,          empty_cache,    properties,    host_allocate,  host_deallocate,
                    stream_create,       stream_destroy, stream_use,    stream_current, stream_synchronize,
                    stream_done,         event_create,   event_destroy, event_record,   event_wait,
                    event_synchronize,   event_ms,       graph_begin,   graph_end,      graph_cancel,
                    graph_run,           graph_destroy,  set_blocking,  is_blocking};

}  // namespace

cudaStream_t stream() { return stream_now; }
int current_device() { return device_now; }
int sm_count() { return devices[device_now].multiprocessors; }
int compute_capability() { return devices[device_now].capability; }

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  cudaGetLastError();
  throw DeviceError(str("cuda: ", what, ": ", cudaGetErrorString(code), " (", cudaGetErrorName(code), ")"));
}

Scratch::Scratch(int64_t bytes) {
  check(cudaMallocAsync(&data_, static_cast<size_t>(bytes < 1 ? 1 : bytes), stream_now), "working memory");
}
Scratch::~Scratch() { cudaFreeAsync(data_, stream_now); }

DeviceRandom device_random(const PhiloxState* state) {
  if (!recording) return {*state, nullptr};
  if (recording->states.size() >= static_cast<size_t>(kMaxDraws))
    throw DeviceError(str("cuda: a graph holds at most ", kMaxDraws, " draws"));
  recording->states.push_back(state);
  return {*state, recording->on_device + (recording->states.size() - 1)};
}

#ifndef FASTNN_CUDA_EMULATED
void start(const void* kernel, dim3 grid, dim3 block, size_t shared, void** arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (shared > 48 * 1024)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
          "shared memory of a kernel");
  cudaError_t code = cudaLaunchKernel(kernel, grid, block, arguments, shared, stream_now);
  if (code == cudaSuccess && blocking.load(std::memory_order_relaxed) && !recording)
    code = cudaStreamSynchronize(stream_now);
  if (code == cudaSuccess) return;
  const char* name = nullptr;
#if CUDART_VERSION >= 12030
  if (cudaFuncGetName(&name, kernel) != cudaSuccess) name = nullptr;
#endif
  check(code, str("the kernel ", name ? name : "of this operation").c_str());
}
#endif

}  // namespace cuda
}  // namespace fastnn

extern "C" __attribute__((visibility("default"))) const fastnn::DeviceApi* fastnn_device_api() {
  return &fastnn::cuda::api;
}
// Launchers may change with every release, so the plug-in is for this one.
extern "C" __attribute__((visibility("default"))) const char* fastnn_device_release() { return FASTNN_VERSION; }
