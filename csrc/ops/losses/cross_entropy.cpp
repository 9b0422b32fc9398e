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

struct CrossEntropy {
  static constexpr const char* name = "cross_entropy";
  const char* label = name;
  CrossEntropyArgs args{};
  Reduction reduction = Reduction::mean;
  double scale = 1;
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
    const Tensor t = to(contiguous(target.detach()), target.is_floating() ? x.dtype() : DType::int64);
    if (!target.is_floating()) check_labels(t);
    args.weight_sum = static_cast<double>(args.cols);
    if (w.defined()) {
      args.weight_sum = 0;
      for (int64_t c = 0; c < args.cols; ++c)
        args.weight_sum += args.is_double ? w.data<double>()[c] : w.data<float>()[c];
    }
    const int64_t block = rows_per_block(args.cols), blocks = (args.rows + block - 1) / block;
    Tensor loss = empty(rows_shape, x.dtype()), lse = empty(rows_shape, x.dtype()),
           sums = empty({blocks, 2}, DType::float64);
    launch(kernels::cross_entropy_forward, bound(logits, t, w), loss.raw(), lse.raw(), sums.data<double>(), block);
    saved.keep(logits);
    saved.keep(t);
    saved.keep(w);
    saved.keep(lse);
    if (reduction == Reduction::none) return loss;
    double total = 0, count = 0;
    for (int64_t b = 0; b < blocks; ++b) total += sums.data<double>()[2 * b], count += sums.data<double>()[2 * b + 1];
    if (reduction == Reduction::mean) scale = 1 / count;
    return scalar_tensor(Scalar(reduction == Reduction::mean ? total / count : total), x.dtype());
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &x = saved[0], &t = saved[1];
    const Tensor g = contiguous(dy[0]);
    Tensor gx = dx.needs(0) ? empty_like(x) : Tensor(), gt = dx.needs(1) ? empty_like(t) : Tensor();
    launch(kernels::cross_entropy_backward, bound(x, t, saved[2]), gx.defined() ? gx.raw() : nullptr,
           gt.defined() ? gt.raw() : nullptr, saved[3].raw(), g.raw(), int64_t{reduction == Reduction::none}, scale,
           rows_per_block(args.cols));
    dx[0] = gx;
    if (gt.defined()) dx[1] = gt;
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

  void check_labels(const Tensor& t) const {
    const int64_t* y = t.data<int64_t>();
    for (int64_t r = 0; r < args.rows; ++r)
      if ((y[r] < 0 || y[r] >= args.cols) && y[r] != args.ignore_index)
        throw IndexError(str(label, ": label ", y[r], " at position ", r, " is not in [0, ", args.cols, ")"));
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
