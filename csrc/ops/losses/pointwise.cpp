#include "ops/losses/pointwise.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/elementwise/operands.h"
#include "ops/view/view.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

constexpr int64_t kBlock = 16384;  // elements per task and per partial sum

// `w` as a row-major tensor of x's shape and dtype.
Tensor like(const char* op, const char* what, const Tensor& w, const Tensor& x) {
  if (broadcast_shapes(op, w.shape(), x.shape()) != x.shape())
    throw ValueError(str(op, ": ", what, " of shape ", w.shape(), " does not broadcast to ", x.shape()));
  return contiguous(to(expand(joined(op, x.device(), w.detach()), x.shape()), x.dtype()));
}

// What scales the losses: constants without gradient.
struct Scaling {
  Tensor weight, mask, pos_weight;
};

struct Pointwise {
  static constexpr const char* name = "pointwise_loss";
  PointwiseArgs args{};
  Reduction reduction = Reduction::mean;

  void check(const char* label, PointwiseLoss loss, const Tensor& x, const Tensor& target, double parameter,
             Reduction how, const Scaling&) {
    if (!x.is_floating()) throw TypeError(str(label, ": x must be float32 or float64, got ", x.dtype()));
    if (x.shape() != target.shape())
      throw ValueError(str(label, ": x and target must have one shape, got ", x.shape(), " and ", target.shape()));
    args.loss = static_cast<int>(loss);
    args.is_double = x.dtype() == DType::float64;
    args.n = x.numel();
    args.p = parameter;
    reduction = how;
  }

  Tensor forward(Saved& saved, const char*, PointwiseLoss, const Tensor& x, const Tensor& target, double, Reduction,
                 const Scaling& by) {
    const Tensor a = contiguous(x.detach()), t = contiguous(target.detach());
    const bool reduces = reduction != Reduction::none;
    const Tensor y = empty(reduces ? Dims{} : x.shape(), x.dtype()), scale = empty({}, DType::float64);
    const Tensor sums = empty({(args.n + kBlock - 1) / kBlock, 2}, DType::float64);
    launch(kernels::pointwise_loss_forward, bound(a, t, by), Reduced{reduction, y.raw(), scale.data<double>()},
           reduces ? nullptr : y.raw(), sums.data<double>(), kBlock);
    for (const Tensor& kept : {a, t, by.weight, by.mask, by.pos_weight, scale}) saved.keep(kept);
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor g = contiguous(dy[0]);
    if (dx.needs(0)) dx[0] = empty_like(saved[0]);
    if (dx.needs(1)) dx[1] = empty_like(saved[1]);
    launch(kernels::pointwise_loss_backward, bound(saved[0], saved[1], {saved[2], saved[3], saved[4]}),
           dx[0].defined() ? dx[0].raw() : nullptr, dx[1].defined() ? dx[1].raw() : nullptr, g.raw(),
           int64_t{reduction == Reduction::none}, saved[5].data<double>(), kBlock);
  }

  PointwiseArgs bound(const Tensor& x, const Tensor& t, const Scaling& by) const {
    const auto pointer = [](const Tensor& w) { return w.defined() ? w.raw() : nullptr; };
    PointwiseArgs a = args;
    a.x = x.raw();
    a.t = t.raw();
    a.w = pointer(by.weight);
    a.m = pointer(by.mask);
    a.q = pointer(by.pos_weight);
    const auto loss = static_cast<PointwiseLoss>(a.loss);
    a.count_weights = a.w && (loss == PointwiseLoss::mse || loss == PointwiseLoss::l1);
    return a;
  }
};

}  // namespace

Tensor pointwise_loss(const char* name, PointwiseLoss loss, const Tensor& x, const Tensor& target, double parameter,
                      Reduction reduction, const Tensor& weight, const Tensor& mask, const Tensor& pos_weight) {
  const DType type = target.is_floating() ? promote(x.dtype(), target.dtype()) : x.dtype();
  const Tensor a = to(x, type), t = to(target, type);
  Scaling by;
  if (a.is_floating() && a.shape() == t.shape()) {
    if (weight.defined()) by.weight = like(name, "weight", weight, a);
    if (mask.defined()) by.mask = like(name, "mask", to(mask, DType::bool_), a);
    if (pos_weight.defined()) by.pos_weight = like(name, "pos_weight", pos_weight, a);
  }
  return apply<Pointwise>(name, loss, a, t, parameter, reduction, by);
}

}  // namespace fastnn
