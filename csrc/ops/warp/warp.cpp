#include "ops/warp/warp.h"

#include <cmath>

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

struct AffineWarp {
  static constexpr const char* name = "affine_warp";
  WarpGeometry g;
  void check(const Tensor& x, const Tensor& matrix, int64_t height, int64_t width, const std::string& mode,
             const std::string& border, double fill) {
    if (x.dtype() != DType::uint8 && !x.is_floating())
      throw TypeError(str(name, ": expected a uint8, float32 or float64 tensor, got ", x.dtype()));
    if (x.dim() != 4)
      throw ValueError(str(name, ": expected x of shape [N, H, W, C] (channels last), got ", x.shape()));
    const Dims& s = x.shape();
    if (matrix.dtype() != DType::float64)
      throw TypeError(str(name, ": expected a float64 matrix, got ", matrix.dtype()));
    if (matrix.dim() != 3 || matrix.shape()[0] != s[0] || matrix.shape()[1] != 2 || matrix.shape()[2] != 3)
      throw ValueError(str(name, ": expected a matrix of shape [", s[0], ", 2, 3], got ", matrix.shape()));
    if (height < 1 || width < 1)
      throw ValueError(str(name, ": size expects numbers from 1 on, got ", height, " and ", width));
    if (s[1] == 0 || s[2] == 0) throw ValueError(str(name, ": nothing to read in x of shape ", s));
    const int taps = mode == "nearest" ? 1 : mode == "bilinear" ? 2 : mode == "bicubic" ? 4 : 0;
    if (!taps) throw ValueError(str(name, ": mode expects 'nearest', 'bilinear' or 'bicubic', got '", mode, "'"));
    const char* const borders[] = {"constant", "edge", "reflect", "symmetric"};
    int outside = 0;
    while (outside < 4 && border != borders[outside]) ++outside;
    if (outside == 4)
      throw ValueError(str(name, ": border expects 'constant', 'edge', 'reflect' or 'symmetric', got '", border, "'"));
    if (x.dtype() == DType::uint8 && !(fill >= 0 && fill <= 255))
      throw ValueError(str(name, ": fill expects a number from 0 to 255 for uint8, got ", fill));
    numel_of(Dims{s[0], height, width, s[3]});
    g = {s[0], s[1], s[2], s[3], height, width, taps, static_cast<WarpBorder>(outside), fill};
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& matrix, int64_t, int64_t, const std::string&,
                 const std::string&, double) {
    const Tensor c = contiguous(x.detach()), m = private_copy(matrix);
    const Tensor y = empty({g.images, g.out_height, g.out_width, g.channels}, x.dtype());
    if (y.numel()) launch(kernels::warp_forward, static_cast<int>(x.dtype()), y.raw(), c.raw(), m.data<double>(), g);
    saved.keep(m);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dys, Grads& dx) {
    if (!dx.needs(0)) return;
    const Tensor dy = contiguous(dys[0]), d = empty({g.images, g.height, g.width, g.channels}, dy.dtype());
    if (d.numel())
      launch(kernels::warp_backward, static_cast<int>(d.dtype()), d.raw(), dy.raw(), saved[0].data<double>(), g);
    dx[0] = d;
  }
};

}  // namespace

Tensor affine_warp(const Tensor& x, const Tensor& matrix, int64_t height, int64_t width, const std::string& mode,
                   const std::string& border, double fill) {
  return apply<AffineWarp>(x, matrix, height, width, mode, border, fill);
}

}  // namespace fastnn
