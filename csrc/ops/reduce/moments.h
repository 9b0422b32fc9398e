#pragma once
// Count, mean and sum of squares about it, for the kernels of the CPU and of CUDA devices.

#include <cmath>

#include "core/host_device.h"

namespace fastnn {
namespace {

struct MomentState {
  double count, mean, m2;  // m2 = sum (x - mean)^2
};
/// s of all elements of s and of b. Chan, Golub, LeVeque 1979.
FASTNN_HOST_DEVICE inline void join_moments(MomentState& s, const MomentState& b) {
  if (b.count == 0) return;
  if (s.count == 0) {
    s = b;
    return;
  }
  const double n = s.count + b.count, d = b.mean - s.mean, share = b.count / n;
  s = {n, s.mean + d * share, s.m2 + b.m2 + d * d * s.count * share};
}
/// m2 / (count - correction), or its root; NaN where there is nothing to divide.
FASTNN_HOST_DEVICE inline double variance_of(const MomentState& s, double correction, bool root) {
  const double n = s.count - correction, zero = 0;
  const double v = (s.count > 0 ? s.m2 : zero) / (n > 0 ? n : zero);
  return root ? ::sqrt(v) : v;
}
FASTNN_HOST_DEVICE inline double mean_of(const MomentState& s) {
  const double zero = 0;
  return s.count > 0 ? s.mean : zero / zero;
}

}  // namespace
}  // namespace fastnn
