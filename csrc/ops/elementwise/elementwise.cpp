#include "ops/elementwise/elementwise.h"

#include <cmath>

#include "autograd/op.h"
#include "ops/elementwise/kernels.h"
#include "ops/reduce/reduce.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

// Strides of x read as `shape` (0 along broadcast axes).
void broadcast_strides(const Tensor& x, const Dims& shape, int64_t* out) {
  const int lead = shape.size() - static_cast<int>(x.dim());
  for (int i = 0; i < shape.size(); ++i) out[i] = i < lead || x.shape()[i - lead] == 1 ? 0 : x.strides()[i - lead];
}

Strided loop_over(const Dims& shape) {
  Strided s{};
  s.rank = shape.size();
  for (int i = 0; i < s.rank; ++i) s.shape[i] = shape[i];
  return s;
}

void binary_into(int op, const Tensor& y, const Tensor& a, const Tensor& b) {
  Strided s = loop_over(y.shape());
  broadcast_strides(y, y.shape(), s.strides[0]);
  broadcast_strides(a, y.shape(), s.strides[1]);
  broadcast_strides(b, y.shape(), s.strides[2]);
  if (y.numel()) launch(kernels::binary_strided, op, static_cast<int>(y.dtype()), y.raw(), a.raw(), b.raw(), s);
}

Tensor binary(int op, const char* name, const Tensor& a, const Tensor& b) {
  const DType t = promote(a.dtype(), b.dtype());
  Tensor y = empty(broadcast_shapes(name, a.shape(), b.shape()), t);
  binary_into(op, y, to(a, t), to(b, t));
  return y;
}

struct Add {
  static constexpr const char* name = "add";
  Dims a, b;
  void check(const Tensor& x, const Tensor& y) { a = x.shape(), b = y.shape(); }
  Tensor forward(Saved&, const Tensor& x, const Tensor& y) { return binary(0, name, x, y); }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    if (dx.needs(0)) dx[0] = sum_to(dy[0], a);
    if (dx.needs(1)) dx[1] = sum_to(dy[0], b);
  }
};

struct Mul {
  static constexpr const char* name = "mul";
  Dims a, b;
  void check(const Tensor& x, const Tensor& y) { a = x.shape(), b = y.shape(); }
  Tensor forward(Saved& saved, const Tensor& x, const Tensor& y) {
    saved.keep(x);
    saved.keep(y);
    return binary(2, name, x, y);
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    if (dx.needs(0)) dx[0] = sum_to(binary(2, name, dy[0], saved[1]), a);
    if (dx.needs(1)) dx[1] = sum_to(binary(2, name, dy[0], saved[0]), b);
  }
};

struct Relu {
  static constexpr const char* name = "relu";
  void check(const Tensor&) {}
  Tensor forward(Saved& saved, const Tensor& x) {
    Tensor y = empty_like(x);
    binary_into(4, y, x, x);
    saved.keep(y);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = binary(5, name, dy[0], saved[0]);
  }
};

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

struct Contiguous {
  static constexpr const char* name = "contiguous";
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
  Strided s = loop_over(dst.shape());
  broadcast_strides(dst, dst.shape(), s.strides[0]);
  broadcast_strides(src, dst.shape(), s.strides[1]);
  launch(kernels::copy_strided, dst.raw(), static_cast<int>(dst.dtype()), src.raw(), static_cast<int>(src.dtype()), s);
}

void fill_into(const Tensor& dst, Scalar value) { copy_into(dst, scalar_tensor(value, dst.dtype())); }
void add_into(const Tensor& dst, const Tensor& src) { binary_into(0, dst, dst, src); }
Tensor clone(const Tensor& x) { return apply<Contiguous>(x); }
Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : apply<Contiguous>(x); }
Tensor to(const Tensor& x, DType t) { return x.dtype() == t ? x : apply<To>(x, t); }

bool has_nan(const Tensor& x) {
  const Tensor c = to(contiguous(x), DType::float64);
  const double* p = c.data<double>();
  for (int64_t i = 0; i < c.numel(); ++i)
    if (std::isnan(p[i])) return true;
  return false;
}

void throw_integer_division_by_zero(BinaryOp op) {
  const char* name = op == BinaryOp::floor_divide ? "floor_divide" : op == BinaryOp::remainder ? "remainder" : "fmod";
  throw ValueError(str(name, ": integer division by zero"));
}

Tensor add(const Tensor& a, const Tensor& b) { return apply<Add>(a, b); }
Tensor mul(const Tensor& a, const Tensor& b) { return apply<Mul>(a, b); }
Tensor sub(const Tensor& a, const Tensor& b) { return add(a, mul(b, scalar_tensor(Scalar(-1), b.dtype()))); }
Tensor div(const Tensor& a, const Tensor& b) { return binary(3, "div", a, b); }
Tensor relu(const Tensor& x) { return apply<Relu>(x); }

}  // namespace fastnn
