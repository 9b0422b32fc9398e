// What the pooling kernels share: which cells a window covers, which windows cover a cell, and the cut of channels into
// vectors. Included inside per-ISA sources only.
#pragma once

#include <cstring>

#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/pool/pool.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// First cell of window o (it may lie before x), and one past its last.
inline int64_t window_begin(const PoolAxis& a, bool adaptive, int64_t o) {
  return adaptive ? o * a.in / a.out : o * a.stride - a.pad;
}
inline int64_t window_end(const PoolAxis& a, bool adaptive, int64_t o) {
  return adaptive ? ((o + 1) * a.in + a.out - 1) / a.out : o * a.stride - a.pad + (a.kernel - 1) * a.dilation + 1;
}

/// The cells of a window that lie inside x: `count` of them from `first` on, the first being number `cell`. `whole`:
/// cells of the window including padding.
struct Span {
  int64_t first, count, cell, whole;
};
inline Span span_of(const PoolAxis& a, bool adaptive, int64_t o) {
  Span s;
  const int64_t begin = window_begin(a, adaptive, o);
  if (adaptive) {
    s.first = begin, s.cell = 0;
    s.count = s.whole = window_end(a, true, o) - begin;
    return s;
  }
  s.cell = begin < 0 ? (-begin + a.dilation - 1) / a.dilation : 0;
  const int64_t last = begin + (a.kernel - 1) * a.dilation;
  const int64_t stop = last < a.in ? a.kernel : a.in > begin ? (a.in - begin + a.dilation - 1) / a.dilation : 0;
  s.count = stop > s.cell ? stop - s.cell : 0;
  s.first = begin + s.cell * a.dilation;
  const int64_t limit = a.in + a.pad_end;  // a window that leaves the padding behind x counts up to there
  s.whole = (last < limit ? last + 1 : limit) - begin;
  return s;
}

/// Windows [low, high] that may cover cell i of an axis.
struct Covering {
  int64_t low, high;
  Covering(const PoolAxis& a, bool adaptive, int64_t i) {
    if (adaptive) {
      low = high = a.out ? i * a.out / a.in : 0;
    } else {
      const int64_t reach = i + a.pad - (a.kernel - 1) * a.dilation;
      low = reach > 0 ? (reach + a.stride - 1) / a.stride : 0;
      high = (i + a.pad) / a.stride;
    }
    if (high >= a.out) high = a.out - 1;
    while (adaptive && high + 1 < a.out && window_begin(a, true, high + 1) <= i) ++high;
  }
};
/// Number of cell i in window o, -1 where dilation steps over it.
inline int64_t cell_of(const PoolAxis& a, bool adaptive, int64_t o, int64_t i) {
  const int64_t t = i - window_begin(a, adaptive, o);
  if (a.dilation == 1) return t;
  return t % a.dilation == 0 ? t / a.dilation : -1;
}

/// f(Vectors<n>, first channel, part) over the channels: blocks of four vectors, single ones, then what is left: one
/// more vector that overlaps the one before, only its last `part` lanes being new, or, where the channels do not fill a
/// vector, Vectors<0> for the first `part` lanes.
template <int kCount>
struct Vectors {
  static constexpr int value = kCount;
};
template <class T, class F>
FASTNN_INLINE void for_channels(int64_t channels, const F& f) {
  constexpr int64_t lanes = kLanes<T>;
  int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes) f(Vectors<4>(), c, lanes);
  for (; c + lanes <= channels; c += lanes) f(Vectors<1>(), c, lanes);
  if (c == channels) return;
  if (channels >= lanes) return f(Vectors<1>(), channels - lanes, channels - c);
  f(Vectors<0>(), c, channels - c);
}
/// Vectors in a block: a part is one vector.
template <class B>
constexpr int kBlock = B::value == 0 ? 1 : B::value;

template <class B, class T>
FASTNN_INLINE Vec<T> load_block(const T* p, int64_t part) {
  if constexpr (B::value == 0) return load_n(p, part);
  return load(p);
}
template <class B, class T>
FASTNN_INLINE void store_block(T* p, Vec<T> v, int64_t part) {
  if constexpr (B::value == 0) return store_n(p, v, part);
  store(p, v);
}

/// v with zeros in the lanes that an overlapping vector shares with the one before.
template <class B, class T>
FASTNN_INLINE Vec<T> only_new(Vec<T> v, int64_t part) {
  if constexpr (B::value == 1) {
    if (part < kLanes<T>) {
      T lanes[kLanes<T>];
      store(lanes, v);
      for (int64_t i = 0; i < kLanes<T> - part; ++i) lanes[i] = 0;
      return load(lanes);
    }
  }
  return v;
}

/// Output rows a task takes, so that it reads about 32768 elements.
inline int64_t rows_per_task(const PoolGeometry& g, int64_t width) {
  int64_t work = width * g.channels;
  for (const PoolAxis& a : g.axis) work = work > 32768 ? work : work * (a.kernel < a.in ? a.kernel : a.in);
  return work >= 32768 ? 1 : 32768 / (work > 0 ? work : 1);
}

/// For every row of dx, zeroed first: f(row, number of the row's cells in the window, first window of the row of
/// windows, sizes) for the rows of windows that cover it, in order. `number`: depth and height together.
template <class T, class F>
FASTNN_INLINE void for_rows(T* dx, const PoolGeometry& g, const F& f) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1];
  const int64_t row = g.axis[2].in * g.channels, grain = row >= 16384 ? 1 : 16384 / (row > 0 ? row : 1);
  parallel_range(g.batch * D.in * H.in, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      std::memset(dx + r * row, 0, static_cast<size_t>(row) * sizeof(T));
      const int64_t n = r / (D.in * H.in), i = r / H.in % D.in, j = r % H.in;
      const Covering d(D, g.adaptive, i), h(H, g.adaptive, j);
      for (int64_t od = d.low; od <= d.high; ++od) {
        const int64_t kd = cell_of(D, g.adaptive, od, i);
        if (kd < 0) continue;
        for (int64_t oh = h.low; oh <= h.high; ++oh) {
          const int64_t kh = cell_of(H, g.adaptive, oh, j);
          if (kh >= 0) f(dx + r * row, kd * H.kernel + kh, (n * D.out + od) * H.out + oh, od, oh);
        }
      }
    }
  });
}

constexpr int kFloat32 = 4;  // DType::float32

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
