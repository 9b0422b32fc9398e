#include "ops/elementwise/elementwise.h"
#include "ops/losses/cross_entropy.h"
#include "ops/losses/pointwise.h"
#include "python/bind.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

using Optional = std::optional<Tensor>;
Tensor given(const Optional& t) { return t ? *t : Tensor(); }

// Binds a loss without parameter under its name.
template <PointwiseLoss Loss>
void plain(Binder& b, const char* name, const char* doc) {
  b.function(
      name,
      [name](const Tensor& x, const Tensor& target, const std::string& reduction, const Optional& weight,
             const Optional& mask) {
        return pointwise_loss(name, Loss, x, target, 0, reduction_from(name, reduction), given(weight), given(mask),
                              Tensor());
      },
      "x"_a, "target"_a, "reduction"_a = "mean", "weight"_a = py::none(), "mask"_a = py::none(), doc);
}

// Binds a loss with one positive parameter.
template <PointwiseLoss Loss>
void with_parameter(Binder& b, const char* name, const char* parameter, const char* doc) {
  b.function(
      name,
      [name, parameter](const Tensor& x, const Tensor& target, double value, const std::string& reduction,
                        const Optional& weight, const Optional& mask) {
        if (!(value > 0) || value - value != 0)
          throw ValueError(str(name, ": ", parameter, " must be positive and finite, got ", value));
        return pointwise_loss(name, Loss, x, target, value, reduction_from(name, reduction), given(weight), given(mask),
                              Tensor());
      },
      "x"_a, "target"_a, py::arg(parameter) = 1.0, "reduction"_a = "mean", "weight"_a = py::none(),
      "mask"_a = py::none(), doc);
}

template <class T>
void check_unit(const T* p, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (p[i] < 0 || p[i] > 1)
      throw ValueError(str("binary_cross_entropy: x must hold probabilities in [0, 1], got ", p[i], " at position ", i,
                           " (for logits use binary_cross_entropy_with_logits)"));
}

void check_probabilities(const Tensor& x) {
  check_on_cpu(contiguous(x.detach()), [](const Tensor& c) {
    if (c.dtype() == DType::float32) launch_host(&check_unit<float>, c.data<float>(), c.numel());
    if (c.dtype() == DType::float64) launch_host(&check_unit<double>, c.data<double>(), c.numel());
  });
}

}  // namespace

void bind_losses(Binder& b) {
  b.function(
      "cross_entropy",
      [](const Tensor& x, const Tensor& target, const Optional& weight, int64_t ignore_index,
         const std::string& reduction, double label_smoothing) {
        return cross_entropy(x, target, given(weight), ignore_index, reduction_from("cross_entropy", reduction),
                             label_smoothing);
      },
      "x"_a, "target"_a, "weight"_a = py::none(), "ignore_index"_a = -100, "reduction"_a = "mean",
      "label_smoothing"_a = 0.0,
      R"(Softmax and cross-entropy in one pass over the last axis.

Parameters
----------
x : Tensor [..., C]
    Logits; the classes are the last axis (PyTorch has them second).
target : Tensor
    Labels [...], integers in [0, C) or `ignore_index`; or probabilities [..., C].
weight : Tensor [C], optional
    Weight of each class.
ignore_index : int
    Rows with this label cost nothing and get no gradient.
reduction : {'mean', 'sum', 'none'}
    'mean' divides by the summed weights of the labels (probabilities: by the number of rows).
label_smoothing : float
    eps in t' = (1 - eps) t + eps / C.

Raises
------
IndexError
    A label outside [0, C).)");
  b.function(
      "nll_loss",
      [](const Tensor& x, const Tensor& target, const Optional& weight, int64_t ignore_index,
         const std::string& reduction) {
        return nll_loss(x, target, given(weight), ignore_index, reduction_from("nll_loss", reduction));
      },
      "x"_a, "target"_a, "weight"_a = py::none(), "ignore_index"_a = -100, "reduction"_a = "mean",
      "Negative log-likelihood: -weight[label] x[..., label] of log-probabilities x [..., C]; arguments as in "
      "cross_entropy.");
  plain<PointwiseLoss::mse>(
      b, "mse_loss",
      "(x - target)**2. `mask` marks the known targets: others cost nothing and 'mean' does not count them.");
  plain<PointwiseLoss::l1>(b, "l1_loss", "|x - target|. `mask` as in mse_loss.");
  with_parameter<PointwiseLoss::huber>(
      b, "huber_loss", "delta",
      "0.5 d**2 where |d| <= delta, else delta (|d| - 0.5 delta), d = x - target. (Huber 1964.)");
  b.function(
      "smooth_l1_loss",
      [](const Tensor& x, const Tensor& target, double beta, const std::string& reduction, const Optional& weight,
         const Optional& mask) {
        if (!(beta >= 0) || beta - beta != 0)
          throw ValueError(str("smooth_l1_loss: beta must be >= 0 and finite, got ", beta));
        const PointwiseLoss loss = beta == 0 ? PointwiseLoss::l1 : PointwiseLoss::smooth_l1;
        return pointwise_loss("smooth_l1_loss", loss, x, target, beta, reduction_from("smooth_l1_loss", reduction),
                              given(weight), given(mask), Tensor());
      },
      "x"_a, "target"_a, "beta"_a = 1.0, "reduction"_a = "mean", "weight"_a = py::none(), "mask"_a = py::none(),
      "0.5 d**2 / beta where |d| < beta, else |d| - 0.5 beta, d = x - target.");
  b.function(
      "binary_cross_entropy",
      [](const Tensor& x, const Tensor& target, const Optional& weight, const std::string& reduction,
         const Optional& mask) {
        check_probabilities(x);
        return pointwise_loss("binary_cross_entropy", PointwiseLoss::bce, x, target, 0,
                              reduction_from("binary_cross_entropy", reduction), given(weight), given(mask), Tensor());
      },
      "x"_a, "target"_a, "weight"_a = py::none(), "reduction"_a = "mean", "mask"_a = py::none(),
      "-(t log x + (1 - t) log(1 - x)) of probabilities x; logarithms are cut off at -100. `mask` marks the known "
      "labels (others may hold anything).");
  b.function(
      "binary_cross_entropy_with_logits",
      [](const Tensor& x, const Tensor& target, const Optional& weight, const std::string& reduction,
         const Optional& pos_weight, const Optional& mask) {
        const char* name = "binary_cross_entropy_with_logits";
        return pointwise_loss(name, PointwiseLoss::bce_with_logits, x, target, 0, reduction_from(name, reduction),
                              given(weight), given(mask), given(pos_weight));
      },
      "x"_a, "target"_a, "weight"_a = py::none(), "reduction"_a = "mean", "pos_weight"_a = py::none(),
      "mask"_a = py::none(),
      "Binary cross-entropy of sigmoid(x), computed without overflow; `pos_weight` scales the positive term, `mask` "
      "marks the known labels.");
  b.function(
      "kl_div",
      [](const Tensor& x, const Tensor& target, const std::string& reduction, bool log_target) {
        const bool batch = reduction == "batchmean";
        const Tensor y =
            pointwise_loss("kl_div", log_target ? PointwiseLoss::kl_div_log : PointwiseLoss::kl_div, x, target, 0,
                           batch ? Reduction::sum : reduction_from("kl_div", reduction), Tensor(), Tensor(), Tensor());
        if (!batch) return y;
        if (x.dim() == 0) throw ValueError("kl_div: reduction 'batchmean' needs a batch axis, got a 0-d tensor");
        return div(y, scalar_tensor(Scalar(x.shape()[0]), y.dtype()));
      },
      "x"_a, "target"_a, "reduction"_a = "mean", "log_target"_a = false,
      "Kullback-Leibler divergence target (log target - x) of log-probabilities x; 'batchmean' divides the sum by the "
      "first size.");
  with_parameter<PointwiseLoss::hinge>(b, "hinge_loss", "margin", "max(0, margin - target x), targets -1 or 1.");
  with_parameter<PointwiseLoss::hinge_embedding>(b, "hinge_embedding_loss", "margin",
                                                 "x where target is 1, max(0, margin - x) where it is -1.");
}

}  // namespace fastnn
