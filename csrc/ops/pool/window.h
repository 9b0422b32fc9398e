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

/// Output rows a task takes: a 64th of all, as long as that is 32768 to 262144 elements to read.
inline int64_t rows_per_task(const PoolGeometry& g) {
  int64_t work = g.axis[2].out * g.channels;
  for (const PoolAxis& a : g.axis) work = work > 262144 ? work : work * (a.kernel < a.in ? a.kernel : a.in);
  if (work < 1) work = 1;
  const int64_t rows = g.batch * g.axis[0].out * g.axis[1].out / 64, least = 32768 / work, most = 262144 / work;
  return rows < least ? least : rows < most ? rows : most;
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

/// Windows of K x K cells that lie inside x: `lines` lines of `count`, `step` elements from one to the next in x and
/// `down` from line to line (in y: `below`), and the distance of the rows of x.
struct Squares {
  int64_t lines, count, step, down, below, row;
};

/// All windows by rows of windows: `squares(side, number of the first, its place in x, Squares)` takes those of a few
/// rows that are squares of 2 or 3 cells and lie inside x, for which it has loops of its own, and says whether it
/// could; `window(number, image, d, h, w)` takes the others one by one. Squares are taken by many rows at once: what
/// lies between two loops is time in which nothing comes from memory.
template <class T, class Inside, class Window>
FASTNN_INLINE void for_windows(const PoolGeometry& g, const Inside& squares, const Window& window) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels, row = W.in * C, side = W.kernel;
  const Inner columns(W, g.adaptive), rows(H, g.adaptive);
  const bool square = !g.adaptive && H.kernel == side && (side == 2 || side == 3) && H.dilation == 1 &&
                      W.dilation == 1 && D.kernel == 1 && C >= kLanes<T> && columns.first < columns.end;
  parallel_range(g.batch * D.out * H.out, rows_per_task(g), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end;) {
      const int64_t image = r / (D.out * H.out);
      const Span d = span_of(D, g.adaptive, r / H.out % D.out);
      int64_t lines = 1;
      bool done = false;
      if (square && d.count == 1 && rows.has(r % H.out)) {
        lines = rows.end - r % H.out < end - r ? rows.end - r % H.out : end - r;
        const int64_t line = (image * D.in + d.first) * H.in + r % H.out * H.stride - H.pad;
        done = squares(side, r * W.out + columns.first, line * row + (columns.first * W.stride - W.pad) * C,
                       Squares{lines, columns.end - columns.first, W.stride * C, H.stride * row, W.out * C, row});
      }
      for (; lines > 0; --lines, ++r) {
        const Span h = span_of(H, g.adaptive, r % H.out);
        for (int64_t o = 0; o < W.out; ++o) {
          if (done && o == columns.first) o = columns.end;
          if (o < W.out) window(r * W.out + o, image, d, h, span_of(W, g.adaptive, o));
        }
      }
    }
  });
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

/// A row of dx under `count` rows of windows K wide and S apart, each of its cells written once: the sum of what the
/// windows over it give, in their order. S cells are taken at once, since the same windows lie over them:
///   give.load(Vectors<n>, row, its window, first channel, part)        what a window knows
///   give.add(sum, loaded, vector of the block, row, cell of the row)   what it gives to a cell
template <int K, int S, class T, class Row, class Give>
FASTNN_INLINE void gather_row(T* dx, const Row* rows, int64_t count, const PoolAxis W, int64_t C, bool streams,
                              const Give give) {
  for (int64_t q = W.pad / S; q * S - W.pad < W.in; ++q) {
    const int64_t cell = q * S - W.pad;
    for_channels<T>(C, [=](auto block, int64_t c, int64_t part) FASTNN_LAMBDA_INLINE {
      typedef decltype(block) B;
      constexpr int n = kBlock<B>;
      Vec<T> sum[S * n] = {};
      for (int64_t r = 0; r < count; ++r)
#pragma GCC unroll 3
        for (int m = (K - 1) / S; m >= 0; --m) {
          const int64_t o = q - m;
          if (o < 0 || o >= W.out) continue;
          const auto window = give.load(block, rows[r], o, c, part);
#pragma GCC unroll 2
          for (int k = 0; k < S; ++k)
            if (k + m * S < K)
#pragma GCC unroll 8
              for (int v = 0; v < n; ++v) sum[k * n + v] = give.add(sum[k * n + v], window, v, rows[r], k + m * S);
        }
#pragma GCC unroll 2
      for (int k = 0; k < S; ++k) {
        if (cell + k < 0 || cell + k >= W.in) continue;
        T* const to = dx + (cell + k) * C + c;
        if (streams)
#pragma GCC unroll 8
          for (int v = 0; v < n; ++v) stream(to + v * kLanes<T>, sum[k * n + v]);
        else
#pragma GCC unroll 8
          for (int v = 0; v < n; ++v) store_block<B>(to + v * kLanes<T>, sum[k * n + v], part);
      }
    });
  }
}

/// Whether gather_windows has a loop for windows so wide; no cell is under more than nine rows of them.
inline bool gathers(const PoolGeometry& g) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  return !g.adaptive && W.kernel == 3 && W.dilation == 1 && W.stride <= 2 && D.kernel <= 3 && H.kernel <= 3;
}

/// dx by rows, as gather_row takes them; give.row(first window, number of the row's first cell, od, oh) is what it
/// knows of a row of windows. Half the time of for_rows: nothing is read back, and large results go past the cache.
template <class T, class Give>
FASTNN_INLINE void gather_windows(T* dx, const PoolGeometry& g, const Give& give) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels, size = W.in * C, grain = size >= 16384 ? 1 : 16384 / (size > 0 ? size : 1);
  const int64_t bytes = g.batch * C * (2 * g.out_plane() + g.in_plane()) * static_cast<int64_t>(sizeof(T));
  const bool streams = past_cache(bytes) && C % kLanes<T> == 0 && stream_head(dx, 1) == 0;
  parallel_range(g.batch * D.in * H.in, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / (D.in * H.in), i = r / H.in % D.in, j = r % H.in;
      const Covering d(D, false, i), h(H, false, j);
      typename Give::Row rows[9];
      int64_t count = 0;
      for (int64_t od = d.low; od <= d.high; ++od) {
        const int64_t kd = cell_of(D, false, od, i);
        if (kd < 0) continue;
        for (int64_t oh = h.low; oh <= h.high; ++oh) {
          const int64_t kh = cell_of(H, false, oh, j);
          if (kh < 0) continue;
          rows[count++] = give.row(((n * D.out + od) * H.out + oh) * W.out, (kd * H.kernel + kh) * W.kernel, od, oh);
        }
      }
      if (W.stride == 1)
        gather_row<3, 1>(dx + r * size, rows, count, W, C, streams, give);
      else
        gather_row<3, 2>(dx + r * size, rows, count, W, C, streams, give);
    }
    if (streams) stream_fence();
  });
}

constexpr int kFloat32 = 4;  // DType::float32

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
