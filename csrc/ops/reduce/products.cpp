// Products, norms and logsumexp.
#include <cmath>

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce.h"
#include "ops/reduce/reduce_detail.h"

namespace fastnn {
namespace {

struct Prod {
  static constexpr const char* name = "prod";
  Dims axes;
  void check(const Tensor&, const Dims& a, bool) { axes = a; }
  Tensor forward(Saved& saved, const Tensor& x, const Dims&, bool keepdim) {
    saved.keep(x);
    return x.is_floating() ? fold(Fold::prod, 1, x, axes, keepdim) : fold_ints(IntFold::prod, x, axes, keepdim);
  }
  // dy * (product of the others): y / x where nothing is zero, else only a lone zero has one.
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor& x = saved[0];
    Tensor product = empty(dy[0].shape(), x.dtype()), zeros = empty_like(product);
    if (product.numel()) {
      const ReduceLoop loop = reduce_loop(x, axes, false);
      const ReduceScratch scratch(loop);
      launch(kernels::reduce_prod_parts, type_of(x), product.raw(), zeros.raw(), x.raw(), loop, scratch.get());
    }
    dx[0] = spread(Spread::quotient, x, coefficient(Coefficient::product, dy[0], Tensor(), product), zeros, axes);
  }
};

struct LogSumExp {
  static constexpr const char* name = "logsumexp";
  Dims axes;
  void check(const Tensor& x, const Dims& a, bool) {
    require_floating(name, x);
    axes = a;
  }
  Tensor forward(Saved& saved, const Tensor& x, const Dims&, bool keepdim) {
    Tensor y = empty(reduced_shape(x.shape(), axes, keepdim), x.dtype());
    if (y.numel()) {
      const ReduceLoop loop = reduce_loop(x, axes, false);
      const ReduceScratch scratch(loop);
      launch(kernels::reduce_logsumexp, type_of(x), y.raw(), x.raw(), loop, scratch.get());
    }
    saved.keep(x);
    saved.keep(y);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = spread(Spread::exponent, saved[0], dy[0], saved[1], axes);
  }
};

struct Norm {
  static constexpr const char* name = "norm";
  Dims axes;
  double p = 2;
  void check(const Tensor& x, double power, const Dims& a, bool) {
    require_floating(name, x);
    axes = a, p = power;
    if (p != p) throw ValueError("norm: p must be a number, got nan");
    if (std::isinf(p) || p < 0) require_elements(name, x, axes);
  }
  Tensor forward(Saved& saved, const Tensor& x, double, const Dims&, bool keepdim) {
    const Fold kind = std::isinf(p) ? (p > 0 ? Fold::abs_max : Fold::abs_min)
                      : p == 0      ? Fold::nonzero
                      : p == 1      ? Fold::abs_sum
                      : p == 2      ? Fold::square
                                    : Fold::power;
    const Tensor y = fold(kind, p, x, axes, keepdim);
    saved.keep(x);
    saved.keep(y);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &x = saved[0], &y = saved[1];
    if (p == 0) {
      dx[0] = spread(Spread::scaled, x, coefficient(Coefficient::scale, dy[0], y, Tensor(), 0.0), Tensor(), axes);
    } else if (p == 1) {
      dx[0] = spread(Spread::sign, x, dy[0], Tensor(), axes);
    } else if (p == 2) {
      dx[0] = spread(Spread::scaled, x, coefficient(Coefficient::root, dy[0], y, Tensor()), Tensor(), axes);
    } else if (std::isinf(p)) {
      Tensor ties = empty_like(y);
      if (y.numel()) {
        const ReduceLoop loop = reduce_loop(x, axes, false);
        const ReduceScratch scratch(loop);
        launch(kernels::reduce_count_equal, type_of(x), ties.raw(), x.raw(), y.raw(), true, loop, scratch.get());
      }
      dx[0] = spread(Spread::equal_abs, x, coefficient(Coefficient::divide, dy[0], Tensor(), ties), y, axes);
    } else {
      const Tensor a = coefficient(Coefficient::power, dy[0], y, Tensor(), p - 1);
      dx[0] = spread(Spread::power, x, a, Tensor(), axes, p);
    }
  }
};

}  // namespace

Tensor prod(const Tensor& x, const Dims& axes, bool keepdim) {
  return apply<Prod>(x, normalize_axes("prod", axes, x.dim()), keepdim);
}
Tensor logsumexp(const Tensor& x, const Dims& axes, bool keepdim) {
  return apply<LogSumExp>(x, normalize_axes("logsumexp", axes, x.dim()), keepdim);
}
Tensor norm(const Tensor& x, double p, const Dims& axes, bool keepdim) {
  return apply<Norm>(x, p, normalize_axes("norm", axes, x.dim()), keepdim);
}

}  // namespace fastnn
