#include <cmath>
#include <cstring>

#include "autograd/op.h"
#include "ops/elementwise/operands.h"
#include "ops/reduce/reduce.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

struct To {
  static constexpr const char* name = "to";
  DType from;
  void check(const Tensor& x, DType) { from = x.dtype(); }
  Tensor forward(Saved&, const Tensor& x, DType t) {
    Tensor y = empty(x.shape(), t);
    copy_into(y, x);
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = to(dy[0], from); }
};

struct Clone {
  static constexpr const char* name = "clone";
  void check(const Tensor&) {}
  Tensor forward(Saved&, const Tensor& x) {
    Tensor y = empty_like(x);
    copy_into(y, x);
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = dy[0]; }
};

}  // namespace

void copy_into(const Tensor& dst, const Tensor& src) {
  if (broadcast_shapes("copy", dst.shape(), src.shape()) != dst.shape())
    throw ValueError(str("copy: shape ", src.shape(), " does not broadcast to ", dst.shape()));
  if (dst.numel() == 0) return;
  launch(kernels::copy, dst.raw(), src.raw(), loop_over<2>(dst.shape(), {&dst, &src}));
}

void fill_into(const Tensor& dst, Scalar value) {
  if (dst.numel() == 0) return;
  launch(kernels::fill, dst.raw(), loop_over<1>(dst.shape(), {&dst}), number_of(value));
}

void add_into(const Tensor& dst, const Tensor& src) {
  if (dst.numel() == 0) return;
  launch(kernels::binary_forward, dst.raw(), dst.raw(), src.raw(), loop_over<3>(dst.shape(), {&dst, &dst, &src}),
         BinaryOp::add, elem_of(dst.dtype()), Number{0, 0});
}

bool has_nan(const Tensor& x) {
  if (!x.is_floating() || x.numel() == 0) return false;
  NoGrad guard;
  const Tensor nan = predicate(PredicateOp::isnan, x);
  return std::memchr(nan.raw(), 1, static_cast<size_t>(nan.numel())) != nullptr;
}

Tensor clone(const Tensor& x) { return apply<Clone>(x); }
Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : apply<Clone>(x); }
Tensor to(const Tensor& x, DType t) { return x.dtype() == t ? x : apply<To>(x, t); }

void check_inplace_type(const char* op, const Tensor& x, DType result) {
  const auto kind = [](DType t) { return is_floating(t) ? 2 : t == DType::bool_ ? 0 : 1; };
  if (kind(result) > kind(x.dtype()))
    throw TypeError(str(op, ": the result is ", result, " and cannot be written into a ", x.dtype(), " tensor"));
}

Tensor reduce_gradient(const Tensor& d, const Dims& shape, DType dtype) { return to(sum_to(d, shape), dtype); }

}  // namespace fastnn
