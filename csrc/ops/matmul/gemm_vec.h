// The vector of the instruction set being compiled, for the GEMM tile only: load, store, broadcast, multiply-add, and
// loads and stores of the first n lanes that touch nothing beyond them.
#pragma once

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>

namespace fastnn {
namespace FASTNN_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

template <class T>
struct Vec;

template <>
struct Vec<float> {
  typedef float V __attribute__((vector_size(kVecBytes)));
  typedef float Unaligned __attribute__((vector_size(kVecBytes), aligned(4), may_alias));
  static constexpr int L = kVecBytes / 4;
};

template <>
struct Vec<double> {
  typedef double V __attribute__((vector_size(kVecBytes)));
  typedef double Unaligned __attribute__((vector_size(kVecBytes), aligned(8), may_alias));
  static constexpr int L = kVecBytes / 8;
};

template <class T>
using V = typename Vec<T>::V;

template <class T>
inline V<T> load(const T* p) {
  return *reinterpret_cast<const typename Vec<T>::Unaligned*>(p);
}

template <class T>
inline void store(T* p, V<T> v) {
  *reinterpret_cast<typename Vec<T>::Unaligned*>(p) = v;
}

inline V<float> fma(V<float> a, V<float> b, V<float> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

inline V<double> fma(V<double> a, V<double> b, V<double> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f64(c, a, b);
#else
  return a * b + c;
#endif
}

inline V<float> splat(float x) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(x);
#elif defined(__AVX2__)
  return _mm256_set1_ps(x);
#else
  return V<float>{x, x, x, x};
#endif
}

inline V<double> splat(double x) {
#if defined(__AVX512F__)
  return _mm512_set1_pd(x);
#elif defined(__AVX2__)
  return _mm256_set1_pd(x);
#else
  return V<double>{x, x};
#endif
}

// The first n lanes (1 <= n <= L), the others zero.
#if defined(__AVX512F__)
inline V<float> load_n(const float* p, int n) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
inline V<double> load_n(const double* p, int n) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
}
inline void store_n(float* p, V<float> v, int n) { _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v); }
inline void store_n(double* p, V<double> v, int n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
}
#else
template <class T>
inline V<T> load_n(const T* p, int n) {
  if (n == Vec<T>::L) return load(p);
  V<T> v = {};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
template <class T>
inline void store_n(T* p, V<T> v, int n) {
  if (n == Vec<T>::L) return store(p, v);
  for (int i = 0; i < n; ++i) p[i] = v[i];
}
#endif

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
