#pragma once
// Reductions over any axes.

#include "core/tensor.h"

namespace fastnn {

/// y = sum of x over `axes` (empty: all).
Tensor sum(const Tensor& x, const Dims& axes, bool keepdim);
/// x summed over the axes along which `shape` was broadcast to x's shape; x itself when the shapes are equal. No
/// history.
Tensor sum_to(const Tensor& x, const Dims& shape);

}  // namespace fastnn
