#pragma once
// softmax      y_i = exp(x_i - m) / s          dx = y (dy - sum y dy)
// log_softmax  y_i = x_i - m - log s           dx = dy - exp(y) sum dy
//
// m = max x and s = sum exp(x - m) along one axis. A line of -inf only, or with +inf or NaN in it, is NaN throughout.

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

Tensor softmax(const Tensor& x, int64_t axis);
Tensor log_softmax(const Tensor& x, int64_t axis);
/// softmax of -x.
Tensor softmin(const Tensor& x, int64_t axis);

// Lines longer than this are cut into chunks of as many elements, so that one line can use every thread; chunk sums are
// combined in order. Shorter lines are one task's work from first to last.
constexpr int64_t kSoftmaxChunk = 65536;

/// x and y are row-major [outer, n, inner]; `log` chooses log_softmax. scratch: two doubles per chunk where
/// n > kSoftmaxChunk and inner is 1.
FASTNN_KERNEL(softmax_forward, int type, bool log, void* y, const void* x, int64_t outer, int64_t n, int64_t inner,
              double* scratch)
FASTNN_KERNEL(softmax_backward, int type, bool log, void* dx, const void* dy, const void* y, int64_t outer, int64_t n,
              int64_t inner, double* scratch)

}  // namespace fastnn
