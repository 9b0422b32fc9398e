#include "ops/norm/norm.h"
#include "python/bind.h"

namespace fastnn {
namespace {

using Optional = std::optional<Tensor>;
Tensor given(const Optional& t) { return t ? *t : Tensor(); }

void bind_channels(Binder& b) {
  b.function(
      "batch_norm",
      [](const Tensor& x, const Optional& running_mean, const Optional& running_var, const Optional& weight,
         const Optional& bias, bool training, std::optional<double> momentum, double eps,
         const Optional& num_batches_tracked) {
        return batch_norm(x, given(running_mean), given(running_var), given(weight), given(bias),
                          given(num_batches_tracked), training, momentum ? *momentum : -1, eps);
      },
      "x"_a, "running_mean"_a = py::none(), "running_var"_a = py::none(), "weight"_a = py::none(),
      "bias"_a = py::none(), "training"_a = false, "momentum"_a = 0.1, "eps"_a = 1e-5,
      "num_batches_tracked"_a = py::none(), R"(Batch normalisation over all axes but the last.

y = (x - mean) / sqrt(var + eps) * weight + bias.

Parameters
----------
x : Tensor [N, ..., C]
    float32 or float64; channels last (PyTorch has them second).
running_mean, running_var : Tensor [C], optional
    Used when not training; when training they move towards the batch's mean and unbiased variance, in place.
weight, bias : Tensor [C], optional
training : bool, default False
    True: mean and (biased) variance of this batch.
momentum : float or None, default 0.1
    running = (1 - momentum) * running + momentum * batch; None: the plain average over num_batches_tracked batches.
eps : float, default 1e-5
num_batches_tracked : Tensor int64, optional
    Counts the training batches.

Source: Ioffe and Szegedy 2015.)");
  b.function(
      "group_norm",
      [](const Tensor& x, int64_t num_groups, const Optional& weight, const Optional& bias, double eps) {
        return group_norm(x, num_groups, given(weight), given(bias), eps);
      },
      "x"_a, "num_groups"_a, "weight"_a = py::none(), "bias"_a = py::none(), "eps"_a = 1e-5,
      R"(Group normalisation: each example, each group of neighbouring channels, by its own mean and variance.

y = (x - mean) / sqrt(var + eps) * weight + bias.

Parameters
----------
x : Tensor [N, ..., C]
    float32 or float64; channels last (PyTorch has them second).
num_groups : int
    Divides C; the groups are runs of C / num_groups channels. 1: layer normalisation over places and channels.
weight, bias : Tensor [C], optional
eps : float, default 1e-5

Source: Wu and He 2018.)");
  b.function(
      "instance_norm",
      [](const Tensor& x, const Optional& running_mean, const Optional& running_var, const Optional& weight,
         const Optional& bias, bool use_input_stats, std::optional<double> momentum, double eps,
         const Optional& num_batches_tracked) {
        return instance_norm(x, given(running_mean), given(running_var), given(weight), given(bias),
                             given(num_batches_tracked), use_input_stats, momentum ? *momentum : -1, eps);
      },
      "x"_a, "running_mean"_a = py::none(), "running_var"_a = py::none(), "weight"_a = py::none(),
      "bias"_a = py::none(), "use_input_stats"_a = true, "momentum"_a = 0.1, "eps"_a = 1e-5,
      "num_batches_tracked"_a = py::none(),
      R"(Instance normalisation: each channel of each example by the mean and variance over its places.

y = (x - mean) / sqrt(var + eps) * weight + bias.

Parameters
----------
x : Tensor [N, ..., C]
    At least three axes, float32 or float64; channels last (PyTorch has them second).
running_mean, running_var : Tensor [C], optional
    Move towards the examples' average mean and unbiased variance, in place; used when use_input_stats is False.
weight, bias : Tensor [C], optional
use_input_stats : bool, default True
momentum : float or None, default 0.1
    As in batch_norm.
eps : float, default 1e-5
num_batches_tracked : Tensor int64, optional

Source: Ulyanov, Vedaldi and Lempitsky 2016.)");
}

}  // namespace

void bind_norm(Binder& b) {
  bind_channels(b);
  b.function(
      "layer_norm",
      [](const Tensor& x, const Dims& normalized_shape, const Optional& weight, const Optional& bias, double eps) {
        return layer_norm(x, normalized_shape, given(weight), given(bias), eps);
      },
      "x"_a, "normalized_shape"_a, "weight"_a = py::none(), "bias"_a = py::none(), "eps"_a = 1e-5,
      R"(Layer normalisation over the last axes.

y = (x - mean) / sqrt(var + eps) * weight + bias, mean and (biased) variance over the axes of normalized_shape.

Parameters
----------
x : Tensor [..., *normalized_shape]
    float32 or float64.
normalized_shape : int or sequence of int
    The sizes of the last axes of x.
weight, bias : Tensor [*normalized_shape], optional
eps : float, default 1e-5

Source: Ba, Kiros and Hinton 2016.)");
  b.function(
      "rms_norm",
      [](const Tensor& x, const Dims& normalized_shape, const Optional& weight, std::optional<double> eps) {
        if (eps && !(*eps >= 0)) throw ValueError(str("rms_norm: expected eps >= 0, got ", *eps));
        return rms_norm(x, normalized_shape, given(weight), eps ? *eps : -1);
      },
      "x"_a, "normalized_shape"_a, "weight"_a = py::none(), "eps"_a = py::none(),
      R"(Root mean square normalisation over the last axes: y = x / sqrt(mean(x^2) + eps) * weight.

Parameters
----------
x : Tensor [..., *normalized_shape]
    float32 or float64.
normalized_shape : int or sequence of int
    The sizes of the last axes of x.
weight : Tensor [*normalized_shape], optional
eps : float, optional
    Default: the distance from 1 to the next number of x's dtype (2^-23 for float32).

Source: Zhang and Sennrich 2019.)");
  b.function(
      "local_response_norm",
      [](const Tensor& x, int64_t size, double alpha, double beta, double k) {
        return local_response_norm(x, size, alpha, beta, k);
      },
      "x"_a, "size"_a, "alpha"_a = 1e-4, "beta"_a = 0.75, "k"_a = 1.0,
      R"(Local response normalisation over neighbouring channels.

y = x / (k + alpha / size * sum of x^2)^beta, the sum over `size` channels around each one (outside: zeros).

Parameters
----------
x : Tensor [N, ..., C]
    float32 or float64; channels last (PyTorch has them second).
size : int
    Channels in a window: size // 2 before, (size - 1) // 2 after.
alpha, beta, k : float
    Defaults 1e-4, 0.75, 1. AlexNet's paper has size 5, k 2 and alpha not divided by size: pass alpha = 5e-4 here.

Source: Krizhevsky, Sutskever and Hinton 2012.)");
}

}  // namespace fastnn
