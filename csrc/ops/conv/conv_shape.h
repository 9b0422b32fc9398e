#pragma once
// The attributes of a convolution, checked, with every axis that is not there as one element: a line is a volume of
// depth 1 and height 1.

#include "ops/conv/conv.h"

namespace fastnn {

/// A convolution from `in` to `out` positions (of a transposed one: the convolution whose adjoint it is).
struct ConvShape {
  int axes = 0;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, taps[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1};
  int64_t before[3] = {0, 0, 0}, after[3] = {0, 0, 0};

  int64_t out_pixels() const { return out[0] * out[1] * out[2]; }
  int64_t in_pixels() const { return in[0] * in[1] * in[2]; }
  int64_t tap_count() const { return taps[0] * taps[1] * taps[2]; }
  /// Every window is one pixel of its own, or the whole image: a matrix product.
  bool product() const;
};

/// The shape of conv on `in` (the spatial sizes of x) with kernel `taps`. ValueError naming `op`, OverflowError.
ConvShape conv_shape(const char* op, const Dims& in, const Dims& taps, const ConvOptions& options);
/// The shape of the convolution whose adjoint takes `from` (the spatial sizes of x) to the result.
ConvShape conv_transpose_shape(const char* op, const Dims& from, const Dims& taps, const ConvOptions& options);

}  // namespace fastnn
