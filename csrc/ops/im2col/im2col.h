#pragma once
// The windows of a convolution written out as rows of a matrix, and back: conv(x, w) = im2col(x) @ w as [taps * C, F].
// The convolutions themselves read windows in place; this is the mathematics and the reference.
//
//   im2col   y[n][o][t, c] = x[n][o * stride + t * dilation - before][c], zero outside     dx = col2im(dy)
//   col2im   y[n][i][c] = sum of x[n][o][t, c] over the o, t that im2col takes i to        dx = im2col(dy)
//
// x of im2col [N, *in, C] with one to three spatial axes, y [N, *out, taps * C]; out as for conv.

#include "core/tensor.h"
#include "kernels/kernel.h"
#include "ops/conv/conv.h"

namespace fastnn {

Tensor im2col(const Tensor& x, const Dims& kernel, const ConvOptions& options);
/// `size` are the spatial sizes of the result.
Tensor col2im(const Tensor& x, const Dims& size, const Dims& kernel, const ConvOptions& options);

/// Sizes of a pass, all axes (depth, height, width) there.
struct WindowSizes {
  int64_t N, C, in[3], out[3], taps[3], stride[3], dilation[3], before[3];
};

/// Dense x [N, in..., C], columns [N, out..., taps..., C]; `type` is the DType.
FASTNN_KERNEL(im2col_copy, int type, void* columns, const void* x, const WindowSizes& sizes)
FASTNN_KERNEL(col2im_sum, int type, void* x, const void* columns, const WindowSizes& sizes)

}  // namespace fastnn
