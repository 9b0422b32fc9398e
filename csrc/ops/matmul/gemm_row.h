// Products with one row or one column: which of the ways of gemm_vector.h and gemm_columns.h takes them, and threads.
#pragma once

#include "ops/matmul/gemm_columns.h"
#include "ops/matmul/gemm_vector.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// The product when M or N is 1 and the matrix is contiguous one way; false when another path must take it.
template <class T>
bool vector_product(const GemmArgs<T>& g, int64_t threads) {
  if (g.M != 1 && g.N != 1) return false;
  const bool row = g.M == 1;  // else C^T = B^T A^T: the column of B is the vector, A transposed the matrix
  const int64_t n = row ? g.N : g.M, along = row ? g.b_row : g.a_col, across = row ? g.b_col : g.a_row;
  const bool dot = n == 1, by_rows = across == 1 && n >= 4 * kLanes<T>, by_columns = along == 1 && n >= kLanes<T>;
  if (!dot && !by_rows && !by_columns) return false;
  if (g.K > 64 * kGemmChunk && n < threads * 64) return false;  // too few columns for the threads: K is split instead
  const auto one = [&](int64_t z, int64_t j0, int64_t j1) {
    const T *A = g.A + z * g.a_batch, *B = g.B + z * g.b_batch;
    T* const C = g.C + z * g.c_batch;
    if (dot) {
      T v = dot_chunks(A, g.a_col, B, g.b_row, g.K, g.accumulate ? *C : T{0}, g.accumulate);
      if (g.bias) v = v + *g.bias;
      *C = g.act == Activation::relu && v < T{0} ? T{0} : v;
      return;
    }
    const VectorArgs<T> v{n,           g.K,    row ? A : B, row ? g.a_col : g.b_row, row ? B : A,
                          along,       across, C,           row ? 1 : g.c_row,       g.bias,
                          row ? 1 : 0, g.act,  g.accumulate};
    if (by_rows)
      vector_by_rows(v, j0, j1);
    else
#if defined(__AVX2__)
      vector_by_columns(v, groups_by_columns(v, j0, j1), j1);
#else
      vector_by_columns(v, j0, j1);
#endif
  };
  // Runs of columns that are whole cache lines of C.
  const int64_t runs = threads == 1 ? 1 : n < threads * 256 ? (n + 255) / 256 : threads;
  const int64_t run = ((n + runs - 1) / runs + 63) / 64 * 64;
  const int64_t strips = (n + run - 1) / run;
  const auto task = [&](int64_t t) {
    const int64_t j0 = t % strips * run;
    one(t / strips, j0, j0 + run < n ? j0 + run : n);
  };
  if (threads == 1) {
    for (int64_t t = 0; t < g.batch * strips; ++t) task(t);
  } else {
    parallel_tasks(g.batch * strips, task);
  }
  return true;
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
