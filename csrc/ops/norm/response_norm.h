#pragma once
// Local response normalisation of x [R, C] along its channels (AlexNet):
//
//   d_i = k + (alpha / size) sum_{j in w(i)} x_j^2     w(i) = [i - before, i + after], before = size / 2 (rounded
//   down), y_i = x_i d_i^-beta                                       after = size - 1 - before; channels outside count
//   as 0 dx_i = dy_i d_i^-beta - (2 alpha beta / size) x_i sum_{j: i in w(j)} dy_j x_j d_j^(-beta - 1)

#include <cstdint>

#include "kernels/kernel.h"

namespace fastnn {

struct ResponseNorm {
  int64_t rows, c, before, after;
  double scale, beta, k;  // scale: alpha / size
};

/// Neighbours for which the kernels' own buffers are large enough; else they need scratch of response_norm_scratch().
constexpr int64_t kResponseHalo = 256;
constexpr int64_t response_norm_scratch(const ResponseNorm& p) { return 3 * (p.c + 2 * (p.before + p.after)); }

// scratch: elements of the type of x, null where before + after <= kResponseHalo.
FASTNN_KERNEL(response_norm_forward, int type, void* y, const void* x, const ResponseNorm& p, void* scratch)
FASTNN_KERNEL(response_norm_backward, int type, void* dx, const void* dy, const void* x, const ResponseNorm& p,
              void* scratch)

}  // namespace fastnn
