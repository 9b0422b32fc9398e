#include "ops/view/view.h"
#include "python/bind.h"

namespace fastnn {

void bind_view(Binder& b) {
  b.function("reshape", &reshape, "x"_a, "shape"_a,
             "The elements of x in row-major order as `shape` (one size may be -1); a view where possible.");
  b.python_method("reshape",
                  [](const Tensor& x, const py::args& shape) { return reshape(x, dims_from_args("reshape", shape)); });
  b.python_method(
      "view", [](const Tensor& x, const py::args& shape) { return view(x, dims_from_args("view", shape)); },
      "As reshape, but an error where a copy would be needed.");
  b.function("permute", &permute, "x"_a, "dims"_a, "The axes of x in another order (a view).");
  b.python_method("permute",
                  [](const Tensor& x, const py::args& dims) { return permute(x, dims_from_args("permute", dims)); });
  b.both("transpose", &transpose, "x"_a, "dim0"_a, "dim1"_a, "Two axes swapped (a view).");
  b.python_method(
      "expand", [](const Tensor& x, const py::args& shape) { return expand(x, dims_from_args("expand", shape)); },
      "Broadcast to a shape without copying; -1 keeps a size.");
  b.function("broadcast_to", &expand, "x"_a, "shape"_a, "x broadcast to `shape` without copying.");
  b.both(
      "squeeze", [](const Tensor& x, const OptionalDims& dim) { return squeeze(x, dims_or_all(dim)); }, "x"_a,
      "dim"_a = py::none(), "Without the size-1 axes in `dim` (all of them when None).");
  b.both("unsqueeze", &unsqueeze, "x"_a, "dim"_a, "With a new size-1 axis at `dim`.");
  b.both("select", &select, "x"_a, "dim"_a, "index"_a, "One slice along `dim` (a view).");
  b.both("diagonal", &diagonal, "x"_a, "offset"_a = 0, "dim1"_a = 0, "dim2"_a = 1,
         "The diagonal of two axes, as the last axis (a view).");
}

}  // namespace fastnn
