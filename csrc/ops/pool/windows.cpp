// From the arguments of a pooling to its windows: the only gate. All arithmetic is checked.

#include <algorithm>

#include "ops/pool/pool.h"

namespace fastnn {
namespace {

int64_t checked_sub(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_sub_overflow(a, b, &r)) throw OverflowError(str("size overflows int64: ", a, " - ", b));
  return r;
}

// One number for all axes or one for each.
int64_t pick(const char* op, const char* what, const Dims& v, int spatial, int i) {
  if (v.size() == 1) return v[0];
  if (v.size() != spatial) throw ValueError(str(op, ": ", what, " expects one number or ", spatial, ", got ", v));
  return v[i];
}

// Position of the first pooled axis; checks dtype and rank.
int first_axis(const char* op, const Tensor& x, int spatial) {
  if (!x.is_floating()) throw TypeError(str(op, ": expected a float32 or float64 tensor, got ", x.dtype()));
  const int rank = static_cast<int>(x.dim());
  if (rank != spatial + 1 && rank != spatial + 2)
    throw ValueError(str(op, ": expected x of shape ",
                         spatial == 1   ? "[N, L, C]"
                         : spatial == 2 ? "[N, H, W, C]"
                                        : "[N, D, H, W, C]",
                         " (channels last, N may be absent), got ", x.shape()));
  const int first = rank - 1 - spatial;
  for (int i = 0; i < spatial; ++i)
    if (x.shape()[first + i] == 0) throw ValueError(str(op, ": nothing to pool in x of shape ", x.shape()));
  return first;
}

PoolGeometry start(const Tensor& x, int first) {
  PoolGeometry g;
  g.batch = first ? x.shape()[0] : 1;
  g.channels = x.shape().back();
  return g;
}

PoolAxis axis_of(const char* op, int64_t in, int spatial, int i, const PoolArgs& args) {
  PoolAxis a;
  a.in = in;
  a.kernel = pick(op, "kernel_size", args.kernel, spatial, i);
  a.stride = args.stride.empty() ? a.kernel : pick(op, "stride", args.stride, spatial, i);
  a.dilation = pick(op, "dilation", args.dilation, spatial, i);
  if (a.kernel < 1) throw ValueError(str(op, ": kernel_size expects at least 1, got ", a.kernel));
  if (a.stride < 1) throw ValueError(str(op, ": stride expects at least 1, got ", a.stride));
  if (a.dilation < 1) throw ValueError(str(op, ": dilation expects at least 1, got ", a.dilation));
  const int64_t extent = checked_add(checked_mul(a.kernel - 1, a.dilation), 1);
  if (args.same) {
    a.out = (in - 1) / a.stride + 1;
    const int64_t total = std::max<int64_t>(checked_sub(checked_add((a.out - 1) * a.stride, extent), in), 0);
    a.pad = total / 2;
    a.pad_end = total - a.pad;
    return a;
  }
  a.pad = a.pad_end = pick(op, "padding", args.padding, spatial, i);
  if (a.pad < 0 || a.pad > extent / 2)
    throw ValueError(str(op, ": padding expects 0 to half of the window (", extent, " cells wide), got ", a.pad));
  const int64_t room = checked_sub(checked_add(in, checked_mul(2, a.pad)), extent);
  if (room < 0)
    throw ValueError(
        str(op, ": a window of ", extent, " cells does not fit into x of size ", in, " with padding ", a.pad));
  a.out = room / a.stride + 1;
  // The last window must start inside x or the padding before it.
  if (args.ceil_mode && room % a.stride != 0 && checked_mul(a.out, a.stride) < in + a.pad) ++a.out;
  return a;
}

Dims output_shape(const Tensor& x, int first, int spatial, const PoolGeometry& g) {
  Dims shape = x.shape();
  for (int i = 0; i < spatial; ++i) shape[first + i] = g.axis[3 - spatial + i].out;
  numel_of(shape);
  return shape;
}

}  // namespace

PoolGeometry pool_windows(const char* op, const Tensor& x, int spatial, const PoolArgs& args, Dims& shape) {
  const int first = first_axis(op, x, spatial);
  PoolGeometry g = start(x, first);
  int64_t cells = 1;
  for (int i = 0; i < spatial; ++i) {
    PoolAxis& a = g.axis[3 - spatial + i];
    a = axis_of(op, x.shape()[first + i], spatial, i, args);
    cells = checked_mul(cells, a.kernel);
  }
  if (cells > INT32_MAX) throw ValueError(str(op, ": a window of ", cells, " cells is too large"));
  shape = output_shape(x, first, spatial, g);
  return g;
}

PoolGeometry adaptive_windows(const char* op, const Tensor& x, int spatial, const Dims& output_size, Dims& shape) {
  const int first = first_axis(op, x, spatial);
  PoolGeometry g = start(x, first);
  g.adaptive = true;
  int64_t cells = 1;
  bool even = true;
  for (int i = 0; i < spatial; ++i) {
    PoolAxis& a = g.axis[3 - spatial + i];
    a.in = x.shape()[first + i];
    const int64_t size = pick(op, "output_size", output_size, spatial, i);
    a.out = size == -1 ? a.in : size;
    if (a.out < 0) throw ValueError(str(op, ": output_size expects numbers from 0 on, got ", size));
    checked_mul(checked_add(a.out, 1), a.in);  // positions of windows are products of the two
    if (a.out) a.kernel = a.in % a.out ? std::min(a.in, a.in / a.out + 2) : a.in / a.out;
    cells = checked_mul(cells, a.kernel);
    even = even && a.out > 0 && a.in > 0 && a.in % a.out == 0;
  }
  if (cells > INT32_MAX) throw ValueError(str(op, ": a window of ", cells, " cells is too large"));
  shape = output_shape(x, first, spatial, g);
  if (even) {  // windows side by side, as a fixed window makes them
    g.adaptive = false;
    for (int i = 3 - spatial; i < 3; ++i) g.axis[i].stride = g.axis[i].kernel;
  }
  return g;
}

PoolGeometry unpool_windows(const char* op, const Tensor& x, int spatial, const PoolArgs& args, const Dims& output_size,
                            Dims& shape) {
  const int first = first_axis(op, x, spatial);
  PoolGeometry g = start(x, first);
  for (int i = 0; i < spatial; ++i) {
    PoolAxis& a = g.axis[3 - spatial + i];
    a.in = x.shape()[first + i];
    const int64_t kernel = pick(op, "kernel_size", args.kernel, spatial, i);
    const int64_t stride = args.stride.empty() ? kernel : pick(op, "stride", args.stride, spatial, i);
    const int64_t pad = pick(op, "padding", args.padding, spatial, i);
    if (kernel < 1) throw ValueError(str(op, ": kernel_size expects at least 1, got ", kernel));
    if (stride < 1) throw ValueError(str(op, ": stride expects at least 1, got ", stride));
    if (pad < 0 || pad > kernel / 2)
      throw ValueError(str(op, ": padding expects 0 to half of the window (", kernel, " cells wide), got ", pad));
    const int64_t natural = checked_add(checked_mul(a.in - 1, stride), kernel - 2 * pad);
    a.out = output_size.empty() ? natural : pick(op, "output_size", output_size, spatial, i);
    if (a.out < 1 || (!output_size.empty() && (a.out <= natural - stride || a.out - stride >= natural)))
      throw ValueError(str(op, ": output_size expects a number between ", natural - stride, " and ",
                           checked_add(natural, stride), ", got ", a.out));
  }
  shape = output_shape(x, first, spatial, g);
  return g;
}

}  // namespace fastnn
