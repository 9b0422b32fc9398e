// Row times a matrix whose columns are contiguous, for AVX2 and up: groups of 8 columns are transposed in 32-byte
// registers (wide shuffles run at half the rate) and several chunks of K run side by side, so that their chains of
// multiply-adds hide each other's latency. The order of each sum is that of gemm.h.
#pragma once

#include "ops/matmul/gemm_pack.h"
#include "ops/matmul/gemm_vector.h"

#if defined(__AVX2__)
namespace fastnn {
namespace FASTNN_ISA {
namespace {

inline __m256 add_product(__m256 sum, float x, __m256 b) { return _mm256_fmadd_ps(_mm256_set1_ps(x), b, sum); }
inline __m256d add_product(__m256d sum, double x, __m256d b) { return _mm256_fmadd_pd(_mm256_set1_pd(x), b, sum); }
inline void store_group(float* p, const __m256 (&v)[1]) { _mm256_storeu_ps(p, v[0]); }
inline void store_group(double* p, const __m256d (&v)[2]) { _mm256_storeu_pd(p, v[0]), _mm256_storeu_pd(p + 4, v[1]); }

template <class T>
struct Lane256;
template <>
struct Lane256<float> {
  typedef __m256 type;
};
template <>
struct Lane256<double> {
  typedef __m256d type;
};

/// Columns that come next, fetched one after the other: memory likes long runs, not many side by side.
template <class T>
struct Ahead {
  const T* at;
  int64_t K, ld, columns, k;

  void fetch() {
    constexpr int64_t line = 64 / sizeof(T);
    if (columns <= 0) return;
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) __builtin_prefetch(at + k + i * line, 0, 2);
    k += 8 * line;
    if (k >= K) k = 0, at += ld, --columns;
  }
};

/// sums[p][j] = sum of x[p * chunk + k] B[j][p * chunk + k] over k < len, for 8 columns j and P chunks p. Returns the
/// steps done: fewer than 4 may be left.
template <class T, int P>
inline int64_t add_chunks_of(T (*sums)[kGroup], const T* x, int64_t x_stride, const T* B, int64_t ld, int64_t chunk,
                             int64_t len, Ahead<T>& ahead) {
  typedef typename Lane256<T>::type V;
  constexpr int per = 16 / sizeof(T), vecs = 4 / per, every = 4 / P;  // 8 lines fetched for 8 lines read
  V acc[P][vecs] = {};
  int64_t k = 0;
  for (int turn = 0; k + per <= len; k += per) {
    if (turn-- == 0) ahead.fetch(), turn = every - 1;
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      V r[4];
      load_group(r, B + p * chunk + k, ld);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i)
        acc[p][i % vecs] = add_product(acc[p][i % vecs], x[(p * chunk + k + i / vecs) * x_stride], r[i]);
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) store_group(sums[p], acc[p]);
  return k;
}

/// Columns [j0, j1), of which only whole groups are taken; returns the first column left.
template <class T>
int64_t groups_by_columns(const VectorArgs<T>& v, int64_t j0, int64_t j1) {
  const int64_t chunk = v.chunk(), chunks = v.K > 0 ? (v.K + chunk - 1) / chunk : 0, ld = v.b_col;
  if (chunks == 0) return j0;
  // A matrix in the second-level cache whose columns evict each other from the first is better read column by column.
  if (aliases<T>(ld) && (j1 - j0) * v.K <= int64_t(4 << 20) / int64_t(sizeof(T))) return j0;
  for (; j0 + kGroup <= j1; j0 += kGroup) {
    const T* const B = v.B + j0 * ld;
    const int64_t next = j1 - j0 - kGroup;
    Ahead<T> ahead{B + kGroup * ld, v.K, ld, next < kGroup ? next : kGroup, 0};
    for (int64_t c = 0; c < chunks;) {
      const int64_t left = chunks - c, side = left >= 4 ? 4 : left >= 2 ? 2 : 1, k0 = c * chunk;
      const int64_t end = (c + side) * chunk < v.K ? chunk : v.K - (c + side - 1) * chunk;  // of the last of them
      const T* const x = v.x + k0 * v.x_stride;
      alignas(64) T sums[4][kGroup];
      int64_t done;
      if (side == 4)
        done = add_chunks_of<T, 4>(sums, x, v.x_stride, B + k0, ld, chunk, end, ahead);
      else if (side == 2)
        done = add_chunks_of<T, 2>(sums, x, v.x_stride, B + k0, ld, chunk, end, ahead);
      else
        done = add_chunks_of<T, 1>(sums, x, v.x_stride, B + k0, ld, chunk, end, ahead);
      for (int64_t p = 0; p < side; ++p, ++c) {
        const int64_t len = p + 1 < side ? chunk : end;
        for (int64_t k = done; k < len; ++k)
          for (int64_t j = 0; j < kGroup; ++j)
            sums[p][j] = fma(x[(p * chunk + k) * v.x_stride], B[j * ld + k0 + p * chunk + k], sums[p][j]);
        v.take(sums[p], j0, kGroup, c == 0, c + 1 == chunks);
      }
    }
  }
  return j0;
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
#endif
