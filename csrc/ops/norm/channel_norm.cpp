#include "ops/norm/channel_norm.h"

#include "autograd/op.h"
#include "core/scratch.h"
#include "ops/elementwise/elementwise.h"
#include "ops/norm/norm.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void* pointer(const Tensor& x) { return x.defined() ? x.raw() : nullptr; }
Tensor dense(const Tensor& x) { return x.defined() ? contiguous(x.detach()) : x; }

// What the three normalisations differ in.
struct ChannelArgs {
  const char* name;
  bool batch;      // statistics over the examples too
  int64_t groups;  // 0: as many as channels
  bool training;   // statistics of x; else the running ones
  double momentum, eps;
};

struct ChannelNorm {
  const char* name = "batch_norm";
  bool given = false;
  ChannelShape shape{};

  void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
             const Tensor& running_var, const Tensor& batches, const ChannelArgs& a) {
    name = a.name;
    given = !a.training;
    if (!x.is_floating()) throw TypeError(str(name, ": expected float32 or float64, got ", x.dtype()));
    if (x.dim() < 2) throw ValueError(str(name, ": expected an input [N, ..., C], got shape ", x.shape()));
    const int64_t channels = x.shape().back();
    if (a.groups != 0 && (a.groups < 0 || channels % a.groups != 0))
      throw ValueError(str(name, ": expected a number of groups that divides the ", channels, " channels of x ",
                           x.shape(), ", got ", a.groups));
    const auto vector = [&](const Tensor& t, const char* what) {
      if (t.defined() && (t.shape() != Dims{channels} || t.dtype() != x.dtype()))
        throw ValueError(str(name, ": ", what, " expects shape [", channels, "] and dtype ", x.dtype(), " (x is ",
                             x.shape(), "), got ", t.shape(), " and ", t.dtype()));
    };
    vector(weight, "weight"), vector(bias, "bias");
    vector(running_mean, "running_mean"), vector(running_var, "running_var");
    if (running_mean.defined() != running_var.defined())
      throw ValueError(str(name, ": expected both running_mean and running_var or neither"));
    if (given && !running_mean.defined())
      throw ValueError(str(name, ": running statistics are needed when those of x are not used"));
    if (batches.defined() && (batches.dtype() != DType::int64 || batches.numel() != 1))
      throw ValueError(str(name, ": the count of batches expects one int64"));
    if (!(a.eps >= 0)) throw ValueError(str(name, ": expected eps >= 0, got ", a.eps));
    if (a.momentum > 1 || a.momentum != a.momentum)
      throw ValueError(str(name, ": expected momentum in [0, 1], got ", a.momentum));
    shape.c = channels;
    shape.n = a.batch || given ? 1 : x.shape()[0];
    shape.s = 1;
    for (int i = a.batch || given ? 0 : 1; i + 1 < x.dim(); ++i) shape.s = checked_mul(shape.s, x.shape()[i]);
    shape.groups = a.groups == 0 || given ? channels : a.groups;
    if (a.training && channels > 0 && shape.n > 0 && checked_mul(shape.s, channels / shape.groups) < 2)
      throw ValueError(str(name, ": expected more than one value for each mean and variance, got shape ", x.shape()));
    for (const Tensor* t : {&running_mean, &running_var, &batches}) {
      if (given || !t->defined()) continue;
      check_writable(name, *t);
      if (!t->is_contiguous()) throw ValueError(str(name, ": running statistics must be contiguous"));
    }
  }

  Tensor forward(Saved& saved, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                 const Tensor& running_var, const Tensor& batches, const ChannelArgs& a) {
    const Tensor xs = dense(x), w = dense(weight), b = dense(bias), y = empty(x.shape(), x.dtype());
    const Tensor stats = empty({3, checked_mul(shape.n, shape.groups)}, DType::float64);
    const int type = static_cast<int>(x.dtype());
    if (shape.c > 0) {
      if (given) {
        launch(kernels::channel_norm_given, type, stats.data<double>(), dense(running_mean).raw(),
               dense(running_var).raw(), shape.c, a.eps);
      } else {
        launch(kernels::channel_norm_stats, type, stats.data<double>(), static_cast<double*>(pointer(part())),
               sums().data<double>(), xs.raw(), shape, a.eps);
        if (shape.n > 0 && (running_mean.defined() || batches.defined()))
          launch(kernels::channel_norm_running, type, pointer(running_mean), pointer(running_var),
                 batches.defined() ? batches.data<int64_t>() : nullptr, stats.data<double>(), shape, a.momentum);
        for (const Tensor& t : {running_mean, running_var, batches})
          if (t.defined()) t.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
      }
      launch(kernels::channel_norm_apply, type, y.raw(), xs.raw(), stats.data<double>(), pointer(w), pointer(b), shape);
    }
    saved.keep(x);
    saved.keep(weight);
    saved.keep(stats);
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor x = dense(saved[0]), w = dense(saved[1]), g = dense(dy[0]), &stats = saved[2];
    if (dx.needs(0)) dx[0] = empty(x.shape(), x.dtype());
    const Tensor dweight = empty({shape.c}, x.dtype()), dbias = empty({shape.c}, x.dtype());
    if (shape.c > 0)
      launch(kernels::channel_norm_backward, static_cast<int>(x.dtype()), pointer(dx[0]), dweight.raw(), dbias.raw(),
             static_cast<double*>(pointer(part())), sums().data<double>(), g.raw(), x.raw(), stats.data<double>(),
             pointer(w), shape, given);
    if (dx.needs(1)) dx[1] = dweight;
    if (dx.needs(2)) dx[2] = dbias;
  }

  // Scratch of the kernels.
  Tensor part() const { return cpu_scratch({shape.n, shape.all_blocks(), 2, shape.width()}, DType::float64); }
  Tensor sums() const { return empty({shape.n, 2, shape.c}, DType::float64); }
};

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                  const Tensor& bias, const Tensor& batches, bool training, double momentum, double eps) {
  return apply<ChannelNorm>(x, weight, bias, running_mean, running_var, batches,
                            ChannelArgs{"batch_norm", true, 0, training, momentum, eps});
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps) {
  if (groups < 1) throw ValueError(str("group_norm: expected at least one group, got ", groups));
  return apply<ChannelNorm>(x, weight, bias, Tensor(), Tensor(), Tensor(),
                            ChannelArgs{"group_norm", false, groups, true, 0, eps});
}

Tensor instance_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                     const Tensor& bias, const Tensor& batches, bool use_input_stats, double momentum, double eps) {
  if (x.dim() < 3) throw ValueError(str("instance_norm: expected an input [N, ..., C], got shape ", x.shape()));
  return apply<ChannelNorm>(x, weight, bias, running_mean, running_var, batches,
                            ChannelArgs{"instance_norm", false, 0, use_input_stats, momentum, eps});
}

}  // namespace fastnn
