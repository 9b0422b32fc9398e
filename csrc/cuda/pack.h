#pragma once
// Neighbouring elements that a thread loads and stores as one.

#include <cstdint>

#include "cuda/cuda.h"

namespace fastnn {
namespace cuda {

/// Elements of T that one load of 16 bytes brings (1 where T is larger).
template <class T>
constexpr int kPack = sizeof(T) < 16 ? 16 / static_cast<int>(sizeof(T)) : 1;

template <class T, int N>
struct __align__(sizeof(T) * N) Pack {
  T v[N];
  __device__ T& operator[](int i) { return v[i]; }
  __device__ const T& operator[](int i) const { return v[i]; }
};
template <class T, int N>
__device__ inline Pack<T, N> operator+(Pack<T, N> a, const Pack<T, N>& b) {
#pragma unroll
  for (int i = 0; i < N; ++i) a[i] += b[i];
  return a;
}
template <class T, int N>
__device__ inline Pack<T, N> operator*(Pack<T, N> a, T b) {
#pragma unroll
  for (int i = 0; i < N; ++i) a[i] *= b;
  return a;
}
template <class T, int N>
__device__ inline Pack<T, N> pack_of(T v) {
  Pack<T, N> p;
#pragma unroll
  for (int i = 0; i < N; ++i) p[i] = v;
  return p;
}
template <class T, int N>
__device__ inline const Pack<T, N>& as_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <class T, int N>
__device__ inline Pack<T, N>& as_pack(T* p) {
  return *reinterpret_cast<Pack<T, N>*>(p);
}

/// The same at an address in bytes.
template <class T, int N>
__device__ inline Pack<T, N> load_pack(const char* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <class T, int N>
__device__ inline void store_pack(char* p, const Pack<T, N>& x) {
  *reinterpret_cast<Pack<T, N>*>(p) = x;
}

/// Whether a Pack<T, N> can be read at p.
template <int N, class T>
__host__ __device__ inline bool aligned(const T* p) {
  return N == 1 || reinterpret_cast<uintptr_t>(p) % (sizeof(T) * N) == 0;
}

/// kPack<T> where `n` (a length, and every distance) is a multiple of it and both pointers are aligned, else 1.
template <class T>
int pack_size(int64_t n, const T* a, const T* b) {
  constexpr int most = kPack<T>;
  return n % most == 0 && aligned<most>(a) && aligned<most>(b) ? most : 1;
}
/// f(null pointer to Pack<T, kPack<T>>) or f(null pointer to Pack<T, 1>).
template <class T, class F>
void with_pack(int size, const F& f) {
  if (size == 1) return f(static_cast<Pack<T, 1>*>(nullptr));
  return f(static_cast<Pack<T, kPack<T>>*>(nullptr));
}
template <class P>
struct PackTraits;
template <class T, int N>
struct PackTraits<Pack<T, N>> {
  using Type = T;
  static constexpr int size = N;
};

/// The largest of 16, 8, 4 and 1 bytes that divides `bytes`.
inline int unit_of(uint64_t bytes) { return bytes % 16 == 0 ? 16 : bytes % 8 == 0 ? 8 : bytes % 4 == 0 ? 4 : 1; }
/// f(null pointer to a type of that many bytes), for code that moves bits.
template <class F>
void with_unit(int bytes, const F& f) {
  if (bytes == 16) return f(static_cast<Pack<uint64_t, 2>*>(nullptr));
  with_size(bytes, f);
}

}  // namespace cuda
}  // namespace fastnn
