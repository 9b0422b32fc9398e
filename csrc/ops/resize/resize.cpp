#include "ops/resize/resize.h"

#include <cmath>

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/pool/pool.h"
#include "ops/warp/warp.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

constexpr const char* kName = "interpolate";

struct Interpolate {
  static constexpr const char* name = kName;
  ResizeGeometry g;
  Dims from;
  void check(const Tensor& x, const ResizeGeometry& geometry, const Dims&) { g = geometry, from = x.shape(); }
  Tensor forward(Saved&, const Tensor& x, const ResizeGeometry&, const Dims& shape) {
    const Tensor c = contiguous(x.detach()), y = empty(shape, x.dtype());
    if (y.numel()) launch(kernels::resize_forward, static_cast<int>(x.dtype()), y.raw(), c.raw(), tables().raw(), g);
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dys, Grads& dx) {
    const Tensor dy = contiguous(dys[0]), d = empty(from, dy.dtype());
    if (d.numel()) launch(kernels::resize_backward, static_cast<int>(d.dtype()), d.raw(), dy.raw(), tables().raw(), g);
    dx[0] = d;
  }
  Tensor tables() const { return empty({resize_tables(g)}, DType::uint8); }
};

template <class List>
auto pick(const char* what, const List& v, int spatial, int i) {
  if (v.size() == 1) return v[0];
  if (static_cast<int>(v.size()) != spatial)
    throw ValueError(str(kName, ": ", what, " expects one number or ", spatial, ", got ", v.size()));
  return v[i];
}

Tensor bicubic(const Tensor& x, const ResizeGeometry& g) {
  const ResizeAxis &h = g.axis[1], &w = g.axis[2];
  const auto shift = [&](const ResizeAxis& a) { return g.align_corners ? 0 : a.scale / 2 - 0.5; };
  const DeviceGuard here(x.device());
  const Tensor maps = empty({g.batch, 2, 3}, DType::float64);
  if (g.batch) launch(kernels::resize_maps, maps.data<double>(), g.batch, w.scale, shift(w), h.scale, shift(h));
  return affine_warp(x, maps, h.out, w.out, "bicubic", "edge", 0);
}

}  // namespace

Tensor interpolate(const Tensor& x, const Dims& size, const std::vector<double>& scale_factor, const std::string& mode,
                   std::optional<bool> align_corners, bool recompute_scale_factor) {
  if (!x.is_floating()) throw TypeError(str(kName, ": expected a float32 or float64 tensor, got ", x.dtype()));
  const int spatial = static_cast<int>(x.dim()) - 2;
  if (spatial < 1 || spatial > 3)
    throw ValueError(str(
        kName, ": expected x of shape [N, L, C], [N, H, W, C] or [N, D, H, W, C] (channels last), got ", x.shape()));
  const char* const blend = spatial == 1 ? "linear" : spatial == 2 ? "bilinear" : "trilinear";
  const bool cubic = mode == "bicubic" && spatial == 2;
  if (mode != "nearest" && mode != "nearest-exact" && mode != "area" && mode != blend && !cubic)
    throw ValueError(str(kName, ": mode expects 'nearest', 'nearest-exact', 'area', ", spatial == 2 ? "'bicubic' " : "",
                         "or '", blend, "' for x of ", x.dim(), " dimensions, got '", mode, "'"));
  if (align_corners && mode != blend && !cubic)
    throw ValueError(str(kName, ": align_corners belongs to the mode '", blend, "', not to '", mode, "'"));
  if (size.empty() == scale_factor.empty())
    throw ValueError(str(kName, ": expected either size or scale_factor, got ", size.empty() ? "neither" : "both"));
  if (recompute_scale_factor && scale_factor.empty())
    throw ValueError(str(kName, ": recompute_scale_factor needs a scale_factor"));

  ResizeGeometry g;
  g.batch = x.shape()[0];
  g.channels = x.shape().back();
  g.mode = mode == blend ? ResizeMode::linear : mode == "nearest" ? ResizeMode::nearest : ResizeMode::nearest_exact;
  g.align_corners = align_corners.value_or(false);
  Dims shape = x.shape(), sizes;
  for (int i = 0; i < spatial; ++i) {
    ResizeAxis& a = g.axis[3 - spatial + i];
    a.in = x.shape()[1 + i];
    if (a.in == 0) throw ValueError(str(kName, ": nothing to resize in x of shape ", x.shape()));
    double factor = 0;
    if (!size.empty()) {
      a.out = pick("size", size, spatial, i);
    } else {
      factor = pick("scale_factor", scale_factor, spatial, i);
      if (!(factor > 0 && std::isfinite(factor)))
        throw ValueError(str(kName, ": scale_factor expects a positive number, got ", factor));
      const double cells = std::floor(static_cast<double>(a.in) * factor);
      if (cells > 9e18) throw OverflowError(str("size overflows int64: ", a.in, " * ", factor));
      a.out = static_cast<int64_t>(cells);
    }
    if (a.out < 1) throw ValueError(str(kName, ": the output would have the size ", a.out));
    if (g.align_corners)
      a.scale = a.out > 1 ? static_cast<double>(a.in - 1) / static_cast<double>(a.out - 1) : 0;
    else
      a.scale =
          factor > 0 && !recompute_scale_factor ? 1 / factor : static_cast<double>(a.in) / static_cast<double>(a.out);
    shape[1 + i] = a.out;
    sizes.push_back(a.out);
  }
  numel_of(shape);
  if (mode == "area") return adaptive_avg_pool(kName, x, spatial, sizes);
  if (cubic) return bicubic(x, g);
  return apply<Interpolate>(x, g, shape);
}

}  // namespace fastnn
