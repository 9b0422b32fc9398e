#include "ops/reduce/reduce.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/view/view.h"

namespace fastnn {
namespace {

// Adds the slices along each axis, one axis at a time.
Tensor sum_axes(const Tensor& x, const Dims& axes, bool keepdim) {
  Tensor y = x.detach();
  for (int k = axes.size() - 1; k >= 0; --k) {
    Dims shape = y.shape(), strides = y.strides();
    const int64_t n = shape[axes[k]], step = strides[axes[k]];
    shape.erase(axes[k]);
    strides.erase(axes[k]);
    Tensor s = empty(shape, y.dtype());
    fill_into(s, Scalar(0));
    for (int64_t i = 0; i < n; ++i) add_into(s, alias(y, shape, strides, y.impl()->offset + i * step));
    y = s;
  }
  if (!keepdim) return y;
  Dims shape = x.shape();
  for (int64_t a : axes) shape[a] = 1;
  return alias(y, shape, contiguous_strides(shape), 0);
}

struct Sum {
  static constexpr const char* name = "sum";
  Dims shape, kept;
  void check(const Tensor& x, const Dims& axes, bool) {
    shape = kept = x.shape();
    for (int64_t a : axes) kept[a] = 1;
  }
  Tensor forward(Saved&, const Tensor& x, const Dims& axes, bool keepdim) { return sum_axes(x, axes, keepdim); }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = expand(reshape(dy[0], kept), shape); }
};

}  // namespace

Tensor sum(const Tensor& x, const Dims& axes, bool keepdim) {
  return apply<Sum>(x, normalize_axes("sum", axes, x.dim()), keepdim);
}

Tensor sum_to(const Tensor& x, const Dims& shape) {
  if (x.shape() == shape) return x;
  const int lead = static_cast<int>(x.dim()) - shape.size();
  Dims axes;
  for (int i = 0; i < x.dim(); ++i)
    if (i < lead || (shape[i - lead] == 1 && x.shape()[i] != 1)) axes.push_back(i);
  const Tensor y = sum_axes(x, axes, true);
  return alias(y, shape, contiguous_strides(shape), 0);
}

}  // namespace fastnn
