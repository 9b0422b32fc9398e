#include "ops/im2col/im2col.h"

#include "autograd/op.h"
#include "ops/conv/conv_shape.h"
#include "ops/elementwise/elementwise.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

WindowSizes sizes_of(const ConvShape& s, int64_t N, int64_t C) {
  WindowSizes w;
  w.N = N, w.C = C;
  for (int a = 0; a < 3; ++a) {
    w.in[a] = s.in[a], w.out[a] = s.out[a], w.taps[a] = s.taps[a];
    w.stride[a] = s.stride[a], w.dilation[a] = s.dilation[a], w.before[a] = s.before[a];
  }
  return w;
}

/// The shape of the side with all pixels, or of the side with windows: [N, sizes..., last].
Dims side(int64_t N, const int64_t* sizes, int axes, int64_t last) {
  Dims d = {N};
  for (int i = 3 - axes; i < 3; ++i) d.push_back(sizes[i]);
  d.push_back(last);
  return d;
}

Dims spatial(const Tensor& x) {
  Dims d;
  for (int64_t i = 1; i + 1 < x.dim(); ++i) d.push_back(x.shape()[i]);
  return d;
}

void check_x(const char* op, const Tensor& x) {
  if (!x.is_floating()) throw TypeError(str(op, ": expected a float32 or float64 tensor, got ", x.dtype()));
  if (x.dim() < 3 || x.dim() > 5)
    throw ValueError(str(op, ": expected x [N, 1 to 3 spatial axes, channels], got ", x.shape()));
}

/// One number for all axes, or one an axis.
Dims spread(const char* op, const char* what, const Dims& given, int64_t axes) {
  if (given.size() != 1 && given.size() != axes)
    throw ValueError(str(op, ": expected ", what, " as one number or ", axes, ", got ", given));
  Dims d;
  for (int64_t i = 0; i < axes; ++i) d.push_back(given[given.size() == 1 ? 0 : i]);
  return d;
}

int64_t taps_of(const ConvShape& s) { return checked_mul(checked_mul(s.taps[0], s.taps[1]), s.taps[2]); }

Tensor columns_of(const Tensor& x, const ConvShape& s, int64_t C) {
  const int64_t N = x.shape()[0];
  const Tensor y = empty(side(N, s.out, s.axes, checked_mul(taps_of(s), C)), x.dtype());
  if (y.numel() > 0)
    launch(kernels::im2col_copy, static_cast<int>(x.dtype()), y.raw(), contiguous(x.detach()).raw(), sizes_of(s, N, C));
  return y;
}

Tensor pixels_of(const Tensor& columns, const ConvShape& s, int64_t C) {
  const int64_t N = columns.shape()[0];
  const Tensor y = empty(side(N, s.in, s.axes, C), columns.dtype());
  if (y.numel() > 0)
    launch(kernels::col2im_sum, static_cast<int>(y.dtype()), y.raw(), contiguous(columns.detach()).raw(),
           sizes_of(s, N, C));
  return y;
}

struct Im2col {
  static constexpr const char* name = "im2col";
  ConvShape shape;
  int64_t C = 0;

  void check(const Tensor& x, const Dims& kernel, const ConvOptions& options) {
    check_x(name, x);
    shape = conv_shape(name, spatial(x), spread(name, "kernel_size", kernel, x.dim() - 2), options);
    C = x.shape().back();
  }
  Tensor forward(Saved&, const Tensor& x, const Dims&, const ConvOptions&) { return columns_of(x, shape, C); }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = pixels_of(dy[0], shape, C); }
};

struct Col2im {
  static constexpr const char* name = "col2im";
  ConvShape shape;
  int64_t C = 0;

  void check(const Tensor& x, const Dims& size, const Dims& kernel, const ConvOptions& options) {
    check_x(name, x);
    const int64_t axes = x.dim() - 2;
    const Dims sizes = spread(name, "output_size", size, axes);
    for (int64_t n : sizes)
      if (n < 0) throw ValueError(str("col2im: expected output_size >= 0, got ", size));
    shape = conv_shape(name, sizes, spread(name, "kernel_size", kernel, axes), options);
    const int64_t taps = taps_of(shape), last = x.shape().back();
    const Dims expected = side(x.shape()[0], shape.out, shape.axes, last);
    if (x.shape() != expected || last % taps != 0)
      throw ValueError(str("col2im: output_size ", sizes, " and kernel of ", taps, " elements expect x ", expected,
                           " with a multiple of ", taps, " columns, got ", x.shape()));
    C = last / taps;
  }
  Tensor forward(Saved&, const Tensor& x, const Dims&, const Dims&, const ConvOptions&) {
    return pixels_of(x, shape, C);
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = columns_of(dy[0], shape, C); }
};

}  // namespace

Tensor im2col(const Tensor& x, const Dims& kernel, const ConvOptions& options) {
  return apply<Im2col>(x, kernel, options);
}

Tensor col2im(const Tensor& x, const Dims& size, const Dims& kernel, const ConvOptions& options) {
  return apply<Col2im>(x, size, kernel, options);
}

}  // namespace fastnn
