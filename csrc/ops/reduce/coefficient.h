#pragma once
// The coefficients of reduced gradients, for the kernels of the CPU and of CUDA devices.

#include <cmath>

#include "core/host_device.h"
#include "ops/reduce/reduce_kernels.h"

namespace fastnn {
namespace {

/// That of output i; y and s are read where the kind names them.
template <class T>
FASTNN_HOST_DEVICE inline double coefficient_of(Coefficient kind, const T* dy, const T* y, const T* s, double number,
                                                int64_t i) {
  const double d = dy[i];
  switch (kind) {
    case Coefficient::scale:
      return d * number;
    case Coefficient::root_scale:
      return y[i] == T(0) ? 0 : d * number / y[i];
    case Coefficient::divide:
      return d / s[i];
    case Coefficient::root:
      return y[i] == T(0) ? 0 : d / y[i];
    case Coefficient::power:
      return y[i] == T(0) ? 0 : d / ::pow(static_cast<double>(y[i]), number);
    case Coefficient::product:
      return d * s[i];
  }
  return 0;
}

}  // namespace
}  // namespace fastnn
