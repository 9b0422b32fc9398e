#pragma once
// GemmArgs as the engines take them.

#include "ops/matmul/gemm_operands_cuda.h"

namespace fastnn {
namespace cuda {

/// Matrices that share B and follow each other are one taller matrix.
template <class T>
GemmArgs<T> joined(GemmArgs<T> g) {
  if (g.K < 0) g.K = 0;
  if (g.batch > 1 && g.b_batch == 0 && g.a_batch == g.M * g.a_row && g.c_batch == g.M * g.c_row) {
    g.M *= g.batch;
    g.batch = 1;
  }
  if (g.batch == 1) g.a_batch = g.b_batch = g.c_batch = 0;
  return g;
}
template <class T>
StridedOperand<T> operand_a(const GemmArgs<T>& g) {
  return strided_operand(g.A, g.a_row, g.a_col, g.a_batch);
}
template <class T>
StridedOperand<T> operand_b(const GemmArgs<T>& g) {
  return strided_operand(g.B, g.b_col, g.b_row, g.b_batch);
}
template <class T>
StridedResult<T> result_of(const GemmArgs<T>& g) {
  return strided_result(g.C, g.c_row, g.c_batch);
}
template <class T>
ProductArgs<T> product_of(const GemmArgs<T>& g, int64_t chunk) {
  return {g.M, g.N, g.K, g.batch, chunk, g.bias, 0, g.act, g.accumulate ? 1 : 0};
}

}  // namespace cuda
}  // namespace fastnn
