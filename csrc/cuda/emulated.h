#pragma once
// CUDA on the CPU, for tests: the words of the language that our kernels use, and the calls of the runtime that
// runtime.cpp makes. The threads of a block are coroutines on one thread of the host, so barriers, shuffles and shared
// memory mean what they mean on a device; blocks run one after the other. What it finds:
//  - host code that touches device memory: that memory is unreachable between launches (a segmentation fault);
//  - kernels that get pointers to host memory: reported at the launch;
//  - barriers that not all threads reach: reported;
//  - missing barriers: FASTNN_CUDA_ORDER=reverse runs the threads of a block the other way round;
//  - reads and writes past a buffer: FASTNN_CUDA_GUARD=1 ends every buffer at an unreachable page.
// Not emulated: the memory model (fences), clocks, more than one device's speed.

#if !defined(__x86_64__)
#error "the CUDA emulator switches stacks in x86-64 assembly"
#endif

#include <math.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace fastnn {
namespace cuda {
namespace emulated {

/// Runs the kernel now, or notes it in the graph that is being recorded.
void launch(std::function<void()> kernel, dim3 grid, dim3 block, size_t shared);
/// Aborts where an argument of a kernel holds the address of host memory.
void check_argument(const void* name, const void* words, size_t bytes);
void* dynamic_shared();
void block_barrier();
/// Waits for the lanes of this warp that `mask` names; all of them call it.
void warp_barrier(unsigned mask);
/// Lets the others run: for loops that wait for what they do.
void spin();
/// This thread's warp and lane; a place of 64 bytes for each lane of the warp.
int lane();
void* lane_slot(int lane);

template <class... P>
void start(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, std::tuple<P...> args) {
  const void* name = reinterpret_cast<const void*>(kernel);
  std::apply(
      [&](auto... arg) {
        // Padding holds whatever the stack held.
        (__builtin_clear_padding(&arg), ...);
        (check_argument(name, &arg, sizeof(arg)), ...);
      },
      args);
  launch([=] { std::apply(kernel, args); }, grid, block, shared);
}

/// What every lane of the (whole) warp gives, in all of them: the base of shuffles and of emulated matrix instructions.
template <class T>
void exchange(unsigned mask, const T& mine, T (&all)[32]) {
  static_assert(sizeof(T) <= 64, "");
  std::memcpy(lane_slot(lane()), &mine, sizeof(T));
  warp_barrier(mask);
  for (int i = 0; i < 32; ++i) std::memcpy(static_cast<void*>(&all[i]), lane_slot(i), sizeof(T));
  warp_barrier(mask);
}

}  // namespace emulated
}  // namespace cuda
}  // namespace fastnn

// --- the language -------------------------------------------------------------------------------------------------
inline void __syncthreads() { fastnn::cuda::emulated::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { fastnn::cuda::emulated::warp_barrier(mask); }

template <class T>
inline T __shfl_sync(unsigned mask, T v, int from, int width = 32) {
  T all[32];
  fastnn::cuda::emulated::exchange(mask, v, all);
  const int lane = fastnn::cuda::emulated::lane();
  return all[(lane & ~(width - 1)) | (from & (width - 1))];
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T v, int with, int = 32) {
  T all[32];
  fastnn::cuda::emulated::exchange(mask, v, all);
  return all[fastnn::cuda::emulated::lane() ^ with];
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
  T all[32];
  fastnn::cuda::emulated::exchange(mask, v, all);
  const int lane = fastnn::cuda::emulated::lane();
  return lane % width >= static_cast<int>(by) ? all[lane - by] : v;
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  int all[32];
  fastnn::cuda::emulated::exchange(mask, predicate, all);
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i)
    if (mask >> i & 1 && all[i]) bits |= 1u << i;
  return bits;
}

// Threads change places at barriers only.
template <class T, class V>
inline T atomicAdd(T* at, V v) {
  const T old = *at;
  *at = old + static_cast<T>(v);
  return old;
}
template <class T, class V>
inline T atomicMax(T* at, V v) {
  const T old = *at;
  *at = std::max(old, static_cast<T>(v));
  return old;
}
using std::max;
using std::min;
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
template <class To, class From>
inline To fastnn_bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "");
  To y;
  std::memcpy(&y, &x, sizeof y);
  return y;
}
inline unsigned __float_as_uint(float x) { return fastnn_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return fastnn_bits<float>(x); }
inline int __float_as_int(float x) { return fastnn_bits<int>(x); }
inline long long __double_as_longlong(double x) { return fastnn_bits<long long>(x); }

#include "cuda/emulated_runtime.h"
