// Copies of operands in the order the tile reads them. Made only where reading in place is slow (or, for the last,
// partial panel of B, would read past the end).
#pragma once

#include "ops/matmul/gemm_vec.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Rows whose distance is a multiple of this many bytes fall on few sets of the first-level cache and evict each other.
constexpr int64_t kAliasBytes = 2048;

template <class T>
inline bool aliases(int64_t stride) {
  return stride != 0 && stride * static_cast<int64_t>(sizeof(T)) % kAliasBytes == 0;
}

#if defined(__AVX2__)
/// Column r of each group of 16 bytes: lane l holds p[(l * per + r) * ld ...], per = elements in 16 bytes.
inline V<float> load_lanes(const float* p, int64_t ld) {
#if defined(__AVX512F__)
  __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
  v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 4 * ld), 1);
  v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 8 * ld), 2);
  return _mm512_insertf32x4(v, _mm_loadu_ps(p + 12 * ld), 3);
#else
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * ld), 1);
#endif
}
inline V<double> load_lanes(const double* p, int64_t ld) {
#if defined(__AVX512F__)
  __m512d v = _mm512_castpd128_pd512(_mm_loadu_pd(p));
  v = _mm512_insertf64x2(v, _mm_loadu_pd(p + 2 * ld), 1);
  v = _mm512_insertf64x2(v, _mm_loadu_pd(p + 4 * ld), 2);
  return _mm512_insertf64x2(v, _mm_loadu_pd(p + 6 * ld), 3);
#else
  return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(p + 2 * ld), 1);
#endif
}

// Interleaves of the low (high) halves of every 16 bytes of two vectors: elements, and pairs of floats.
#if defined(__AVX512F__)
#define FASTNN_LOW32(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define FASTNN_HIGH32(a, b) __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define FASTNN_LOW64(a, b) __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define FASTNN_HIGH64(a, b) __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#else
#define FASTNN_LOW32(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define FASTNN_HIGH32(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define FASTNN_LOW64(a, b) __builtin_shufflevector(a, b, 0, 4, 2, 6)
#define FASTNN_HIGH64(a, b) __builtin_shufflevector(a, b, 1, 5, 3, 7)
#endif

/// L rows of 16 bytes become 4 (2) vectors of L lanes: out[k * width + j] = p[j * ld + k].
inline void transpose_lanes(float* out, int64_t width, const float* p, int64_t ld) {
  const V<float> r0 = load_lanes(p, ld), r1 = load_lanes(p + ld, ld);
  const V<float> r2 = load_lanes(p + 2 * ld, ld), r3 = load_lanes(p + 3 * ld, ld);
  const V<double> low01 = (V<double>)FASTNN_LOW32(r0, r1), high01 = (V<double>)FASTNN_HIGH32(r0, r1);
  const V<double> low23 = (V<double>)FASTNN_LOW32(r2, r3), high23 = (V<double>)FASTNN_HIGH32(r2, r3);
  store(out, (V<float>)FASTNN_LOW64(low01, low23));
  store(out + width, (V<float>)FASTNN_HIGH64(low01, low23));
  store(out + 2 * width, (V<float>)FASTNN_LOW64(high01, high23));
  store(out + 3 * width, (V<float>)FASTNN_HIGH64(high01, high23));
}
inline void transpose_lanes(double* out, int64_t width, const double* p, int64_t ld) {
  const V<double> r0 = load_lanes(p, ld), r1 = load_lanes(p + ld, ld);
  store(out, FASTNN_LOW64(r0, r1));
  store(out + width, FASTNN_HIGH64(r0, r1));
}
#undef FASTNN_LOW32
#undef FASTNN_HIGH32
#undef FASTNN_LOW64
#undef FASTNN_HIGH64
#endif

/// out[k * width + j] = p[j * ld + k] for j < n, k < kc: columns of B that lie contiguous in memory.
template <class T>
inline void transpose(T* out, int64_t width, const T* p, int64_t ld, int64_t kc, int64_t n) {
  int64_t j = 0;
#if defined(__AVX2__)
  constexpr int64_t L = Vec<T>::L, per = 16 / sizeof(T), run = 128;
  for (; j + L <= n; j += L) {
    int64_t k = 0;
    if (aliases<T>(ld)) {
      // These L rows would evict each other between two visits of 16 bytes: read each once, whole, through the stack.
      alignas(64) T rows[L * (run + L)];
      for (; k + run <= kc; k += run) {
        for (int64_t i = 0; i < L; ++i)
#pragma GCC unroll 8
          for (int64_t x = 0; x < run; x += L) store(rows + i * (run + L) + x, load(p + (j + i) * ld + k + x));
        for (int64_t x = 0; x < run; x += per) transpose_lanes(out + (k + x) * width + j, width, rows + x, run + L);
      }
    }
    for (; k + per <= kc; k += per) transpose_lanes(out + k * width + j, width, p + j * ld + k, ld);
    for (; k < kc; ++k)
      for (int64_t i = 0; i < L; ++i) out[k * width + j + i] = p[(j + i) * ld + k];
  }
#endif
  for (; j < n; ++j)
    for (int64_t k = 0; k < kc; ++k) out[k * width + j] = p[j * ld + k];
}

/// One panel of B: out[k * width + j] = B[k * b_row + j * b_col], zero for n <= j < width.
template <class T>
inline void pack_panel(T* out, int64_t width, const T* B, int64_t b_row, int64_t b_col, int64_t kc, int64_t n) {
  constexpr int64_t L = Vec<T>::L;
  if (b_col == 1) {
    for (int64_t k = 0; k < kc; ++k, B += b_row, out += width) {
      int64_t j = 0;
      for (; j + L <= n; j += L) store(out + j, load(B + j));
      if (j < n) store(out + j, load_n(B + j, static_cast<int>(n - j))), j += L;
      for (; j < width; j += L) store(out + j, V<T>{});
    }
    return;
  }
  if (b_row == 1) {
    transpose(out, width, B, b_col, kc, n);
  } else {
    for (int64_t k = 0; k < kc; ++k)
      for (int64_t j = 0; j < n; ++j) out[k * width + j] = B[k * b_row + j * b_col];
  }
  if (n < width)
    for (int64_t k = 0; k < kc; ++k)
      for (int64_t j = n; j < width; ++j) out[k * width + j] = T{0};
}

/// Rows of A one after the other at a pitch that does not alias: out[i * pitch + k] = A[i * a_row + k].
template <class T>
inline void copy_rows(T* out, int64_t pitch, const T* A, int64_t a_row, int64_t kc, int64_t rows) {
  constexpr int64_t L = Vec<T>::L;
  for (int64_t i = 0; i < rows; ++i, A += a_row, out += pitch) {
    int64_t k = 0;
    for (; k + L <= kc; k += L) store(out + k, load(A + k));
    if (k < kc) store_n(out + k, load_n(A + k, static_cast<int>(kc - k)), static_cast<int>(kc - k));
  }
}

/// The rows of A that one tile reads, k by k: out[k * rows + i] = A[i * a_row + k * a_col].
template <class T>
inline void pack_rows(T* out, const T* A, int64_t a_row, int64_t a_col, int64_t kc, int64_t rows) {
  constexpr int64_t L = Vec<T>::L;
  if (a_row == 1) {
    for (int64_t k = 0; k < kc; ++k, A += a_col, out += rows) {
      int64_t i = 0;
      for (; i + L <= rows; i += L) store(out + i, load(A + i));
      if (i < rows) store_n(out + i, load_n(A + i, static_cast<int>(rows - i)), static_cast<int>(rows - i));
    }
    return;
  }
  for (int64_t k = 0; k < kc; ++k)
    for (int64_t i = 0; i < rows; ++i) out[k * rows + i] = A[i * a_row + k * a_col];
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
