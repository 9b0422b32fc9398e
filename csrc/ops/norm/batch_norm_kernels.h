#pragma once
// Batch normalisation of x [R, C] over its rows, channels last.
//
//   mean_c = sum_r x_rc / R      var_c = sum_r (x_rc - mean_c)^2 / R      s_c = 1 / sqrt(var_c + eps)
//   y_rc = (x_rc - mean_c) s_c weight_c + bias_c
//   dbias_c = sum_r dy_rc        dweight_c = sum_r dy_rc xhat_rc          xhat_rc = (x_rc - mean_c) s_c
//   dx_rc = weight_c s_c (dy_rc - dbias_c / R - xhat_rc dweight_c / R)    with batch statistics
//   dx_rc = weight_c s_c dy_rc                                            with running statistics
//
// Sums over rows go by blocks of FASTNN_BN_ROWS rows, whose partial sums are added in order: the tree depends on R
// only.

#include <cstdint>

#include "kernels/kernel.h"

#define FASTNN_BN_ROWS 64

namespace fastnn {

// mean and s from the batch; updates the running statistics (null: none) with the unbiased variance, and counts the
// batch (null: none). momentum < 0 means the plain average over the batches counted. scratch: ceil(R / FASTNN_BN_ROWS)
// * C doubles.
FASTNN_KERNEL(batch_norm_stats_f32, float* mean, float* rstd, float* running_mean, float* running_var, int64_t* batches,
              double* scratch, const float* x, int64_t rows, int64_t channels, double momentum, double eps)
FASTNN_KERNEL(batch_norm_stats_f64, double* mean, double* rstd, double* running_mean, double* running_var,
              int64_t* batches, double* scratch, const double* x, int64_t rows, int64_t channels, double momentum,
              double eps)
// s from a variance: evaluation mode.
FASTNN_KERNEL(batch_norm_rstd_f32, float* rstd, const float* var, int64_t channels, double eps)
FASTNN_KERNEL(batch_norm_rstd_f64, double* rstd, const double* var, int64_t channels, double eps)
// weight and bias may be null (1 and 0).
FASTNN_KERNEL(batch_norm_apply_f32, float* y, const float* x, const float* mean, const float* rstd, const float* weight,
              const float* bias, int64_t rows, int64_t channels)
FASTNN_KERNEL(batch_norm_apply_f64, double* y, const double* x, const double* mean, const double* rstd,
              const double* weight, const double* bias, int64_t rows, int64_t channels)
// dx null: only the sums. scratch: 2 * ceil(R / FASTNN_BN_ROWS) * C doubles.
FASTNN_KERNEL(batch_norm_backward_f32, float* dx, float* dweight, float* dbias, double* scratch, const float* dy,
              const float* x, const float* mean, const float* rstd, const float* weight, int64_t rows, int64_t channels,
              bool batch_stats)
FASTNN_KERNEL(batch_norm_backward_f64, double* dx, double* dweight, double* dbias, double* scratch, const double* dy,
              const double* x, const double* mean, const double* rstd, const double* weight, int64_t rows,
              int64_t channels, bool batch_stats)

}  // namespace fastnn
