#pragma once
// Losses of one prediction x and one target t at a time, reduced in the same pass.

#include "core/tensor.h"
#include "kernels/kernel.h"
#include "ops/losses/reduction.h"

namespace fastnn {

/// name, value l(x, t; p), dl/dx, dl/dt: defined side by side in pointwise_cpu.cpp. p is the loss's parameter; q is
/// pos_weight, 1 where there is none.
enum class PointwiseLoss : int {
  mse,
  l1,
  huber,
  smooth_l1,
  bce,
  bce_with_logits,
  kl_div,
  kl_div_log,
  hinge,
  hinge_embedding
};

/// `weight` (same shape or broadcastable, may be undefined) scales each loss; where `mask` (bool or number, may be
/// undefined) is 0 the target is unknown: it costs nothing, whatever it holds, and "mean" does not count it. With
/// weights, "mean" of mse and l1 divides by their sum, that of the others by the number of elements: PyTorch's ways.
/// `pos_weight` is for bce_with_logits only. Shapes of x and target must be equal.
Tensor pointwise_loss(const char* name, PointwiseLoss loss, const Tensor& x, const Tensor& target, double parameter,
                      Reduction reduction, const Tensor& weight, const Tensor& mask, const Tensor& pos_weight);

struct PointwiseArgs {
  int32_t loss;
  int32_t is_double;
  int64_t n;
  const void *x, *t;
  const void* w;  // weight; null: 1
  const void* m;  // mask of 0 and 1; null: 1
  const void* q;  // null: 1
  double p;
  int64_t count_weights;  // "mean" divides by the sum of the weights, not by how many there are
};
/// y[i] (may be null); sums is scratch of 2 doubles per block of `block` elements.
FASTNN_KERNEL(pointwise_loss_forward, const PointwiseArgs& args, const Reduced& reduced, void* y, double* sums,
              int64_t block)
/// dx and dt (either may be null); dy per element, or one in all when dy_step is 0.
FASTNN_KERNEL(pointwise_loss_backward, const PointwiseArgs& args, void* dx, void* dt, const void* dy, int64_t dy_step,
              const double* scale, int64_t block)

}  // namespace fastnn
