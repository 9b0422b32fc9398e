#pragma once
// Matrix products.

#include "core/tensor.h"
#include "ops/matmul/gemm.h"

namespace fastnn {

/// C = A B over the last two axes, leading axes broadcast. A 1-d operand is one row (left) or one column (right), and
/// its axis is dropped from C, as in PyTorch.     dA = dC B^T   dB = A^T dC, summed over broadcast axes
Tensor matmul(const Tensor& a, const Tensor& b);

/// y = act(x W + b): x [..., in], weight [in, out], bias [out] or undefined, y [..., out], in one pass over y.
///   with g = dy * act'(y):   dx = g W^T   dW = x^T g   db = the column sums of g
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation act = Activation::none);

/// dx_i = dy_i where y_i > 0 (or is NaN), else 0: the gradient of relu from its output.
FASTNN_KERNEL(relu_gradient_f32, float* dx, const float* dy, const float* y, int64_t n)
FASTNN_KERNEL(relu_gradient_f64, double* dx, const double* dy, const double* y, int64_t n)

}  // namespace fastnn
