#include "ops/elementwise/elementwise.h"
#include "ops/scan/scan.h"
#include "python/bind.h"

namespace fastnn {
namespace {

template <Tensor (*F)(const Tensor&, int64_t)>
Tensor with_dtype(const Tensor& x, int64_t dim, const std::optional<DType>& dtype) {
  return F(dtype ? to(x, *dtype) : x, dim);
}

}  // namespace

void bind_scan(Binder& b) {
  b.both("cumsum", &with_dtype<cumsum>, "x"_a, "dim"_a, "dtype"_a = py::none(),
         R"(Running sum along `dim`: y[i] = x[0] + ... + x[i].

x is converted to `dtype` first where given; integers and bools give int64. float32 is summed in float64.)");
  b.both("cumprod", &with_dtype<cumprod>, "x"_a, "dim"_a, "dtype"_a = py::none(),
         "Running product along `dim`; dtypes as `cumsum`. The gradient is right where elements are zero.");
}

}  // namespace fastnn
