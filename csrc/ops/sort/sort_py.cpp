#include "ops/sort/sort.h"
#include "python/bind.h"

namespace fastnn {
namespace {

// The type of a pair of results: a tuple with names.
py::object pair_type(const char* name) {
  return py::module_::import("collections")
      .attr("namedtuple")(name, py::make_tuple("values", "indices"), "module"_a = "fastnn");
}

template <class F>
py::object call(const py::object& type, const F& f) {
  std::pair<Tensor, Tensor> r;
  {
    ReleaseGil release;
    r = f();
  }
  return type(r.first, r.second);
}

}  // namespace

void bind_sort(Binder& b) {
  const py::object sort_type = pair_type("sort"), topk_type = pair_type("topk"), kth_type = pair_type("kthvalue"),
                   median_type = pair_type("median");
  const auto sort_f = [sort_type](const Tensor& x, int64_t dim, bool descending, bool) {
    return call(sort_type, [&] { return sort(x, dim, descending); });
  };
  b.python_function("sort", sort_f, "x"_a, "dim"_a = -1, "descending"_a = false, "stable"_a = false,
                    R"(The elements along `dim` in order.

Parameters
----------
dim : int
    The last axis by default.
descending : bool
    Largest first.
stable : bool
    Accepted for compatibility: the sort is always stable.

Returns
-------
sort : named tuple (values, indices)
    Equal elements keep their order, in both directions. NaN is larger than every number. The gradient of the values goes
    to the elements they came from.)");
  b.python_method("sort", sort_f, "dim"_a = -1, "descending"_a = false, "stable"_a = false);
  b.both(
      "argsort", [](const Tensor& x, int64_t dim, bool descending, bool) { return argsort(x, dim, descending); }, "x"_a,
      "dim"_a = -1, "descending"_a = false, "stable"_a = false,
      "The indices (int64) that sort x along `dim`; see `sort`.");
  const auto topk_f = [topk_type](const Tensor& x, int64_t k, int64_t dim, bool largest, bool) {
    return call(topk_type, [&] { return topk(x, k, dim, largest); });
  };
  b.python_function("topk", topk_f, "x"_a, "k"_a, "dim"_a = -1, "largest"_a = true, "sorted"_a = true,
                    R"(The k largest (or smallest) elements along `dim`, in order.

Parameters
----------
k : int
    From 0 to the size of the axis, else ValueError.
dim : int
largest : bool
    False for the smallest.
sorted : bool
    Accepted for compatibility: the result is always in order, the lower index first among equals.

Returns
-------
topk : named tuple (values, indices))");
  b.python_method("topk", topk_f, "k"_a, "dim"_a = -1, "largest"_a = true, "sorted"_a = true);
  const auto kth_f = [kth_type](const Tensor& x, int64_t k, int64_t dim, bool keepdim) {
    return call(kth_type, [&] { return kthvalue(x, k, dim, keepdim); });
  };
  b.python_function("kthvalue", kth_f, "x"_a, "k"_a, "dim"_a = -1, "keepdim"_a = false,
                    "(values, indices) of the k-th smallest element along `dim`, k from 1; NaN is the largest.");
  b.python_method("kthvalue", kth_f, "k"_a, "dim"_a = -1, "keepdim"_a = false);
  const auto whole = [](const Tensor& x) { return median(x); };
  const auto along = [median_type](const Tensor& x, int64_t dim, bool keepdim) {
    return call(median_type, [&] { return median(x, dim, keepdim); });
  };
  const char* doc =
      "The middle element in order, the lower one of two: median(x) of all elements, median(x, dim, keepdim=False) as "
      "(values, indices) along an axis. NaN where any element is NaN.";
  b.function("median", whole, "x"_a, doc);
  b.python_function("median", along, "x"_a, "dim"_a, "keepdim"_a = false);
  b.method("median", whole, doc);
  b.python_method("median", along, "dim"_a, "keepdim"_a = false);
}

}  // namespace fastnn
