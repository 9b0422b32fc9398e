#include "ops/elementwise/elementwise.h"
#include "ops/gather/gather.h"
#include "ops/index/index.h"
#include "python/bind.h"

namespace fastnn {
namespace {

Tensor masked_fill_in_place(const Tensor& x, const Tensor& mask, const Tensor& value) {
  const Tensor y = masked_fill(x, mask, value);
  if (y.shape() != x.shape())
    throw ValueError(str("masked_fill_: the mask of shape ", mask.shape(), " does not broadcast to ", x.shape()));
  begin_inplace("masked_fill_", x);
  copy_into(x, y);
  end_inplace(x, y);
  return x;
}

}  // namespace

void bind_gather(Binder& b) {
  b.both(
      "gather", &gather, "x"_a, "dim"_a, "index"_a,
      "y[i][j][k] = x[index[i][j][k]][j][k] for dim 0, and so on.\n\nParameters\n----------\nx : Tensor\ndim : int\n   "
      " "
      "Axis along which elements are picked.\nindex : Tensor of int64 or int32\n    As many axes as x, no larger than "
      "x "
      "except along dim; the result has its shape. Negative indices count from the end.\n\nRaises\n------\nIndexError\n"
      "    An index is out of range.");
  for (const bool inplace : {false, true}) {
    const char *scatter_name = inplace ? "scatter_" : "scatter", *add_name = inplace ? "scatter_add_" : "scatter_add",
               *index_add_name = inplace ? "index_add_" : "index_add";
    auto put = [inplace](const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
      return scatter(x, dim, index, src, false, inplace);
    };
    auto put_number = [inplace](const Tensor& x, int64_t dim, const Tensor& index, Scalar value) {
      return scatter(x, dim, index, number_as("scatter", value, x.dtype()), false, inplace);
    };
    auto put_sum = [inplace](const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src) {
      return scatter(x, dim, index, src, true, inplace);
    };
    auto add_slices = [inplace](const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha) {
      return index_add(x, dim, index, source, alpha, inplace);
    };
    const char* doc =
        "x with src (a tensor or a number) written at index along dim: y[index[i][j]][j] = src[i][j] for dim "
        "0.\n\nWhere an "
        "element is written twice the last one stays, and only it has a gradient. The name with _ writes in place.";
    const char* add_doc =
        "x with src added at index along dim: y[index[i][j]][j] += src[i][j] for dim 0, in the order of i, so that the "
        "sum is "
        "the same on any number of threads. The name with _ adds in place.";
    const char* index_add_doc =
        "x with alpha * source[j] added to slice index[j] along dim, in the order of j. The name with _ adds in place.";
    if (inplace) {
      b.method(scatter_name, put, "dim"_a, "index"_a, "src"_a, doc);
      b.method(scatter_name, put_number, "dim"_a, "index"_a, "value"_a, doc);
      b.method(add_name, put_sum, "dim"_a, "index"_a, "src"_a, add_doc);
      b.method(index_add_name, add_slices, "dim"_a, "index"_a, "source"_a, "alpha"_a = Scalar(1), index_add_doc);
    } else {
      b.both(scatter_name, put, "x"_a, "dim"_a, "index"_a, "src"_a, doc);
      b.both(scatter_name, put_number, "x"_a, "dim"_a, "index"_a, "value"_a, doc);
      b.both(add_name, put_sum, "x"_a, "dim"_a, "index"_a, "src"_a, add_doc);
      b.both(index_add_name, add_slices, "x"_a, "dim"_a, "index"_a, "source"_a, "alpha"_a = Scalar(1), index_add_doc);
    }
  }
  b.both("take_along_dim", &take_along_dim, "x"_a, "indices"_a, "dim"_a = py::none(),
         "Elements of x named by indices along dim, the other axes broadcast; both flattened when dim is None.");
  b.both("index_select", &index_select, "x"_a, "dim"_a, "index"_a,
         "The slices of x along dim that a 1-d integer tensor names, in its order.");
  b.both("take", &take, "x"_a, "index"_a, "Elements of the flattened x, in the shape of index.");
  b.both("masked_select", &masked_select, "x"_a, "mask"_a,
         "The elements of x where a bool mask is True, as a 1-d tensor; x and mask broadcast.");
  b.both(
      "masked_fill", [](const Tensor& x, const Tensor& m, const Tensor& v) { return masked_fill(x, m, v); }, "x"_a,
      "mask"_a, "value"_a,
      "x with `value` (a number or a 0-d tensor) where a bool mask is True; x and mask broadcast.");
  b.both(
      "masked_fill",
      [](const Tensor& x, const Tensor& m, Scalar v) {
        return masked_fill(x, m, number_as("masked_fill", v, x.dtype()));
      },
      "x"_a, "mask"_a, "value"_a, "As above, with a number.");
  b.method("masked_fill_", &masked_fill_in_place, "mask"_a, "value"_a, "masked_fill in place.");
  b.method(
      "masked_fill_",
      [](const Tensor& x, const Tensor& m, Scalar v) {
        return masked_fill_in_place(x, m, number_as("masked_fill_", v, x.dtype()));
      },
      "mask"_a, "value"_a, "masked_fill in place, with a number.");
  auto find = [](const Tensor& x, bool as_tuple) -> py::object {
    if (!as_tuple) return py::cast(nonzero(x));
    py::list parts;
    for (const Tensor& t : nonzero_indices(x.dim() == 0 ? alias(x, {1}, {1}, x.impl()->offset) : x)) parts.append(t);
    return py::tuple(parts);
  };
  const char* find_doc =
      "Coordinates of the elements that are not zero, in row-major order: an int64 tensor [count, ndim], or with "
      "as_tuple "
      "one vector per axis, with which x can be indexed.";
  b.python_function("nonzero", find, "x"_a, "as_tuple"_a = false, find_doc);
  b.python_method("nonzero", find, "as_tuple"_a = false, find_doc);
  b.function(
      "one_hot",
      [](const Tensor& x, int64_t num_classes, std::optional<DType> dtype) {
        return one_hot(x, num_classes, dtype.value_or(DType::int64));
      },
      "x"_a, "num_classes"_a = -1, "dtype"_a = py::none(),
      "A new last axis with 1 at the class in x and 0 elsewhere.\n\nParameters\n----------\nx : Tensor of integers\n   "
      " "
      "Classes, 0 .. num_classes - 1.\nnum_classes : int\n    One more than the largest class when -1.\ndtype : dtype, "
      "optional\n    int64 when None.\n\nRaises\n------\nIndexError\n    A class is out of range.");
  b.both("tril", &tril, "x"_a, "diagonal"_a = 0,
         "The matrices in the last two axes of x with zeros above the diagonal-th diagonal.");
  b.both("triu", &triu, "x"_a, "diagonal"_a = 0,
         "The matrices in the last two axes of x with zeros below the diagonal-th diagonal.");
}

}  // namespace fastnn
