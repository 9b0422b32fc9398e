#include <type_traits>

#include "cuda/cuda.h"
#include "cuda/order.h"
#include "cuda/runs.h"
#include "ops/warp/tap.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// In what values are added up.
template <class T>
using SumOf = std::conditional_t<std::is_same_v<T, double>, double, float>;

__device__ inline void put(float v, float* to) { *to = v; }
__device__ inline void put(double v, double* to) { *to = v; }
__device__ inline void put(float v, uint8_t* to) {  // not a NaN: uint8 has none, and its fill was checked
  *to = static_cast<uint8_t>(v <= 0 ? 0 : v >= 255 ? 255 : static_cast<int>(v + 0.5f));
}

// A thread a pixel of the output.
template <class T, int kTaps>
__global__ void read_pixels(T* y, const T* x, const double* matrix, WarpGeometry g) {
  using A = SumOf<T>;
  const int64_t C = g.channels;
  const A outside = static_cast<A>(g.fill);
  for (int64_t e = thread_index(); e < g.images * g.out_height * g.out_width; e += thread_count()) {
    const int64_t j = e % g.out_width, i = e / g.out_width % g.out_height, n = e / (g.out_width * g.out_height);
    const T* const image = x + n * g.height * g.width * C;
    T* const to = y + e * C;
    double u, v;
    if (!source_of(matrix + 6 * n, g, i, j, u, v)) {
      for (int64_t c = 0; c < C; ++c) put(outside, to + c);
      continue;
    }
    const Taps<A, kTaps> rows(v, g.height), columns(u, g.width);
    int64_t cell[kTaps * kTaps];
    A weight[kTaps * kTaps];
#pragma unroll
    for (int k = 0; k < kTaps; ++k)
#pragma unroll
      for (int l = 0; l < kTaps; ++l) {
        const int64_t row = inside(rows.first + k, g.height, g.border);
        const int64_t column = inside(columns.first + l, g.width, g.border);
        weight[k * kTaps + l] = rows.weight[k] * columns.weight[l];
        cell[k * kTaps + l] = row < 0 || column < 0 ? -1 : row * g.width + column;
      }
    for (int64_t c = 0; c < C; ++c) {
      A sum = 0;
#pragma unroll
      for (int t = 0; t < kTaps * kTaps; ++t)
        if (weight[t] != 0) sum += weight[t] * (cell[t] < 0 ? outside : static_cast<A>(image[cell[t] * C + c]));
      put(sum, to + c);
    }
  }
}

// --- the gradient: shares in the order of the cells that they go to -------------------------------------------------

// The shares of some images; an entry is (pixel, tap). Keys are cells, behind them what goes nowhere.
template <class T, int kTaps, class K>
__global__ void find_shares(K* keys, T* shares, const double* matrix, WarpGeometry g, int64_t first, int64_t pixels) {
  const int64_t out = g.out_height * g.out_width, cells = g.height * g.width;
  for (int64_t e = thread_index(); e < pixels; e += thread_count()) {
    const int64_t n = e / out, i = e % out / g.out_width, j = e % g.out_width, at = e * kTaps * kTaps;
    double u, v;
    const bool finite = source_of(matrix + 6 * (first + n), g, i, j, u, v);
    const Taps<T, kTaps> rows(finite ? v : 0, g.height), columns(finite ? u : 0, g.width);
#pragma unroll
    for (int k = 0; k < kTaps; ++k)
#pragma unroll
      for (int l = 0; l < kTaps; ++l) {
        const T w = rows.weight[k] * columns.weight[l];
        const int64_t row = inside(rows.first + k, g.height, g.border);
        const int64_t column = inside(columns.first + l, g.width, g.border);
        const bool goes = finite && w != 0 && row >= 0 && column >= 0;
        keys[at + k * kTaps + l] = static_cast<K>(goes ? n * cells + row * g.width + column : g.images * cells);
        shares[at + k * kTaps + l] = w;
      }
  }
}

template <class T, class K>
struct ShareSource {
  using Sum = T;
  using Column = int64_t;
  T* dx;
  const T *dy, *shares;
  const K* keys;
  const int32_t* entries;
  int64_t channels, taps, nowhere;

  __device__ int64_t place(int64_t k) const {
    const int64_t key = static_cast<int64_t>(keys[k]);
    return key < nowhere ? key : -1;
  }
  __device__ Column column(int64_t q) const { return q; }
  __device__ T value(int64_t k, Column c) const {
    const int64_t entry = entries[k];
    return shares[entry] * dy[entry / taps * channels + c];
  }
  __device__ void put(int64_t cell, Column c, T sum) const { dx[cell * channels + c] = sum; }
};

template <class T>
__global__ void fill_zeros(T* y, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) y[i] = T(0);
}

template <class T, int kTaps>
void gradient(T* dx, const T* dy, const double* matrix, const WarpGeometry& g) {
  const int64_t cells = g.height * g.width, out = g.out_height * g.out_width, taps = kTaps * kTaps;
  const int64_t elements = g.images * cells * g.channels;
  run(&fill_zeros<T>, grid_for(elements, kThreads), kThreads, 0, dx, elements);
  // As many images at once as keep the shares at some 16 million.
  int64_t together = (int64_t{1} << 24) / (out * taps);
  together = together < 1 ? 1 : together < g.images ? together : g.images;
  const uint64_t nowhere = static_cast<uint64_t>(g.images * cells);
  with_key(nowhere, [&](auto* tag) {
    using K = decltype(of(tag));
    for (int64_t first = 0; first < g.images; first += together) {
      const int64_t images = together < g.images - first ? together : g.images - first, n = images * out * taps;
      Order<K> order(n);
      const Scratch shares(n * static_cast<int64_t>(sizeof(T)));
      run(&find_shares<T, kTaps, K>, grid_for(images * out, kThreads), kThreads, 0, order.keys(), shares.as<T>(),
          matrix, g, first, images * out);
      order.sort(bits_of(nowhere));
      sum_runs(ShareSource<T, K>{dx + first * cells * g.channels, dy + first * out * g.channels, shares.as<T>(),
                                 order.keys(), order.entries(), g.channels, taps, static_cast<int64_t>(nowhere)},
               n, g.channels);
    }
  });
}

template <class F>
void with_taps(int taps, const F& f) {
  if (taps == 1) return f(std::integral_constant<int, 1>());
  if (taps == 2) return f(std::integral_constant<int, 2>());
  f(std::integral_constant<int, 4>());
}

}  // namespace

void warp_forward(int type, void* y, const void* x, const double* matrix, const WarpGeometry& g) {
  const int64_t pixels = g.images * g.out_height * g.out_width;
  with_taps(g.taps, [&](auto taps) {
    constexpr int kTaps = decltype(taps)::value;
    if (type == 1)
      return run(&read_pixels<uint8_t, kTaps>, grid_for(pixels, kThreads), kThreads, 0, static_cast<uint8_t*>(y),
                 static_cast<const uint8_t*>(x), matrix, g);
    with_float(type, [&](auto* tag) {
      using T = decltype(of(tag));
      run(&read_pixels<T, kTaps>, grid_for(pixels, kThreads), kThreads, 0, static_cast<T*>(y), static_cast<const T*>(x),
          matrix, g);
    });
  });
}

void warp_backward(int type, void* dx, const void* dy, const double* matrix, const WarpGeometry& g) {
  with_taps(g.taps, [&](auto taps) {
    constexpr int kTaps = decltype(taps)::value;
    with_float(type, [&](auto* tag) {
      using T = decltype(of(tag));
      gradient<T, kTaps>(static_cast<T*>(dx), static_cast<const T*>(dy), matrix, g);
    });
  });
}

}  // namespace cuda
}  // namespace fastnn
