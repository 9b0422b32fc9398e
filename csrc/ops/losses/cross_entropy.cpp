#include "ops/losses/cross_entropy.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

// Rows per task: about 16K elements, from the shape alone.
int64_t rows_per_block(int64_t cols) { return cols >= 16384 ? 1 : 16384 / (cols > 0 ? cols : 1); }

Dims without_last(const Dims& shape) {
  Dims s = shape;
  s.erase(s.size() - 1);
  return s;
}

void check_labels(const char* op, const int64_t* y, int64_t rows, int64_t classes, int64_t ignore_index) {
  for (int64_t r = 0; r < rows; ++r)
    if ((y[r] < 0 || y[r] >= classes) && y[r] != ignore_index)
      throw IndexError(str(op, ": label ", y[r], " at position ", r, " is not in [0, ", classes, ")"));
}

struct CrossEntropy {
  static constexpr const char* name = "cross_entropy";
  const char* label = name;
  CrossEntropyArgs args{};
  Reduction reduction = Reduction::mean;
  Dims rows_shape;

  void check(const Tensor& x, const Tensor& target, const Tensor& weight, int64_t ignore_index, Reduction how,
             double smoothing, bool is_log) {
    if (is_log) label = "nll_loss";
    if (!x.is_floating()) throw TypeError(str(label, ": x must be float32 or float64, got ", x.dtype()));
    if (x.dim() < 1) throw ValueError(str(label, ": x must be [..., C], got a 0-d tensor"));
    rows_shape = without_last(x.shape());
    args.cols = x.shape().back();
    args.rows = numel_of(rows_shape);
    if (args.cols < 1)
      throw ValueError(str(label, ": expected at least one class along the last axis, got shape ", x.shape()));
    if (!(smoothing >= 0 && smoothing <= 1))
      throw ValueError(str(label, ": label_smoothing must be in [0, 1], got ", smoothing));
    if (weight.defined() && (weight.shape() != Dims{args.cols} || !weight.is_floating()))
      throw ValueError(str(label, ": weight must be a floating tensor of shape [", args.cols, "], got ", weight.dtype(),
                           " ", weight.shape()));
    args.is_double = x.dtype() == DType::float64;
    args.is_log = is_log;
    args.ignore_index = ignore_index;
    args.smoothing = smoothing;
    reduction = how;
    if (target.is_floating()) {
      if (is_log) throw TypeError(str(label, ": labels must be integers, got ", target.dtype()));
      if (target.shape() != x.shape())
        throw ValueError(str(label, ": probabilities must have the shape of x, ", x.shape(), ", got ", target.shape()));
      return;
    }
    if (target.dtype() == DType::bool_)
      throw TypeError(str(label, ": labels must be integers or probabilities, got bool"));
    if (target.shape() != rows_shape)
      throw ValueError(str(label, ": x is ", x.shape(), ", so labels must be ", rows_shape, ", got ", target.shape()));
  }

  Tensor forward(Saved& saved, const Tensor& x, const Tensor& target, const Tensor& weight, int64_t, Reduction, double,
                 bool) {
    const Tensor logits = contiguous(x.detach());
    const Tensor w = weight.defined() ? to(contiguous(weight.detach()), x.dtype()) : Tensor();
    const Tensor t = target.is_floating()             ? to(contiguous(target.detach()), x.dtype())
                     : target.dtype() == DType::int64 ? private_copy(target)
                                                      : contiguous(to(target, DType::int64));
    if (!target.is_floating())
      check_on_cpu(t, [&](const Tensor& here) {
        launch_host(&check_labels, label, here.data<int64_t>(), args.rows, args.cols, args.ignore_index);
      });
    const int64_t block = rows_per_block(args.cols), blocks = (args.rows + block - 1) / block;
    const bool reduces = reduction != Reduction::none;
    const Tensor lse = empty(rows_shape, x.dtype()), sums = empty({blocks, 2}, DType::float64),
                 scale = empty({}, DType::float64);
    const Tensor loss = empty(reduces ? Dims{} : rows_shape, x.dtype());
    launch(kernels::cross_entropy_forward, bound(logits, t, w), Reduced{reduction, loss.raw(), scale.data<double>()},
           reduces ? nullptr : loss.raw(), lse.raw(), sums.data<double>(), block);
    for (const Tensor& kept : {logits, t, w, lse, scale}) saved.keep(kept);
    return loss;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &x = saved[0], &t = saved[1];
    const Tensor g = contiguous(dy[0]);
    if (dx.needs(0)) dx[0] = empty_like(x);
    if (dx.needs(1)) dx[1] = empty_like(t);
    launch(kernels::cross_entropy_backward, bound(x, t, saved[2]), dx[0].defined() ? dx[0].raw() : nullptr,
           dx[1].defined() ? dx[1].raw() : nullptr, saved[3].raw(), g.raw(), int64_t{reduction == Reduction::none},
           saved[4].data<double>(), rows_per_block(args.cols));
  }

  CrossEntropyArgs bound(const Tensor& x, const Tensor& t, const Tensor& w) const {
    CrossEntropyArgs a = args;
    a.x = x.raw();
    if (t.is_floating())
      a.prob = t.raw();
    else
      a.label = t.data<int64_t>();
    a.weight = w.defined() ? w.raw() : nullptr;
    return a;
  }
};

// The dtype that x and probabilities meet in, so that gradients keep their own.
Tensor call(const Tensor& x, const Tensor& target, const Tensor& weight, int64_t ignore_index, Reduction reduction,
            double smoothing, bool is_log) {
  const DType t = target.is_floating() && x.is_floating() ? promote(x.dtype(), target.dtype()) : x.dtype();
  return apply<CrossEntropy>(to(x, t), target.is_floating() ? to(target, t) : target, weight, ignore_index, reduction,
                             smoothing, is_log);
}

}  // namespace

Tensor cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                     Reduction reduction, double label_smoothing) {
  return call(x, target, weight, ignore_index, reduction, label_smoothing, false);
}

Tensor nll_loss(const Tensor& x, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                Reduction reduction) {
  return call(x, target, weight, ignore_index, reduction, 0, true);
}

}  // namespace fastnn
