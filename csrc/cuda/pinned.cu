#include <iterator>
#include <map>
#include <mutex>

#include "cuda/cuda.h"
#include "cuda/pinned.h"

namespace fastnn {
namespace cuda {

namespace {

struct Pinned {
  size_t bytes = 0;
  cudaEvent_t copied = nullptr;  // behind the last copy that was not waited for, of
  int device = 0;                // this one
  bool taken = false;
};
std::mutex pinned_mutex;
std::map<char*, Pinned>& pinned() {
  static auto* blocks = new std::map<char*, Pinned>;  // outlives the tensors of the interpreter's end
  return *blocks;
}

}  // namespace

void* host_allocate(int64_t bytes) {
  size_t size = 4096;
  while (size < static_cast<size_t>(bytes)) size *= 2;
  std::lock_guard<std::mutex> lock(pinned_mutex);
  for (auto& [p, block] : pinned()) {
    if (block.taken || block.bytes != size) continue;
    if (block.copied && cudaEventQuery(block.copied) != cudaSuccess) {
      cudaGetLastError();  // "not ready" is no error
      continue;
    }
    block.taken = true;
    return p;
  }
  void* p = nullptr;
  check(cudaHostAlloc(&p, size, cudaHostAllocDefault), "cudaHostAlloc");
  pinned()[static_cast<char*>(p)] = {size, nullptr, 0, true};
  return p;
}
void host_deallocate(void* p) noexcept {
  std::lock_guard<std::mutex> lock(pinned_mutex);
  pinned()[static_cast<char*>(p)].taken = false;
}
void pinned_copied(const void* from) {
  std::lock_guard<std::mutex> lock(pinned_mutex);
  auto it = pinned().upper_bound(static_cast<char*>(const_cast<void*>(from)));
  Pinned& block = std::prev(it)->second;
  if (block.copied && block.device != current_device()) {  // events are of one device
    cudaEventSynchronize(block.copied);
    cudaEventDestroy(block.copied);
    block.copied = nullptr;
  }
  // The mark moves behind this copy, and must stay behind those that other streams made.
  if (block.copied) check(cudaStreamWaitEvent(stream(), block.copied, 0), "cudaStreamWaitEvent");
  if (!block.copied) check(cudaEventCreateWithFlags(&block.copied, cudaEventDisableTiming), "cudaEventCreate");
  block.device = current_device();
  check(cudaEventRecord(block.copied, stream()), "cudaEventRecord");
}
void free_pinned() {
  std::lock_guard<std::mutex> lock(pinned_mutex);
  for (auto it = pinned().begin(); it != pinned().end();) {
    Pinned& block = it->second;
    if (block.taken) {
      ++it;
      continue;
    }
    if (block.copied) {
      cudaEventSynchronize(block.copied);
      cudaEventDestroy(block.copied);
    }
    cudaFreeHost(it->first);
    it = pinned().erase(it);
  }
}

}  // namespace cuda
}  // namespace fastnn
