#include "ops/conv/conv.h"

#include "autograd/op.h"
#include "ops/conv/conv_launch.h"
#include "ops/elementwise/elementwise.h"
#include "ops/matmul/matmul.h"
#include "ops/reduce/reduce.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

/// The spatial sizes of x [N, *in, C], or of weight [*taps, ., .].
Dims spatial(const Tensor& t, int from, int axes) {
  Dims d;
  for (int i = 0; i < axes; ++i) d.push_back(t.shape()[from + i]);
  return d;
}

/// Types and ranks, before anything is read from the shapes.
void check_tensors(const char* op, int axes, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   int64_t groups) {
  if (!x.is_floating() || x.dtype() != weight.dtype() || (bias.defined() && bias.dtype() != x.dtype()))
    throw TypeError(str(op, ": expected x, weight and bias of one type, float32 or float64, got ", x.dtype(), ", ",
                        weight.dtype(), bias.defined() ? str(" and ", bias.dtype()) : ""));
  if (x.dim() != axes + 2)
    throw ValueError(str(op, ": expected x [N, ", axes, " spatial axes, channels], got ", x.shape()));
  if (weight.dim() != axes + 2)
    throw ValueError(str(op, ": expected weight [", axes, " kernel axes, in, out], got ", weight.shape()));
  if (groups < 1) throw ValueError(str(op, ": expected groups >= 1, got ", groups));
}

void check_channels(const char* op, int axes, const Tensor& x, const Tensor& weight, int64_t expected, int64_t groups) {
  const int64_t channels = x.shape()[axes + 1];
  if (channels == expected) return;
  // Images as other libraries keep them are the usual reason.
  const bool first = x.shape()[1] == expected;
  throw ValueError(str(op, ": weight ", weight.shape(), groups > 1 ? str(" with groups=", groups) : std::string(),
                       " expects Cin=", expected, ", got Cin=", channels, " (x is ", x.shape(), ")",
                       first ? "; channels come last here: x.movedim(1, -1)" : ""));
}

void check_bias(const char* op, const Tensor& weight, const Tensor& bias, int64_t channels) {
  if (bias.defined() && bias.shape() != Dims{channels})
    throw ValueError(str(op, ": weight ", weight.shape(), " expects bias [", channels, "], got ", bias.shape()));
}

Dims result_shape(const Tensor& x, const int64_t* sizes, int axes, int64_t channels) {
  Dims d = {x.shape()[0]};
  for (int i = 3 - axes; i < 3; ++i) d.push_back(sizes[i]);
  d.push_back(channels);
  return d;
}

Tensor dense(const Tensor& x) { return contiguous(x.defined() ? x.detach() : x); }

/// dy * act'(y), dense.
Tensor pre_activation(const Tensor& dy, const Tensor& y, Activation act) {
  if (act == Activation::none) return contiguous(dy);
  const Tensor d = contiguous(dy);
  const Tensor g = empty(y.shape(), y.dtype());
  if (y.dtype() == DType::float32)
    launch(kernels::relu_gradient_f32, g.data<float>(), d.data<float>(), y.data<float>(), y.numel());
  else
    launch(kernels::relu_gradient_f64, g.data<double>(), d.data<double>(), y.data<double>(), y.numel());
  return g;
}

/// Sums over all axes but the channels.
Tensor channel_sums(const Tensor& g) {
  Dims axes;
  for (int64_t a = 0; a + 1 < g.dim(); ++a) axes.push_back(a);
  return sum(g, axes, false);
}

/// What both directions share. Transposed is the convolution from y to x, backwards: its `in` side is y.
template <bool Transposed>
struct Convolution {
  const char* name = Transposed ? "conv_transpose" : "conv";
  Activation act = Activation::none;
  ConvShape shape;
  ConvWeights layout;

  static constexpr auto* along = Transposed ? &launch_conv_adjoint : &launch_conv;
  static constexpr auto* back = Transposed ? &launch_conv : &launch_conv_adjoint;

  Tensor forward(Saved& saved, const Tensor& x, const Tensor& weight, const Tensor& bias, const char*, int axes,
                 const ConvOptions&) {
    const int64_t channels = layout.groups * (Transposed ? layout.C : layout.F);
    const Tensor y = empty(result_shape(x, Transposed ? shape.in : shape.out, axes, channels), x.dtype());
    along(shape, layout, y, dense(x), dense(weight), bias.defined() ? dense(bias) : bias, act);
    saved.keep(x);
    saved.keep(weight);
    saved.keep(act == Activation::relu ? y : Tensor());
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &x = saved[0], &weight = saved[1];
    const Tensor g = pre_activation(dy[0], saved[2], act);
    if (dx.needs(0)) {
      dx[0] = empty(x.shape(), x.dtype());
      back(shape, layout, dx[0], g, contiguous(weight), Tensor(), Activation::none);
    }
    const bool joint = !Transposed && dx.needs(1) && dx.needs(2);  // the sums of g come with the gradient of weight
    if (dx.needs(2)) dx[2] = joint ? empty({layout.groups * layout.F}, x.dtype()) : channel_sums(g);
    if (dx.needs(1)) {
      dx[1] = empty(weight.shape(), weight.dtype());
      const Tensor in = contiguous(x);
      launch_conv_weight_gradient(shape, layout, dx[1], joint ? dx[2] : Tensor(), Transposed ? g : in,
                                  Transposed ? in : g);
    }
  }
};

struct Conv : Convolution<false> {
  void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const char* op, int axes,
             const ConvOptions& options) {
    name = op;
    act = options.act;
    check_tensors(op, axes, x, weight, bias, options.groups);
    const int64_t C = weight.shape()[axes], F = weight.shape()[axes + 1], groups = options.groups;
    if (F % groups != 0)
      throw ValueError(str(op, ": expected a multiple of groups=", groups, " output channels, got ", F, " (weight ",
                           weight.shape(), ")"));
    check_channels(op, axes, x, weight, checked_mul(C, groups), groups);
    check_bias(op, weight, bias, F);
    shape = conv_shape(op, spatial(x, 1, axes), spatial(weight, 0, axes), options);
    layout.groups = groups, layout.C = C, layout.F = F / groups;
    layout.w_c = F, layout.w_f = 1, layout.w_group = layout.F, layout.tap = C * F;
  }
};

struct ConvTranspose : Convolution<true> {
  void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const char* op, int axes,
             const ConvOptions& options) {
    name = op;
    act = options.act;
    check_tensors(op, axes, x, weight, bias, options.groups);
    const int64_t channels = weight.shape()[axes], C = weight.shape()[axes + 1], groups = options.groups;
    check_channels(op, axes, x, weight, channels, groups);
    if (channels % groups != 0)
      throw ValueError(str(op, ": expected a multiple of groups=", groups, " input channels, got ", channels,
                           " (weight ", weight.shape(), ")"));
    check_bias(op, weight, bias, checked_mul(C, groups));
    shape = conv_transpose_shape(op, spatial(x, 1, axes), spatial(weight, 0, axes), options);
    layout.groups = groups, layout.C = C, layout.F = channels / groups;
    layout.w_c = 1, layout.w_f = C, layout.w_group = layout.F * C, layout.tap = channels * C;
  }
};

}  // namespace

Tensor conv(const char* op, int axes, const Tensor& x, const Tensor& weight, const Tensor& bias,
            const ConvOptions& options) {
  return apply<Conv>(x, weight, bias, op, axes, options);
}

Tensor conv_transpose(const char* op, int axes, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const ConvOptions& options) {
  return apply<ConvTranspose>(x, weight, bias, op, axes, options);
}

}  // namespace fastnn
