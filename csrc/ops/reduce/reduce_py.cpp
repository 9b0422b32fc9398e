#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce.h"
#include "python/bind.h"

namespace fastnn {
namespace {

// A reduction with a result dtype: x is converted first, as in PyTorch.
template <Tensor (*F)(const Tensor&, const Dims&, bool)>
Tensor with_dtype(const Tensor& x, const OptionalDims& dim, bool keepdim, const std::optional<DType>& dtype) {
  return F(dtype ? to(x, *dtype) : x, dims_or_all(dim), keepdim);
}
template <Tensor (*F)(const Tensor&, const Dims&, bool)>
Tensor plain(const Tensor& x, const OptionalDims& dim, bool keepdim) {
  return F(x, dims_or_all(dim), keepdim);
}
template <Tensor (*F)(const Tensor&, const Dims&, double, bool)>
Tensor moment(const Tensor& x, const OptionalDims& dim, double correction, bool keepdim, std::optional<bool> unbiased) {
  return F(x, dims_or_all(dim), unbiased ? (*unbiased ? 1.0 : 0.0) : correction, keepdim);
}

// The type of max(x, dim): a tuple with names.
py::object pair_type(const char* name) {
  return py::module_::import("collections")
      .attr("namedtuple")(name, py::make_tuple("values", "indices"), "module"_a = "fastnn");
}

template <Tensor (*All)(const Tensor&, const Dims&, bool),
          std::pair<Tensor, Tensor> (*Along)(const Tensor&, int64_t, bool)>
void bind_extreme(Binder& b, const char* name, const char* doc) {
  const auto whole = [](const Tensor& x) { return All(x, Dims(), false); };
  const py::object type = pair_type(name);
  const auto along = [type](const Tensor& x, int64_t dim, bool keepdim) {
    std::pair<Tensor, Tensor> r;
    {
      ReleaseGil release;
      r = Along(x, dim, keepdim);
    }
    return type(r.first, r.second);
  };
  b.function(name, whole, "x"_a, doc);
  b.python_function(name, along, "x"_a, "dim"_a, "keepdim"_a = false);
  b.method(name, whole, doc);
  b.python_method(name, along, "dim"_a, "keepdim"_a = false);
}

}  // namespace

void bind_reduce(Binder& b) {
  b.both("sum", &with_dtype<sum>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false, "dtype"_a = py::none(),
         R"(Sum over the axes in `dim` (all when None).

Parameters
----------
dim : int, tuple of int or None
keepdim : bool
    Keep the reduced axes with size 1.
dtype : dtype, optional
    x is converted to it first. Without it integers and bools sum to int64.

Returns
-------
Tensor
    An empty sum is 0. float32 is added in blocks whose sums are added in float64; the tree depends on the number of
    elements only, never on threads or instruction set.)");
  b.both("mean", &with_dtype<mean>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false, "dtype"_a = py::none(),
         R"(Mean over the axes in `dim` (all when None); NaN for no elements. x must be float32 or float64, or `dtype`
given.)");
  b.both("nansum", &with_dtype<nansum>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false, "dtype"_a = py::none(),
         "Sum over the axes in `dim` of the elements that are not NaN.");
  b.both(
      "prod", &with_dtype<prod>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false, "dtype"_a = py::none(),
      R"(Product over the axes in `dim` (all when None); 1 for no elements. Integers and bools give int64. The gradient is
right where elements are zero.)");
  b.both("var", &moment<var>, "x"_a, "dim"_a = py::none(), py::kw_only(), "correction"_a = 1.0, "keepdim"_a = false,
         "unbiased"_a = py::none(),
         R"(Variance over the axes in `dim`: sum of (x - mean)^2 divided by n - correction.

Parameters
----------
dim : int, tuple of int or None
correction : float
    1 (default) for the unbiased estimate, 0 for the mean square.
keepdim : bool
unbiased : bool, optional
    Older name: True is correction=1, False correction=0.)");
  b.both("std", &moment<stddev>, "x"_a, "dim"_a = py::none(), py::kw_only(), "correction"_a = 1.0, "keepdim"_a = false,
         "unbiased"_a = py::none(), "Square root of `var`, with the same arguments.");
  b.function(
      "var_mean",
      [](const Tensor& x, const OptionalDims& dim, double correction, bool keepdim) {
        return var_mean(x, dims_or_all(dim), correction, keepdim);
      },
      "x"_a, "dim"_a = py::none(), py::kw_only(), "correction"_a = 1.0, "keepdim"_a = false,
      "(variance, mean) over the axes in `dim`, in one pass over x.");
  b.both("logsumexp", &plain<logsumexp>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false,
         "log(sum(exp(x))) over the axes in `dim`, without overflow; -inf for no elements.");
  b.function(
      "norm",
      [](const Tensor& x, double p, const OptionalDims& dim, bool keepdim) {
        return norm(x, p, dims_or_all(dim), keepdim);
      },
      "x"_a, "p"_a = 2.0, "dim"_a = py::none(), "keepdim"_a = false,
      R"(Vector norm (sum |x|^p)^(1/p) over the axes in `dim` (all when None).

Parameters
----------
p : float
    2 (default), 1, inf (largest magnitude), -inf (smallest), 0 (number of elements that are not 0), or any number.)");
  b.method(
      "norm",
      [](const Tensor& x, double p, const OptionalDims& dim, bool keepdim) {
        return norm(x, p, dims_or_all(dim), keepdim);
      },
      "p"_a = 2.0, "dim"_a = py::none(), "keepdim"_a = false, "As fastnn.norm.");

  b.both(
      "amax", &plain<amax>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false,
      R"(Largest element over the axes in `dim` (all when None); NaN where any is NaN. The gradient is shared evenly among
equal largest elements. ValueError for no elements.)");
  b.both("amin", &plain<amin>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false,
         "Smallest element over the axes in `dim`; otherwise as `amax`.");
  bind_extreme<amax, max>(b, "max", R"(Largest element.

max(x) is one number (gradient shared evenly among equals). max(x, dim, keepdim=False) is a named tuple (values,
indices) along one axis; the index is the first among equals, and the gradient goes there. NaN counts as largest.)");
  bind_extreme<amin, min>(b, "min", "Smallest element: min(x), or min(x, dim) as (values, indices); see `max`.");
  b.both(
      "argmax", &argmax, "x"_a, "dim"_a = py::none(), "keepdim"_a = false,
      R"(Index (int64) of the largest element along `dim`, of the flattened x when None; the first among equals, the first
NaN where there is one. ValueError for no elements.)");
  b.both("argmin", &argmin, "x"_a, "dim"_a = py::none(), "keepdim"_a = false,
         "Index (int64) of the smallest element; otherwise as `argmax`.");
  b.both("any", &plain<any>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false,
         "bool: is any element over the axes in `dim` not 0? False for no elements.");
  b.both("all", &plain<all>, "x"_a, "dim"_a = py::none(), "keepdim"_a = false,
         "bool: is every element over the axes in `dim` not 0? True for no elements.");
  b.both(
      "count_nonzero", [](const Tensor& x, const OptionalDims& dim) { return count_nonzero(x, dims_or_all(dim)); },
      "x"_a, "dim"_a = py::none(), "int64: number of elements over the axes in `dim` that are not 0.");
}

}  // namespace fastnn
