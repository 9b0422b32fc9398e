#pragma once
// Copies from device memory to shared memory that go on while the thread computes (cp.async, sm_80 and up). The
// emulator makes them as late as it may, when they are waited for, so that a wait that is missing shows.

#include "cuda/cuda.h"

#ifdef FASTNN_CUDA_EMULATED
#include <vector>
#endif

namespace fastnn {
namespace cuda {

#ifdef FASTNN_CUDA_EMULATED
namespace emulated {
struct AsyncCopies {
  struct Copy {
    char* to;
    const char* from;
    int bytes, valid;
  };
  std::vector<Copy> copies;
  std::vector<size_t> group_ends;

  void wait(size_t groups_left) {
    if (group_ends.size() <= groups_left) return;
    const size_t groups = group_ends.size() - groups_left, count = group_ends[groups - 1];
    for (size_t i = 0; i < count; ++i) {
      const Copy& c = copies[i];
      if (c.valid > 0) std::memcpy(c.to, c.from, static_cast<size_t>(c.valid));
      std::memset(c.to + c.valid, 0, static_cast<size_t>(c.bytes - c.valid));
    }
    copies.erase(copies.begin(), copies.begin() + static_cast<long>(count));
    group_ends.erase(group_ends.begin(), group_ends.begin() + static_cast<long>(groups));
    for (size_t& e : group_ends) e -= count;
  }
};
/// Those of the calling thread.
inline AsyncCopies& async_copies() {
  static AsyncCopies of_thread[1024];
  return of_thread[threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)];
}
}  // namespace emulated
#endif

/// BYTES (4, 8 or 16, both addresses multiples of it) to shared memory: the first `valid` from `from`, then zeros.
/// `from` is not read where valid is 0.
template <int BYTES>
__device__ inline void copy_async(void* to, const void* from, int valid) {
#ifdef FASTNN_CUDA_EMULATED
  emulated::async_copies().copies.push_back({static_cast<char*>(to), static_cast<const char*>(from), BYTES, valid});
#else
  const unsigned shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  if constexpr (BYTES == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(from), "r"(valid) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared), "l"(from), "n"(BYTES), "r"(valid)
                 : "memory");
#endif
}
/// Ends a group of copies (which may be empty).
__device__ inline void copy_async_commit() {
#ifdef FASTNN_CUDA_EMULATED
  emulated::AsyncCopies& c = emulated::async_copies();
  c.group_ends.push_back(c.copies.size());
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
/// Waits for this thread's groups but the newest LEFT; a barrier makes them visible to the others.
template <int LEFT>
__device__ inline void copy_async_wait() {
#ifdef FASTNN_CUDA_EMULATED
  emulated::async_copies().wait(LEFT);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
#endif
}

}  // namespace cuda
}  // namespace fastnn
