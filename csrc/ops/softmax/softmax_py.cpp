#include "ops/elementwise/elementwise.h"
#include "ops/softmax/softmax.h"
#include "python/bind.h"

namespace fastnn {
namespace {

template <Tensor (*F)(const Tensor&, int64_t)>
Tensor with_dtype(const Tensor& x, int64_t dim, const std::optional<DType>& dtype) {
  return F(dtype ? to(x, *dtype) : x, dim);
}

}  // namespace

void bind_softmax(Binder& b) {
  b.both("softmax", &with_dtype<softmax>, "x"_a, "dim"_a = -1, "dtype"_a = py::none(),
         R"(exp(x) / sum(exp(x)) along `dim`, computed from the largest element so that nothing overflows.

Parameters
----------
dim : int
    The last axis by default.
dtype : dtype, optional
    x is converted to it first.

Returns
-------
Tensor
    Positive numbers that add up to 1 along `dim`. NaN along a line of only -inf, or with +inf or NaN in it.)");
  b.both("log_softmax", &with_dtype<log_softmax>, "x"_a, "dim"_a = -1, "dtype"_a = py::none(),
         "Logarithm of `softmax`, exact where the softmax itself would round to 0; the same arguments.");
  b.function("softmin", &with_dtype<softmin>, "x"_a, "dim"_a = -1, "dtype"_a = py::none(),
             "softmax(-x) along `dim`; the same arguments.");
}

}  // namespace fastnn
