#include <variant>

#include "ops/resize/resize.h"
#include "python/bind.h"

namespace fastnn {
namespace {

using Factors = std::variant<double, std::vector<double>>;

Tensor resized(const Tensor& x, const OptionalDims& size, const std::optional<Factors>& scale_factor,
               const std::string& mode, const std::optional<bool>& align_corners,
               const std::optional<bool>& recompute_scale_factor) {
  std::vector<double> factors;
  if (scale_factor) {
    const double* one = std::get_if<double>(&*scale_factor);
    factors = one ? std::vector<double>{*one} : std::get<1>(*scale_factor);
  }
  return interpolate(x, dims_or_all(size), factors, mode, align_corners, recompute_scale_factor.value_or(false));
}

}  // namespace

void bind_resize(Binder& b) {
  b.function("interpolate", &resized, "x"_a, "size"_a = py::none(), "scale_factor"_a = py::none(), "mode"_a = "nearest",
             "align_corners"_a = py::none(), "recompute_scale_factor"_a = py::none(),
             R"(x at another resolution. Channels last: [N, L, C], [N, H, W, C] or [N, D, H, W, C].

Parameters
----------
size : int or sequence of int, optional
    Of the output, one number or one an axis.
scale_factor : float or sequence of float, optional
    Instead of size: the output has floor(size * factor) cells.
mode : {'nearest', 'nearest-exact', 'linear', 'bilinear', 'trilinear', 'bicubic', 'area'}
    nearest: the cell at floor(o * scale); nearest-exact: the one around the output cell's centre; linear, bilinear,
    trilinear (1, 2, 3 axes): a blend of the cells around; bicubic (2 axes): of sixteen, with Keys' weights, a = -3/4;
    area: the mean of an adaptive window.
align_corners : bool, optional
    Of the blending modes: True puts the centres of the corner cells on each other, False (default) their outer edges.
recompute_scale_factor : bool, optional
    With scale_factor: read at positions that follow from the sizes, not from the factor.

Raises
------
ValueError
    Unless exactly one of size and scale_factor is given, for a mode of another rank, and for an empty output.
TypeError
    Unless x is float32 or float64.)");
}

}  // namespace fastnn
