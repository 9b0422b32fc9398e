#include "ops/reduce/reduce.h"
#include "python/bind.h"

namespace fastnn {

void bind_reduce(Binder& b) {
  b.both(
      "sum", [](const Tensor& x, const OptionalDims& dim, bool keepdim) { return sum(x, dims_or_all(dim), keepdim); },
      "x"_a, "dim"_a = py::none(), "keepdim"_a = false, "Sum over the axes in `dim` (all when None).");
}

}  // namespace fastnn
