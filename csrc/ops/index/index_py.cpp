#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "ops/view/view.h"
#include "python/bind.h"

namespace fastnn {
namespace {

// One integer tensor per axis of x from the first on, as x[indices] takes them; bool masks as their coordinates.
std::vector<Tensor> read_indices(const char* op, const Tensor& x, const std::vector<Tensor>& given, Dims& axes) {
  std::vector<Tensor> indices;
  for (const Tensor& t : given) {
    if (t.dtype() != DType::bool_) {
      indices.push_back(as_index(op, t));
      continue;
    }
    for (int i = 0; i < t.dim(); ++i)
      if (static_cast<int64_t>(indices.size()) + i >= x.dim() || t.shape()[i] != x.shape()[indices.size() + i])
        throw IndexError(str(op, ": a mask of shape ", t.shape(), " does not match x of shape ", x.shape()));
    for (const Tensor& column : nonzero_indices(t)) indices.push_back(column);
  }
  if (indices.empty() || static_cast<int64_t>(indices.size()) > x.dim())
    throw IndexError(str(op, ": expected 1 to ", x.dim(), " indices for shape ", x.shape(), ", got ", indices.size()));
  for (size_t i = 0; i < indices.size(); ++i) axes.push_back(i);
  return indices;
}

}  // namespace

void bind_index(Binder& b) {
  b.method("copy_", &copy_, "src"_a, "Takes the values of `src`, broadcast and converted; returns the tensor.");
  b.method(
      "fill_",
      [](const Tensor& x, const Scalar& value) {
        assign("fill_", x, number_as("fill_", value, x.dtype()));
        return x;
      },
      "value"_a, "Sets every element to the number; returns the tensor.");
  b.method(
      "zero_",
      [](const Tensor& x) {
        assign("zero_", x, number_as("zero_", Scalar(0), x.dtype()));
        return x;
      },
      "Sets every element to 0; returns the tensor.");
  b.function(
      "index",
      [](const Tensor& x, const std::vector<Tensor>& indices) {
        Dims axes;
        const std::vector<Tensor> list = read_indices("index", x, indices, axes);
        return index(x, list, axes);
      },
      "x"_a, "indices"_a,
      "x[indices] for a sequence of integer or bool tensors, one for each axis from the first on.\n\nThe index tensors "
      "are "
      "broadcast to one shape, which takes the place of their axes. The gradient adds up in the order of the indices, "
      "so it "
      "has the same bits on any number of threads.\n\nRaises\n------\nIndexError\n    An index is out of range.");
  b.both(
      "index_put",
      [](const Tensor& x, const std::vector<Tensor>& indices, const Tensor& values, bool accumulate) {
        Dims axes;
        const std::vector<Tensor> list = read_indices("index_put", x, indices, axes);
        return index_put("index_put", x, list, axes, values, accumulate);
      },
      "x"_a, "indices"_a, "values"_a, "accumulate"_a = false,
      "A copy of x with x[indices] = values, or += where accumulate is True, values broadcast.\n\nWhere an element is "
      "written "
      "twice the last value stays, and only it has a gradient. The name with _ writes in place.");
  b.method(
      "index_put_",
      [](const Tensor& x, const std::vector<Tensor>& indices, const Tensor& values, bool accumulate) {
        Dims axes;
        const std::vector<Tensor> list = read_indices("index_put_", x, indices, axes);
        index_put_("index_put_", x, list, axes, values, accumulate);
        return x;
      },
      "indices"_a, "values"_a, "accumulate"_a = false, "index_put in place.");
  b.python_method(
      "__contains__",
      [](const Tensor& x, const py::object& element) {
        Scalar number;
        Operand wanted;
        if (is_tensor(element.ptr()))
          wanted = Operand(unwrap(element.ptr()).detach());
        else if (scalar_from_object(element.ptr(), number))
          wanted = Operand(number);
        else
          throw TypeError(str("in: expected a number or a tensor, got ", Py_TYPE(element.ptr())->tp_name));
        const Tensor equal = compare(CompareOp::eq, Operand(x.detach()), wanted);
        return equal.numel() > 0 && nonzero_indices(reshape(equal, {-1}))[0].numel() > 0;
      },
      "element"_a, "Whether an element equals the number (broadcast for a tensor).");
}

}  // namespace fastnn
