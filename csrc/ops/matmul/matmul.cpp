#include "ops/matmul/matmul.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/matmul/product.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void check_types(const char* op, const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !a.is_floating())
    throw TypeError(
        str(op, ": expected operands of one type, float32 or float64, got ", a.dtype(), " and ", b.dtype()));
}

/// The result of matmul has the broadcast batch axes, then the rows of a and the columns of b where these are no
/// vectors.
Dims product_shape(const Tensor& a, const Tensor& b) {
  const auto batch = [](const Tensor& x) {
    Dims d;
    for (int64_t i = 0; i < x.dim() - 2; ++i) d.push_back(x.shape()[i]);
    return d;
  };
  Dims shape = broadcast_shapes("matmul", batch(a), batch(b));
  if (a.dim() > 1) shape.push_back(a.shape()[a.dim() - 2]);
  if (b.dim() > 1) shape.push_back(b.shape()[b.dim() - 1]);
  return shape;
}

/// The result y of a product (or its gradient) with the axes that vectors left out put back.
Matrices result_of(const Tensor& y, bool a_vector, bool b_vector) {
  Matrices m;
  m.data = y.raw();
  m.dtype = y.dtype();
  int axis = static_cast<int>(y.dim());
  if (!b_vector) {
    --axis;
    m.cols = y.shape()[axis], m.col_stride = y.strides()[axis];
  } else {
    m.cols = 1;
  }
  if (!a_vector) {
    --axis;
    m.rows = y.shape()[axis], m.row_stride = y.strides()[axis];
  } else {
    m.rows = 1, m.row_stride = m.cols;
  }
  for (int i = 0; i < axis; ++i) {
    m.batch.push_back(y.shape()[i]);
    m.batch_strides.push_back(y.strides()[i]);
  }
  return m;
}

struct Matmul {
  static constexpr const char* name = "matmul";

  void check(const Tensor& a, const Tensor& b) {
    check_types(name, a, b);
    if (a.dim() == 0 || b.dim() == 0)
      throw ValueError(str("matmul: expected at least one axis on both operands, got ", a.shape(), " and ", b.shape()));
    const int64_t ka = a.shape().back(), kb = b.shape()[b.dim() == 1 ? 0 : b.dim() - 2];
    if (ka != kb)
      throw ValueError(str("matmul: expected as many columns in the first operand as rows in the second, got ", ka,
                           " (", a.shape(), ") and ", kb, " (", b.shape(), ")"));
  }

  Tensor forward(Saved& saved, const Tensor& a, const Tensor& b) {
    Tensor c = empty(product_shape(a, b), a.dtype());
    product(result_of(c, a.dim() == 1, b.dim() == 1), matrices_of(a, VectorAs::row), matrices_of(b, VectorAs::column));
    saved.keep(a);
    saved.keep(b);
    return c;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &a = saved[0], &b = saved[1];
    const Matrices dc = result_of(dy[0], a.dim() == 1, b.dim() == 1);
    const Matrices am = matrices_of(a, VectorAs::row), bm = matrices_of(b, VectorAs::column);
    if (dx.needs(0)) {
      dx[0] = empty(a.shape(), a.dtype());
      product(matrices_of(dx[0], VectorAs::row), dc, bm.transposed());
    }
    if (dx.needs(1)) {
      dx[1] = empty(b.shape(), b.dtype());
      product(matrices_of(dx[1], VectorAs::column), am.transposed(), dc);
    }
  }
};

Tensor relu_gradient(const Tensor& dy, const Tensor& y) {
  const Tensor d = contiguous(dy);
  Tensor dx = empty(y.shape(), y.dtype());
  if (y.dtype() == DType::float32)
    launch(kernels::relu_gradient_f32, dx.data<float>(), d.data<float>(), y.data<float>(), y.numel());
  else
    launch(kernels::relu_gradient_f64, dx.data<double>(), d.data<double>(), y.data<double>(), y.numel());
  return dx;
}

struct Linear {
  static constexpr const char* name = "linear";
  Activation act = Activation::none;

  void check(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation) {
    check_types(name, x, weight);
    if (weight.dim() != 2) throw ValueError(str("linear: expected weight [in, out], got ", weight.shape()));
    if (x.dim() == 0 || x.shape().back() != weight.shape()[0])
      throw ValueError(
          str("linear: weight ", weight.shape(), " expects x [..., ", weight.shape()[0], "], got ", x.shape()));
    if (!bias.defined()) return;
    if (bias.dtype() != x.dtype())
      throw TypeError(str("linear: expected a bias of type ", x.dtype(), ", got ", bias.dtype()));
    if (bias.shape() != Dims{weight.shape()[1]})
      throw ValueError(
          str("linear: weight ", weight.shape(), " expects bias [", weight.shape()[1], "], got ", bias.shape()));
  }

  Tensor forward(Saved& saved, const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation) {
    act = activation;
    Dims shape = x.shape();
    shape[shape.size() - 1] = weight.shape()[1];
    Tensor y = empty(shape, x.dtype());
    const Tensor b = bias.defined() ? contiguous(bias.detach()) : bias;
    product(result_of(y, x.dim() == 1, false), matrices_of(x, VectorAs::row), matrices_of(weight, VectorAs::column),
            b.defined() ? b.raw() : nullptr, act);
    saved.keep(x);
    saved.keep(weight);
    saved.keep(act == Activation::relu ? y : Tensor());
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &x = saved[0], &weight = saved[1];
    const Tensor gradient = act == Activation::relu ? relu_gradient(dy[0], saved[2]) : dy[0];
    const Matrices g = result_of(gradient, x.dim() == 1, false);
    if (dx.needs(0)) {
      dx[0] = empty(x.shape(), x.dtype());
      product(matrices_of(dx[0], VectorAs::row), g, matrices_of(weight, VectorAs::column).transposed());
    }
    if (dx.needs(1)) {
      dx[1] = empty(weight.shape(), weight.dtype());
      product(matrices_of(dx[1], VectorAs::column), matrices_of(x, VectorAs::row).transposed(), g);
    }
    if (dx.needs(2)) {
      dx[2] = empty({weight.shape()[1]}, weight.dtype());
      static const float one_f32 = 1;
      static const double one_f64 = 1;
      Tensor one;     // where the kernel can read it
      Matrices ones;  // one row of ones, all of them the same number
      if (current_device() != kCpu) {
        one = empty({1}, x.dtype());
        fill_into(one, Scalar(1));
        ones.data = one.raw();
      } else {
        ones.data = const_cast<void*>(x.dtype() == DType::float32 ? static_cast<const void*>(&one_f32) : &one_f64);
      }
      ones.dtype = x.dtype();
      ones.rows = 1, ones.cols = g.rows, ones.col_stride = 0;
      product(matrices_of(dx[2], VectorAs::row), ones, g);
    }
  }
};

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) { return apply<Matmul>(a, b); }

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Activation act) {
  return apply<Linear>(x, weight, bias, act);
}

}  // namespace fastnn
