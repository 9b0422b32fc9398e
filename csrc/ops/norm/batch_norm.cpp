#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/norm/batch_norm_kernels.h"
#include "ops/norm/norm.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

template <class T>
T* optional(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

Tensor dense(const Tensor& x) { return x.defined() ? contiguous(x.detach()) : x; }

template <class T, class Apply, class Rstd, class Stats>
Tensor forward_as(const Apply& apply_kernel, const Rstd& rstd_kernel, const Stats& stats_kernel, const Tensor& x,
                  const Tensor& weight, const Tensor& bias, Tensor& mean, Tensor& rstd, const Tensor& running_mean,
                  const Tensor& running_var, const Tensor& batches, bool training, double momentum, double eps) {
  const int64_t channels = x.shape().back(), rows = channels ? x.numel() / channels : 0;
  const int64_t blocks = (rows + FASTNN_BN_ROWS - 1) / FASTNN_BN_ROWS;
  Tensor y = empty(x.shape(), x.dtype());
  rstd = empty({channels}, x.dtype());
  if (training) {
    mean = empty({channels}, x.dtype());
    Tensor scratch = empty({checked_mul(blocks, channels)}, DType::float64);
    launch(stats_kernel, mean.data<T>(), rstd.data<T>(), optional<T>(running_mean), optional<T>(running_var),
           optional<int64_t>(batches), scratch.data<double>(), x.data<T>(), rows, channels, momentum, eps);
    for (const Tensor& t : {running_mean, running_var, batches})
      if (t.defined()) t.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
  } else {
    mean = clone(running_mean);  // kept for backward, and the running one may move on before that
    launch(rstd_kernel, rstd.data<T>(), running_var.data<T>(), channels, eps);
  }
  launch(apply_kernel, y.data<T>(), x.data<T>(), mean.data<T>(), rstd.data<T>(), optional<T>(weight), optional<T>(bias),
         rows, channels);
  return y;
}

struct BatchNorm {
  static constexpr const char* name = "batch_norm";
  bool training = false;

  void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
             const Tensor& running_var, const Tensor& batches, bool train, double momentum, double eps) {
    training = train;
    if (!x.is_floating()) throw TypeError(str(name, ": expected float32 or float64, got ", x.dtype()));
    if (x.dim() < 2) throw ValueError(str(name, ": expected an input [N, ..., C], got shape ", x.shape()));
    const int64_t channels = x.shape().back();
    const auto vector = [&](const Tensor& t, const char* what) {
      if (t.defined() && (t.shape() != Dims{channels} || t.dtype() != x.dtype()))
        throw ValueError(str(name, ": ", what, " expects shape [", channels, "] and dtype ", x.dtype(), " (x is ",
                             x.shape(), "), got ", t.shape(), " and ", t.dtype()));
    };
    vector(weight, "weight"), vector(bias, "bias");
    vector(running_mean, "running_mean"), vector(running_var, "running_var");
    if (running_mean.defined() != running_var.defined())
      throw ValueError(str(name, ": expected both running_mean and running_var or neither"));
    if (!train && !running_mean.defined())
      throw ValueError(str(name, ": running statistics are needed when training is False"));
    if (batches.defined() && (batches.dtype() != DType::int64 || batches.numel() != 1))
      throw ValueError(str(name, ": the count of batches expects one int64"));
    if (train && channels && x.numel() / channels < 2)
      throw ValueError(str(name, ": expected more than one value per channel when training, got shape ", x.shape()));
    if (!(eps >= 0)) throw ValueError(str(name, ": expected eps >= 0, got ", eps));
    if (momentum > 1 || momentum != momentum)
      throw ValueError(str(name, ": expected momentum in [0, 1], got ", momentum));
    for (const Tensor* t : {&running_mean, &running_var, &batches}) {
      if (!train || !t->defined()) continue;
      check_writable(name, *t);
      if (!t->is_contiguous()) throw ValueError(str(name, ": running statistics must be contiguous"));
    }
  }

  Tensor forward(Saved& saved, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                 const Tensor& running_var, const Tensor& batches, bool train, double momentum, double eps) {
    const Tensor xs = dense(x), w = dense(weight), b = dense(bias);
    const Tensor var = train ? running_var : dense(running_var);
    Tensor mean, rstd;
    Tensor y = x.dtype() == DType::float64
                   ? forward_as<double>(kernels::batch_norm_apply_f64, kernels::batch_norm_rstd_f64,
                                        kernels::batch_norm_stats_f64, xs, w, b, mean, rstd, running_mean, var, batches,
                                        train, momentum, eps)
                   : forward_as<float>(kernels::batch_norm_apply_f32, kernels::batch_norm_rstd_f32,
                                       kernels::batch_norm_stats_f32, xs, w, b, mean, rstd, running_mean, var, batches,
                                       train, momentum, eps);
    saved.keep(x);
    saved.keep(weight);
    saved.keep(mean);
    saved.keep(rstd);
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor x = dense(saved[0]), w = dense(saved[1]), g = dense(dy[0]);
    const Tensor &mean = saved[2], &rstd = saved[3];
    const int64_t channels = x.shape().back(), rows = channels ? x.numel() / channels : 0;
    const int64_t blocks = (rows + FASTNN_BN_ROWS - 1) / FASTNN_BN_ROWS;
    Tensor out = dx.needs(0) ? empty(x.shape(), x.dtype()) : Tensor();
    Tensor dweight = empty({channels}, x.dtype()), dbias = empty({channels}, x.dtype());
    Tensor scratch = empty({checked_mul(2 * blocks, channels)}, DType::float64);
    if (x.dtype() == DType::float64) {
      launch(kernels::batch_norm_backward_f64, optional<double>(out), dweight.data<double>(), dbias.data<double>(),
             scratch.data<double>(), g.data<double>(), x.data<double>(), mean.data<double>(), rstd.data<double>(),
             optional<double>(w), rows, channels, training);
    } else {
      launch(kernels::batch_norm_backward_f32, optional<float>(out), dweight.data<float>(), dbias.data<float>(),
             scratch.data<double>(), g.data<float>(), x.data<float>(), mean.data<float>(), rstd.data<float>(),
             optional<float>(w), rows, channels, training);
    }
    if (dx.needs(0)) dx[0] = out;
    if (dx.needs(1)) dx[1] = dweight;
    if (dx.needs(2)) dx[2] = dbias;
  }
};

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                  const Tensor& bias, const Tensor& batches, bool training, double momentum, double eps) {
  return apply<BatchNorm>(x, weight, bias, running_mean, running_var, batches, training, momentum, eps);
}

}  // namespace fastnn
