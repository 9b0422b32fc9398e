#pragma once
// The cells that a position reads and their weights, for the kernels of the CPU and of CUDA devices.

#include "core/host_device.h"
#include "ops/warp/warp.h"

namespace fastnn {
namespace {

constexpr double kFar = 1e9;  // cells; positions beyond are no longer told apart

/// The cell that stands for cell i of an axis of n; -1: the fill.
FASTNN_HOST_DEVICE inline int64_t inside(int64_t i, int64_t n, WarpBorder border) {
  if (i >= 0 && i < n) return i;
  switch (border) {
    case WarpBorder::constant:
      return -1;
    case WarpBorder::edge:
      return i < 0 ? 0 : n - 1;
    case WarpBorder::reflect: {
      if (n == 1) return 0;
      const int64_t period = 2 * (n - 1), r = (i % period + period) % period;
      return r < n ? r : period - r;
    }
    default: {
      const int64_t period = 2 * n, r = (i % period + period) % period;
      return r < n ? r : period - 1 - r;
    }
  }
}

// Keys: ((a + 2) d - (a + 3)) d^2 + 1 up to a distance of 1, a (((d - 5) d + 8) d - 4) up to 2; a = -3/4
FASTNN_HOST_DEVICE inline double near_weight(double d) { return (1.25 * d - 2.25) * d * d + 1; }
FASTNN_HOST_DEVICE inline double far_weight(double d) { return -0.75 * (((d - 5) * d + 8) * d - 4); }

/// The cells of an axis that a position reads, the first of them and their weights.
template <class T, int kTaps>
struct Taps {
  int64_t first;
  T weight[kTaps];
  bool between;  // all are inside, and none has the weight 0

  FASTNN_HOST_DEVICE Taps(double p, int64_t n) {
    const double low = floor_of(kTaps == 1 ? p + 0.5 : p), t = p - low;
    first = static_cast<int64_t>(low) - (kTaps == 4);
    between = first >= 0 && first + kTaps <= n && (kTaps == 1 || p != low);
    if constexpr (kTaps == 1) weight[0] = T(1);
    if constexpr (kTaps == 2) weight[0] = static_cast<T>(1 - t), weight[1] = static_cast<T>(t);
    if constexpr (kTaps == 4) {
      weight[0] = static_cast<T>(far_weight(1 + t)), weight[1] = static_cast<T>(near_weight(t));
      weight[2] = static_cast<T>(near_weight(1 - t)), weight[3] = static_cast<T>(far_weight(2 - t));
    }
  }

 private:
  FASTNN_HOST_DEVICE static double floor_of(double x) {
#ifdef __CUDA_ARCH__
    return floor(x);
#else
    return __builtin_floor(x);
#endif
  }
};

/// What pixel (i, j) of the output reads, in cells; false where that is not finite. Positions that far out are moved to
/// the nearest that read the same.
FASTNN_HOST_DEVICE inline bool source_of(const double* m, const WarpGeometry& g, int64_t i, int64_t j, double& u,
                                         double& v) {
  const bool constant = g.border == WarpBorder::constant;
  const double x = static_cast<double>(j), y = static_cast<double>(i), low = constant ? -g.taps : -kFar;
  const double right = constant ? static_cast<double>(g.width + g.taps) : kFar;
  const double bottom = constant ? static_cast<double>(g.height + g.taps) : kFar;
#ifdef __CUDA_ARCH__  // rounded as on the CPU, so that borders are crossed by the same pixels
  u = __dadd_rn(__dadd_rn(__dmul_rn(m[0], x), __dmul_rn(m[1], y)), m[2]);
  v = __dadd_rn(__dadd_rn(__dmul_rn(m[3], x), __dmul_rn(m[4], y)), m[5]);
#else
  u = m[0] * x + m[1] * y + m[2];
  v = m[3] * x + m[4] * y + m[5];
#endif
  if (u - u != 0 || v - v != 0) return false;
  u = u < low ? low : u > right ? right : u;
  v = v < low ? low : v > bottom ? bottom : v;
  return true;
}

}  // namespace
}  // namespace fastnn
