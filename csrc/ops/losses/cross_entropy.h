#pragma once
// Softmax and cross-entropy as one operation, over the last axis:
//
//   log p = x - logsumexp(x)          t' = (1 - eps) t + eps / C          a_c = w_c t'_c
//   loss  = -sum_c a_c log p_c        dx_c = dy (p_c sum a - a_c)         dt_c = -dy (1 - eps) w_c log p_c
//
// x is [..., C]; labels are [...] integers (t is then one-hot) or probabilities of x's shape.

#include "core/tensor.h"
#include "kernels/kernel.h"
#include "ops/losses/reduction.h"

namespace fastnn {

/// `target`: integers [...] or probabilities [..., C]. weight [C] may be undefined. Rows whose label is ignore_index
/// cost nothing. "mean" divides by the summed weights of the labels (probabilities: by the number of rows), as PyTorch
/// does.
Tensor cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight, int64_t ignore_index,
                     Reduction reduction, double label_smoothing);
/// loss = -w[label] x[label], x [..., C] log-probabilities.
Tensor nll_loss(const Tensor& x, const Tensor& target, const Tensor& weight, int64_t ignore_index, Reduction reduction);

/// What both kernels read. float32 or float64 by `is_double`; null pointers: absent.
struct CrossEntropyArgs {
  int32_t is_double;
  int32_t is_log;  // x holds log-probabilities already (nll_loss)
  int64_t rows, cols;
  const void* x;
  const int64_t* label;  // or
  const void* prob;
  const void* weight;  // [cols]
  int64_t ignore_index;
  double smoothing;
};

/// loss[r] (null: not wanted) and logsumexp[r]; sums is scratch of 2 doubles per block of rows.
FASTNN_KERNEL(cross_entropy_forward, const CrossEntropyArgs& args, const Reduced& reduced, void* loss, void* lse,
              double* sums, int64_t block)
/// dx and dt (either may be null); dy has one element per row, or one in all when dy_step is 0; all is scaled by
/// *scale.
FASTNN_KERNEL(cross_entropy_backward, const CrossEntropyArgs& args, void* dx, void* dt, const void* lse, const void* dy,
              int64_t dy_step, const double* scale, int64_t block)

}  // namespace fastnn
