#pragma once
// GloVe (Pennington, Socher and Manning 2014): vectors whose products are the logarithms of how often words meet.
//
//   X_ij  = sum over meetings of i and j, at most `window` words apart, of 1 / distance (or 1)
//   J     = 1/2 sum f(X_ij) diff^2,  diff = theta_i . e_j + b_i + b'_j - log X_ij,  f(x) = min(1, (x / x_max)^0.75)
//   AdaGrad, element by element:  s += g^2,  p -= rate g / sqrt(s),  s = 1 at first
//
// Training goes through the entries in batches: diff of all from the vectors as they are (tasks: entries), then the
// steps one after another (tasks: columns). The same bits on any number of threads.

#include <cstdint>
#include <tuple>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

/// X of sentences of ids in [0, v): entries of row i are cols, values [starts[i], starts[i + 1]), cols rising. Not
/// symmetric: only words to the left are counted, in the row of the one to the right.
std::tuple<Tensor, Tensor, Tensor> cooccurrences(const Tensor& ids, const Tensor& starts, int64_t v, int64_t window,
                                                 bool symmetric, bool by_distance);

struct GloveCall {
  Tensor theta, e;  // float32 [V, d], d a multiple of 16
  Tensor bias;      // float32 [2, V]: b and b'
  Tensor theta_squares, e_squares, bias_squares;
  Tensor i, j;            // int32 [entries]
  Tensor weight, target;  // float32 [entries]: f(X) and log X
  double rate;
  int64_t batch;
};
/// One pass over the entries; returns J, each entry's at the time of its step.
double glove(const GloveCall& call);

struct Glove {
  float *theta, *e, *bias, *theta_squares, *e_squares, *bias_squares;
  const int32_t *i, *j;
  const float *weight, *target;
  int64_t v, d, n, batch;
  float rate;
  float* g;      // [batch] f(X) diff
  double* loss;  // [batch]
};
FASTNN_CPU_KERNEL(glove_train, double* total, const Glove& w)

}  // namespace fastnn
