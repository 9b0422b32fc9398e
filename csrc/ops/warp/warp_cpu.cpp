#include <cstring>

#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/warp/warp.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

template <class T>
struct Sum {  // in what values are added up
  using type = T;
};
template <>
struct Sum<uint8_t> {
  using type = float;
};

inline void put(float v, float* to) { *to = v; }
inline void put(double v, double* to) { *to = v; }
inline void put(float v, uint8_t* to) {  // not a NaN: uint8 has none, and its fill was checked
  *to = static_cast<uint8_t>(v <= 0 ? 0 : v >= 255 ? 255 : static_cast<int>(v + 0.5f));
}

constexpr double kFar = 1e9;  // cells; positions beyond are no longer told apart

/// The cell that stands for cell i of an axis of n; -1: the fill.
inline int64_t inside(int64_t i, int64_t n, WarpBorder border) {
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

template <class T, int kTaps>
FASTNN_INLINE void weights_of(double t, T* w) {
  if (kTaps == 1) w[0] = T(1);
  if (kTaps == 2) w[0] = static_cast<T>(1 - t), w[1] = static_cast<T>(t);
  if (kTaps == 4) {
    // Keys: ((a + 2) d - (a + 3)) d^2 + 1 up to a distance of 1, a (((d - 5) d + 8) d - 4) up to 2; a = -3/4
    const auto near = [](double d) { return (1.25 * d - 2.25) * d * d + 1; };
    const auto far = [](double d) { return -0.75 * (((d - 5) * d + 8) * d - 4); };
    w[0] = static_cast<T>(far(1 + t)), w[1] = static_cast<T>(near(t));
    w[2] = static_cast<T>(near(1 - t)), w[3] = static_cast<T>(far(2 - t));
  }
}

/// The cells of an axis that a position reads, the first of them and their weights.
template <class T, int kTaps>
struct Taps {
  int64_t first;
  T weight[kTaps];
  bool between;  // all are inside, and none has the weight 0

  FASTNN_INLINE Taps(double p, int64_t n) {
    const double low = __builtin_floor(kTaps == 1 ? p + 0.5 : p);
    first = static_cast<int64_t>(low) - (kTaps == 4);
    between = first >= 0 && first + kTaps <= n && (kTaps == 1 || p != low);
    weights_of<T, kTaps>(p - low, weight);
  }
};

/// f(pixel, rows, columns) for the pixels of an output row that read the image, fill(pixel) for the others.
template <class T, int kTaps, class F, class Fill>
FASTNN_INLINE void for_row(int64_t i, const double* m, const WarpGeometry& g, const F& f, const Fill& fill) {
  using A = typename Sum<T>::type;
  const bool constant = g.border == WarpBorder::constant;
  const double y = static_cast<double>(i), low = constant ? -kTaps : -kFar;
  const double right = constant ? static_cast<double>(g.width + kTaps) : kFar;
  const double bottom = constant ? static_cast<double>(g.height + kTaps) : kFar;
  const auto clamped = [low](double p, double high) { return p < low ? low : p > high ? high : p; };
  for (int64_t j = 0; j < g.out_width; ++j) {
    const double x = static_cast<double>(j);
    const double u = m[0] * x + m[1] * y + m[2], v = m[3] * x + m[4] * y + m[5];
    if (u - u != 0 || v - v != 0)
      fill(j);
    else  // positions that far out read what the nearest of them read
      f(j, Taps<A, kTaps>(clamped(v, bottom), g.height), Taps<A, kTaps>(clamped(u, right), g.width));
  }
}

/// Images that are only moved and mirrored, in whole cells: rows are copied.
bool whole_cells(const double* m) {
  if (m[1] != 0 || m[3] != 0 || (m[0] != 1 && m[0] != -1) || (m[4] != 1 && m[4] != -1)) return false;
  for (const double t : {m[2], m[5]})
    if (!(t > -kFar && t < kFar) || t != __builtin_floor(t)) return false;
  return true;
}

template <class T>
void copy_row(T* y, const T* image, int64_t i, const double* m, const WarpGeometry& g) {
  const int64_t C = g.channels, W = g.out_width, step = static_cast<int64_t>(m[0]), start = static_cast<int64_t>(m[2]);
  const int64_t row = inside(static_cast<int64_t>(m[4]) * i + static_cast<int64_t>(m[5]), g.height, g.border);
  const T* const from = image + (row < 0 ? 0 : row) * g.width * C;
  T value;
  put(static_cast<typename Sum<T>::type>(g.fill), &value);
  for (int64_t j = 0; j < W;) {
    const int64_t u = step * j + start;
    int64_t run = step == 1 && row >= 0 && u >= 0 ? g.width - u : 0;  // cells that lie side by side in both
    if (run > W - j) run = W - j;
    if (run > 0) {
      std::memcpy(y + j * C, from + u * C, static_cast<size_t>(run * C) * sizeof(T));
      j += run;
      continue;
    }
    const int64_t at = row < 0 ? -1 : inside(u, g.width, g.border);
    for (int64_t c = 0; c < C; ++c) y[j * C + c] = at < 0 ? value : from[at * C + c];
    ++j;
  }
}

/// One pixel near the border, a block of channels at a time.
template <class T, int kTaps, class A>
void border_pixel(T* y, const T* image, const Taps<A, kTaps>& rows, const Taps<A, kTaps>& columns,
                  const WarpGeometry& g) {
  constexpr int64_t kBlock = 64;
  const int64_t C = g.channels;
  const A outside = static_cast<A>(g.fill);
  for (int64_t c0 = 0; c0 < C; c0 += kBlock) {
    const int64_t n = C - c0 < kBlock ? C - c0 : kBlock;
    A sum[kBlock];
    for (int64_t c = 0; c < n; ++c) sum[c] = 0;
    for (int k = 0; k < kTaps; ++k) {
      const int64_t row = inside(rows.first + k, g.height, g.border);
      for (int l = 0; l < kTaps; ++l) {
        const A w = rows.weight[k] * columns.weight[l];
        if (w == 0) continue;
        const int64_t column = inside(columns.first + l, g.width, g.border);
        if (row < 0 || column < 0) {
          for (int64_t c = 0; c < n; ++c) sum[c] += w * outside;
        } else {
          const T* const from = image + (row * g.width + column) * C + c0;
          for (int64_t c = 0; c < n; ++c) sum[c] += w * static_cast<A>(from[c]);
        }
      }
    }
    for (int64_t c = 0; c < n; ++c) put(sum[c], y + c0 + c);
  }
}

/// kChannels: of images of few channels, whose sums then stay in registers; 0: any number.
template <class T, int kTaps, int kChannels>
void warp_row(T* y, const T* image, int64_t i, const double* m, const WarpGeometry& g) {
  using A = typename Sum<T>::type;
  const int64_t C = kChannels ? kChannels : g.channels;
  const A outside = static_cast<A>(g.fill);
  for_row<T, kTaps>(
      i, m, g,
      [&](int64_t j, const Taps<A, kTaps>& rows, const Taps<A, kTaps>& columns) {
        if (kChannels == 0 || !rows.between || !columns.between)
          return border_pixel<T, kTaps, A>(y + j * C, image, rows, columns, g);
        constexpr int kSums = kChannels ? kChannels : 1;
        A sum[kSums] = {};
        for (int k = 0; k < kTaps; ++k) {
          const T* from = image + ((rows.first + k) * g.width + columns.first) * C;
          for (int l = 0; l < kTaps; ++l, from += kSums) {
            const A w = rows.weight[k] * columns.weight[l];
            for (int c = 0; c < kSums; ++c) sum[c] += w * static_cast<A>(from[c]);
          }
        }
        for (int c = 0; c < kSums; ++c) put(sum[c], y + j * C + c);
      },
      [&](int64_t j) {
        for (int64_t c = 0; c < C; ++c) put(outside, y + j * C + c);
      });
}

template <class T>
using RowFunction = void(T*, const T*, int64_t, const double*, const WarpGeometry&);

template <class T, int kTaps>
RowFunction<T>* row_function([[maybe_unused]] int64_t channels) {
  if constexpr (sizeof(T) == 8)
    return &warp_row<T, kTaps, 0>;  // images are float32 or uint8
  else
    return channels == 1 ? &warp_row<T, kTaps, 1> : channels == 3 ? &warp_row<T, kTaps, 3> : &warp_row<T, kTaps, 0>;
}

template <class T>
void forward(T* y, const T* x, const double* matrix, const WarpGeometry& g) {
  const int64_t row = g.out_width * g.channels, grain = row < 4096 ? 4096 / row : 1, C = g.channels;
  RowFunction<T>* const warp = g.taps == 1   ? row_function<T, 1>(C)
                               : g.taps == 2 ? row_function<T, 2>(C)
                                             : row_function<T, 4>(C);
  parallel_range(g.images * g.out_height, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / g.out_height, i = r % g.out_height;
      const double* const m = matrix + 6 * n;
      const T* const image = x + n * g.height * g.width * g.channels;
      T* const to = y + r * row;
      (whole_cells(m) ? &copy_row<T> : warp)(to, image, i, m, g);
    }
  });
}

template <class T, int kTaps>
void scatter(T* image, const T* dy, int64_t i, const double* m, const WarpGeometry& g) {
  const int64_t C = g.channels;
  for_row<T, kTaps>(
      i, m, g,
      [&](int64_t j, const Taps<T, kTaps>& rows, const Taps<T, kTaps>& columns) {
        for (int k = 0; k < kTaps; ++k)
          for (int l = 0; l < kTaps; ++l) {
            const T w = rows.weight[k] * columns.weight[l];
            const int64_t row = inside(rows.first + k, g.height, g.border);
            const int64_t column = inside(columns.first + l, g.width, g.border);
            if (w == 0 || row < 0 || column < 0) continue;
            T* const to = image + (row * g.width + column) * C;
            for (int64_t c = 0; c < C; ++c) to[c] += w * dy[j * C + c];
          }
      },
      [](int64_t) {});
}

// An image's dx is the sum over its dy in their order: one task an image.
template <class T>
void backward(T* dx, const T* dy, const double* matrix, const WarpGeometry& g) {
  const int64_t plane = g.height * g.width * g.channels, row = g.out_width * g.channels;
  parallel_tasks(g.images, [&](int64_t n) {
    T* const image = dx + n * plane;
    std::memset(image, 0, static_cast<size_t>(plane) * sizeof(T));
    for (int64_t i = 0; i < g.out_height; ++i) {
      const T* const from = dy + (n * g.out_height + i) * row;
      if (g.taps == 1)
        scatter<T, 1>(image, from, i, matrix + 6 * n, g);
      else if (g.taps == 2)
        scatter<T, 2>(image, from, i, matrix + 6 * n, g);
      else
        scatter<T, 4>(image, from, i, matrix + 6 * n, g);
    }
  });
}

}  // namespace

void warp_forward(int type, void* y, const void* x, const double* matrix, const WarpGeometry& g) {
  if (type == 1)
    forward(static_cast<uint8_t*>(y), static_cast<const uint8_t*>(x), matrix, g);
  else if (type == 4)
    forward(static_cast<float*>(y), static_cast<const float*>(x), matrix, g);
  else
    forward(static_cast<double*>(y), static_cast<const double*>(x), matrix, g);
}

void warp_backward(int type, void* dx, const void* dy, const double* matrix, const WarpGeometry& g) {
  if (type == 4)
    backward(static_cast<float*>(dx), static_cast<const float*>(dy), matrix, g);
  else
    backward(static_cast<double*>(dx), static_cast<const double*>(dy), matrix, g);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
