#pragma once
// Products of batches of strided matrices, as matmul, linear and their gradients need them: broadcasting, transposing
// and summing over broadcast axes happen in the strides, nothing is copied.

#include "core/tensor.h"
#include "ops/matmul/gemm.h"

namespace fastnn {

/// Matrices [rows, cols] over batch axes; strides in elements.
struct Matrices {
  void* data = nullptr;
  DType dtype = DType::float32;
  Dims batch, batch_strides;
  int64_t rows = 0, cols = 0, row_stride = 0, col_stride = 1;

  /// The matrices whose rows are these ones' columns.
  Matrices transposed() const;
};

/// The last two axes of x as matrices. A vector is one row (of the left operand) or one column (of the right one).
enum class VectorAs { row, column };
Matrices matrices_of(const Tensor& x, VectorAs vector);

/// C = act(sum A B + bias). Batch axes broadcast; the sum runs over those along which C has size 1 (or no axis) and A
/// or B more. Columns of C are contiguous. The shapes must fit (checked by the ops).
void product(const Matrices& c, const Matrices& a, const Matrices& b, const void* bias = nullptr,
             Activation act = Activation::none);

/// How float products are computed; one setting for the process.
MatmulPrecision matmul_precision();
void set_matmul_precision(MatmulPrecision precision);

}  // namespace fastnn
