#pragma once
// Normalisation. The formulas of batch normalisation, with its gradients, stand in batch_norm_kernels.h.

#include "core/tensor.h"

namespace fastnn {

/// x [..., C], at least two axes; statistics over all axes but the last. running_mean, running_var, batches (int64) and
/// weight, bias may be undefined. training: batch statistics, and the running ones follow in place; momentum < 0: their
/// plain average over the batches counted.
Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                  const Tensor& bias, const Tensor& batches, bool training, double momentum, double eps);

}  // namespace fastnn
