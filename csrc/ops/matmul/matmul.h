#pragma once
// Matrix products.

#include "core/tensor.h"

namespace fastnn {

/// C = A B over the last two axes, leading axes broadcast; 1-d operands as in PyTorch.
Tensor matmul(const Tensor& a, const Tensor& b);

}  // namespace fastnn
