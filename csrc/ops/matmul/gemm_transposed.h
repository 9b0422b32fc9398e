// Products of few rows with a matrix whose columns are contiguous (the gradient of a layer's input: dy W^T), computed
// as their transpose.
#pragma once

#include "kernels/simd.h"
#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_pack.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Columns of C that one task brings into place.
constexpr int64_t kTransposeRun = 256;

/// Whether transposing A and C costs less than transposing B. The lanes of a vector are rows of C then: they must be
/// about a multiple of its length.
template <class T>
bool better_transposed(const GemmArgs<T>& g) {
  constexpr int64_t L = kLanes<T>;
  if (g.batch != 1 || g.accumulate || g.b_row != 1 || g.b_col < g.K || g.a_col != 1) return false;
  if (g.M < L || g.M > 16 * L || g.K < 64 || (L - g.M % L) % L * 16 > g.M) return false;
  return g.M * (g.K + g.N) * 2 <= g.N * g.K;
}

/// The product C^T = B^T A^T to `sums`, without bias and activation.
template <class T>
GemmArgs<T> transposed(const GemmArgs<T>& g, T* sums) {
  GemmArgs<T> t;
  t.M = g.N, t.N = g.M, t.K = g.K;
  t.A = g.B, t.a_row = g.b_col, t.a_col = g.b_row;
  t.B = g.A, t.b_row = g.a_col, t.b_col = g.a_row;
  t.C = sums, t.c_row = g.M;
  return t;
}

/// Columns [n0, n1) of C from their sums.
template <class T>
void finish_transposed(const GemmArgs<T>& g, const T* sums, int64_t n0, int64_t n1) {
  constexpr int64_t L = kLanes<T>;
  transpose(g.C + n0, g.c_row, sums + n0 * g.M, g.M, g.M, n1 - n0);
  if (!g.bias && g.act == Activation::none) return;
  for (int64_t m = 0; m < g.M; ++m)
    for (int64_t n = n0; n < n1; n += L) {
      const int64_t lanes = n1 - n < L ? n1 - n : L;
      T* const c = g.C + m * g.c_row + n;
      Vec<T> v = load_n(c, lanes);
      if (g.bias) v = v + load_n(g.bias + n, lanes);
      if (g.act == Activation::relu) v = v < Vec<T>{} ? Vec<T>{} : v;  // keeps NaN
      store_n(c, v, lanes);
    }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
