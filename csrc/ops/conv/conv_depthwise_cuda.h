#pragma once
// Depthwise convolutions, one filter for each channel: memory-bound, so the sums are direct. Neighbouring threads have
// neighbouring channels.

#include "ops/conv/conv_operands_cuda.h"
#include "ops/matmul/gemm_tiles_cuda.h"

namespace fastnn {
namespace cuda {

template <class T>
struct Depthwise {
  Window<T> window;  // its C is 1 and its group_step too: a group is a channel
  PixelResult<T> y;
  WeightPlaces places;
  const T *w, *bias;
  int64_t pixels, channels, w_group;
  int64_t relu;
};

template <class T>
__global__ void depthwise_forward(Depthwise<T> g) {
  const int64_t total = g.pixels * g.channels, taps = g.places.taps[0] * g.places.taps[1] * g.places.taps[2];
  for (int64_t i = thread_index(); i < total; i += thread_count()) {
    const int64_t c = i % g.channels, p = i / g.channels;
    WindowPlace at = g.window.pixel(p);
    at.offset += c;
    T sum = T{0};
    for (int64_t t = 0; t < taps; ++t) {
      const T* const x = g.window.find(at, g.window.tap(t));
      if (x) sum = multiply_add(*x, g.w[g.places.offset(t) + c * g.w_group], sum);
    }
    if (g.bias) sum += g.bias[c];
    g.y.data[g.y.row(p, c)] = g.relu && sum < T{0} ? T{0} : sum;
  }
}

/// partial[part][tap][c]: the sums over a part of the pixels. A block has 32 channels and eight pixels side by side.
template <class T>
__global__ void depthwise_weight_parts(Depthwise<T> g, const T* dy, T* partial, int64_t parts) {
  __shared__ T cells[8][kWarp];
  const int64_t taps = g.places.taps[0] * g.places.taps[1] * g.places.taps[2];
  const int64_t strips = (g.channels + kWarp - 1) / kWarp, jobs = strips * taps * parts;
  const int lane = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
  for (int64_t w = blockIdx.x; w < jobs; w += gridDim.x) {
    const int64_t c = w % strips * kWarp + lane, t = w / strips % taps, part = w / strips / taps;
    const int64_t end = (part + 1) * g.pixels / parts;
    const WindowPlace tap = g.window.tap(t);
    T sum = T{0};
    if (c < g.channels)
      for (int64_t p = part * g.pixels / parts + row; p < end; p += 8) {
        const T* const x = g.window.find(g.window.pixel(p), tap);
        if (x) sum = multiply_add(x[c], dy[p * g.channels + c], sum);
      }
    __syncthreads();
    cells[row][lane] = sum;
    __syncthreads();
    if (row == 0 && c < g.channels) {
      for (int r = 1; r < 8; ++r) sum += cells[r][lane];
      partial[(part * taps + t) * g.channels + c] = sum;
    }
  }
}
template <class T>
__global__ void depthwise_add_parts(Depthwise<T> g, const T* partial, T* dw, int64_t parts) {
  const int64_t total = g.channels * g.places.taps[0] * g.places.taps[1] * g.places.taps[2];
  for (int64_t i = thread_index(); i < total; i += thread_count()) {
    T sum = partial[i];
    for (int64_t part = 1; part < parts; ++part) sum += partial[part * total + i];
    dw[g.places.offset(i / g.channels) + i % g.channels * g.w_group] = sum;
  }
}

template <class T>
Depthwise<T> depthwise_of(const ConvArgs<T>& g) {
  return {window_of(g), pixel_result(g),          places_of(g), g.w, g.bias, g.pixels(), g.groups,
          g.w_group,    g.act == Activation::relu};
}

/// The sums over this many pixels are one part, up to 256 parts.
template <class T>
void depthwise_weight_gradient(const ConvArgs<T>& args, const T* dy, T* dw) {
  const Depthwise<T> g = depthwise_of(args);
  int64_t parts = g.pixels / 512;
  parts = parts < 1 ? 1 : parts > 256 ? 256 : parts;
  const int64_t taps = args.tap_count(), jobs = (g.channels + kWarp - 1) / kWarp * taps * parts;
  const Scratch partial(parts * taps * g.channels * static_cast<int64_t>(sizeof(T)));
  run(&depthwise_weight_parts<T>, grid_for(jobs, 1), dim3(kWarp, 8), 0, g, dy, partial.as<T>(), parts);
  run(&depthwise_add_parts<T>, grid_for(taps * g.channels, 256), 256, 0, g, partial.as<T>(), dw, parts);
}

}  // namespace cuda
}  // namespace fastnn
