#pragma once
// Normalisation, channels last. The formulas, with their gradients: batch, group and instance normalisation in
// channel_norm.h, layer and RMS normalisation in row_norm.h, local response normalisation in response_norm.h.

#include "core/tensor.h"

namespace fastnn {

/// x [..., C], at least two axes; statistics over all axes but the last. running_mean, running_var, batches (int64) and
/// weight, bias may be undefined. training: batch statistics, and the running ones follow in place; momentum < 0: their
/// plain average over the batches counted.
Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                  const Tensor& bias, const Tensor& batches, bool training, double momentum, double eps);
/// x [N, ..., C]; statistics over an example's places and each of `groups` runs of C / groups channels.
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias, double eps);
/// x [N, ..., C], at least three axes; statistics over an example's places, each channel by itself. Running statistics
/// (may be undefined) follow in place, or are used instead where `use_input_stats` is false.
Tensor instance_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                     const Tensor& bias, const Tensor& batches, bool use_input_stats, double momentum, double eps);
/// Statistics over the last axes, whose sizes are `shape`; weight and bias (may be undefined) are of that shape.
Tensor layer_norm(const Tensor& x, const Dims& shape, const Tensor& weight, const Tensor& bias, double eps);
/// x / sqrt(mean of x^2 + eps) over the last axes; eps < 0: that of the dtype.
Tensor rms_norm(const Tensor& x, const Dims& shape, const Tensor& weight, double eps);
/// x / (k + alpha / size sum x^2)^beta, the sum over `size` neighbouring channels (last axis).
Tensor local_response_norm(const Tensor& x, int64_t size, double alpha, double beta, double k);

}  // namespace fastnn
