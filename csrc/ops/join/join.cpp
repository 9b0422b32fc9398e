#include "ops/join/join.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/view/view.h"

namespace fastnn {
namespace {

// The slices [start, start + length) of t along an axis.
Tensor part(const Tensor& t, int64_t axis, int64_t start, int64_t length) {
  Dims shape = t.shape();
  shape[axis] = length;
  return alias(t, shape, t.strides(), t.impl()->offset + (length > 0 ? start * t.strides()[axis] : 0));
}

struct Cat {
  static constexpr const char* name = "cat";
  int64_t axis = 0;
  struct Input {
    Dims shape;
    DType dtype;
  };
  std::vector<Input> inputs;
  void check(const std::vector<Tensor>& tensors, int64_t a, const Dims&, DType) {
    axis = a;
    for (const Tensor& t : tensors) inputs.push_back({t.shape(), t.dtype()});
  }
  Tensor forward(Saved&, const std::vector<Tensor>& tensors, int64_t, const Dims& shape, DType dtype) {
    const Tensor y = empty(shape, dtype);
    int64_t start = 0;
    for (const Tensor& t : tensors) {
      if (t.numel() == 0 && t.dim() != shape.size()) continue;
      if (t.numel()) copy_into(part(y, axis, start, t.shape()[axis]), t);
      start += t.shape()[axis];
    }
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    int64_t start = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Dims& shape = inputs[i].shape;
      const bool skipped = shape.size() != dy[0].dim();
      const int64_t length = skipped ? 0 : shape[axis];
      if (dx.needs(i))
        dx[i] = skipped ? empty(shape, inputs[i].dtype) : to(part(dy[0], axis, start, length), inputs[i].dtype);
      start += length;
    }
  }
};

// Sizes along the axis; with `drop` they are all 1 and the axis goes.
struct Split {
  static constexpr const char* name = "split";
  Dims from;
  int64_t axis = 0;
  std::vector<int64_t> sizes;
  bool drop = false;
  DType dtype = DType::float32;
  void check(const Tensor& x, int64_t a, const std::vector<int64_t>& s, bool d) {
    from = x.shape(), axis = a, sizes = s, drop = d, dtype = x.dtype();
  }
  std::vector<Tensor> cut(const Tensor& x) const {
    std::vector<Tensor> out;
    int64_t start = 0;
    for (int64_t n : sizes) {
      Tensor y = part(x, axis, start, n);
      if (drop) {
        Dims shape = y.shape(), strides = y.strides();
        shape.erase(axis), strides.erase(axis);
        y = alias(y, shape, strides, y.impl()->offset);
      }
      out.push_back(y);
      start += n;
    }
    return out;
  }
  std::vector<Tensor> forward(Saved&, const Tensor& x, int64_t, const std::vector<int64_t>&, bool) {
    const std::vector<Tensor> out = cut(x);
    for (const Tensor& y : out) set_view(y, x);
    return out;
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = empty(from, dtype);
    const std::vector<Tensor> windows = cut(dx[0]);
    for (size_t i = 0; i < windows.size(); ++i) {
      if (windows[i].numel() == 0) continue;
      if (dy[i].defined())
        copy_into(windows[i], dy[i]);
      else
        fill_into(windows[i], Scalar(0));
    }
  }
};

int64_t axis_of(const char* op, const Tensor& x, int64_t dim) {
  if (x.dim() == 0) throw ValueError(str(op, ": a 0-d tensor cannot be split"));
  return normalize_axis(op, dim, x.dim());
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, int64_t dim, const char* op) {
  if (tensors.empty()) throw ValueError(str(op, ": expected at least one tensor"));
  const Tensor* first = nullptr;
  DType dtype = tensors[0].dtype();
  for (const Tensor& t : tensors) {
    if (t.dim() == 0) throw ValueError(str(op, ": a 0-d tensor cannot be joined; use stack"));
    dtype = promote(dtype, t.dtype());
    if (!first && (t.dim() != 1 || t.numel() > 0)) first = &t;
  }
  if (!first) first = &tensors[0];
  const int64_t axis = normalize_axis(op, dim, first->dim());
  Dims shape = first->shape();
  shape[axis] = 0;
  for (const Tensor& t : tensors) {
    if (t.dim() == 1 && t.numel() == 0 && shape.size() != 1) continue;
    bool fits = t.dim() == shape.size();
    for (int i = 0; fits && i < shape.size(); ++i) fits = i == axis || t.shape()[i] == shape[i];
    if (!fits)
      throw ValueError(str(op, ": expected tensors of equal shapes except along axis ", axis, ", got ", first->shape(),
                           " and ", t.shape()));
    shape[axis] = checked_add(shape[axis], t.shape()[axis]);
  }
  return apply<Cat>(tensors, axis, shape, dtype);
}

Tensor stack(const std::vector<Tensor>& tensors, int64_t dim) {
  if (tensors.empty()) throw ValueError("stack: expected at least one tensor");
  const int64_t axis = normalize_axis("stack", dim, tensors[0].dim() + 1);
  std::vector<Tensor> rows;
  for (const Tensor& t : tensors) {
    if (t.shape() != tensors[0].shape())
      throw ValueError(str("stack: expected tensors of one shape, got ", tensors[0].shape(), " and ", t.shape()));
    rows.push_back(unsqueeze(t, axis));
  }
  return cat(rows, axis, "stack");
}

std::vector<Tensor> split(const Tensor& x, const Dims& sizes, int64_t dim) {
  const int64_t axis = axis_of("split", x, dim);
  int64_t total = 0;
  for (int64_t n : sizes) {
    if (n < 0) throw ValueError(str("split: sizes must be >= 0, got ", sizes));
    total = checked_add(total, n);
  }
  if (total != x.shape()[axis])
    throw ValueError(str("split: sizes ", sizes, " add up to ", total, ", but axis ", axis, " of shape ", x.shape(),
                         " has ", x.shape()[axis]));
  return apply<Split>(x, axis, std::vector<int64_t>(sizes.begin(), sizes.end()), false);
}

std::vector<Tensor> split(const Tensor& x, int64_t size, int64_t dim) {
  const int64_t axis = axis_of("split", x, dim), n = x.shape()[axis];
  if (size < 0 || (size == 0 && n > 0)) throw ValueError(str("split: expected a size > 0, got ", size));
  std::vector<int64_t> sizes;
  for (int64_t start = 0; start < n; start += sizes.back()) sizes.push_back(size < n - start ? size : n - start);
  if (n == 0) sizes.push_back(0);
  return apply<Split>(x, axis, sizes, false);
}

std::vector<Tensor> chunk(const Tensor& x, int64_t chunks, int64_t dim) {
  const int64_t axis = axis_of("chunk", x, dim), n = x.shape()[axis];
  if (chunks <= 0) throw ValueError(str("chunk: expected a positive number of chunks, got ", chunks));
  constexpr int64_t kMost = int64_t{1} << 20;  // an empty axis can be cut any number of times
  if (n == 0 && chunks > kMost)
    throw ValueError(str("chunk: expected at most ", kMost, " chunks of an empty axis, got ", chunks));
  if (n == 0) return apply<Split>(x, axis, std::vector<int64_t>(chunks, 0), false);
  return split(x, n / chunks + (n % chunks != 0), axis);
}

std::vector<Tensor> unbind(const Tensor& x, int64_t dim) {
  const int64_t axis = axis_of("unbind", x, dim);
  return apply<Split>(x, axis, std::vector<int64_t>(x.shape()[axis], 1), true);
}

}  // namespace fastnn
