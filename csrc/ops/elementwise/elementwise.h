#pragma once
// Elementwise arithmetic with NumPy broadcasting and PyTorch's type promotion, copies and casts.

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

// --- memory, no history ------------------------------------------------------------------------------------------
/// dst = src, broadcast to dst's shape and converted to its dtype. The two may not overlap unless equal.
void copy_into(const Tensor& dst, const Tensor& src);
void fill_into(const Tensor& dst, Scalar value);
/// dst += src (same shape and dtype).
void add_into(const Tensor& dst, const Tensor& src);
/// A row-major copy.
Tensor clone(const Tensor& x);
bool has_nan(const Tensor& x);

// --- operations with gradients --------------------------------------------------------------------------------------
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
Tensor relu(const Tensor& x);
/// x as `dtype`; x itself when it has it already.
Tensor to(const Tensor& x, DType dtype);
/// x itself when row-major, else a row-major copy.
Tensor contiguous(const Tensor& x);

/// Shape and element strides of up to three operands, as kernels take them.
struct Strided {
  int32_t rank;
  int64_t shape[kMaxRank];
  int64_t strides[3][kMaxRank];
};
FASTNN_KERNEL(copy_strided, void* y, int y_type, const void* x, int x_type, const Strided& loop)
FASTNN_KERNEL(binary_strided, int op, int type, void* y, const void* a, const void* b, const Strided& loop)

}  // namespace fastnn
