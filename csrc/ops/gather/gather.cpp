#include "ops/gather/gather.h"

#include <algorithm>

#include "autograd/op.h"
#include "ops/create/create.h"
#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "ops/reduce/reduce.h"
#include "ops/view/view.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

// The corner of t with the given sizes.
Tensor corner(const Tensor& t, const Dims& shape) { return alias(t, shape, t.strides(), t.impl()->offset); }

// a: the tensor that the index addresses; b: the one of the index's shape (or larger).
GatherLoop make_loop(const Tensor& a, const Tensor& b, const Dims& shape, int64_t dim) {
  GatherLoop loop{};
  loop.n = shape[dim];
  loop.size = a.shape()[dim];
  loop.a_axis = a.strides()[dim];
  loop.b_axis = b.strides()[dim];
  for (int i = 0; i < shape.size(); ++i) {
    if (i == dim || shape[i] == 1) continue;
    const int g = i > dim;
    int32_t& r = loop.rank[g];
    const int64_t sa = a.strides()[i], sb = b.strides()[i];
    if (r > 0 && loop.a[g][r - 1] == shape[i] * sa && loop.b[g][r - 1] == shape[i] * sb)
      loop.shape[g][--r] *= shape[i];
    else
      loop.shape[g][r] = shape[i];
    loop.a[g][r] = sa;
    loop.b[g][r] = sb;
    ++r;
  }
  return loop;
}

void check_rank(const char* op, const char* what, const Tensor& t, const Tensor& x) {
  if (t.dim() != x.dim())
    throw ValueError(str(op, ": ", what, " of shape ", t.shape(), " must have as many axes as x of shape ", x.shape()));
}

void check_fits(const char* op, const Dims& index, const char* what, const Dims& other, int64_t except) {
  for (int i = 0; i < index.size(); ++i)
    if (i != except && index[i] > other[i])
      throw ValueError(str(op, ": index of shape ", index, " must not be larger than ", what, " of shape ", other,
                           except < 0 ? "" : " except along dim"));
}

struct Gather {
  static constexpr const char* name = "gather";
  Dims from;
  int64_t dim = 0;
  void check(const Tensor& x, const Tensor& index, int64_t d) {
    check_fits(name, index.shape(), "x", x.shape(), d);
    check_indices(name, index, d, x.shape()[d]);
    from = x.shape(), dim = d;
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& index, int64_t) {
    saved.keep(index);
    return run(x, index, dim);
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor g = zeros(from, dy[0].dtype()), &index = saved[0];
    check_indices_again(name, index, dim, from[dim]);
    launch(kernels::scatter_add_along, g.raw(), dy[0].raw(), index.data<int64_t>(), static_cast<int>(g.dtype()),
           make_loop(g, dy[0], index.shape(), dim));
    dx[0] = g;
  }
  static Tensor run(const Tensor& x, const Tensor& index, int64_t dim) {
    const Tensor y = empty(index.shape(), x.dtype());
    launch(kernels::gather_along, y.raw(), x.raw(), index.data<int64_t>(), x.itemsize(),
           make_loop(x, y, index.shape(), dim));
    return y;
  }
};

struct Scatter {
  static constexpr const char* name = "scatter";
  int64_t dim = 0;
  bool add = false;
  Dims src_shape;
  void check(const Tensor& x, const Tensor& src, const Tensor& index, int64_t d, bool a, bool) {
    const char* op = a ? "scatter_add" : name;
    check_fits(op, index.shape(), "x", x.shape(), d);
    check_fits(op, index.shape(), "src", src.shape(), -1);
    check_indices(op, index, d, x.shape()[d]);
    dim = d, add = a, src_shape = src.shape();
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& src, const Tensor& index, int64_t, bool, bool inplace) {
    saved.keep(index);
    const Tensor y = inplace ? x.detach() : clone(x.detach());
    const Tensor s = may_share_memory(y, src) ? clone(src.detach()) : src.detach();
    const GatherLoop loop = make_loop(y, s, index.shape(), dim);
    if (add)
      launch(kernels::scatter_add_along, y.raw(), s.raw(), index.data<int64_t>(), static_cast<int>(y.dtype()), loop);
    else
      launch(kernels::scatter_along, y.raw(), s.raw(), index.data<int64_t>(), y.itemsize(), loop);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dys, Grads& dx) {
    const Tensor &dy = dys[0], &index = saved[0];
    check_indices_again(name, index, dim, dy.shape()[dim]);
    if (dx.needs(1)) {
      const Tensor ds = add ? Gather::run(dy, index, dim) : owned(dy, index);
      dx[1] = ds;
      if (ds.shape() != src_shape) {
        dx[1] = zeros(src_shape, dy.dtype());
        if (ds.numel()) copy_into(corner(dx[1], ds.shape()), ds);
      }
    }
    if (!dx.needs(0)) return;
    dx[0] = dy;
    if (add) return;
    dx[0] = clone(dy);
    const Tensor zero = expand(zeros({}, dy.dtype()), index.shape());
    launch(kernels::scatter_along, dx[0].raw(), zero.raw(), index.data<int64_t>(), dy.itemsize(),
           make_loop(dx[0], zero, index.shape(), dim));
  }
  // Of values scattered to one element only the last one stayed: the others have no gradient.
  Tensor owned(const Tensor& given, const Tensor& index) const {
    const Tensor dy = contiguous(given), owner = empty(dy.shape(), DType::int64), y = empty(index.shape(), dy.dtype());
    const GatherLoop loop = make_loop(dy, y, index.shape(), dim);
    launch(kernels::scatter_owner, owner.data<int64_t>(), index.data<int64_t>(), loop);
    launch(kernels::gather_owned, y.raw(), dy.raw(), owner.data<int64_t>(), index.data<int64_t>(), dy.itemsize(), loop);
    return y;
  }
};

struct MaskedFill {
  static constexpr const char* name = "masked_fill";
  Dims from, value_shape;
  void check(const Tensor& x, const Tensor& value, const Tensor& mask) {
    if (mask.dtype() != DType::bool_) throw TypeError(str(name, ": expected a bool mask, got ", mask.dtype()));
    if (value.numel() != 1 || value.dim() != 0)
      throw ValueError(str(name, ": expected a number or a 0-d tensor as value, got shape ", value.shape()));
    from = x.shape(), value_shape = value.shape();
  }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& value, const Tensor& mask) {
    const Dims shape = broadcast_shapes(name, x.shape(), mask.shape());
    const Tensor m = contiguous(expand(mask.detach(), shape)), y = empty(shape, x.dtype());
    saved.keep(m);
    copy_into(y, x);
    fill(y, m, value, true);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor zero = zeros({}, dy[0].dtype());
    for (int i = 0; i < 2; ++i) {
      if (!dx.needs(i)) continue;
      const Tensor g = clone(dy[0]);
      fill(g, saved[0], zero, i == 0);
      dx[i] = sum_to(g, i == 0 ? from : value_shape);
    }
  }
  static void fill(const Tensor& y, const Tensor& mask, const Tensor& value, bool wanted) {
    launch(kernels::fill_where, y.raw(), static_cast<const uint8_t*>(mask.raw()), value.raw(), y.itemsize(), y.numel(),
           wanted);
  }
};

struct Triangle {
  static constexpr const char* name = "tril/triu";
  int64_t diagonal = 0;
  bool upper = false;
  void check(const Tensor& x, int64_t d, bool u) {
    if (x.dim() < 2)
      throw ValueError(str(u ? "triu" : "tril", ": expected at least 2 dimensions, got shape ", x.shape()));
    // Farther out than the matrix is wide or high changes nothing, and cannot overflow.
    const int64_t rows = x.size(-2), cols = x.size(-1);
    diagonal = std::clamp(d, -rows - 1, cols + 1), upper = u;
  }
  Tensor forward(Saved&, const Tensor& x, int64_t, bool) { return run(x.detach()); }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = run(dy[0]); }
  Tensor run(const Tensor& given) const {
    const Tensor x = contiguous(given), y = empty(x.shape(), x.dtype());
    if (x.numel() == 0) return y;
    const int64_t rows = x.size(-2), cols = x.size(-1);
    launch(kernels::triangle, y.raw(), x.raw(), x.itemsize(), x.numel() / (rows * cols), rows, cols, diagonal, upper);
    return y;
  }
};

// A 0-d tensor takes part in what goes along an axis as one element.
Tensor at_least_1d(const Tensor& x) { return x.dim() == 0 ? reshape(x, {1}) : x; }

}  // namespace

Tensor gather(const Tensor& x, int64_t dim, const Tensor& given) {
  const Tensor index = as_index("gather", given);
  check_rank("gather", "index", index, x);
  const int64_t d = normalize_axis("gather", dim, x.dim());
  if (x.dim() == 0) return reshape(apply<Gather>(at_least_1d(x), at_least_1d(index), d), {});
  return apply<Gather>(x, index, d);
}

Tensor scatter(const Tensor& x, int64_t dim, const Tensor& given, const Tensor& src, bool add, bool inplace) {
  const char* op = add ? "scatter_add" : "scatter";
  const Tensor index = as_index(op, given);
  check_rank(op, "index", index, x);
  const int64_t d = normalize_axis(op, dim, x.dim());
  const Tensor s = src.dim() == 0 ? expand(to_device(src, x.device()), index.shape()) : src;
  check_rank(op, "src", s, x);
  if (s.dtype() != x.dtype()) throw TypeError(str(op, ": expected src of dtype ", x.dtype(), ", got ", s.dtype()));
  if (inplace) begin_inplace(op, x);
  Tensor y = apply<Scatter>(at_least_1d(x), at_least_1d(s), at_least_1d(index), d, add, inplace);
  if (x.dim() == 0) y = reshape(y, {});
  if (!inplace) return y;
  end_inplace(x, y);
  return x;
}

Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int64_t> dim) {
  if (!dim) return gather(reshape(x, {-1}), 0, reshape(indices, {-1}));
  check_rank("take_along_dim", "indices", indices, x);
  const int64_t d = normalize_axis("take_along_dim", *dim, x.dim());
  if (x.dim() == 0) return gather(x, 0, indices);
  Dims a = x.shape(), b = indices.shape();
  a[d] = b[d] = 1;
  Dims shape = broadcast_shapes("take_along_dim", a, b), index_shape = shape;
  shape[d] = x.shape()[d];
  index_shape[d] = indices.shape()[d];
  return gather(expand(x, shape), d, expand(indices, index_shape));
}

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& given) {
  const Tensor i = as_index("index_select", given);
  if (i.dim() > 1) throw ValueError(str("index_select: expected an index of at most 1 axis, got shape ", i.shape()));
  const int64_t d = normalize_axis("index_select", dim, x.dim());
  const Tensor y = index(at_least_1d(x), {at_least_1d(i)}, {d}, "index_select");
  return x.dim() == 0 ? reshape(y, {}) : y;
}

Tensor index_add(const Tensor& x, int64_t dim, const Tensor& given, const Tensor& source, Scalar alpha, bool inplace) {
  const Tensor i = as_index("index_add", given);
  if (i.dim() > 1) throw ValueError(str("index_add: expected an index of at most 1 axis, got shape ", i.shape()));
  if (source.dtype() != x.dtype())
    throw TypeError(str("index_add: expected source of dtype ", x.dtype(), ", got ", source.dtype()));
  if (x.dim() == 0) throw ValueError("index_add: expected x with at least 1 dimension, got a 0-d tensor");
  const Dims axes{normalize_axis("index_add", dim, x.dim())};
  const std::vector<Tensor> indices{at_least_1d(i)};
  if (source.shape() != index_shape(x, indices, axes))
    throw ValueError(
        str("index_add: expected source of shape ", index_shape(x, indices, axes), ", got ", source.shape()));
  const DeviceGuard here(x.device());
  const Tensor scaled = alpha.d == 1 ? source : mul(source, number_as("index_add", alpha, x.dtype()));
  if (!inplace) return index_put("index_add", x, indices, axes, scaled, true);
  index_put_("index_add", x, indices, axes, scaled, true);
  return x;
}

Tensor take(const Tensor& x, const Tensor& given) {
  return index(reshape(x, {-1}), {as_index("take", given)}, {0}, "take");
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  if (mask.dtype() != DType::bool_) throw TypeError(str("masked_select: expected a bool mask, got ", mask.dtype()));
  refuse_in_capture("masked_select: a shape depends on data");
  const Dims shape = broadcast_shapes("masked_select", x.shape(), mask.shape());
  const Tensor flat = reshape(expand(mask, shape), {-1});
  return index(reshape(expand(x, shape), {-1}), nonzero_indices(flat), {0}, "masked_select");
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value) {
  return apply<MaskedFill>(x, to_device(to(value, x.dtype()), x.device()), mask);
}

Tensor nonzero(const Tensor& x) {
  const DeviceGuard here(x.device());
  const std::vector<Tensor> columns = nonzero_indices(at_least_1d(x));
  const int64_t n = columns[0].numel(), rank = x.dim();
  const Tensor y = empty({n, rank}, DType::int64);
  for (int64_t k = 0; k < rank && n > 0; ++k) copy_into(alias(y, {n}, {rank}, k), columns[k]);
  return y;
}

Tensor one_hot(const Tensor& x, int64_t num_classes, DType dtype) {
  const Tensor i = as_index("one_hot", x);
  if (num_classes < -1) throw ValueError(str("one_hot: num_classes must be >= 0 (or -1), got ", num_classes));
  if (num_classes == -1) {
    refuse_in_capture("one_hot without num_classes: a shape depends on data");
    if (i.numel() == 0) throw ValueError("one_hot: num_classes must be given where x has no elements");
    const Tensor values = on_cpu(i);
    const DeviceGuard host(kCpu);
    const int64_t* const first = values.data<int64_t>();
    num_classes = checked_add(*std::max_element(first, first + values.numel()), 1);
    if (num_classes < 1) num_classes = 1;
  }
  const DeviceGuard here(i.device());
  check_indices("one_hot", i, x.dim(), num_classes, false);
  Dims shape = x.shape();
  shape.push_back(num_classes);
  const Tensor y = empty(shape, dtype);
  if (y.numel())
    launch(kernels::one_hot_fill, y.raw(), static_cast<int>(dtype), i.data<int64_t>(), i.numel(), num_classes);
  return y;
}

Tensor tril(const Tensor& x, int64_t diagonal) { return apply<Triangle>(x, diagonal, false); }
Tensor triu(const Tensor& x, int64_t diagonal) { return apply<Triangle>(x, diagonal, true); }

}  // namespace fastnn
