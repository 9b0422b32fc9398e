// Copies and sums of windows; every element of the result is written by one task, its terms in the order of the taps.
#include "core/dtype.h"
#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/im2col/im2col.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Elements that a task moves.
constexpr int64_t kTaskElements = 1 << 16;

template <class T>
void copy_windows(T* columns, const T* x, const WindowSizes& s) {
  const int64_t taps = s.taps[0] * s.taps[1] * s.taps[2], lines = s.N * s.out[0] * s.out[1];
  const size_t bytes = static_cast<size_t>(s.C) * sizeof(T);
  parallel_range(lines, kTaskElements / (s.out[2] * taps * s.C) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t h = line % s.out[1], d = line / s.out[1] % s.out[0], n = line / (s.out[1] * s.out[0]);
      T* to = columns + line * s.out[2] * taps * s.C;
      for (int64_t w = 0; w < s.out[2]; ++w)
        for (int64_t t0 = 0; t0 < s.taps[0]; ++t0)
          for (int64_t t1 = 0; t1 < s.taps[1]; ++t1)
            for (int64_t t2 = 0; t2 < s.taps[2]; ++t2, to += s.C) {
              const int64_t i = d * s.stride[0] + t0 * s.dilation[0] - s.before[0];
              const int64_t j = h * s.stride[1] + t1 * s.dilation[1] - s.before[1];
              const int64_t k = w * s.stride[2] + t2 * s.dilation[2] - s.before[2];
              if (i < 0 || i >= s.in[0] || j < 0 || j >= s.in[1] || k < 0 || k >= s.in[2])
                __builtin_memset(to, 0, bytes);
              else
                __builtin_memcpy(to, x + (((n * s.in[0] + i) * s.in[1] + j) * s.in[2] + k) * s.C, bytes);
            }
    }
  });
}

/// The window position that tap t takes position i from, or -1.
inline int64_t window_of(const WindowSizes& s, int a, int64_t i, int64_t t) {
  const int64_t at = i + s.before[a] - t * s.dilation[a];
  return at < 0 || at % s.stride[a] != 0 || at / s.stride[a] >= s.out[a] ? -1 : at / s.stride[a];
}

template <class T>
inline void add_to(T* y, const T* x, int64_t n) {
  int64_t c = 0;
  for (; c + kLanes<T> <= n; c += kLanes<T>) store(y + c, load(y + c) + load(x + c));
  for (; c < n; ++c) y[c] = y[c] + x[c];
}

template <class T>
void sum_windows(T* x, const T* columns, const WindowSizes& s) {
  const int64_t taps = s.taps[0] * s.taps[1] * s.taps[2], lines = s.N * s.in[0] * s.in[1];
  parallel_range(lines, kTaskElements / (s.in[2] * s.C) / 8 + 1, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t j = line % s.in[1], i = line / s.in[1] % s.in[0], n = line / (s.in[1] * s.in[0]);
      T* const row = x + line * s.in[2] * s.C;
      __builtin_memset(row, 0, static_cast<size_t>(s.in[2] * s.C) * sizeof(T));
      for (int64_t t0 = 0; t0 < s.taps[0]; ++t0) {
        const int64_t d = window_of(s, 0, i, t0);
        for (int64_t t1 = 0; d >= 0 && t1 < s.taps[1]; ++t1) {
          const int64_t h = window_of(s, 1, j, t1);
          for (int64_t t2 = 0; h >= 0 && t2 < s.taps[2]; ++t2)
            for (int64_t k = 0; k < s.in[2]; ++k) {
              const int64_t w = window_of(s, 2, k, t2);
              if (w < 0) continue;
              const int64_t window = ((n * s.out[0] + d) * s.out[1] + h) * s.out[2] + w;
              const int64_t tap = (t0 * s.taps[1] + t1) * s.taps[2] + t2;
              add_to(row + k * s.C, columns + (window * taps + tap) * s.C, s.C);
            }
        }
      }
    }
  });
}

}  // namespace

void im2col_copy(int type, void* columns, const void* x, const WindowSizes& sizes) {
  if (static_cast<DType>(type) == DType::float32)
    copy_windows(static_cast<float*>(columns), static_cast<const float*>(x), sizes);
  else
    copy_windows(static_cast<double*>(columns), static_cast<const double*>(x), sizes);
}

void col2im_sum(int type, void* x, const void* columns, const WindowSizes& sizes) {
  if (static_cast<DType>(type) == DType::float32)
    sum_windows(static_cast<float*>(x), static_cast<const float*>(columns), sizes);
  else
    sum_windows(static_cast<double*>(x), static_cast<const double*>(columns), sizes);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
