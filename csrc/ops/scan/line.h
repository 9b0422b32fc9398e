#pragma once
// One line of a scan, for the kernels of the CPU and of CUDA devices.

#include "core/host_device.h"
#include "ops/scan/scan.h"

namespace fastnn {
namespace {

// Running values are kept in double, or in uint64 (which wraps without undefined behaviour).
template <class T>
struct Running {
  typedef double type;
};
template <>
struct Running<int64_t> {
  typedef uint64_t type;
};

/// The gradient of cumprod. Let a be the first zero of the line and b the second (n where there is none). Before a:
/// dx_i x_i = sum of dy_j y_j for j in [i, a). At a: sum over j in [a, b) of dy_j times the product of x_0..x_j without
/// x_a. After a every product that leaves out x_i still holds x_a: 0.
template <class T>
FASTNN_HOST_DEVICE inline void prod_gradient(T* dx, const T* dy, const T* x, int64_t n, int64_t step) {
  int64_t a = 0;
  double product = 1;  // of x_0..x_{i}, held in dx until the way back
  for (; a < n && x[a * step] != T(0); ++a) {
    product *= x[a * step];
    dx[a * step] = static_cast<T>(product * dy[a * step]);
  }
  double sum = 0;
  for (int64_t i = a - 1; i >= 0; --i) {
    sum += dx[i * step];
    dx[i * step] = static_cast<T>(sum / x[i * step]);
  }
  if (a == n) return;
  sum = product * dy[a * step];
  for (int64_t j = a + 1; j < n && product != 0; ++j) {
    product *= x[j * step];
    sum += product * dy[j * step];
  }
  dx[a * step] = static_cast<T>(sum);
  for (int64_t i = a + 1; i < n; ++i) dx[i * step] = T(0);
}

}  // namespace
}  // namespace fastnn
