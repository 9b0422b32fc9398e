#pragma once
// Normalisation of x [N, S, C] (S: all places of an example, channels last) by the mean and variance of its channels:
// batch normalisation is N = 1, G = C; group normalisation G groups of W = C / G channels; instance normalisation G =
// C.
//
//   mean_ng = sum_{s, c in g} x_nsc / (S W)      var_ng = sum (x_nsc - mean_ng)^2 / (S W)      r_ng = 1 / sqrt(var +
//   eps) y_nsc = xhat_nsc weight_c + bias_c           xhat_nsc = (x_nsc - mean_ng) r_ng dbias_c = sum_{n, s} dy_nsc
//   dweight_c = sum_{n, s} dy_nsc xhat_nsc A_ng = sum_{s, c in g} weight_c dy_nsc       B_ng = sum_{s, c in g} weight_c
//   dy_nsc xhat_nsc dx_nsc = r_ng (weight_c dy_nsc - A_ng / (S W) - xhat_nsc B_ng / (S W))      with the statistics of
//   x dx_nsc = r_ng weight_c dy_nsc                                               with given statistics
//
// The S rows are cut into blocks of kChannelRows. Each block gives a mean and a sum of squares about it, in one pass
// over memory; these are merged in order in float64, so the tree depends on the shape only, and a mean that is large
// beside the deviation costs no digits. Narrow matrices are widened: `fold` rows count as one row of fold * C columns.

#include <cstdint>

#include "kernels/kernel.h"

namespace fastnn {

constexpr int64_t kChannelRows = 256;   // rows of a block
constexpr int64_t kChannelStrip = 256;  // columns of a task; a widened matrix is one strip of at most twice as many

struct ChannelShape {
  int64_t n, s, c, groups;

  /// Rows that count as one: channels fewer than 32 are widened to about 256 columns.
  int64_t fold() const {
    if (c >= 32 || c < 1) return 1;
    const int64_t k = kChannelStrip / c / 16 * 16;
    return k < 16 ? 16 : k;
  }
  int64_t width() const { return fold() * c; }
  int64_t rows() const { return s / fold(); }
  int64_t blocks() const { return rows() / kChannelRows + (rows() % kChannelRows != 0); }
  /// Rows that are left over when `fold` of them make one: a block of its own.
  int64_t rest() const { return s % fold(); }
  int64_t all_blocks() const { return blocks() + (rest() > 0); }
};

// stats: [3][N G] means, r, variances. part: [N][all_blocks][2][width], sums: [N][2][C].
FASTNN_KERNEL(channel_norm_stats, int type, double* stats, double* part, double* sums, const void* x,
              const ChannelShape& shape, double eps)
// stats [3][C] from given statistics.
FASTNN_KERNEL(channel_norm_given, int type, double* stats, const void* mean, const void* var, int64_t channels,
              double eps)
// The running statistics (G = C) move towards the mean over n of those of x, with the unbiased variance; the batch is
// counted (null: not). momentum < 0: the plain average over the batches counted.
FASTNN_KERNEL(channel_norm_running, int type, void* running_mean, void* running_var, int64_t* batches,
              const double* stats, const ChannelShape& shape, double momentum)
// weight and bias may be null (1 and 0).
FASTNN_KERNEL(channel_norm_apply, int type, void* y, const void* x, const double* stats, const void* weight,
              const void* bias, const ChannelShape& shape)
// dx null: only the sums. `given`: the statistics do not depend on x.
FASTNN_KERNEL(channel_norm_backward, int type, void* dx, void* dweight, void* dbias, double* part, double* sums,
              const void* dy, const void* x, const double* stats, const void* weight, const ChannelShape& shape,
              bool given)

}  // namespace fastnn
