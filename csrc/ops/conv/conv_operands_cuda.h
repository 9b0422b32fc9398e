#pragma once
// The windows of a convolution as an operand of a matrix product (implicit GEMM), for gemm_operands_cuda.h. A pixel o
// of the result stands for its window, a term k = (tap, c) for one element of it; x is never copied.

#include "core/device.h"
#include "ops/conv/conv_kernels.h"
#include "ops/matmul/gemm_operands_cuda.h"

namespace fastnn {
namespace cuda {

/// Where a pixel or a tap is along the axes of x, and in its memory; the two add up.
struct WindowPlace {
  int64_t offset;
  int32_t at[3];
  int32_t unused;
};
constexpr int32_t kNowhere = INT32_MIN / 2;  // plus a tap still outside

template <class T>
struct Window {
  const T* x;
  int64_t pixels, channels;  // of an image of x, of all groups
  int64_t C, group_step;
  int32_t in[3], out[3], taps[3], stride[3], dilation[3], pad[3];

  __device__ int64_t offset_of(const int32_t* at) const {
    return ((static_cast<int64_t>(at[0]) * in[1] + at[1]) * in[2] + at[2]) * channels;
  }
  __device__ WindowPlace pixel(int64_t p) const {
    WindowPlace w;
    w.at[2] = static_cast<int32_t>(p % out[2]) * stride[2] - pad[2], p /= out[2];
    w.at[1] = static_cast<int32_t>(p % out[1]) * stride[1] - pad[1], p /= out[1];
    w.at[0] = static_cast<int32_t>(p % out[0]) * stride[0] - pad[0], p /= out[0];
    w.offset = p * pixels * channels + offset_of(w.at);
    return w;
  }
  __device__ WindowPlace tap(int64_t k) const {
    WindowPlace w;
    const int64_t c = k % C;
    k /= C;
    w.at[2] = static_cast<int32_t>(k % taps[2]) * dilation[2], k /= taps[2];
    w.at[1] = static_cast<int32_t>(k % taps[1]) * dilation[1], k /= taps[1];
    w.at[0] = static_cast<int32_t>(k) * dilation[0];
    w.offset = offset_of(w.at) + c;
    return w;
  }
  __device__ const T* find(const WindowPlace& p, const WindowPlace& t) const {
    const bool inside = static_cast<uint32_t>(p.at[0] + t.at[0]) < static_cast<uint32_t>(in[0]) &&
                        static_cast<uint32_t>(p.at[1] + t.at[1]) < static_cast<uint32_t>(in[1]) &&
                        static_cast<uint32_t>(p.at[2] + t.at[2]) < static_cast<uint32_t>(in[2]);
    return inside ? x + p.offset + t.offset : nullptr;
  }
  __device__ static WindowPlace nowhere() { return {0, {kNowhere, kNowhere, kNowhere}, 0}; }
};

/// A of the forward pass: a row for each pixel.
template <class T>
struct PixelRows {
  const T* data;
  Window<T> window;
  int64_t along_k, wide;

  using Row = WindowPlace;
  using Term = WindowPlace;
  __device__ Row row(int64_t p, int64_t z) const {
    Row r = window.pixel(p);
    r.offset += z * window.group_step;
    return r;
  }
  __device__ Term term(int64_t k, int64_t K) const { return k < K ? window.tap(k) : Window<T>::nowhere(); }
  __device__ const T* at(const Row& r, const Term& t) const { return window.find(r, t); }
};

/// A of the gradient of the weights: a row for each tap and channel, a term for each pixel.
template <class T>
struct TapRows {
  const T* data;
  Window<T> window;
  int64_t along_k, wide;

  using Row = WindowPlace;
  using Term = WindowPlace;
  __device__ Row row(int64_t k, int64_t z) const {
    Row r = window.tap(k);
    r.offset += z * window.group_step;
    return r;
  }
  __device__ Term term(int64_t p, int64_t K) const { return p < K ? window.pixel(p) : Window<T>::nowhere(); }
  __device__ const T* at(const Row& r, const Term& t) const { return window.find(t, r); }
};

/// Where element (tap, c) of the weights is.
struct WeightPlaces {
  int64_t C, taps[3], tap_step[3], c_step;

  __device__ int64_t offset(int64_t k) const {
    const int64_t c = k % C;
    k /= C;
    const int64_t t2 = k % taps[2], t1 = k / taps[2] % taps[1], t0 = k / taps[2] / taps[1];
    return t0 * tap_step[0] + t1 * tap_step[1] + t2 * tap_step[2] + c * c_step;
  }
};

/// B of the forward pass: a row for each filter.
template <class T>
struct WeightRows {
  const T* data;
  WeightPlaces places;
  int64_t f_step, group_step;
  int64_t along_k, wide;

  using Row = int64_t;
  using Term = int64_t;
  __device__ Row row(int64_t f, int64_t z) const { return f * f_step + z * group_step; }
  __device__ Term term(int64_t k, int64_t K) const { return k < K ? places.offset(k) : kOutside; }
  __device__ const T* at(Row r, Term t) const { return t == kOutside ? nullptr : data + r + t; }
};

/// y: a row for each pixel.
template <class T>
struct PixelResult {
  T* data;
  int64_t out[3], image_step, at_step[3], group_step, col_step;
  int64_t wide;

  __device__ int64_t row(int64_t p, int64_t z) const {
    const int64_t o2 = p % out[2], line = p / out[2], o1 = line % out[1], plane = line / out[1];
    return plane / out[0] * image_step + plane % out[0] * at_step[0] + o1 * at_step[1] + o2 * at_step[2] +
           z * group_step;
  }
};

/// dw: a row for each tap and channel.
template <class T>
struct WeightResult {
  T* data;
  WeightPlaces places;
  int64_t group_step, col_step;
  int64_t wide;

  __device__ int64_t row(int64_t k, int64_t z) const { return places.offset(k) + z * group_step; }
};

template <class T>
Window<T> window_of(const ConvArgs<T>& g) {
  Window<T> w{};
  w.x = g.x, w.pixels = g.in_pixels(), w.channels = g.groups * g.C, w.C = g.C, w.group_step = g.C;
  for (int a = 0; a < 3; ++a) {
    const int64_t reach = (g.out[a] + 1) * g.stride[a] + (g.taps[a] + 1) * g.dilation[a];
    if (reach > INT32_MAX / 4 || g.in[a] > INT32_MAX / 4 || g.pad[a] > INT32_MAX / 4 || g.pad[a] < -INT32_MAX / 4)
      throw DeviceError(
          str("conv: a CUDA device takes axes of at most ", INT32_MAX / 4, " positions, padding included"));
    w.in[a] = static_cast<int32_t>(g.in[a]), w.out[a] = static_cast<int32_t>(g.out[a]);
    w.taps[a] = static_cast<int32_t>(g.taps[a]), w.stride[a] = static_cast<int32_t>(g.stride[a]);
    w.dilation[a] = static_cast<int32_t>(g.dilation[a]), w.pad[a] = static_cast<int32_t>(g.pad[a]);
  }
  return w;
}
template <class T>
WeightPlaces places_of(const ConvArgs<T>& g) {
  WeightPlaces w{};
  w.C = g.C, w.c_step = g.w_c;
  for (int a = 0; a < 3; ++a) w.taps[a] = g.taps[a], w.tap_step[a] = g.w_tap[a];
  return w;
}

/// All of these hold a multiple of 16 bytes of T.
template <class T, class... N>
int64_t whole16(N... counts) {
  constexpr int64_t V = 16 / static_cast<int64_t>(sizeof(T));
  return ((counts % V == 0) && ...);
}

template <class T>
PixelRows<T> pixel_rows(const ConvArgs<T>& g) {
  return {g.x, window_of(g), 1, aligned16(g.x) && whole16<T>(g.C)};
}
template <class T>
TapRows<T> tap_rows(const ConvArgs<T>& g) {
  return {g.x, window_of(g), 0, aligned16(g.x) && whole16<T>(g.C)};
}
template <class T>
WeightRows<T> weight_rows(const ConvArgs<T>& g) {
  WeightRows<T> w{g.w, places_of(g), g.w_f, g.w_group, 0, 0};
  w.along_k = g.w_c == 1 && g.w_f != 1;
  const bool taps = aligned16(g.w) && whole16<T>(g.w_tap[0], g.w_tap[1], g.w_tap[2], g.w_group);
  if (w.along_k)
    w.wide = taps && whole16<T>(g.w_f, g.C);
  else
    w.wide = taps && g.w_f == 1 && whole16<T>(g.w_c);
  return w;
}
template <class T>
PixelResult<T> pixel_result(const ConvArgs<T>& g) {
  PixelResult<T> r{};
  r.data = g.y, r.image_step = g.y_image, r.group_step = g.F, r.col_step = 1;
  for (int a = 0; a < 3; ++a) r.out[a] = g.out[a], r.at_step[a] = g.y_at[a];
  r.wide = aligned16(g.y) && whole16<T>(g.F, g.y_image, g.y_at[0], g.y_at[1], g.y_at[2]);
  return r;
}
template <class T>
WeightResult<T> weight_result(const ConvArgs<T>& g, T* dw) {
  WeightResult<T> r{dw, places_of(g), g.w_group, g.w_f, 0};
  r.wide = aligned16(dw) && g.w_f == 1 && whole16<T>(g.w_c, g.w_tap[0], g.w_tap[1], g.w_tap[2], g.w_group);
  return r;
}

}  // namespace cuda
}  // namespace fastnn
