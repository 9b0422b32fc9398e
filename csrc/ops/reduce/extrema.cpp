// Largest and smallest, where they are, and the logical reductions.
#include <tuple>

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "ops/reduce/reduce.h"
#include "ops/reduce/reduce_detail.h"

namespace fastnn {
namespace {

// Runs reduce_arg; either output may be left out.
void arg_into(const Tensor& value, const Tensor& index, bool least, const Tensor& x, const Dims& axes) {
  if ((value.defined() ? value : index).numel() == 0) return;
  const ReduceLoop loop = reduce_loop(x, axes, true);
  const ReduceScratch scratch(loop);
  launch(kernels::reduce_arg, type_of(x), least, value.defined() ? value.raw() : nullptr,
         index.defined() ? index.data<int64_t>() : nullptr, x.raw(), loop, scratch.get());
}

template <bool kLeast>
struct Extreme {
  static constexpr const char* name = kLeast ? "amin" : "amax";
  Dims axes;
  void check(const Tensor& x, const Dims& a, bool) {
    axes = a;
    require_elements(name, x, axes);
  }
  Tensor forward(Saved& saved, const Tensor& x, const Dims&, bool keepdim) {
    Tensor y;
    if (x.is_floating()) {
      y = fold(kLeast ? Fold::min : Fold::max, 0, x, axes, keepdim);
    } else {
      y = empty(reduced_shape(x.shape(), axes, keepdim), x.dtype());
      arg_into(y, Tensor(), kLeast, x, axes);
    }
    saved.keep(x);
    saved.keep(y);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &x = saved[0], &y = saved[1];
    Tensor ties = empty_like(y);
    if (y.numel()) {
      const ReduceLoop loop = reduce_loop(x, axes, false);
      const ReduceScratch scratch(loop);
      launch(kernels::reduce_count_equal, type_of(x), ties.raw(), x.raw(), y.raw(), false, loop, scratch.get());
    }
    const Tensor a = coefficient(Coefficient::divide, dy[0], Tensor(), ties);
    dx[0] = spread(Spread::equal, x, a, y, axes);
  }
};

template <bool kLeast>
struct ExtremeAlong {
  static constexpr const char* name = kLeast ? "min" : "max";
  Dims shape;
  int64_t axis = 0;
  void check(const Tensor& x, int64_t a, bool) {
    shape = x.shape(), axis = a;
    require_elements(name, x, x.dim() ? Dims{axis} : Dims());
  }
  std::tuple<Tensor, Tensor> forward(Saved& saved, const Tensor& x, int64_t, bool keepdim) {
    const Dims axes = x.dim() ? Dims{axis} : Dims();
    Tensor value = empty(reduced_shape(shape, axes, keepdim), x.dtype()), index = empty(value.shape(), DType::int64);
    arg_into(value, index, kLeast, x, axes);
    saved.keep(index);
    return {value, index};
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    Tensor g = empty(shape, dy[0].dtype());
    fill_into(g, Scalar(0.0));
    if (dy[0].numel()) {
      // The caller holds the same indices and may have changed them.
      check_indices(name, saved[0], axis, shape.size() ? shape[axis] : 1, false);
      const Tensor d = contiguous(dy[0]);
      int64_t inner = 1;
      for (int i = static_cast<int>(axis) + 1; i < shape.size(); ++i) inner *= shape[i];
      launch(kernels::reduce_place, type_of(d), g.raw(), d.raw(), saved[0].data<int64_t>(), d.numel(),
             shape.size() ? shape[axis] : 1, inner);
    }
    dx[0] = g;
  }
};

template <bool kLeast>
Tensor arg(const char* name, const Tensor& x, std::optional<int64_t> axis, bool keepdim) {
  Dims axes;
  if (axis) {
    const int64_t a = normalize_axis(name, *axis, x.dim());
    if (x.dim()) axes.push_back(a);
  } else {
    axes = normalize_axes(name, Dims(), x.dim());
  }
  require_elements(name, x, axes);
  const DeviceGuard here(x.device());
  const Tensor index = empty(reduced_shape(x.shape(), axes, keepdim), DType::int64);
  arg_into(Tensor(), index, kLeast, x, axes);
  return index;
}

}  // namespace

Tensor amax(const Tensor& x, const Dims& axes, bool keepdim) {
  return apply<Extreme<false>>(x, normalize_axes("amax", axes, x.dim()), keepdim);
}
Tensor amin(const Tensor& x, const Dims& axes, bool keepdim) {
  return apply<Extreme<true>>(x, normalize_axes("amin", axes, x.dim()), keepdim);
}
std::pair<Tensor, Tensor> max(const Tensor& x, int64_t axis, bool keepdim) {
  auto [v, i] = apply<ExtremeAlong<false>>(x, normalize_axis("max", axis, x.dim()), keepdim);
  return {v, i};
}
std::pair<Tensor, Tensor> min(const Tensor& x, int64_t axis, bool keepdim) {
  auto [v, i] = apply<ExtremeAlong<true>>(x, normalize_axis("min", axis, x.dim()), keepdim);
  return {v, i};
}
Tensor argmax(const Tensor& x, std::optional<int64_t> axis, bool keepdim) {
  return arg<false>("argmax", x, axis, keepdim);
}
Tensor argmin(const Tensor& x, std::optional<int64_t> axis, bool keepdim) {
  return arg<true>("argmin", x, axis, keepdim);
}

Tensor any(const Tensor& x, const Dims& axes, bool keepdim) {
  return fold_ints(IntFold::any, x, normalize_axes("any", axes, x.dim()), keepdim);
}
Tensor all(const Tensor& x, const Dims& axes, bool keepdim) {
  return fold_ints(IntFold::all, x, normalize_axes("all", axes, x.dim()), keepdim);
}
Tensor count_nonzero(const Tensor& x, const Dims& axes) {
  return fold_ints(IntFold::count, x, normalize_axes("count_nonzero", axes, x.dim()), false);
}

}  // namespace fastnn
