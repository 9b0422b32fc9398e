#pragma once
// Normalisation of the rows of x [R, D]: layer normalisation, and RMS normalisation (mean taken as 0, no bias).
//
//   mean_r = sum_d x_rd / D      var_r = sum_d (x_rd - mean_r)^2 / D      r_r = 1 / sqrt(var_r + eps)
//   y_rd = xhat_rd weight_d + bias_d                                      xhat_rd = (x_rd - mean_r) r_r
//   dbias_d = sum_r dy_rd        dweight_d = sum_r dy_rd xhat_rd
//   dx_rd = r_r (g_rd - sum_d g_rd / D - xhat_rd sum_d g_rd xhat_rd / D)  g_rd = weight_d dy_rd
//   (RMS: without the middle term)
//
// A row is read from memory once and stays in cache for the squares and the result. Squares are taken about a first
// mean in the element type, whose rounding is then taken out in float64, so a large mean costs no digits. A row has the
// same bits alone and in a batch; dweight and dbias are summed by blocks of rows, which are added in order.

#include <cstdint>

#include "kernels/kernel.h"

namespace fastnn {

/// Rows whose parameter gradients are summed in one go: about 64 blocks, none of them tiny or huge.
constexpr int64_t row_norm_block(int64_t rows) {
  const int64_t b = (rows + 63) / 64;
  return b < 8 ? 8 : b > 128 ? 128 : (b + 3) / 4 * 4;
}
constexpr int64_t row_norm_blocks(int64_t rows) { return (rows + row_norm_block(rows) - 1) / row_norm_block(rows); }

// stats: [R][2] mean and r. weight and bias may be null (1 and 0). center false: RMS.
FASTNN_KERNEL(row_norm_forward, int type, bool center, void* y, double* stats, const void* x, const void* weight,
              const void* bias, int64_t rows, int64_t cols, double eps)
// Null dx, or null dweight and dbias: not wanted. part: [blocks][2][D] of the element type.
FASTNN_KERNEL(row_norm_backward, int type, bool center, void* dx, void* dweight, void* dbias, void* part,
              const void* dy, const void* x, const double* stats, const void* weight, int64_t rows, int64_t cols)

}  // namespace fastnn
