#pragma once
// cumsum   y_i = x_0 + ... + x_i          dx_i = dy_i + ... + dy_{n-1}
// cumprod  y_i = x_0 * ... * x_i          dx_i = sum over j >= i of dy_j * (product of x_0..x_j without x_i)
//
// Along one axis. float32 runs in float64; integers and bools give int64.

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

Tensor cumsum(const Tensor& x, int64_t axis);
Tensor cumprod(const Tensor& x, int64_t axis);

// A line longer than this is cut into chunks: their totals first, then every chunk from where it starts.
constexpr int64_t kScanChunk = 65536;

/// y and x are row-major [outer, n, inner] of int64, float32 or float64; `reverse` starts at the end. scratch: 8 bytes
/// per chunk where n > kScanChunk and inner is 1.
FASTNN_KERNEL(scan_lines, int type, bool product, bool reverse, void* y, const void* x, int64_t outer, int64_t n,
              int64_t inner, void* scratch)
/// The gradient of cumprod in O(n) a line, right where x has zeros.
FASTNN_KERNEL(scan_prod_backward, int type, void* dx, const void* dy, const void* x, int64_t outer, int64_t n,
              int64_t inner)

}  // namespace fastnn
