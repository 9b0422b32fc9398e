#include "ops/conv/conv_arguments.h"
#include "ops/im2col/im2col.h"
#include "python/bind.h"

namespace fastnn {

void bind_im2col(Binder& b) {
  b.function(
      "im2col",
      [](const Tensor& x, const Dims& kernel_size, const Dims& stride, const PaddingArgument& padding,
         const Dims& dilation) {
        ConvOptions o;
        o.stride = stride, o.padding = padding_of("im2col", padding), o.dilation = dilation;
        return im2col(x, kernel_size, o);
      },
      "x"_a, "kernel_size"_a, "stride"_a = 1, "padding"_a = 0, "dilation"_a = 1, R"doc(
The windows of a convolution as rows: ``conv2d(x, w) == im2col(x, (KH, KW)) @ w.reshape(KH * KW * Cin, Cout)``.

Parameters
----------
x : Tensor [N, *in, C]
    One to three spatial axes, float32 or float64.
kernel_size, stride, dilation : int or sequence of int
padding : int, sequence of int, sequence of (before, after) pairs, 'same' or 'valid', default 0

Returns
-------
Tensor [N, *out, prod(kernel_size) * C]
    Columns in the order kernel element, channel. (PyTorch's ``unfold`` has channel, kernel element and one axis for all
    windows.)

Raises
------
ValueError
    If the window is larger than the padded input, or sizes do not fit the number of axes.
TypeError
    If x is not of floats.
)doc");
  b.function(
      "col2im",
      [](const Tensor& x, const Dims& output_size, const Dims& kernel_size, const Dims& stride,
         const PaddingArgument& padding, const Dims& dilation) {
        ConvOptions o;
        o.stride = stride, o.padding = padding_of("col2im", padding), o.dilation = dilation;
        return col2im(x, output_size, kernel_size, o);
      },
      "x"_a, "output_size"_a, "kernel_size"_a, "stride"_a = 1, "padding"_a = 0, "dilation"_a = 1, R"doc(
The adjoint of ``im2col``: every window is added to the pixels that it shows.

Parameters
----------
x : Tensor [N, *out, prod(kernel_size) * C]
output_size : int or sequence of int
    The spatial sizes of the result.
kernel_size, stride, dilation : int or sequence of int
padding : int, sequence of int, sequence of (before, after) pairs, 'same' or 'valid', default 0

Returns
-------
Tensor [N, *output_size, C]
    Pixels that no window shows are 0.

Raises
------
ValueError
    If x has not the windows that ``output_size`` has, or its columns are no multiple of the kernel's elements.
TypeError
    If x is not of floats.
)doc");
}

}  // namespace fastnn
