#include "ops/view/view.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce.h"

namespace fastnn {
namespace {

Tensor make_view(const Tensor& x, const Dims& shape, const Dims& strides, int64_t offset) {
  Tensor y = alias(x, shape, strides, offset);
  set_view(y, x);
  return y;
}

// The strides that show x as `shape`, or false where only a copy can.
bool view_strides(const Tensor& x, const Dims& shape, Dims& out) {
  out = contiguous_strides(shape);
  if (x.is_contiguous() || x.numel() == 0) return true;
  // Axes of x that form one evenly strided run are split among axes of `shape`, from the last to the first.
  int j = shape.size() - 1;
  int64_t run = 1, step = 0;
  bool open = false;
  for (int i = static_cast<int>(x.dim()) - 1; i >= 0; --i) {
    if (x.shape()[i] == 1) continue;
    if (!open) {
      run = x.shape()[i];
      step = x.strides()[i];
      open = true;
    } else {
      run *= x.shape()[i];
    }
    int next = i - 1;
    while (next >= 0 && x.shape()[next] == 1) --next;
    if (next >= 0 && x.strides()[next] == step * run) continue;
    int64_t filled = 1;
    while (j >= 0 && (filled < run || shape[j] == 1)) {
      out[j] = step * filled;
      filled *= shape[j--];
    }
    if (filled != run) return false;
    open = false;
  }
  while (j >= 0) out[j--] = 1;
  return true;
}

Dims resolve_shape(const char* op, const Tensor& x, Dims shape) {
  int unknown = -1;
  int64_t known = 1;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      if (unknown >= 0) throw ValueError(str(op, ": only one size can be -1, got ", shape));
      unknown = i;
    } else if (shape[i] < 0) {
      throw ValueError(str(op, ": sizes must be >= 0 or -1, got ", shape));
    } else {
      known = checked_mul(known, shape[i]);
    }
  }
  if (unknown >= 0) {
    if (known == 0 || x.numel() % known != 0)
      throw ValueError(str(op, ": cannot view shape ", x.shape(), " as ", shape));
    shape[unknown] = x.numel() / known;
  }
  if (numel_of(shape) != x.numel())
    throw ValueError(str(op, ": shape ", shape, " has ", numel_of(shape), " elements, the tensor of shape ", x.shape(),
                         " has ", x.numel()));
  return shape;
}

struct Reshape {
  static constexpr const char* name = "reshape";
  Dims from;
  void check(const Tensor& x, const Dims&, const Dims&) { from = x.shape(); }
  Tensor forward(Saved&, const Tensor& x, const Dims& shape, const Dims& strides) {
    return make_view(x, shape, strides, x.impl()->offset);
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = reshape(dy[0], from); }
};

struct Permute {
  static constexpr const char* name = "permute";
  Dims inverse;
  void check(const Tensor& x, const Dims& axes) {
    inverse = Dims(axes.size(), 0);
    for (int i = 0; i < axes.size(); ++i) inverse[axes[i]] = i;
    (void)x;
  }
  Tensor forward(Saved&, const Tensor& x, const Dims& axes) {
    Dims shape, strides;
    for (int64_t a : axes) shape.push_back(x.shape()[a]), strides.push_back(x.strides()[a]);
    return make_view(x, shape, strides, x.impl()->offset);
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = permute(dy[0], inverse); }
};

struct Expand {
  static constexpr const char* name = "expand";
  Dims from;
  void check(const Tensor& x, const Dims&) { from = x.shape(); }
  Tensor forward(Saved&, const Tensor& x, const Dims& shape) {
    Dims strides(shape.size(), 0);
    const int lead = shape.size() - static_cast<int>(x.dim());
    for (int i = lead; i < shape.size(); ++i) strides[i] = x.shape()[i - lead] == 1 ? 0 : x.strides()[i - lead];
    return make_view(x, shape, strides, x.impl()->offset);
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = sum_to(dy[0], from); }
};

// Any window that shows each element of x at most once: slice, select, diagonal. dx is zero elsewhere.
struct Window {
  static constexpr const char* name = "slice";
  Dims from, shape, strides;
  int64_t offset = 0;
  // shape, strides, offset: the window in the coordinates of a row-major tensor of x's shape.
  void check(const Tensor& x, const Dims&, const Dims&, int64_t, const Dims& s, const Dims& st, int64_t o) {
    from = x.shape(), shape = s, strides = st, offset = o;
  }
  Tensor forward(Saved&, const Tensor& x, const Dims& view_shape, const Dims& view_strides, int64_t view_offset,
                 const Dims&, const Dims&, int64_t) {
    return make_view(x, view_shape, view_strides, view_offset);
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    Tensor g = empty(from, dy[0].dtype());
    fill_into(g, Scalar(0.0));
    if (dy[0].numel()) copy_into(alias(g, shape, strides, offset), dy[0]);
    dx[0] = g;
  }
};

}  // namespace

Tensor window(const Tensor& x, const WindowChange& change) {
  Dims shape = x.shape(), strides = x.strides(), dense_shape = x.shape(), dense = contiguous_strides(x.shape());
  int64_t offset = x.impl()->offset, dense_offset = 0;
  change(shape, strides, offset);
  change(dense_shape, dense, dense_offset);
  return apply<Window>(x, shape, strides, offset, dense_shape, dense, dense_offset);
}

Tensor reshape(const Tensor& x, const Dims& wanted) {
  const Dims shape = resolve_shape("reshape", x, wanted);
  Dims strides;
  if (view_strides(x, shape, strides)) return apply<Reshape>(x, shape, strides);
  return apply<Reshape>(contiguous(x), shape, contiguous_strides(shape));
}

Tensor view(const Tensor& x, const Dims& wanted) {
  const Dims shape = resolve_shape("view", x, wanted);
  Dims strides;
  if (!view_strides(x, shape, strides))
    throw ValueError(str("view: shape ", x.shape(), " with strides ", x.strides(), " cannot be viewed as ", shape,
                         " without a copy; use reshape"));
  return apply<Reshape>(x, shape, strides);
}

Tensor permute(const Tensor& x, const Dims& axes) {
  if (axes.size() != x.dim())
    throw ValueError(str("permute: expected ", x.dim(), " axes for shape ", x.shape(), ", got ", axes));
  Dims order;
  for (int64_t a : axes) order.push_back(normalize_axis("permute", a, x.dim()));
  normalize_axes("permute", order, x.dim());  // refuses an axis given twice
  return apply<Permute>(x, order);
}

Tensor transpose(const Tensor& x, int64_t axis0, int64_t axis1) {
  const int64_t a = normalize_axis("transpose", axis0, x.dim()), b = normalize_axis("transpose", axis1, x.dim());
  Dims order;
  for (int64_t i = 0; i < x.dim(); ++i) order.push_back(i == a ? b : i == b ? a : i);
  return apply<Permute>(x, order);
}

Tensor expand(const Tensor& x, const Dims& wanted) {
  Dims shape = wanted;
  const int lead = shape.size() - static_cast<int>(x.dim());
  if (lead < 0) throw ValueError(str("expand: shape ", x.shape(), " has more dimensions than ", wanted));
  for (int i = 0; i < shape.size(); ++i) {
    const int64_t have = i < lead ? 1 : x.shape()[i - lead];
    if (shape[i] == -1 && i >= lead) shape[i] = have;
    if (shape[i] < 0 || (have != 1 && have != shape[i]))
      throw ValueError(str("expand: shape ", x.shape(), " does not broadcast to ", wanted));
  }
  return apply<Expand>(x, shape);
}

Tensor squeeze(const Tensor& x, const Dims& axes) {
  bool drop[kMaxRank] = {};
  for (int64_t a : axes) drop[normalize_axis("squeeze", a, x.dim())] = true;
  Dims shape, strides;
  for (int i = 0; i < x.dim(); ++i) {
    if (x.shape()[i] == 1 && (axes.empty() || drop[i])) continue;
    shape.push_back(x.shape()[i]);
    strides.push_back(x.strides()[i]);
  }
  return apply<Reshape>(x, shape, strides);
}

Tensor unsqueeze(const Tensor& x, int64_t axis) {
  const int64_t a = normalize_axis("unsqueeze", axis, x.dim() + 1);
  Dims shape = x.shape(), strides = x.strides();
  shape.insert(a, 1);
  strides.insert(a, a < x.dim() ? x.shape()[a] * x.strides()[a] : 1);
  return apply<Reshape>(x, shape, strides);
}

Tensor select(const Tensor& x, int64_t axis, int64_t index) {
  if (x.dim() == 0) throw IndexError("select: a 0-d tensor cannot be indexed");
  const int64_t a = normalize_axis("select", axis, x.dim()), n = x.shape()[a];
  if (index < -n || index >= n)
    throw IndexError(str("index ", index, " is out of bounds for axis ", a, " with size ", n));
  const int64_t i = index < 0 ? index + n : index;
  return window(x, [&](Dims& shape, Dims& strides, int64_t& offset) {
    offset += i * strides[a];
    shape.erase(a);
    strides.erase(a);
  });
}

Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t length, int64_t step) {
  if (x.dim() == 0) throw IndexError("slice: a 0-d tensor cannot be sliced");
  const int64_t a = normalize_axis("slice", axis, x.dim()), n = x.shape()[a];
  if (length < 0) throw ValueError(str("slice: length must be >= 0, got ", length));
  if (length > 0) {
    const int64_t last = checked_add(start, checked_mul(length - 1, step));
    if (start < 0 || start >= n || last < 0 || last >= n)
      throw IndexError(
          str("slice: elements ", start, " to ", last, " are out of bounds for axis ", a, " with size ", n));
  } else {
    start = 0;
    step = 1;
  }
  return window(x, [&](Dims& shape, Dims& strides, int64_t& offset) {
    offset += start * strides[a];
    shape[a] = length;
    strides[a] = length > 1 ? checked_mul(strides[a], step) : strides[a];
  });
}

Tensor flip_view(const Tensor& x, const Dims& axes) {
  if (x.dim() == 0 || axes.empty()) return x;
  const Dims list = normalize_axes("flip", axes, x.dim());
  return window(x, [&](Dims& shape, Dims& strides, int64_t& offset) {
    for (int64_t a : list) {
      if (shape[a] > 0) offset += (shape[a] - 1) * strides[a];
      strides[a] = -strides[a];
    }
  });
}

Tensor diagonal(const Tensor& x, int64_t offset, int64_t axis0, int64_t axis1) {
  if (x.dim() < 2) throw ValueError(str("diagonal: expected at least 2 dimensions, got shape ", x.shape()));
  const int64_t a = normalize_axis("diagonal", axis0, x.dim()), b = normalize_axis("diagonal", axis1, x.dim());
  if (a == b) throw ValueError("diagonal: the two axes must differ");
  const int64_t rows = x.shape()[a], cols = x.shape()[b];
  const int64_t skip_row = offset < 0 ? (-offset > rows || offset == INT64_MIN ? rows : -offset) : 0;
  const int64_t skip_col = offset > 0 ? (offset > cols ? cols : offset) : 0;
  const int64_t n = rows - skip_row < cols - skip_col ? rows - skip_row : cols - skip_col;
  return window(x, [&](Dims& shape, Dims& strides, int64_t& at) {
    const int64_t step = strides[a] + strides[b];
    if (n > 0) at += skip_row * strides[a] + skip_col * strides[b];
    shape.erase(a > b ? a : b), shape.erase(a > b ? b : a);
    strides.erase(a > b ? a : b), strides.erase(a > b ? b : a);
    shape.push_back(n > 0 ? n : 0);
    strides.push_back(step);
  });
}

}  // namespace fastnn
