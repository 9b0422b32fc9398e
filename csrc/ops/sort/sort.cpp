#include "ops/sort/sort.h"

#include <tuple>

#include "autograd/op.h"
#include "core/scratch.h"
#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "ops/view/view.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

struct Request {
  int64_t axis = 0;
  int64_t k = 0;      // elements of each line that come out
  int64_t pick = -1;  // with k = 1: which place of the sorted line
  bool descending = false, nan_wins = false;
};

struct Lines {
  int64_t outer = 1, n = 1, inner = 1;
  Lines(const Dims& shape, int64_t axis) {
    for (int i = 0; i < shape.size(); ++i) (i < axis ? outer : i == axis ? n : inner) *= shape[i];
  }
};

void sort_into(const Tensor& value, const Tensor& index, const Tensor& source, const Request& r) {
  if (index.numel() == 0) return;
  const Tensor x = contiguous(source.detach());
  const Lines l(x.shape(), r.axis);
  Tensor scratch;
  if (l.n > kSortShort) {
    const int64_t lines = checked_mul(l.outer, l.inner), tasks = lines < kSortTasks ? lines : kSortTasks;
    scratch = cpu_scratch({checked_mul(checked_mul(tasks, l.n), kSortBytes)}, DType::uint8);
  }
  launch(kernels::sort_lines, static_cast<int>(x.dtype()), r.descending, value.defined() ? value.raw() : nullptr,
         index.data<int64_t>(), x.raw(), l.outer, l.n, l.inner, r.k, r.pick, r.nan_wins,
         scratch.defined() ? scratch.raw() : nullptr);
}

Dims with_size(Dims shape, int64_t axis, int64_t n) {
  if (shape.size()) shape[axis] = n;
  return shape;
}

struct Sort {
  static constexpr const char* name = "sort";
  Dims shape;
  int64_t axis = 0, k = 0;
  void check(const Tensor& x, const Request& r) { shape = x.shape(), axis = r.axis, k = r.k; }
  std::tuple<Tensor, Tensor> forward(Saved& saved, const Tensor& x, const Request& r) {
    const Dims out = with_size(shape, axis, k);
    const Tensor value = empty(out, x.dtype()), index = empty(out, DType::int64);
    sort_into(value, index, x, r);
    saved.keep(index);
    return {value, index};
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor g = empty(shape, dy[0].dtype()), d = contiguous(dy[0]);
    if (g.numel()) {
      // The caller holds the same indices and may have changed them.
      check_indices(name, saved[0], axis, shape.size() ? shape[axis] : 1, false);
      const Lines l(shape, axis);
      launch(kernels::sort_place, static_cast<int>(g.dtype()), g.raw(), d.raw(), saved[0].data<int64_t>(), l.outer, k,
             l.n, l.inner);
    }
    dx[0] = g;
  }
};

int64_t line_length(const Tensor& x, int64_t axis) { return x.dim() ? x.shape()[axis] : 1; }

std::pair<Tensor, Tensor> sorted(const Tensor& x, const Request& r) {
  auto [value, index] = apply<Sort>(x, r);
  return {value, index};
}

// One place of each sorted line, the axis dropped unless kept.
std::pair<Tensor, Tensor> picked(const Tensor& x, const Request& r, bool keepdim) {
  auto [value, index] = apply<Sort>(x, r);
  if (keepdim || x.dim() == 0) return {value, index};
  return {squeeze(value, {r.axis}), squeeze(index, {r.axis})};
}

}  // namespace

std::pair<Tensor, Tensor> sort(const Tensor& x, int64_t axis, bool descending) {
  Request r;
  r.axis = normalize_axis("sort", axis, x.dim());
  r.k = line_length(x, r.axis);
  r.descending = descending;
  return sorted(x, r);
}

Tensor argsort(const Tensor& x, int64_t axis, bool descending) {
  Request r;
  r.axis = normalize_axis("argsort", axis, x.dim());
  r.k = line_length(x, r.axis);
  r.descending = descending;
  const DeviceGuard here(x.device());
  const Tensor index = empty(x.shape(), DType::int64);
  sort_into(Tensor(), index, x, r);
  return index;
}

std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int64_t axis, bool largest) {
  Request r;
  r.axis = normalize_axis("topk", axis, x.dim());
  const int64_t n = line_length(x, r.axis);
  if (k < 0 || k > n) throw ValueError(str("topk: k must be in [0, ", n, "] for shape ", x.shape(), ", got ", k));
  r.k = k;
  r.descending = largest;
  return sorted(x, r);
}

std::pair<Tensor, Tensor> kthvalue(const Tensor& x, int64_t k, int64_t axis, bool keepdim) {
  Request r;
  r.axis = normalize_axis("kthvalue", axis, x.dim());
  const int64_t n = line_length(x, r.axis);
  if (k < 1 || k > n) throw ValueError(str("kthvalue: k must be in [1, ", n, "] for shape ", x.shape(), ", got ", k));
  r.k = 1;
  r.pick = k - 1;
  return picked(x, r, keepdim);
}

std::pair<Tensor, Tensor> median(const Tensor& x, int64_t axis, bool keepdim) {
  Request r;
  r.axis = normalize_axis("median", axis, x.dim());
  const int64_t n = line_length(x, r.axis);
  if (n == 0) throw ValueError(str("median: expected at least one element, got shape ", x.shape()));
  r.k = 1;
  r.pick = (n - 1) / 2;
  r.nan_wins = true;
  return picked(x, r, keepdim);
}

Tensor median(const Tensor& x) { return median(reshape(x, {-1}), 0, false).first; }

}  // namespace fastnn
