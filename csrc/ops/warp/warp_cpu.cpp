#include <cstring>

#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/warp/tap.h"

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

/// f(pixel, rows, columns) for the pixels of an output row that read the image, fill(pixel) for the others.
template <class T, int kTaps, class F, class Fill>
FASTNN_INLINE void for_row(int64_t i, const double* m, const WarpGeometry& g, const F& f, const Fill& fill) {
  using A = typename Sum<T>::type;
  for (int64_t j = 0; j < g.out_width; ++j) {
    double u, v;
    if (source_of(m, g, i, j, u, v))
      f(j, Taps<A, kTaps>(v, g.height), Taps<A, kTaps>(u, g.width));
    else
      fill(j);
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
