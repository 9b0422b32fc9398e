#pragma once
// The three passes of a convolution on tensors, for conv and conv_transpose alike: what is the forward pass of one is
// the gradient of the other.

#include "ops/conv/conv_shape.h"

namespace fastnn {

/// Channels in each group, and where element (tap, c, f) of a group's weights is: c belongs to the `in` side of the
/// convolution, f to its `out` side.
struct ConvWeights {
  int64_t groups = 1, C = 0, F = 0;
  int64_t w_c = 0, w_f = 0, w_group = 0;
  int64_t tap = 0;  // elements from one tap to the next
};

/// y = act(conv(x, w) + bias): x dense [N, in..., groups * C], y dense [N, out..., groups * F].
void launch_conv(const ConvShape& s, const ConvWeights& weights, const Tensor& y, const Tensor& x, const Tensor& w,
                 const Tensor& bias, Activation act);
/// x = act(its gradient for y, + bias): the adjoint.
void launch_conv_adjoint(const ConvShape& s, const ConvWeights& weights, const Tensor& x, const Tensor& y,
                         const Tensor& w, const Tensor& bias, Activation act);
/// dw (dense, laid out as `weights` says), and the sums of dy over all pixels where db is defined.
void launch_conv_weight_gradient(const ConvShape& s, const ConvWeights& weights, const Tensor& dw, const Tensor& db,
                                 const Tensor& x, const Tensor& dy);

}  // namespace fastnn
