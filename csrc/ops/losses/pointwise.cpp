#include "ops/losses/pointwise.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce.h"
#include "ops/view/view.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

constexpr int64_t kBlock = 16384;  // elements per task and per partial sum

double summed(const Tensor& x) { return item(sum(to(x, DType::float64), {}, false)).d; }

// `w` as a row-major tensor of x's shape and dtype.
Tensor like(const char* op, const char* what, const Tensor& w, const Tensor& x) {
  if (broadcast_shapes(op, w.shape(), x.shape()) != x.shape())
    throw ValueError(str(op, ": ", what, " of shape ", w.shape(), " does not broadcast to ", x.shape()));
  return contiguous(to(expand(w.detach(), x.shape()), x.dtype()));
}

struct Pointwise {
  static constexpr const char* name = "pointwise_loss";
  const char* label = name;
  PointwiseArgs args{};
  Reduction reduction = Reduction::mean;
  double scale = 1;

  void check(const char* what, PointwiseLoss loss, const Tensor& x, const Tensor& target, double parameter,
             Reduction how, const std::pair<Tensor, Tensor>&, double) {
    label = what;
    if (!x.is_floating()) throw TypeError(str(label, ": x must be float32 or float64, got ", x.dtype()));
    if (x.shape() != target.shape())
      throw ValueError(str(label, ": x and target must have one shape, got ", x.shape(), " and ", target.shape()));
    args.loss = static_cast<int>(loss);
    args.is_double = x.dtype() == DType::float64;
    args.n = x.numel();
    args.p = parameter;
    reduction = how;
  }

  // `weights`: weight times mask, and pos_weight (constants: no gradient); `count` is what "mean" divides by.
  Tensor forward(Saved& saved, const char*, PointwiseLoss, const Tensor& x, const Tensor& target, double, Reduction,
                 const std::pair<Tensor, Tensor>& weights, double count) {
    const Tensor a = contiguous(x.detach()), t = contiguous(target.detach());
    const int64_t blocks = (args.n + kBlock - 1) / kBlock;
    Tensor sums = empty({blocks}, DType::float64), y;
    if (reduction == Reduction::none) y = empty(x.shape(), x.dtype());
    launch(kernels::pointwise_loss_forward, bound(a, t, weights.first, weights.second), y.defined() ? y.raw() : nullptr,
           sums.data<double>(), kBlock);
    saved.keep(a);
    saved.keep(t);
    saved.keep(weights.first);
    saved.keep(weights.second);
    if (y.defined()) return y;
    double total = 0;
    for (int64_t b = 0; b < blocks; ++b) total += sums.data<double>()[b];
    if (reduction == Reduction::mean) scale = 1 / count;
    return scalar_tensor(Scalar(reduction == Reduction::mean ? total / count : total), x.dtype());
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor g = contiguous(dy[0]);
    Tensor gx = dx.needs(0) ? empty_like(saved[0]) : Tensor(), gt = dx.needs(1) ? empty_like(saved[1]) : Tensor();
    launch(kernels::pointwise_loss_backward, bound(saved[0], saved[1], saved[2], saved[3]),
           gx.defined() ? gx.raw() : nullptr, gt.defined() ? gt.raw() : nullptr, g.raw(),
           int64_t{reduction == Reduction::none}, scale, kBlock);
    dx[0] = gx;
    dx[1] = gt;
  }

  PointwiseArgs bound(const Tensor& x, const Tensor& t, const Tensor& w, const Tensor& q) const {
    PointwiseArgs a = args;
    a.x = x.raw();
    a.t = t.raw();
    a.w = w.defined() ? w.raw() : nullptr;
    a.q = q.defined() ? q.raw() : nullptr;
    return a;
  }
};

}  // namespace

Tensor pointwise_loss(const char* name, PointwiseLoss loss, const Tensor& x, const Tensor& target, double parameter,
                      Reduction reduction, const Tensor& weight, const Tensor& mask, const Tensor& pos_weight) {
  const DType type = target.is_floating() ? promote(x.dtype(), target.dtype()) : x.dtype();
  const Tensor a = to(x, type), t = to(target, type);
  Tensor w, q;
  double count = static_cast<double>(x.numel());
  if (a.is_floating() && a.shape() == t.shape()) {
    if (weight.defined()) w = like(name, "weight", weight, a);
    if (mask.defined()) {
      const Tensor m = like(name, "mask", to(mask, DType::bool_), a);
      count = summed(m);
      w = w.defined() ? mul(w, m) : m;
    }
    if (pos_weight.defined()) q = like(name, "pos_weight", pos_weight, a);
  }
  return apply<Pointwise>(name, loss, a, t, parameter, reduction, std::make_pair(w, q), count);
}

}  // namespace fastnn
