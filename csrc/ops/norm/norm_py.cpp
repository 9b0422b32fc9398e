#include "ops/norm/norm.h"
#include "python/bind.h"

namespace fastnn {

void bind_norm(Binder& b) {
  using Optional = std::optional<Tensor>;
  const auto given = [](const Optional& t) { return t ? *t : Tensor(); };
  b.function(
      "batch_norm",
      [given](const Tensor& x, const Optional& running_mean, const Optional& running_var, const Optional& weight,
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
    float32 or float64.
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
}

}  // namespace fastnn
