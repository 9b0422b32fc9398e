// The plug-in's side of core/device.h: devices, memory from the driver's stream-ordered pools, launches.

#include <pthread.h>

#include <atomic>
#include <cstdio>
#include <mutex>

#include "cuda/pinned.h"
#include "cuda/state.h"

namespace fastnn {
namespace cuda {

void* find_launcher(const char* name);  // table.cu

DeviceState devices[kMaxDevices];
thread_local int device_now = -2;
thread_local cudaStream_t stream_now = nullptr;
thread_local cudaStream_t stream_of[kMaxDevices] = {};
thread_local Graph* recording = nullptr;
std::atomic<bool> blocking{false};
std::atomic<bool> forked{false};

namespace {

struct Counters {
  std::atomic<int64_t> allocated{0}, peak{0}, calls{0};
};
Counters counters[kMaxDevices];

std::mutex devices_mutex;

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

}  // namespace

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

namespace {

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
  if (kind == CopyKind::pinned_to_device) {
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
