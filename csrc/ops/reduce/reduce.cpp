// Sums and moments.
#include "ops/reduce/reduce.h"

#include <tuple>

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce_detail.h"

namespace fastnn {
namespace {

struct Sum {
  static constexpr const char* name = "sum";
  Dims shape, axes;
  void check(const Tensor& x, const Dims& a, bool) { shape = x.shape(), axes = a; }
  Tensor forward(Saved&, const Tensor& x, const Dims&, bool keepdim) {
    return x.is_floating() ? fold(Fold::sum, 1, x, axes, keepdim) : fold_ints(IntFold::sum, x, axes, keepdim);
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = broadcast_gradient(dy[0], shape, axes);
  }
};

struct Mean {
  static constexpr const char* name = "mean";
  Dims shape, axes;
  double n = 0;
  void check(const Tensor& x, const Dims& a, bool) {
    require_floating(name, x);
    shape = x.shape(), axes = a;
    n = static_cast<double>(reduced_count(x, axes));
  }
  Tensor forward(Saved&, const Tensor& x, const Dims&, bool keepdim) { return fold(Fold::sum, n, x, axes, keepdim); }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = broadcast_gradient(coefficient(Coefficient::scale, dy[0], Tensor(), Tensor(), 1.0 / n), shape, axes);
  }
};

struct NanSum {
  static constexpr const char* name = "nansum";
  Dims axes;
  void check(const Tensor& x, const Dims& a, bool) {
    require_floating(name, x);
    axes = a;
  }
  Tensor forward(Saved& saved, const Tensor& x, const Dims&, bool keepdim) {
    saved.keep(x);
    return fold(Fold::nansum, 1, x, axes, keepdim);
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = spread(Spread::number, saved[0], dy[0], Tensor(), axes);
  }
};

// (variance or its root, mean); the two public functions drop what they do not want.
template <bool kRoot>
struct Moments {
  static constexpr const char* name = kRoot ? "std" : "var";
  Dims shape, axes;
  double scale = 0, n = 0;
  void check(const Tensor& x, const Dims& a, double correction, bool) {
    require_floating(name, x);
    shape = x.shape(), axes = a;
    n = static_cast<double>(reduced_count(x, axes));
    const double free = n - correction > 0 ? n - correction : 0.0;
    scale = (kRoot ? 1.0 : 2.0) / free;
  }
  std::tuple<Tensor, Tensor> forward(Saved& saved, const Tensor& x, const Dims&, double correction, bool keepdim) {
    Tensor y = empty(reduced_shape(shape, axes, keepdim), x.dtype()), mean = empty_like(y);
    if (y.numel()) {
      const ReduceLoop loop = reduce_loop(x, axes, false);
      const ReduceScratch scratch(loop);
      launch(kernels::reduce_moments, type_of(x), y.raw(), mean.raw(), x.raw(), correction, kRoot, loop, scratch.get());
    }
    saved.keep(x);
    saved.keep(mean);
    saved.keep(kRoot ? y : Tensor());
    return {y, mean};
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    if (dy[0].defined()) {
      const Tensor a =
          coefficient(kRoot ? Coefficient::root_scale : Coefficient::scale, dy[0], saved[2], Tensor(), scale);
      dx[0] = spread(Spread::centred, saved[0], a, saved[1], axes);
    }
    if (dy[1].defined()) {
      const Tensor share = coefficient(Coefficient::scale, dy[1], Tensor(), Tensor(), 1.0 / n);
      const Tensor g = broadcast_gradient(share, shape, axes);
      dx[0] = dx[0].defined() ? add(dx[0], g) : g;
    }
  }
};

}  // namespace

Tensor sum(const Tensor& x, const Dims& axes, bool keepdim) {
  return apply<Sum>(x, normalize_axes("sum", axes, x.dim()), keepdim);
}
Tensor mean(const Tensor& x, const Dims& axes, bool keepdim) {
  return apply<Mean>(x, normalize_axes("mean", axes, x.dim()), keepdim);
}
Tensor nansum(const Tensor& x, const Dims& axes, bool keepdim) {
  return apply<NanSum>(x, normalize_axes("nansum", axes, x.dim()), keepdim);
}
Tensor var(const Tensor& x, const Dims& axes, double correction, bool keepdim) {
  return std::get<0>(apply<Moments<false>>(x, normalize_axes("var", axes, x.dim()), correction, keepdim));
}
Tensor stddev(const Tensor& x, const Dims& axes, double correction, bool keepdim) {
  return std::get<0>(apply<Moments<true>>(x, normalize_axes("std", axes, x.dim()), correction, keepdim));
}
std::pair<Tensor, Tensor> var_mean(const Tensor& x, const Dims& axes, double correction, bool keepdim) {
  auto [v, m] = apply<Moments<false>>(x, normalize_axes("var_mean", axes, x.dim()), correction, keepdim);
  return {v, m};
}

Tensor sum_to(const Tensor& x, const Dims& shape) {
  if (x.shape() == shape) return x;
  const int lead = static_cast<int>(x.dim()) - shape.size();
  Dims axes;
  for (int i = 0; i < x.dim(); ++i)
    if (i < lead || (shape[i - lead] == 1 && x.shape()[i] != 1)) axes.push_back(i);
  const Tensor y =
      x.is_floating() ? fold(Fold::sum, 1, x, axes, true) : to(fold_ints(IntFold::sum, x, axes, true), x.dtype());
  return alias(y, shape, contiguous_strides(shape), 0);
}

}  // namespace fastnn
