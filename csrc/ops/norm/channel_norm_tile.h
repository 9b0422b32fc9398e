// How the kernels of channel_norm_cpu.cpp pass over a matrix: tiles, and groups of rows in panels of columns. Included
// inside per-ISA sources only.
#pragma once

#include "kernels/parallel.h"
#include "kernels/stream.h"
#include "ops/norm/channel_norm.h"
#include "ops/norm/norm_vector.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int64_t kWidest = 2 * kChannelStrip;
// Rows of a group: what is summed in registers before it reaches the accumulators in L1, and for how long coefficients
// stay in registers.
constexpr int64_t kGroupRows = 8;
// Vectors of a panel: sums, squares and pivots of four are 12 registers of the 16 of AVX2.
constexpr int kPanel = 4;
// Elements that are worth a task.
constexpr int64_t kTileGrain = 16384;
// How far ahead rows are fetched: the processor's own prefetching stops at pages and does not keep up beside stores
// that go past the cache.
constexpr int64_t kAheadBytes = 16384;

/// A tile of a block: where it starts in x, its rows, their distance, and its columns [j0, j0 + w) of the width.
struct Tile {
  int64_t n, block, start, rows, pitch, j0, w;
};

/// f(tile) over all tiles, in parallel; `backwards`: the last first, which a pass before has left in the cache.
template <class F>
void each_tile(const ChannelShape& p, bool backwards, const F& f) {
  const int64_t width = p.width(), blocks = p.blocks(), all = p.all_blocks();
  const int64_t strip = p.fold() > 1 ? width : kChannelStrip, strips = (width + strip - 1) / strip;
  const int64_t tall = smaller(kChannelRows, p.rows() > 0 ? p.rows() : 1);
  const int64_t tiles = p.n * all * strips;
  parallel_range(tiles, kTileGrain / (tall * smaller(strip, width)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t task = backwards ? tiles - 1 - i : i;
      Tile t;
      t.n = task / strips / all;
      t.block = task / strips % all;
      t.j0 = task % strips * strip;
      const bool rest = t.block == blocks;
      t.pitch = rest ? p.c : width;
      t.rows = rest ? p.rest() : smaller(kChannelRows, p.rows() - t.block * kChannelRows);
      t.w = smaller(strip, t.pitch - t.j0);
      t.start = t.n * p.s * p.c + (rest ? p.rows() : t.block * kChannelRows) * width + t.j0;
      f(t);
    }
    stream_fence();
  });
}

template <int N>
struct Vectors {
  static constexpr int count = N;
};

/// f(Vectors<>, first element, column, lanes of the last vector, rows) over panels of groups of rows. `backwards`: the
/// last group first.
template <class T, class F>
FASTNN_INLINE void each_panel(const Tile& t, bool backwards, const F& f) {
  constexpr int64_t W = kLanes<T>;
  const int64_t groups = (t.rows + kGroupRows - 1) / kGroupRows;
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t r = (backwards ? groups - 1 - g : g) * kGroupRows, rows = smaller(kGroupRows, t.rows - r);
    const int64_t i = r * t.pitch;
    int64_t j = 0;
    for (; j + kPanel * W <= t.w; j += kPanel * W) f(Vectors<kPanel>(), i + j, j, W, rows);
    for (; j + W <= t.w; j += W) f(Vectors<1>(), i + j, j, W, rows);
    if (j < t.w) f(Vectors<1>(), i + j, j, t.w - j, rows);
  }
}

/// Whether `arrays` of x's size are too much for the cache.
template <class T>
FASTNN_INLINE bool large(const T*, int64_t arrays, const ChannelShape& p) {
  return past_cache(arrays * p.n * p.s * p.c * static_cast<int64_t>(sizeof(T)));
}

/// Elements from a place to the one that should be fetched beside it, where x is not in the cache and the rows of a
/// tile follow each other; else 0: nothing.
template <class T>
FASTNN_INLINE int64_t ahead_of(const T*, bool away, const Tile& t) {
  return away && t.w == t.pitch ? kAheadBytes / static_cast<int64_t>(sizeof(T)) : 0;
}
template <class T>
FASTNN_INLINE void fetch(const T* p, int64_t ahead) {
  if (ahead != 0) __builtin_prefetch(p + ahead);
}

/// Whether the vectors of a tile go past the cache: a large result, every row of which is aligned and of whole vectors.
/// (A line of which a part is streamed and a part is not goes to memory twice.)
template <class T>
FASTNN_INLINE bool streams_of(const T* y, int64_t arrays, const Tile& t, const ChannelShape& p) {
  return large(y, arrays, p) && stream_head(y, t.w) == 0 && t.w % kLanes<T> == 0 &&
         t.pitch * static_cast<int64_t>(sizeof(T)) % kStreamAlign == 0;
}
template <class T>
FASTNN_INLINE void write(T* p, Vec<T> v, int64_t k, bool streams) {
  if (streams)
    stream(p, v);
  else
    put(p, v, k);
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
