#pragma once
// Which cells an output cell reads, for the kernels of the CPU and of CUDA devices.

#include "core/host_device.h"
#include "ops/resize/resize.h"

namespace fastnn {
namespace {

// A product that is rounded before anything is added to it, so that positions are the same everywhere.
FASTNN_HOST_DEVICE inline float rounded_product(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
FASTNN_HOST_DEVICE inline double rounded_product(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

// What output cell o of an axis reads. Positions are computed in the tensor's type, as PyTorch does.
template <class T>
FASTNN_HOST_DEVICE inline ResizeTap tap_of(const ResizeAxis& a, const ResizeGeometry& g, int64_t o) {
  const T scale = static_cast<T>(a.scale);
  if (a.in == a.out && (g.mode == ResizeMode::linear || a.scale == 1)) return {o, o, 1, 0};
  if (g.mode != ResizeMode::linear) {
    const T at = g.mode == ResizeMode::nearest ? static_cast<T>(o) * scale : (static_cast<T>(o) + T(0.5)) * scale;
    const int64_t i = at < static_cast<T>(a.in - 1) ? static_cast<int64_t>(at) : a.in - 1;
    return {i, i, 1, 0};
  }
  T at = g.align_corners ? static_cast<T>(o) * scale : rounded_product(static_cast<T>(o) + T(0.5), scale) - T(0.5);
  if (!(at > 0)) at = 0;
  const int64_t low = at < static_cast<T>(a.in - 1) ? static_cast<int64_t>(at) : a.in - 1;
  const T share = at - static_cast<T>(low) < 1 ? at - static_cast<T>(low) : T(1);
  return {low, low < a.in - 1 ? low + 1 : low, static_cast<double>(T(1) - share), static_cast<double>(share)};
}

FASTNN_HOST_DEVICE inline double share_of(const ResizeTap& t, int64_t cell) {
  return (t.low == cell ? t.low_share : 0) + (t.high == cell ? t.high_share : 0);
}

}  // namespace
}  // namespace fastnn
