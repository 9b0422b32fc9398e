#include <cmath>

#include "autograd/op.h"
#include "ops/boxes/boxes.h"
#include "ops/elementwise/elementwise.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

template <class T>
void check_rows(const char* op, const void* regions, int64_t n, int64_t images) {
  for (int64_t k = 0; k < n; ++k) {
    const T* r = static_cast<const T*>(regions) + 5 * k;
    if (!(r[0] >= 0 && r[0] < static_cast<T>(images) && r[0] == std::floor(r[0])))
      throw IndexError(str(op, ": region ", k, " names image ", r[0], " of ", images));
    for (int i = 1; i < 5; ++i)
      if (!std::isfinite(r[i])) throw ValueError(str(op, ": region ", k, " has the coordinate ", r[i]));
  }
}

// Image numbers are addresses: checked before every use.
void check_regions(const char* op, const Tensor& regions, int64_t images) {
  check_on_cpu(regions, [&](const Tensor& here) {
    launch_host(here.dtype() == DType::float32 ? &check_rows<float> : &check_rows<double>, op,
                static_cast<const void*>(here.raw()), here.shape()[0], images);
  });
}

RoiGeometry geometry(const char* op, const Tensor& x, const Tensor& regions, int64_t height, int64_t width,
                     double scale) {
  if (!x.is_floating()) throw TypeError(str(op, ": expected a float32 or float64 tensor, got ", x.dtype()));
  if (x.dim() != 4) throw ValueError(str(op, ": expected x of shape [N, H, W, C] (channels last), got ", x.shape()));
  if (regions.dtype() != x.dtype())
    throw TypeError(str(op, ": expected boxes of dtype ", x.dtype(), ", as x, got ", regions.dtype()));
  if (regions.dim() != 2 || regions.shape()[1] != 5)
    throw ValueError(str(op, ": expected boxes of shape [K, 5] (image, x1, y1, x2, y2), got ", regions.shape()));
  if (height < 1 || width < 1)
    throw ValueError(str(op, ": output_size expects numbers from 1 on, got ", height, " and ", width));
  if (!(scale > 0 && std::isfinite(scale)))
    throw ValueError(str(op, ": spatial_scale expects a positive number, got ", scale));
  const Dims& s = x.shape();
  if (s[1] == 0 || s[2] == 0) throw ValueError(str(op, ": nothing to pool in x of shape ", s));
  return {s[0], s[1], s[2], s[3], regions.shape()[0], height, width, 0, scale, false};
}

Dims output_shape(const RoiGeometry& g) {
  const Dims shape{g.regions, g.out_height, g.out_width, g.channels};
  numel_of(shape);
  return shape;
}

struct RoiPool {
  static constexpr const char* name = "roi_pool";
  RoiGeometry g;
  void check(const Tensor& x, const Tensor& regions, int64_t h, int64_t w, double scale) {
    g = geometry(name, x, regions, h, w, scale);
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& regions, int64_t, int64_t, double) {
    const Tensor c = contiguous(x.detach()), r = private_copy(regions), y = empty(output_shape(g), x.dtype());
    const Tensor place = empty(y.shape(), DType::int64);
    check_regions(name, r, g.images);
    if (y.numel())
      launch(kernels::roi_pool_forward, static_cast<int>(x.dtype()), y.raw(), place.data<int64_t>(), c.raw(), r.raw(),
             g);
    saved.keep(r);
    saved.keep(place);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dys, Grads& dx) {
    if (!dx.needs(0)) return;
    const Tensor dy = contiguous(dys[0]), &r = saved[0];
    const Tensor d = empty({g.images, g.height, g.width, g.channels}, dy.dtype());
    if (d.numel())
      launch(kernels::roi_pool_backward, static_cast<int>(d.dtype()), d.raw(), dy.raw(), saved[1].data<int64_t>(),
             r.raw(), g);
    dx[0] = d;
  }
};

struct RoiAlign {
  static constexpr const char* name = "roi_align";
  RoiGeometry g;
  void check(const Tensor& x, const Tensor& regions, int64_t h, int64_t w, double scale, int64_t ratio, bool aligned) {
    g = geometry(name, x, regions, h, w, scale);
    if (ratio > kMostSamples)
      throw ValueError(str(name, ": sampling_ratio expects at most ", kMostSamples, ", got ", ratio));
    g.sampling_ratio = ratio, g.aligned = aligned;
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& regions, int64_t, int64_t, double, int64_t, bool) {
    const Tensor c = contiguous(x.detach()), r = private_copy(regions), y = empty(output_shape(g), x.dtype());
    check_regions(name, r, g.images);
    if (y.numel()) launch(kernels::roi_align_forward, static_cast<int>(x.dtype()), y.raw(), c.raw(), r.raw(), g);
    saved.keep(r);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dys, Grads& dx) {
    if (!dx.needs(0)) return;
    const Tensor dy = contiguous(dys[0]), &r = saved[0];
    const Tensor d = empty({g.images, g.height, g.width, g.channels}, dy.dtype());
    if (d.numel()) launch(kernels::roi_align_backward, static_cast<int>(d.dtype()), d.raw(), dy.raw(), r.raw(), g);
    dx[0] = d;
  }
};

}  // namespace

Tensor roi_pool(const Tensor& x, const Tensor& regions, int64_t height, int64_t width, double spatial_scale) {
  return apply<RoiPool>(x, regions, height, width, spatial_scale);
}

Tensor roi_align(const Tensor& x, const Tensor& regions, int64_t height, int64_t width, double spatial_scale,
                 int64_t sampling_ratio, bool aligned) {
  return apply<RoiAlign>(x, regions, height, width, spatial_scale, sampling_ratio, aligned);
}

}  // namespace fastnn
