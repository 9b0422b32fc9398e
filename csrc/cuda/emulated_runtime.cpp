// The runtime of the emulated device: one address range for its memory, unreachable while no work runs on it.

#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "cuda/emulated.h"
#include "cuda/emulated_memory.h"

using fastnn::cuda::emulated::close_memory;
using fastnn::cuda::emulated::open_memory;
using fastnn::cuda::emulated::submit;

struct FastnnStream {};
struct FastnnEvent {
  double ms = 0;
};
struct FastnnGraph {
  std::vector<std::function<void()>> work;
  std::vector<void*> memory;  // taken while recording: it stays the graph's
};

namespace {

constexpr size_t kMemory = size_t{8} << 30, kPage = 4096;

struct Memory {
  char* base = nullptr;
  std::map<size_t, size_t> free_by_offset;  // offset -> bytes
  std::map<void*, size_t> taken;            // pointer -> bytes of its block
  std::map<void*, size_t> offset_of;
  size_t used = 0;
  bool guard = false;
  int opened = 0;
  FastnnGraph* graph = nullptr;  // being recorded
  std::recursive_mutex mutex;
};
Memory& memory() {
  static Memory* m = [] {
    auto* made = new Memory;
    made->base =
        static_cast<char*>(mmap(nullptr, kMemory, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (made->base == MAP_FAILED) std::abort();
    made->free_by_offset[0] = kMemory;
    const char* guard = std::getenv("FASTNN_CUDA_GUARD");
    made->guard = guard && *guard == '1';
    return made;
  }();
  return *m;
}

void protect(char* from, size_t bytes, int how) {
  if (mprotect(from, bytes, how) != 0) {
    std::perror("cuda emulator: mprotect");
    std::abort();
  }
}

// The part of the range that was ever used is what opens and closes.
size_t& high_water() {
  static size_t bytes = 0;
  return bytes;
}

}  // namespace

namespace fastnn {
namespace cuda {
namespace emulated {

bool is_device_memory(const void* p) {
  const auto* c = static_cast<const char*>(p);
  return c >= memory().base && c < memory().base + kMemory;
}
void open_memory() {
  Memory& m = memory();
  m.mutex.lock();
  if (m.opened++ == 0 && !m.guard && high_water()) protect(m.base, high_water(), PROT_READ | PROT_WRITE);
}
void close_memory() {
  Memory& m = memory();
  if (--m.opened == 0 && !m.guard && high_water()) protect(m.base, high_water(), PROT_NONE);
  m.mutex.unlock();
}
void submit(std::function<void()> work) {
  if (memory().graph)
    memory().graph->work.push_back(std::move(work));
  else
    work();
}

}  // namespace emulated
}  // namespace cuda
}  // namespace fastnn

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    default:
      return "cudaErrorInvalidValue";
  }
}
const char* cudaGetErrorString(cudaError_t code) { return cudaGetErrorName(code); }
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  const char* none = std::getenv("FASTNN_CUDA_DEVICES");
  *count = none ? std::atoi(none) : 1;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = cudaDeviceProp();
  std::snprintf(p->name, sizeof p->name, "emulated on the CPU");
  p->totalGlobalMem = kMemory;
  p->sharedMemPerBlockOptin = 227 << 10;
  const char* capability = std::getenv("FASTNN_CUDA_CAPABILITY");  // 90: kernels for Hopper are chosen
  const int number = capability ? std::atoi(capability) : 80;
  p->major = number / 10, p->minor = number % 10;
  p->multiProcessorCount = 2;
  return cudaSuccess;
}
namespace {
thread_local int the_device = 0;
}
cudaError_t cudaGetDevice(int* device) {
  *device = the_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || device < 0 || device >= count) return cudaErrorInvalidDevice;
  the_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = kMemory;
  *free = kMemory - memory().used;
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t) {
  Memory& m = memory();
  std::lock_guard<std::recursive_mutex> lock(m.mutex);
  if (bytes > kMemory) return cudaErrorMemoryAllocation;
  // Rounded to 256 bytes, as the runtime does; with guards to pages, the last of them unreachable.
  const size_t rounded = (bytes + 255) / 256 * 256;
  const size_t block = ((m.guard ? rounded + kPage : rounded) + kPage - 1) / kPage * kPage + (rounded ? 0 : kPage);
  for (auto it = m.free_by_offset.begin(); it != m.free_by_offset.end(); ++it) {
    if (it->second < block) continue;
    const size_t offset = it->first, left = it->second - block;
    m.free_by_offset.erase(it);
    if (left) m.free_by_offset[offset + block] = left;
    char* at = m.base + offset;
    if (m.guard) {
      protect(at, block - kPage, PROT_READ | PROT_WRITE);
      at += block - kPage - (bytes + 15) / 16 * 16;  // 16-byte vectors must still be aligned
    } else if (offset + block > high_water()) {
      high_water() = offset + block;
      if (m.opened) protect(m.base, high_water(), PROT_READ | PROT_WRITE);
    }
    open_memory();
    std::memset(at, 0xa5, bytes);  // fresh memory holds anything
    close_memory();
    m.taken[at] = block;
    m.offset_of[at] = offset;
    m.used += block;
    if (m.graph) m.graph->memory.push_back(at);
    *p = at;
    return cudaSuccess;
  }
  return cudaErrorMemoryAllocation;
}

namespace {
void give_back(void* p) {
  Memory& m = memory();
  std::lock_guard<std::recursive_mutex> lock(m.mutex);
  const auto it = m.taken.find(p);
  if (it == m.taken.end()) {
    std::fprintf(stderr, "cuda emulator: freed %p, which is not a buffer\n", p);
    std::abort();
  }
  size_t offset = m.offset_of[p], bytes = it->second;
  if (m.guard) protect(m.base + offset, bytes, PROT_NONE);
  m.used -= bytes;
  m.taken.erase(it);
  m.offset_of.erase(p);
  auto next = m.free_by_offset.lower_bound(offset);
  if (next != m.free_by_offset.end() && next->first == offset + bytes) {
    bytes += next->second;
    next = m.free_by_offset.erase(next);
  }
  if (next != m.free_by_offset.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  m.free_by_offset[offset] = bytes;
}
}  // namespace

cudaError_t cudaFreeAsync(void* p, cudaStream_t) {
  if (!memory().graph && p) give_back(p);  // recorded: the graph's until it goes
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned) {
  *p = std::malloc(bytes ? bytes : 1);
  return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* p) {
  std::free(p);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  submit([=] {
    open_memory();
    std::memmove(to, from, bytes);
    close_memory();
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  submit([=] {
    open_memory();
    std::memset(to, value, bytes);
    close_memory();
  });
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
  *s = new FastnnStream;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t s) {
  delete s;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return memory().graph ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  memory().graph = new FastnnGraph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* g) {
  *g = memory().graph;
  memory().graph = nullptr;
  return *g ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t fn, void* data) {
  submit([=] { fn(data); });
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  *e = new FastnnEvent;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  delete e;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t) {
  e->ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  *ms = static_cast<float>(to->ms - from->ms);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t g, unsigned long long) {
  *exec = new FastnnGraph(*g);
  g->memory.clear();  // it is the executable's now
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t g, void**, size_t* count) {
  *count = g->work.size();
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t) {
  for (const auto& work : exec->work) submit(work);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  for (void* p : exec->memory) give_back(p);
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  for (void* p : g->memory) give_back(p);
  delete g;
  return cudaSuccess;
}
