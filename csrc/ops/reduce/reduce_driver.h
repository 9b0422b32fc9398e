// The loops of every reduction, around a reducer R:
//   R::Elem, R::State        element of x, and what is known of a part of the reduced elements
//   State identity()         of no elements
//   void block(State& s, const Elem* p, int64_t m, int64_t first, int64_t out)   adds p[0..m), reduced elements
//                                                                    first.. of output `out`, to s
//   void combine(State& s, const State& later)
//   void finish(int64_t out, const State& s)     writes output `out`
//   R::kColumns              true when there is also
//   void columns(State* s, const Elem* x, const int64_t* rows, int64_t count, int64_t w, int64_t first)
//                                                                    adds x[rows[r] + j] to s[j], j in [0, w)
//   R::kShortRows            true when there is also
//   void short_rows(const Vec<Elem>* v, int64_t n, int64_t count, int64_t out, int64_t step)
//                                                                    lane k of v[0..n) are the n elements of output
//                                                                    out + k * step, k in [0, count): fold and finish
// Included inside per-ISA sources only.
#pragma once

#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/reduce/reduce_loop.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

FASTNN_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// Position `index` in row-major order over `rank` axes, and the offsets it has in up to two operands.
struct Walk {
  int rank;
  const int64_t *size, *sx, *sy;
  int64_t at[kMaxRank];
  int64_t x = 0, y = 0;

  Walk(int r, const int64_t* sizes, const int64_t* x_strides, const int64_t* y_strides, int64_t index)
      : rank(r), size(sizes), sx(x_strides), sy(y_strides) {
    for (int i = rank - 1; i >= 0; --i) {
      at[i] = index % size[i];
      index /= size[i];
      x += at[i] * sx[i];
      if (sy) y += at[i] * sy[i];
    }
  }
  void next() {
    for (int i = rank - 1; i >= 0; --i) {
      x += sx[i];
      if (sy) y += sy[i];
      if (++at[i] < size[i]) return;
      x -= at[i] * sx[i];
      if (sy) y -= at[i] * sy[i];
      at[i] = 0;
    }
  }
};

/// Copies reduced elements [first, first + m) of the output at x into buffer.
template <class T>
__attribute__((noinline)) void gather(T* buffer, const T* x, const ReduceLoop& loop, int64_t first, int64_t m) {
  const int inner = loop.red_rank - 1;
  const int64_t run = loop.red_size[inner], step = loop.red_x[inner];
  Walk outer(inner, loop.red_size, loop.red_x, nullptr, first / run);
  int64_t j = first % run;
  for (int64_t i = 0; i < m;) {
    const T* p = x + outer.x + j * step;
    const int64_t count = smaller(run - j, m - i);
    if (step == 1)
      for (int64_t k = 0; k < count; ++k) buffer[i + k] = p[k];
    else
      for (int64_t k = 0; k < count; ++k) buffer[i + k] = p[k * step];
    i += count;
    j = 0;
    outer.next();
  }
}

/// Reduced elements [first, last) of the output whose input starts at x. Not inlined, and one call of `block`: these
/// are the bulk of the compiled code of every reducer.
template <class R>
__attribute__((noinline)) typename R::State fold_range(const R& r, const typename R::Elem* x, const ReduceLoop& loop,
                                                       int64_t first, int64_t last, int64_t out) {
  typename R::State s = r.identity();
  const bool in_place = loop.red_rank == 0 || (loop.red_rank == 1 && loop.red_x[0] == 1);
  typename R::Elem buffer[kReduceBlock];
  for (int64_t i = first; i < last; i += kReduceBlock) {
    const int64_t m = smaller(kReduceBlock, last - i);
    if (!in_place) gather(buffer, x, loop, i, m);
    r.block(s, in_place ? x + i : buffer, m, i, out);
  }
  return s;
}

// Rows up to this long are folded a vector of rows at a time, the loads transposing them: a row of ten would leave
// vectors half empty and wait for its own horizontal sum.
constexpr int64_t kShortRow = 16;

template <class R>
void reduce_short_rows(const R& r, const typename R::Elem* x, const ReduceLoop& loop) {
  typedef typename R::Elem T;
  constexpr int W = kLanes<T>;
  const int inner = loop.kept_rank - 1;
  const int64_t width = loop.kept_size[inner], step = loop.kept_x[inner], y_step = loop.kept_y[inner], n = loop.n;
  const int64_t groups = width / W + (width % W != 0);
  parallel_range(loop.outputs / width * groups, kReduceGrain / (W * n), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t j = t % groups * W, count = smaller(W, width - j);
      const Walk at(inner, loop.kept_size, loop.kept_x, loop.kept_y, t / groups);
      const T* p = x + at.x + j * step;
      Vec<T> v[kShortRow] = {};
      if (count == W) {
        for (int64_t c = 0; c < n; ++c)
#pragma GCC unroll 16
          for (int k = 0; k < W; ++k) v[c][k] = p[k * step + c];
      } else {
        for (int64_t c = 0; c < n; ++c)
          for (int64_t k = 0; k < count; ++k) v[c][k] = p[k * step + c];
      }
      r.short_rows(v, n, count, loop.y_start + at.y + j * y_step, y_step);
    }
  });
}

template <class R>
void reduce_rows(const R& r, const typename R::Elem* x, const ReduceLoop& loop, void* scratch) {
  const int64_t chunks = loop.n / kReduceChunk + (loop.n % kReduceChunk != 0);
  x += loop.x_start;
  if constexpr (R::kShortRows)
    if (loop.n > 0 && loop.n <= kShortRow && loop.red_rank == 1 && loop.red_x[0] == 1 && loop.kept_rank > 0)
      return reduce_short_rows(r, x, loop);
  if (chunks <= 1) {
    parallel_range(loop.outputs, kReduceGrain / (loop.n > 0 ? loop.n : 1), [&](int64_t begin, int64_t end) {
      Walk w(loop.kept_rank, loop.kept_size, loop.kept_x, loop.kept_y, begin);
      for (int64_t o = begin; o < end; ++o, w.next()) {
        const int64_t out = loop.y_start + w.y;
        r.finish(out, fold_range(r, x + w.x, loop, 0, loop.n, out));
      }
    });
    return;
  }
  auto* part = static_cast<typename R::State*>(scratch);
  parallel_tasks(loop.outputs * chunks, [&](int64_t t) {
    const int64_t first = t % chunks * kReduceChunk;
    const Walk w(loop.kept_rank, loop.kept_size, loop.kept_x, loop.kept_y, t / chunks);
    part[t] = fold_range(r, x + w.x, loop, first, smaller(first + kReduceChunk, loop.n), loop.y_start + w.y);
  });
  Walk w(loop.kept_rank, loop.kept_size, loop.kept_x, loop.kept_y, 0);
  for (int64_t o = 0; o < loop.outputs; ++o, w.next()) {
    typename R::State s = part[o * chunks];
    for (int64_t c = 1; c < chunks; ++c) r.combine(s, part[o * chunks + c]);
    r.finish(loop.y_start + w.y, s);
  }
}

/// Reduced rows [first, last) of w columns that start at x, into s[0..w).
template <class R>
__attribute__((noinline)) void fold_columns(const R& r, typename R::State* s, const typename R::Elem* x,
                                            const ReduceLoop& loop, int64_t first, int64_t last, int64_t w) {
  for (int64_t j = 0; j < w; ++j) s[j] = r.identity();
  if (first == last) return;  // no elements: there is no place in an axis of size 0
  int64_t rows[kColumnRows];
  Walk walk(loop.red_rank, loop.red_size, loop.red_x, nullptr, first);
  for (int64_t i = first; i < last; i += kColumnRows) {
    const int64_t count = smaller(kColumnRows, last - i);
    for (int64_t k = 0; k < count; ++k, walk.next()) rows[k] = walk.x;
    r.columns(s, x, rows, count, w, i);
  }
}

template <class R>
void reduce_columns(const R& r, const typename R::Elem* x, const ReduceLoop& loop, void* scratch) {
  typedef typename R::State State;
  const int inner = loop.kept_rank - 1;
  const int64_t width = loop.kept_size[inner], y_step = loop.kept_y[inner];
  const int64_t strips = width / kColumnStrip + (width % kColumnStrip != 0);
  const int64_t chunks = loop.n / kColumnChunk + (loop.n % kColumnChunk != 0);
  const int64_t outer = loop.outputs / width;
  x += loop.x_start;
  if (chunks <= 1) {
    const int64_t work = smaller(width, kColumnStrip) * loop.n;
    parallel_range(outer * strips, kReduceGrain / (work > 0 ? work : 1), [&](int64_t begin, int64_t end) {
      State s[kColumnStrip];
      for (int64_t t = begin; t < end; ++t) {
        const int64_t j = t % strips * kColumnStrip, w = smaller(kColumnStrip, width - j);
        const Walk at(inner, loop.kept_size, loop.kept_x, loop.kept_y, t / strips);
        fold_columns(r, s, x + at.x + j, loop, 0, loop.n, w);
        for (int64_t k = 0; k < w; ++k) r.finish(loop.y_start + at.y + (j + k) * y_step, s[k]);
      }
    });
    return;
  }
  // part[outer][chunk][column]
  auto* part = static_cast<State*>(scratch);
  parallel_tasks(outer * chunks * strips, [&](int64_t t) {
    const int64_t j = t % strips * kColumnStrip, w = smaller(kColumnStrip, width - j);
    const int64_t c = t / strips % chunks, o = t / strips / chunks;
    const Walk at(inner, loop.kept_size, loop.kept_x, loop.kept_y, o);
    fold_columns(r, part + (o * chunks + c) * width + j, x + at.x + j, loop, c * kColumnChunk,
                 smaller((c + 1) * kColumnChunk, loop.n), w);
  });
  Walk at(inner, loop.kept_size, loop.kept_x, loop.kept_y, 0);
  for (int64_t o = 0; o < outer; ++o, at.next())
    for (int64_t j = 0; j < width; ++j) {
      State s = part[o * chunks * width + j];
      for (int64_t c = 1; c < chunks; ++c) r.combine(s, part[(o * chunks + c) * width + j]);
      r.finish(loop.y_start + at.y + j * y_step, s);
    }
}

/// The whole reduction of x. An input without reduced elements gives the identity.
template <class R>
void reduce_all(const R& r, const typename R::Elem* x, const ReduceLoop& loop, void* scratch) {
  if constexpr (R::kColumns)
    if (loop.columns) return reduce_columns(r, x, loop, scratch);
  // Where `partials` was counted for columns it is enough here too: chunks along rows are longer.
  reduce_rows(r, x, loop, scratch);
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
