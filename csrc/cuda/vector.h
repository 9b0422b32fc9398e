#pragma once
// Packs of 16 bytes and shuffles of structs for kernels that go along rows.

#include "cuda/divide.h"
#include "cuda/pack.h"

namespace fastnn {
namespace cuda {

/// Elements of T that one load of 16 bytes brings (1 where T is larger).
template <class T>
constexpr int kPack = sizeof(T) < 16 ? 16 / static_cast<int>(sizeof(T)) : 1;

/// Whether a Pack<T, V> can be read at p.
template <int V, class T>
__host__ __device__ inline bool aligned(const T* p) {
  return V == 1 || reinterpret_cast<uintptr_t>(p) % (sizeof(T) * V) == 0;
}
/// The value of lane ^ `with`, for structs whose size is a multiple of 4.
template <class S>
__device__ inline S shuffle_xor(const S& s, int with) {
  static_assert(sizeof(S) % 4 == 0, "shuffles move words");
  uint32_t words[sizeof(S) / 4];
  memcpy(words, &s, sizeof(S));
#pragma unroll
  for (uint32_t& w : words) w = __shfl_xor_sync(kFullWarp, w, with);
  S out;
  memcpy(static_cast<void*>(&out), words, sizeof(S));
  return out;
}

/// The smallest power of two that is not below n, at most `most`.
inline int power_of_two(int64_t n, int most) {
  int p = 1;
  while (p < n && p < most) p *= 2;
  return p;
}

}  // namespace cuda
}  // namespace fastnn
