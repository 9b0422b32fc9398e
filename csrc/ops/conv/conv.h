#pragma once
// Convolutions (cross-correlations, as in every library) over one, two or three spatial axes, channels last.
//
//   conv            y[n][o][f] = act( bias[f] + sum_{t, c} x[n][o * stride + t * dilation - before][c] * w[t][c][f] )
//                   x [N, *in, groups * C]   w [*taps, C, groups * F]   y [N, *out, groups * F]
//                   out = floor((in + before + after - dilation (taps - 1) - 1) / stride) + 1
//   conv_transpose  the adjoint: y is the dx that conv would have for dy = x, plus bias
//                   x [N, *in, groups * C]   w [*taps, groups * C, F]   y [N, *out, groups * F]
//                   out = (in - 1) stride - before - after + dilation (taps - 1) + output_padding + 1
//
// Channels of x and y in one group meet only those of the same group. With g = dy * act'(y): dx is the transposed
// convolution of g (and the other way round), dw[t][c][f] = sum_{n, o} x[...][c] * g[n][o][f], db = the sums of g.

#include <string>

#include "core/tensor.h"
#include "ops/matmul/gemm.h"

namespace fastnn {

/// Zeros around x: by the word "valid" (none) or "same" (out = ceil(in / stride), the odd one at the end), or by
/// number, one for all axes or one an axis.
struct ConvPadding {
  std::string word;
  Dims before = {0}, after = {0};
};

struct ConvOptions {
  Dims stride = {1};  // one for all axes, or one an axis; likewise below
  ConvPadding padding;
  Dims dilation = {1};
  int64_t groups = 1;
  Activation act = Activation::none;
  Dims output_padding = {0};  // of conv_transpose
};

/// `op` is the name in errors; `axes` the number of spatial axes (1 to 3). bias [groups * F] may be undefined.
Tensor conv(const char* op, int axes, const Tensor& x, const Tensor& weight, const Tensor& bias,
            const ConvOptions& options);
Tensor conv_transpose(const char* op, int axes, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const ConvOptions& options);

}  // namespace fastnn
