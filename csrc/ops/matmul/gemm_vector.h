// Products with one row or one column: every element of the matrix is used once, so the memory bandwidth is the roof.
// The order of the sums is that of the tile, so a row alone has the same bits as in a batch.
#pragma once

#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_pack.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// y[j] = act([y[j]] + sum_k x[k] B[k][j] + bias[j]); strides in elements.
template <class T>
struct VectorArgs {
  int64_t n, K;
  const T* x;
  int64_t x_stride;
  const T* B;
  int64_t b_row, b_col;
  T* y;
  int64_t y_stride;
  const T* bias;
  int64_t bias_stride;
  Activation act;
  bool add;

  int64_t chunk() const { return K > 0 ? (K + gemm_chunks(K) - 1) / gemm_chunks(K) : 1; }
  /// Takes the sums of one chunk of K, of columns [j, j + count).
  void take(const T* sums, int64_t j, int64_t count, bool first, bool last) const {
    for (int64_t i = 0; i < count; ++i) {
      T& out = y[(j + i) * y_stride];
      T v = first && !add ? sums[i] : out + sums[i];
      if (last && bias) v = v + bias[(j + i) * bias_stride];
      if (last && act == Activation::relu) v = v < T{0} ? T{0} : v;
      out = v;
    }
  }
};

/// sums[0..n) += x[k] B[k][0..n) for R rows in ascending order; rows of B are contiguous.
template <class T, int R>
inline void add_rows(T* sums, const T* x, int64_t x_stride, const T* B, int64_t b_row, int64_t n) {
  Vec<T> xs[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) xs[r] = splat<Vec<T>>(x[r * x_stride]);
  int64_t j = 0;
  for (; j + kLanes<T> <= n; j += kLanes<T>) {
    Vec<T> v = load(sums + j);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) v = fma(xs[r], load(B + r * b_row + j), v);
    store(sums + j, v);
  }
  if (j == n) return;
  Vec<T> v = load(sums + j);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) v = fma(xs[r], load_n(B + r * b_row + j, n - j), v);
  store(sums + j, v);
}

/// Columns [j0, j1) where the rows of B are contiguous: eight rows of B pass over sums kept in the first-level cache.
/// The processor fetches these long runs ahead by itself; doing so here as well cost a sixth.
template <class T>
void vector_by_rows(const VectorArgs<T>& v, int64_t j0, int64_t j1) {
  constexpr int64_t block = 16384 / sizeof(T);
  alignas(64) T sums[block];
  const int64_t chunk = v.chunk();
  for (; j0 < j1; j0 += block) {
    const int64_t n = j1 - j0 < block ? j1 - j0 : block;
    for (int64_t k0 = 0; k0 == 0 || k0 < v.K; k0 += chunk) {
      const int64_t k1 = k0 + chunk < v.K ? k0 + chunk : v.K;
      for (int64_t i = 0; i < n; i += kLanes<T>) store(sums + i, Vec<T>{});
      const T* B = v.B + k0 * v.b_row + j0;
      int64_t k = k0;
      for (; k + 8 <= k1; k += 8, B += 8 * v.b_row)
        add_rows<T, 8>(sums, v.x + k * v.x_stride, v.x_stride, B, v.b_row, n);
      for (; k < k1; ++k, B += v.b_row) add_rows<T, 1>(sums, v.x + k * v.x_stride, v.x_stride, B, v.b_row, n);
      v.take(sums, j0, n, k0 == 0, k1 == v.K);
    }
  }
}

// Interleaves of 4- and 8-byte elements within each 16-byte lane, and choices of whole lanes, of two vectors.
#if defined(__AVX512F__)
#define FASTNN_LOW32 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define FASTNN_HIGH32 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define FASTNN_LOW64 0, 8, 2, 10, 4, 12, 6, 14
#define FASTNN_HIGH64 1, 9, 3, 11, 5, 13, 7, 15
#define FASTNN_EVEN128 0, 1, 4, 5, 8, 9, 12, 13
#define FASTNN_ODD128 2, 3, 6, 7, 10, 11, 14, 15
#elif defined(__AVX2__)
#define FASTNN_LOW32 0, 8, 1, 9, 4, 12, 5, 13
#define FASTNN_HIGH32 2, 10, 3, 11, 6, 14, 7, 15
#define FASTNN_LOW64 0, 4, 2, 6
#define FASTNN_HIGH64 1, 5, 3, 7
#define FASTNN_EVEN128 0, 1, 4, 5
#define FASTNN_ODD128 2, 3, 6, 7
#else
#define FASTNN_LOW32 0, 4, 1, 5
#define FASTNN_HIGH32 2, 6, 3, 7
#define FASTNN_LOW64 0, 2
#define FASTNN_HIGH64 1, 3
#endif
#define FASTNN_PICK(a, b, pattern) __builtin_shufflevector(a, b, pattern)

/// `per` vectors: element e of every lane of vector i becomes element i of every lane of vector e.
inline void transpose_in_lanes(f32v* r) {
  const f64v low01 = (f64v)FASTNN_PICK(r[0], r[1], FASTNN_LOW32), high01 = (f64v)FASTNN_PICK(r[0], r[1], FASTNN_HIGH32);
  const f64v low23 = (f64v)FASTNN_PICK(r[2], r[3], FASTNN_LOW32), high23 = (f64v)FASTNN_PICK(r[2], r[3], FASTNN_HIGH32);
  r[0] = (f32v)FASTNN_PICK(low01, low23, FASTNN_LOW64);
  r[1] = (f32v)FASTNN_PICK(low01, low23, FASTNN_HIGH64);
  r[2] = (f32v)FASTNN_PICK(high01, high23, FASTNN_LOW64);
  r[3] = (f32v)FASTNN_PICK(high01, high23, FASTNN_HIGH64);
}
inline void transpose_in_lanes(f64v* r) {
  const f64v a = r[0], b = r[1];
  r[0] = FASTNN_PICK(a, b, FASTNN_LOW64);
  r[1] = FASTNN_PICK(a, b, FASTNN_HIGH64);
}

/// L vectors become their transpose.
template <class T>
inline void transpose_square(Vec<T> (&r)[kLanes<T>]) {
  constexpr int per = 16 / sizeof(T);
#pragma GCC unroll 4
  for (int i = 0; i < kLanes<T>; i += per) transpose_in_lanes(r + i);
#pragma GCC unroll 4
  for (int e = 0; e < per; ++e) {
#if defined(__AVX512F__)
    const f64v x0 = (f64v)r[e], x1 = (f64v)r[e + per], x2 = (f64v)r[e + 2 * per], x3 = (f64v)r[e + 3 * per];
    const f64v even01 = FASTNN_PICK(x0, x1, FASTNN_EVEN128), odd01 = FASTNN_PICK(x0, x1, FASTNN_ODD128);
    const f64v even23 = FASTNN_PICK(x2, x3, FASTNN_EVEN128), odd23 = FASTNN_PICK(x2, x3, FASTNN_ODD128);
    r[e] = (Vec<T>)FASTNN_PICK(even01, even23, FASTNN_EVEN128);
    r[e + per] = (Vec<T>)FASTNN_PICK(odd01, odd23, FASTNN_EVEN128);
    r[e + 2 * per] = (Vec<T>)FASTNN_PICK(even01, even23, FASTNN_ODD128);
    r[e + 3 * per] = (Vec<T>)FASTNN_PICK(odd01, odd23, FASTNN_ODD128);
#elif defined(__AVX2__)
    const f64v x0 = (f64v)r[e], x1 = (f64v)r[e + per];
    r[e] = (Vec<T>)FASTNN_PICK(x0, x1, FASTNN_EVEN128);
    r[e + per] = (Vec<T>)FASTNN_PICK(x0, x1, FASTNN_ODD128);
#endif
  }
}
#undef FASTNN_LOW32
#undef FASTNN_HIGH32
#undef FASTNN_LOW64
#undef FASTNN_HIGH64
#undef FASTNN_EVEN128
#undef FASTNN_ODD128
#undef FASTNN_PICK

/// sum + x[0..len) times L columns of B in ascending k: they are transposed in registers, which keeps the lanes
/// independent and so the order of each sum. Column i lies at B + i * ld, from n on the first stands in.
template <class T>
inline Vec<T> add_columns(Vec<T> sum, const T* x, int64_t x_stride, const T* B, int64_t ld, int64_t n, int64_t len) {
  constexpr int L = kLanes<T>;
  Vec<T> r[L];
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) r[i] = len >= L ? load(B + (i < n ? i * ld : 0)) : load_n(B + (i < n ? i * ld : 0), len);
  transpose_square<T>(r);
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i)
    if (len >= L || i < len) sum = fma(splat<Vec<T>>(x[i * x_stride]), r[i], sum);
  return sum;
}

/// Columns [j0, j1) where the columns of B are contiguous, L at a time.
template <class T>
void vector_by_columns(const VectorArgs<T>& v, int64_t j0, int64_t j1) {
  constexpr int L = kLanes<T>;
  constexpr int64_t line = 64 / sizeof(T), run = 128, pitch = run + L;
  alignas(64) T staged[L * pitch];
  const bool stage = v.b_col % (4096 / int64_t(sizeof(T))) == 0;  // then all L columns share one cache set
  const int64_t chunk = v.chunk();
  for (; j0 < j1; j0 += L) {
    const int64_t n = j1 - j0 < L ? j1 - j0 : L;
    // The next columns are fetched meanwhile, one after the other: memory likes long runs, not L of them side by side.
    const T* next = v.B + (j0 + L) * v.b_col;
    int64_t next_k = 0, next_columns = j1 - j0 - L < L ? j1 - j0 - L : L;
    for (int64_t k0 = 0; k0 == 0 || k0 < v.K; k0 += chunk) {
      const int64_t k1 = k0 + chunk < v.K ? k0 + chunk : v.K;
      Vec<T> sum = {};
      for (int64_t r0 = k0; r0 < k1; r0 += run) {
        const int64_t r1 = r0 + run < k1 ? r0 + run : k1;
        const T* B = v.B + j0 * v.b_col + r0;
        int64_t ld = v.b_col;
        if (stage) {  // columns that evict each other are read one by one
          copy_rows(staged, pitch, B, ld, r1 - r0, n);
          B = staged, ld = pitch;
        }
        for (int64_t k = r0; k < r1; k += L, B += L) {
          if (next_columns > 0)
#pragma GCC unroll 16
            for (int i = 0; i < L; ++i) __builtin_prefetch(next + next_k + i * line, 0, 2);
          next_k += L * line;
          if (next_k >= v.K) next_k = 0, next += v.b_col, --next_columns;
          const T* const x = v.x + k * v.x_stride;
          sum = k + L <= r1 ? add_columns(sum, x, v.x_stride, B, ld, n, L)
                            : add_columns(sum, x, v.x_stride, B, ld, n, r1 - k);
        }
      }
      alignas(64) T sums[L];
      store(sums, sum);
      v.take(sums, j0, n, k0 == 0, k1 == v.K);
    }
  }
}

/// One element: eight chunks side by side hide the latency of the chains.
template <class T>
T dot_chunks(const T* x, int64_t x_stride, const T* b, int64_t b_stride, int64_t K, T y, bool add) {
  constexpr int W = 8;
  const int64_t chunks = gemm_chunks(K), chunk = (K + chunks - 1) / chunks;
  bool first = !add;
  for (int64_t c = 0; c < chunks; c += W) {
    T sums[W] = {};
    const int64_t full = (c + W) * chunk <= K ? chunk : 0;
#pragma GCC unroll 1
    for (int64_t k = 0; k < full; ++k)
#pragma GCC unroll 8
      for (int w = 0; w < W; ++w) {
        const int64_t i = (c + w) * chunk + k;
        sums[w] = fma(x[i * x_stride], b[i * b_stride], sums[w]);
      }
    for (int w = 0; w < W && c + w < chunks; ++w) {
      if (full == 0)
        for (int64_t i = (c + w) * chunk; i < (c + w + 1) * chunk && i < K; ++i)
          sums[w] = fma(x[i * x_stride], b[i * b_stride], sums[w]);
      y = first ? sums[w] : y + sums[w];
      first = false;
    }
  }
  return y;
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
