#pragma once
// The bins of a region along one axis, for the kernels of the CPU and of CUDA devices.

#include "core/host_device.h"
#include "ops/boxes/boxes.h"

namespace fastnn {
namespace {

#ifdef __CUDA_ARCH__
FASTNN_HOST_DEVICE inline double floor_of(double x) { return floor(x); }
FASTNN_HOST_DEVICE inline double ceil_of(double x) { return ceil(x); }
FASTNN_HOST_DEVICE inline float rounded_product(float a, float b) { return __fmul_rn(a, b); }
FASTNN_HOST_DEVICE inline double rounded_product(double a, double b) { return __dmul_rn(a, b); }
#else
FASTNN_HOST_DEVICE inline double floor_of(double x) { return __builtin_floor(x); }
FASTNN_HOST_DEVICE inline double ceil_of(double x) { return __builtin_ceil(x); }
// A product that is rounded before anything is added to it, so that samples are the same everywhere.
FASTNN_HOST_DEVICE inline float rounded_product(float a, float b) { return a * b; }
FASTNN_HOST_DEVICE inline double rounded_product(double a, double b) { return a * b; }
#endif

// --- bins of roi_pool ---------------------------------------------------------------------------------------------

// Cells [low, high) of bin b along one axis of a region.
struct Bin {
  int64_t low, high;
};
template <class T>
struct PoolAxisOf {
  int64_t start, size, bins;
  T step;
  FASTNN_HOST_DEVICE PoolAxisOf(T from, T to, double scale, int64_t cells, int64_t n) : size(cells), bins(n) {
    start = rounded(static_cast<double>(from * static_cast<T>(scale)));
    const int64_t length = rounded(static_cast<double>(to * static_cast<T>(scale))) - start + 1;
    step = static_cast<T>(length > 1 ? length : 1) / static_cast<T>(n);
  }
  FASTNN_HOST_DEVICE Bin bin(int64_t b) const {
    return {inside(start + static_cast<int64_t>(floor_of(static_cast<double>(static_cast<T>(b) * step)))),
            inside(start + static_cast<int64_t>(ceil_of(static_cast<double>(static_cast<T>(b + 1) * step))))};
  }

 private:
  // Half away from zero; far outside any image all is the same.
  FASTNN_HOST_DEVICE static int64_t rounded(double x) {
    x = x < 0 ? -floor_of(0.5 - x) : floor_of(x + 0.5);
    const double far = 1e12;
    return static_cast<int64_t>(x > far ? far : x < -far ? -far : x);
  }
  FASTNN_HOST_DEVICE int64_t inside(int64_t at) const { return at < 0 ? 0 : at < size ? at : size; }
};

// --- samples of roi_align -------------------------------------------------------------------------------------------

// One axis of a region: where its samples are, and between which cells.
template <class T>
struct AlignAxis {
  T start, step, between;
  int64_t samples;  // a bin
  int64_t cells;
  FASTNN_HOST_DEVICE AlignAxis(T from, T to, int64_t size, int64_t bins, const RoiGeometry& g) : cells(size) {
    const T scale = static_cast<T>(g.scale), offset = g.aligned ? T(0.5) : T(0);
    start = rounded_product(from, scale) - offset;
    T length = (rounded_product(to, scale) - offset) - start;
    if (!g.aligned && !(length > 1)) length = 1;
    step = length / static_cast<T>(bins);
    if (g.sampling_ratio > 0) {
      samples = g.sampling_ratio;
    } else {
      samples = step > T(kMostSamples) ? kMostSamples
                : step > 0             ? static_cast<int64_t>(ceil_of(static_cast<double>(step)))
                                       : 0;
    }
    between = step / static_cast<T>(samples > 0 ? samples : 1);
  }
  /// Cells and weights of sample s of bin b; false where it lies outside the image.
  FASTNN_HOST_DEVICE bool sample(int64_t b, int64_t s, int64_t& low, int64_t& high, T& low_share, T& high_share) const {
    T at = start + rounded_product(static_cast<T>(b), step) + rounded_product(static_cast<T>(s) + T(0.5), between);
    if (!(at >= -1 && at <= static_cast<T>(cells))) return false;
    if (at <= 0) at = 0;
    low = static_cast<int64_t>(at);
    if (low >= cells - 1) {
      high = low = cells - 1;
      at = static_cast<T>(low);
    } else {
      high = low + 1;
    }
    high_share = at - static_cast<T>(low);
    low_share = 1 - high_share;
    return true;
  }
};

}  // namespace
}  // namespace fastnn
