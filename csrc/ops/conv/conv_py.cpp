#include <optional>
#include <string>

#include "ops/conv/conv_arguments.h"
#include "python/bind.h"

namespace fastnn {
namespace {

Activation activation_of(const char* op, const std::optional<std::string>& name) {
  if (!name) return Activation::none;
  if (*name == "relu") return Activation::relu;
  throw ValueError(str(op, ": expected activation None or 'relu', got '", *name, "'"));
}

void bind_conv(Binder& b, const char* op, int axes, const std::string& doc) {
  b.function(
      op,
      [op, axes](const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const Dims& stride,
                 const PaddingArgument& padding, const Dims& dilation, int64_t groups,
                 const std::optional<std::string>& activation) {
        ConvOptions o;
        o.stride = stride, o.padding = padding_of(op, padding), o.dilation = dilation, o.groups = groups;
        o.act = activation_of(op, activation);
        return conv(op, axes, x, weight, bias ? *bias : Tensor(), o);
      },
      "x"_a, "weight"_a, "bias"_a = py::none(), "stride"_a = 1, "padding"_a = 0, "dilation"_a = 1, "groups"_a = 1,
      "activation"_a = py::none(), doc.c_str());
}

void bind_conv_transpose(Binder& b, const char* op, int axes, const std::string& doc) {
  b.function(
      op,
      [op, axes](const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const Dims& stride,
                 const PaddingArgument& padding, const Dims& output_padding, int64_t groups, const Dims& dilation,
                 const std::optional<std::string>& activation) {
        ConvOptions o;
        o.stride = stride, o.padding = padding_of(op, padding), o.dilation = dilation, o.groups = groups;
        o.act = activation_of(op, activation), o.output_padding = output_padding;
        return conv_transpose(op, axes, x, weight, bias ? *bias : Tensor(), o);
      },
      "x"_a, "weight"_a, "bias"_a = py::none(), "stride"_a = 1, "padding"_a = 0, "output_padding"_a = 0, "groups"_a = 1,
      "dilation"_a = 1, "activation"_a = py::none(), doc.c_str());
}

std::string conv_doc(const char* in, const char* taps, const char* out) {
  return str(R"doc(
Convolution (cross-correlation) with channels last, bias and activation in the same pass.

Parameters
----------
x : Tensor [N, )doc",
             in, R"doc(, Cin]
weight : Tensor [)doc",
             taps, R"doc(, Cin / groups, Cout]
    Input channels before output channels; PyTorch keeps [Cout, Cin / groups, )doc",
             taps, R"doc(].
bias : Tensor [Cout], optional
stride, dilation : int or sequence of int, default 1
    One for all spatial axes, or one an axis.
padding : int, sequence of int, sequence of (before, after) pairs, 'same' or 'valid', default 0
    Zeros around x. 'same' gives ceil(size / stride) positions, the odd zero at the end.
groups : int, default 1
    Input and output channels fall into this many groups that do not meet (Cin of them: depthwise).
activation : {None, 'relu'}, optional
    Applied while the result is still in registers.

Returns
-------
Tensor [N, )doc",
             out, R"doc(, Cout]
    Each size is floor((in + before + after - dilation * (kernel - 1) - 1) / stride) + 1. An element has the same bits
    alone and in a batch, and on any number of threads.

Raises
------
ValueError
    If shapes, channels or groups do not fit, or the window is larger than the padded input.
TypeError
    If the tensors are not all float32 or all float64.
)doc");
}

std::string conv_transpose_doc(const char* in, const char* taps, const char* out) {
  return str(R"doc(
Transposed convolution with channels last: the gradient of a convolution for its input, used forwards.

Parameters
----------
x : Tensor [N, )doc",
             in, R"doc(, Cin]
weight : Tensor [)doc",
             taps, R"doc(, Cin, Cout / groups]
    PyTorch keeps [Cin, Cout / groups, )doc",
             taps, R"doc(].
bias : Tensor [Cout], optional
stride, dilation : int or sequence of int, default 1
padding : int, sequence of int or of (before, after) pairs, default 0
    Positions cut off the result: the padding of the convolution that this is the gradient of.
output_padding : int or sequence of int, default 0
    Positions added at the end, below the stride (or the dilation), which the sizes of x alone do not tell.
groups : int, default 1
activation : {None, 'relu'}, optional

Returns
-------
Tensor [N, )doc",
             out, R"doc(, Cout]
    Each size is (in - 1) * stride - before - after + dilation * (kernel - 1) + output_padding + 1.

Raises
------
ValueError
    If shapes, channels or groups do not fit, or nothing is left of the result.
TypeError
    If the tensors are not all float32 or all float64.
)doc");
}

}  // namespace

void bind_conv(Binder& b) {
  bind_conv(b, "conv1d", 1, conv_doc("L", "K", "Lout"));
  bind_conv(b, "conv2d", 2, conv_doc("H, W", "KH, KW", "Hout, Wout"));
  bind_conv(b, "conv3d", 3, conv_doc("D, H, W", "KD, KH, KW", "Dout, Hout, Wout"));
  bind_conv_transpose(b, "conv_transpose1d", 1, conv_transpose_doc("L", "K", "Lout"));
  bind_conv_transpose(b, "conv_transpose2d", 2, conv_transpose_doc("H, W", "KH, KW", "Hout, Wout"));
  bind_conv_transpose(b, "conv_transpose3d", 3, conv_transpose_doc("D, H, W", "KD, KH, KW", "Dout, Hout, Wout"));
}

}  // namespace fastnn
