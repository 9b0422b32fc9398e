#include "ops/join/join.h"
#include "ops/view/view.h"
#include "python/bind.h"

namespace fastnn {
namespace {

py::tuple as_tuple(const std::vector<Tensor>& list) {
  py::tuple t(list.size());
  for (size_t i = 0; i < list.size(); ++i) t[i] = py::cast(list[i]);
  return t;
}

Tensor at_least(const Tensor& x, int64_t rank) {
  Dims shape = x.shape();
  while (shape.size() < rank) shape.insert(0, 1);
  return shape.size() == x.dim() ? x : reshape(x, shape);
}

std::vector<Tensor> all_at_least(const std::vector<Tensor>& list, int64_t rank) {
  std::vector<Tensor> out;
  for (const Tensor& t : list) out.push_back(at_least(t, rank));
  return out;
}

}  // namespace

void bind_join(Binder& b) {
  const char* cat_doc =
      "The tensors one after the other along dim.\n\nParameters\n----------\ntensors : sequence of Tensor\n    Equal "
      "sizes "
      "except along dim; dtypes are promoted.\ndim : int\n    Axis, 0 by default.\n\nRaises\n------\nValueError\n    "
      "No tensors, "
      "or sizes that do not fit.";
  for (const char* name : {"cat", "concatenate", "concat"})
    b.function(
        name, [](const std::vector<Tensor>& tensors, int64_t dim) { return cat(tensors, dim); }, "tensors"_a,
        "dim"_a = 0, cat_doc);
  b.function("stack", &stack, "tensors"_a, "dim"_a = 0, "Tensors of one shape along a new axis dim.");
  b.function(
      "hstack",
      [](const std::vector<Tensor>& tensors) {
        const std::vector<Tensor> list = all_at_least(tensors, 1);
        return cat(list, !list.empty() && list[0].dim() > 1, "hstack");
      },
      "tensors"_a, "The tensors side by side: along axis 1, or along axis 0 where they are 1-d.");
  b.function(
      "vstack", [](const std::vector<Tensor>& tensors) { return cat(all_at_least(tensors, 2), 0, "vstack"); },
      "tensors"_a, "The tensors one above the other; 1-d tensors are rows.");
  b.python_function(
      "split", [](const Tensor& x, int64_t size, int64_t dim) { return as_tuple(split(x, size, dim)); }, "x"_a,
      "split_size_or_sections"_a, "dim"_a = 0,
      "A tuple of views along dim: of one size (the last may be smaller), or of the sizes in a list that add up to "
      "it.");
  b.python_function(
      "split", [](const Tensor& x, const Dims& sizes, int64_t dim) { return as_tuple(split(x, sizes, dim)); }, "x"_a,
      "split_size_or_sections"_a, "dim"_a = 0);
  b.python_method(
      "split", [](const Tensor& x, int64_t size, int64_t dim) { return as_tuple(split(x, size, dim)); },
      "split_size_or_sections"_a, "dim"_a = 0, "As fastnn.split.");
  b.python_method(
      "split", [](const Tensor& x, const Dims& sizes, int64_t dim) { return as_tuple(split(x, sizes, dim)); },
      "split_size_or_sections"_a, "dim"_a = 0);
  auto chunk_it = [](const Tensor& x, int64_t chunks, int64_t dim) { return as_tuple(chunk(x, chunks, dim)); };
  const char* chunk_doc = "A tuple of at most `chunks` views of equal size along dim (the last may be smaller).";
  b.python_function("chunk", chunk_it, "x"_a, "chunks"_a, "dim"_a = 0, chunk_doc);
  b.python_method("chunk", chunk_it, "chunks"_a, "dim"_a = 0, chunk_doc);
  auto unbind_it = [](const Tensor& x, int64_t dim) { return as_tuple(unbind(x, dim)); };
  const char* unbind_doc = "A tuple of views: every slice along dim, without that axis.";
  b.python_function("unbind", unbind_it, "x"_a, "dim"_a = 0, unbind_doc);
  b.python_method("unbind", unbind_it, "dim"_a = 0, unbind_doc);
  b.python_method("__iter__", [](const Tensor& x) {
    if (x.dim() == 0) throw TypeError("iteration over a 0-d tensor");
    return py::iter(as_tuple(unbind(x, 0)));
  });
  b.function(
      "atleast_1d", [](const Tensor& x) { return at_least(x, 1); }, "x"_a, "x with at least one axis.");
  b.function(
      "atleast_2d", [](const Tensor& x) { return at_least(x, 2); }, "x"_a, "x with at least two axes, new ones first.");
  b.function(
      "atleast_3d",
      [](const Tensor& x) {
        return x.dim() == 2 ? unsqueeze(x, 2) : x.dim() == 1 ? reshape(x, {1, x.numel(), 1}) : at_least(x, 3);
      },
      "x"_a, "x with at least three axes: [n] becomes [1, n, 1] and [n, m] becomes [n, m, 1].");
}

}  // namespace fastnn
