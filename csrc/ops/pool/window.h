// What the pooling kernels share: rows of windows and the cut of channels into vectors. Included inside per-ISA sources
// only.
#pragma once

#include <cstring>

#include "kernels/parallel.h"
#include "kernels/simd_single.h"
#include "kernels/stream.h"
#include "ops/pool/span.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// f(Vectors<n>, first channel, part) over the channels: blocks of eight or four vectors, single ones, then what is
/// left: one more vector that overlaps the one before, only its last `part` lanes being new, or, where the channels do
/// not fill a vector, Vectors<0> for the first `part` lanes.
template <int kCount>
struct Vectors {
  static constexpr int value = kCount;
};
template <class T, class F>
FASTNN_INLINE void for_channels(int64_t channels, const F& f) {
  constexpr int64_t lanes = kLanes<T>;
  int64_t c = 0;
  // Eight where there are registers for them: windows of many channels are read in longer runs.
  if constexpr (kVecBytes == 64)
    for (; c + 8 * lanes <= channels; c += 8 * lanes) f(Vectors<8>(), c, lanes);
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

/// Windows [first, end) that lie inside the axis with all their cells.
struct Inner {
  int64_t first, end;
  Inner(const PoolAxis& a, bool adaptive) {
    first = adaptive ? a.out : (a.pad + a.stride - 1) / a.stride;
    if (first > a.out) first = a.out;
    const int64_t room = a.in + a.pad - (a.kernel - 1) * a.dilation;  // o * stride < room
    end = adaptive || room <= 0 ? 0 : (room + a.stride - 1) / a.stride;
    end = end > a.out ? a.out : end < first ? first : end;
  }
  bool has(int64_t o) const { return o >= first && o < end; }
};

/// The side of a window for which a row of windows has a loop of its own, 2 or 3, or 0. `depth`, `height`: cells of the
/// windows of the row that lie inside x.
inline int64_t square_side(const PoolGeometry& g, int64_t depth, int64_t height, int64_t lanes) {
  const int64_t k = g.axis[2].kernel;
  return !g.adaptive && depth == 1 && height == k && g.axis[1].kernel == k && (k == 2 || k == 3) && g.channels >= lanes
             ? k
             : 0;
}

/// f(first channel) of whole vectors that cover the channels; the last may overlap the one before.
template <class T, class F>
FASTNN_INLINE void for_vectors(int64_t channels, const F& f) {
  int64_t c = 0;
  for (; c + kLanes<T> <= channels; c += kLanes<T>) f(c);
  if (c < channels) f(channels - kLanes<T>);
}

/// Vectors that a function returns.
template <class T, int kCount>
struct Lanes {
  Vec<T> lane[kCount];
};

/// Whether no cell is in two windows, so that each is written once by the window that it is in.
inline bool windows_apart(const PoolGeometry& g) {
  bool apart = !g.adaptive;
  for (const PoolAxis& a : g.axis) apart = apart && a.dilation == 1 && a.stride >= a.kernel;
  return apart;
}

/// dx by windows, where they lie apart: cells in none are zero, those of a row of one are what
///   cell(make(Vectors<n>, window, number of the first of them, first channel, part, place of the window), k, v)
/// gives for cell k of the row and vector v of the block.
template <class T, class Make, class Cell>
FASTNN_INLINE void give_windows(T* dx, const PoolGeometry& g, const Make& make, const Cell& cell) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels, row = W.in * C, grain = row >= 16384 ? 1 : 16384 / (row > 0 ? row : 1);
  const int64_t bytes = g.batch * C * (2 * g.out_plane() + g.in_plane()) * static_cast<int64_t>(sizeof(T));
  const bool streams = past_cache(bytes) && C % kLanes<T> == 0 && stream_head(dx, 1) == 0;
  parallel_range(g.batch * D.in * H.in, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / (D.in * H.in), i = r / H.in % D.in, j = r % H.in;
      T* const to = dx + r * row;
      const auto zero = [&](int64_t from, int64_t until) {
        if (from < until) std::memset(to + from * C, 0, static_cast<size_t>((until - from) * C) * sizeof(T));
      };
      const int64_t od = (i + D.pad) / D.stride, kd = i - window_begin(D, false, od);
      const int64_t oh = (j + H.pad) / H.stride, kh = j - window_begin(H, false, oh);
      int64_t next = 0;  // first cell that has no value yet
      if (od < D.out && kd < D.kernel && oh < H.out && kh < H.kernel)
        for (int64_t o = 0; o < W.out; ++o) {
          const Span w = span_of(W, false, o);
          if (w.count == 0) continue;
          zero(next, w.first);
          next = w.first + w.count;
          const int64_t window = ((n * D.out + od) * H.out + oh) * W.out + o;
          for_channels<T>(C, [&](auto block, int64_t c, int64_t part) FASTNN_LAMBDA_INLINE {
            typedef decltype(block) B;
            const auto values = make(block, window, (kd * H.kernel + kh) * W.kernel + w.cell, c, part, od, oh, o);
            for (int64_t k = 0; k < w.count; ++k)
#pragma GCC unroll 8
              for (int v = 0; v < kBlock<B>; ++v) {
                T* const p = to + (w.first + k) * C + c + v * kLanes<T>;
                if (streams)
                  stream(p, cell(values, k, v));
                else
                  store_block<B>(p, cell(values, k, v), part);
              }
          });
        }
      zero(next, W.in);
    }
    if (streams) stream_fence();
  });
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
