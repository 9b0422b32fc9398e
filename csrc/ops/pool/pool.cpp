#include "ops/pool/pool.h"

#include "autograd/op.h"
#include "ops/create/create.h"
#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

struct MaxPool {
  const char* name = "max_pool";
  PoolGeometry windows;
  Dims from;
  // place: undefined, or the memory that takes the number of each maximum in its window.
  void check(const Tensor& x, const Tensor&, const char* op, const PoolGeometry& g, const Dims&) {
    name = op, windows = g, from = x.shape();
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& place, const char*, const PoolGeometry&,
                 const Dims& shape) {
    const Tensor c = contiguous(x.detach()), y = empty(shape, x.dtype());
    saved.keep(place);
    if (y.numel())
      launch(kernels::max_pool_forward, static_cast<int>(x.dtype()), y.raw(), place.defined() ? place.raw() : nullptr,
             c.raw(), windows);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dys, Grads& dx) {
    const Tensor dy = contiguous(dys[0]), g = empty(from, dy.dtype());
    if (g.numel())
      launch(kernels::max_pool_backward, static_cast<int>(g.dtype()), g.raw(), dy.raw(), saved[0].raw(), windows);
    dx[0] = g;
  }
};

struct AvgPool {
  const char* name = "avg_pool";
  PoolGeometry windows;
  Dims from;
  int64_t divisor = 0;
  bool include_pad = false;
  void check(const Tensor& x, const char* op, const PoolGeometry& g, const Dims&, int64_t d, bool include) {
    name = op, windows = g, from = x.shape(), divisor = d, include_pad = include;
  }
  Tensor forward(Saved&, const Tensor& x, const char*, const PoolGeometry&, const Dims& shape, int64_t, bool) {
    const Tensor c = contiguous(x.detach()), y = empty(shape, x.dtype());
    if (y.numel())
      launch(kernels::avg_pool_forward, static_cast<int>(x.dtype()), y.raw(), c.raw(), windows, divisor, include_pad);
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dys, Grads& dx) {
    const Tensor dy = contiguous(dys[0]), g = empty(from, dy.dtype());
    if (g.numel())
      launch(kernels::avg_pool_backward, static_cast<int>(g.dtype()), g.raw(), dy.raw(), windows, divisor, include_pad);
    dx[0] = g;
  }
};

struct MaxUnpool {
  const char* name = "max_unpool";
  PoolGeometry windows;  // axis.in: sizes of x, axis.out: sizes of the output
  Dims from;
  void check(const Tensor& x, const Tensor& index, const char* op, const PoolGeometry& g, const Dims&) {
    name = op, windows = g, from = x.shape();
    check_indices(name, index, -1, windows.out_plane(), false);
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& index, const char*, const PoolGeometry&,
                 const Dims& shape) {
    const Tensor c = contiguous(x.detach()), y = zeros(shape, x.dtype());
    saved.keep(index);
    if (c.numel())
      launch(kernels::unpool_scatter, x.itemsize(), y.raw(), c.raw(), index.data<int64_t>(), windows.batch,
             windows.out_plane(), windows.in_plane(), windows.channels);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dys, Grads& dx) {
    const Tensor dy = contiguous(dys[0]), &index = saved[0], g = empty(from, dy.dtype());
    check_indices_again(name, index, -1, windows.out_plane(), false);
    if (g.numel())
      launch(kernels::unpool_gather, g.itemsize(), g.raw(), dy.raw(), index.data<int64_t>(), windows.batch,
             windows.out_plane(), windows.in_plane(), windows.channels);
    dx[0] = g;
  }
};

MaxPooled run_max_pool(const char* op, const Tensor& x, const PoolGeometry& g, const Dims& shape, bool return_indices) {
  const DeviceGuard here(x.device());
  Tensor place;
  if (return_indices || (grad_enabled() && x.requires_grad()))
    place = empty(shape, byte_places(g) ? DType::uint8 : DType::int32);
  MaxPooled out;
  out.values = apply<MaxPool>(x, place, op, g, shape);
  if (!return_indices) return out;
  out.indices = empty(shape, DType::int64);
  if (out.indices.numel()) launch(kernels::max_pool_indices, out.indices.data<int64_t>(), place.raw(), g);
  return out;
}

}  // namespace

MaxPooled max_pool(const char* op, const Tensor& x, int spatial, const PoolArgs& args, bool return_indices) {
  Dims shape;
  const PoolGeometry g = pool_windows(op, x, spatial, args, shape);
  return run_max_pool(op, x, g, shape, return_indices);
}

MaxPooled adaptive_max_pool(const char* op, const Tensor& x, int spatial, const Dims& output_size,
                            bool return_indices) {
  Dims shape;
  const PoolGeometry g = adaptive_windows(op, x, spatial, output_size, shape);
  return run_max_pool(op, x, g, shape, return_indices);
}

Tensor avg_pool(const char* op, const Tensor& x, int spatial, const PoolArgs& args, bool count_include_pad,
                std::optional<int64_t> divisor_override) {
  if (divisor_override && *divisor_override == 0) throw ValueError(str(op, ": divisor_override must not be 0"));
  Dims shape;
  const PoolGeometry g = pool_windows(op, x, spatial, args, shape);
  return apply<AvgPool>(x, op, g, shape, divisor_override.value_or(0), count_include_pad);
}

Tensor adaptive_avg_pool(const char* op, const Tensor& x, int spatial, const Dims& output_size) {
  Dims shape;
  const PoolGeometry g = adaptive_windows(op, x, spatial, output_size, shape);
  return apply<AvgPool>(x, op, g, shape, int64_t{0}, false);
}

Tensor max_unpool(const char* op, const Tensor& x, const Tensor& indices, int spatial, const PoolArgs& args,
                  const Dims& output_size) {
  Dims shape;
  const PoolGeometry g = unpool_windows(op, x, spatial, args, output_size, shape);
  const Tensor index = as_index(op, indices);
  if (index.shape() != x.shape())
    throw ValueError(str(op, ": expected indices of shape ", x.shape(), ", as x, got ", index.shape()));
  return apply<MaxUnpool>(x, index, op, g, shape);
}

}  // namespace fastnn
