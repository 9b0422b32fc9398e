#include "autograd/op.h"
#include "ops/elementwise/operands.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

Dims shape_with(const char* name, const Dims& shape, const Tensor& x) {
  return x.defined() && x.shape() != shape ? broadcast_shapes(name, shape, x.shape()) : shape;
}

struct Where {
  static constexpr const char* name = "where";
  Dims shapes[2];
  DType dtypes[2] = {};
  void check(const Tensor& condition, const Tensor& a, const Tensor& b, const Scalar&, const Scalar&) {
    if (condition.dtype() != DType::bool_)
      throw TypeError(str("where: expected a bool condition, got ", condition.dtype()));
    if (a.defined()) shapes[0] = a.shape(), dtypes[0] = a.dtype();
    if (b.defined()) shapes[1] = b.shape(), dtypes[1] = b.dtype();
  }
  static void run(const Tensor& y, const Tensor& condition, const Tensor& a, const Tensor& b, Scalar va, Scalar vb) {
    if (y.numel() == 0) return;
    launch(kernels::where, y.raw(), condition.raw(), raw_or_null(a), raw_or_null(b),
           loop_over<4>(y.shape(), {&y, &condition, &a, &b}), elem_of(y.dtype()), number_of(va), number_of(vb));
  }
  Tensor forward(Saved& saved, const Tensor& condition, const Tensor& a, const Tensor& b, const Scalar& va,
                 const Scalar& vb) {
    const DType type = result_type(a.defined() ? Operand(a) : Operand(va), b.defined() ? Operand(b) : Operand(vb));
    const Tensor y = empty(shape_with(name, shape_with(name, condition.shape(), a), b), type);
    run(y, condition, a, b, va, vb);
    saved.keep(condition);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    for (int k = 0; k < 2; ++k) {
      if (!dx.needs(1 + k)) continue;
      const Tensor d = empty_like(dy[0]);
      run(d, saved[0], k == 0 ? dy[0] : Tensor(), k == 1 ? dy[0] : Tensor(), 0.0, 0.0);
      dx[1 + k] = reduce_gradient(d, shapes[k], dtypes[k]);
    }
  }
};

const char* ternary_name(TernaryOp op) {
#define FASTNN_X(f, ...) #f,
  constexpr const char* names[] = {FASTNN_TERNARY(FASTNN_X)};
#undef FASTNN_X
  return names[static_cast<int>(op)];
}

struct Ternary {
  const char* name = "";
  TernaryOp op;
  DType type;
  double p, number[3];
  Dims shapes[3];
  DType dtypes[3] = {};
  void check(const Tensor& a, const Tensor& b, const Tensor& c, TernaryOp f, double scale, const Scalar& vb,
             const Scalar& vc) {
    op = f;
    name = ternary_name(f);
    p = scale;
    number[1] = vb.d, number[2] = vc.d;
    DType t = a.dtype();
    const Tensor* in[3] = {&a, &b, &c};
    for (int k = 0; k < 3; ++k) {
      if (!in[k]->defined()) continue;
      shapes[k] = in[k]->shape();
      dtypes[k] = in[k]->dtype();
      t = promote(t, in[k]->dtype());
    }
    type = floating(t);
  }
  Tensor forward(Saved& saved, const Tensor& a, const Tensor& b, const Tensor& c, TernaryOp, double, const Scalar&,
                 const Scalar&) {
    const Tensor y = empty(shape_with(name, shape_with(name, a.shape(), b), c), type);
    if (y.numel() != 0)
      launch(kernels::ternary_forward, y.raw(), a.raw(), raw_or_null(b), raw_or_null(c),
             loop_over<4>(y.shape(), {&y, &a, &b, &c}), op, elem_of(type), p, number[1], number[2]);
    saved.keep(a);
    saved.keep(b);
    saved.keep(c);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &a = saved[0], &b = saved[1], &c = saved[2];
    for (int wrt = 0; wrt < 3; ++wrt) {
      if (!dx.needs(wrt)) continue;
      const Tensor d = empty(dy[0].shape(), type);
      if (d.numel() != 0)
        launch(kernels::ternary_backward, d.raw(), dy[0].raw(), a.raw(), raw_or_null(b), raw_or_null(c),
               loop_over<5>(d.shape(), {&d, &dy[0], &a, &b, &c}), op, elem_of(type), wrt, p, number[1], number[2]);
      dx[wrt] = reduce_gradient(d, shapes[wrt], dtypes[wrt]);
    }
  }
};

}  // namespace

Tensor where(const Tensor& condition, const Operand& a, const Operand& b) {
  Tensor c = condition, x = a.tensor, y = b.tensor;
  join_devices(Where::name, {&c, &x, &y});
  return apply<Where>(c, x, y, a.number, b.number);
}

Tensor ternary(TernaryOp op, const Tensor& a, const Operand& b, const Operand& c, double p) {
  Tensor x = a, y = b.tensor, z = c.tensor;
  join_devices(ternary_name(op), {&x, &y, &z});
  return apply<Ternary>(x, y, z, op, p, b.number, c.number);
}

}  // namespace fastnn
