// The loops around the tile: bands of pixels, panels of columns, chunks of the sum, row tiles; and the threads.
//
// Order of the sums (it decides the bits). y: the terms of one element in the order tap, channel, as gemm_chunks(K)
// cuts them; no pixel depends on what else is in the batch. dw: bands (of shapes alone, conv_window.h) one after the
// other in each of conv_weight_parts parts, then the parts from left to right. Nothing depends on the number of
// threads.
#pragma once

#include "kernels/parallel.h"
#include "ops/conv/conv_window.h"
#include "runtime/thread_scratch.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Below this many multiply-adds a fork costs more than it saves.
constexpr double kThreadTerms = 1 << 19;

template <class F>
void tasks(bool fork, int64_t count, const F& f) {
  if (fork) {
    parallel_tasks(count, f);
  } else {
    for (int64_t t = 0; t < count; ++t) f(t);
  }
}

/// Columns in panels as wide as the tile: two vectors, the last one maybe one.
template <class T>
struct Panels {
  int64_t columns, count;
  explicit Panels(int64_t n) : columns(n), count(ceil_div(n, 2 * kLanes<T>)) {}
  int64_t first(int64_t q) const { return q * 2 * kLanes<T>; }
  int64_t size(int64_t q) const { return min64(2 * kLanes<T>, columns - first(q)); }
  int64_t width(int64_t q) const { return round_up(size(q), kLanes<T>); }
  /// Elements of all panels for one term.
  int64_t pitch() const { return round_up(columns, kLanes<T>); }
};

/// The thread's scratch memory, handed out in pieces.
struct Arena {
  char* at;
  static int64_t bytes(int64_t n, int64_t size) { return round_up(n * size, 64) + 64; }
  template <class P>
  P* take(int64_t n) {
    P* const p = reinterpret_cast<P*>(at);
    at += bytes(n, sizeof(P));
    return p;
  }
};

template <class T>
void pack_weights(const ConvArgs<T>& g, T* packed, bool fork) {
  const Panels<T> panels(g.F);
  const int64_t K = g.K(), lines = g.taps[0] * g.taps[1];
  // A line of taps at a time: one long pack where the taps follow each other.
  const bool joined = g.w_tap[2] == g.C * g.w_c;
  tasks(fork && g.groups * K * g.F > 1 << 16, g.groups * panels.count * lines, [&](int64_t t) {
    const int64_t line = t % lines, q = t / lines % panels.count, group = t / lines / panels.count;
    const int64_t width = panels.width(q), d = line / g.taps[1], h = line % g.taps[1];
    T* to = packed + group * K * panels.pitch() + panels.first(q) * K + line * g.taps[2] * g.C * width;
    const T* from = g.w + group * g.w_group + panels.first(q) * g.w_f + d * g.w_tap[0] + h * g.w_tap[1];
    if (joined) {
      pack_panel(to, width, from, g.w_c, g.w_f, g.taps[2] * g.C, panels.size(q));
    } else {
      for (int64_t w = 0; w < g.taps[2]; ++w, to += g.C * width, from += g.w_tap[2])
        pack_panel(to, width, from, g.w_c, g.w_f, g.C, panels.size(q));
    }
  });
}

/// to[i] = pixel first + i of y.
template <class T>
void result_pixels(const ConvArgs<T>& g, int64_t first, int64_t pixels, T** to) {
  const int64_t width = g.out[2], lines = g.out[1];
  int64_t n = first / g.image_pixels(), d = first / (width * lines) % g.out[0], h = first / width % lines,
          w = first % width;
  for (int64_t i = 0; i < pixels;) {
    T* const y = g.y + n * g.y_image + d * g.y_at[0] + h * g.y_at[1];
    for (; w < width && i < pixels; ++w, ++i) to[i] = y + w * g.y_at[2];
    w = 0;
    if (++h == lines) h = 0, ++d;
    if (d == g.out[0]) d = 0, ++n;
  }
}

/// One band times panels [q0, q1) of each group.
template <class T>
void forward_band(const Windows<T>& windows, const T* packed, int64_t b, int64_t q0, int64_t q1) {
  const ConvArgs<T>& g = windows.g;
  const Panels<T> panels(g.F);
  const int64_t K = g.K(), chunks = gemm_chunks(K), chunk = max64(1, ceil_div(K, chunks));
  const int64_t copy_size = windows.copy_elements(), most = windows.band_pixels, run_count = windows.runs_at_most();
  Arena arena{static_cast<char*>(
      thread_scratch(ThreadScratch::local, Arena::bytes(copy_size, sizeof(T)) + 2 * Arena::bytes(most, sizeof(T*)) +
                                               Arena::bytes(run_count, sizeof(Run)) + Arena::bytes(chunks + 2, 8)))};
  T* const copy = arena.take<T>(copy_size);
  const T** const rows = arena.take<const T*>(most);
  T** const to = arena.take<T*>(most);
  Run* const runs = arena.take<Run>(run_count);
  int64_t* const firsts = arena.take<int64_t>(chunks + 2);
  windows.window_runs(runs, firsts, chunk);

  int64_t first, last;
  windows.band(b, first, last);
  const int64_t pixels = last - first;
  result_pixels(g, first, pixels, to);
  const int64_t step = windows.step();
  if (windows.see == See::copied) windows.fill(b, 0, copy);
  for (int64_t group = 0; group < g.groups; ++group) {
    if (windows.see == See::gathered) windows.fill(b, group, copy);
    if (K > 0)
      windows.lines(b, group, copy, [&](int64_t i, const T* at, int64_t count) {
        for (int64_t p = 0; p < count; ++p) rows[i + p] = at + p * step;
      });
    const T* const w = packed + group * K * panels.pitch();
    for (int64_t q = q0; q < q1; ++q) {
      const int64_t width = panels.width(q), column = group * g.F + panels.first(q), vecs = width / kLanes<T>;
      const int64_t tiles = ceil_div(pixels, conv_tile_most(vecs));
      for (int64_t c = 0; c < chunks; ++c) {
        const bool end = c + 1 == chunks;
        const ConvEnd<T> finish{c > 0, end && g.bias ? g.bias + column : nullptr, end ? g.act : Activation::none};
        const T* const B = w + panels.first(q) * K + c * chunk * width;
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t m = cut(pixels, tiles, t), mr = cut(pixels, tiles, t + 1) - m;
          conv_tile_for<T>(mr, vecs)(runs + firsts[c], firsts[c + 1] - firsts[c], 1, rows + m, B, width, to + m, column,
                                     static_cast<int>(panels.size(q)), finish);
        }
      }
    }
  }
}

template <class T>
void conv_forward(const ConvArgs<T>& g, T* packed) {
  if (g.pixels() == 0 || g.F == 0 || g.groups == 0) return;
  const Windows<T> windows(g);
  const Panels<T> panels(g.F);
  const double terms =
      static_cast<double>(g.pixels()) * static_cast<double>(g.groups * g.F) * static_cast<double>(max64(1, g.K()));
  const bool fork = terms >= kThreadTerms && num_threads() > 1;
  if (g.K() > 0) pack_weights(g, packed, fork);
  // Few bands: panels are shared among threads too (the bits do not depend on it).
  const int64_t wanted = fork ? ceil_div(2 * num_threads(), windows.bands) : 1;
  const int64_t parts = max64(1, min64(wanted, panels.count));
  tasks(fork, windows.bands * parts, [&](int64_t t) {
    const int64_t i = t % parts;
    forward_band(windows, packed, t / parts, cut(panels.count, parts, i), cut(panels.count, parts, i + 1));
  });
}

/// The sum of `count` rows of n elements (of L, which can be read, where the vectors have no masks), four at a time.
template <class T>
Vec<T> sum_of_rows(const T* from, int64_t row, int64_t count, int64_t n) {
  Vec<T> s[4] = {};
  const auto at = [=](int64_t i) { return kVecBytes == 64 ? load_n(from + i * row, n) : load(from + i * row); };
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
#pragma GCC unroll 4
    for (int64_t k = 0; k < 4; ++k) s[k] = s[k] + at(i + k);
  for (; i < count; ++i) s[0] = s[0] + at(i);
  return (s[0] + s[1]) + (s[2] + s[3]);
}

/// One band of dw: rows [m0, m1) of each group's [K, F] added to (or, where `add` is false, written to) partial; the
/// sums of dy to sums, where that is not null.
template <class T>
void gradient_band(const Windows<T>& windows, const T* dy, int64_t b, int64_t m0, int64_t m1, T* partial, T* sums,
                   bool add) {
  constexpr int64_t L = kLanes<T>;
  const ConvArgs<T>& g = windows.g;
  const Panels<T> panels(g.F);
  const int64_t K = g.K(), ld = conv_columns(g), dy_pitch = g.groups * g.F;
  const int64_t copy_size = windows.copy_elements(), most = windows.band_pixels, run_count = windows.runs_at_most();
  Arena arena{static_cast<char*>(
      thread_scratch(ThreadScratch::local, Arena::bytes(copy_size, sizeof(T)) + Arena::bytes(most * 2 * L, sizeof(T)) +
                                               Arena::bytes(most, sizeof(Run)) + 2 * Arena::bytes(m1 - m0, sizeof(T*)) +
                                               Arena::bytes(run_count, sizeof(Run)) + Arena::bytes(3, 8)))};
  T* const copy = arena.take<T>(copy_size);
  T* const packed = arena.take<T>(most * 2 * L);
  Run* const lines = arena.take<Run>(most);
  const T** const rows = arena.take<const T*>(m1 - m0);
  T** const to = arena.take<T*>(m1 - m0);
  Run* const window = arena.take<Run>(run_count);
  int64_t* const firsts = arena.take<int64_t>(3);
  windows.window_runs(window, firsts, max64(1, K));

  int64_t first, last;
  windows.band(b, first, last);
  const int64_t pixels = last - first, step = windows.step();
  if (windows.see == See::copied) windows.fill(b, 0, copy);
  for (int64_t group = 0; group < g.groups; ++group) {
    if (windows.see == See::gathered) windows.fill(b, group, copy);
    // Pixels in lines, seen from the first one; lines that go on at the same step are one.
    const T* base = nullptr;
    int64_t line_count = 0;
    windows.lines(b, group, copy, [&](int64_t, const T* at, int64_t count) {
      if (base == nullptr) base = at;
      const int64_t offset = at - base;
      if (line_count > 0 && step > 0 && lines[line_count - 1].offset + lines[line_count - 1].len * step == offset)
        lines[line_count - 1].len += count;
      else
        lines[line_count++] = Run{offset, count};
    });
    T* const out = partial + group * K * ld;
    int64_t m = 0;
    for (int64_t r = 0; r < firsts[1]; ++r)
      for (int64_t i = 0; i < window[r].len; ++i, ++m)
        if (m >= m0 && m < m1) rows[m - m0] = base + window[r].offset + i, to[m - m0] = out + m * ld;
    const int64_t count = m1 - m0;
    for (int64_t q = 0; q < panels.count; ++q) {
      const int64_t n = panels.size(q), width = panels.width(q), column = panels.first(q);
      const T* const from = dy + first * dy_pitch + group * g.F + column;
      const bool in_place = conv_reads_in_place<T>(n);
      const T* const B = in_place ? from : packed;
      const int64_t b_row = in_place ? dy_pitch : width;
      if (!in_place) pack_panel(packed, width, from, dy_pitch, int64_t{1}, pixels, n);
      if (sums) {
        T* const sum = sums + group * ld + column;
        for (int64_t j = 0; j < width; j += L) {
          Vec<T> s = sum_of_rows(B + j, b_row, pixels, min64(L, n - j));
          store(sum + j, add ? load(sum + j) + s : s);
        }
      }
      const int64_t tiles = ceil_div(count, conv_tile_most(width / L));
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t i = cut(count, tiles, t), mr = cut(count, tiles, t + 1) - i;
        conv_tile_for<T>(mr, width / L)(lines, line_count, step, rows + i, B, b_row, to + i, column,
                                        static_cast<int>(n), ConvEnd<T>{add, nullptr, Activation::none});
      }
    }
  }
}

/// dw (and db) from the partial results, added from left to right.
template <class T>
void add_parts(const ConvArgs<T>& g, const T* partial, const T* sums, int64_t parts, T* dw, T* db, bool fork) {
  const int64_t K = g.K(), ld = conv_columns(g), size = g.groups * K * ld;
  const int64_t lines = K == 0 ? 0 : g.groups * g.tap_count();
  tasks(fork && parts * size > 1 << 16, lines, [&](int64_t t) {
    const int64_t group = t / g.tap_count(), tap = t % g.tap_count();
    const int64_t w = tap % g.taps[2], h = tap / g.taps[2] % g.taps[1], d = tap / (g.taps[1] * g.taps[2]);
    T* const out = dw + group * g.w_group + d * g.w_tap[0] + h * g.w_tap[1] + w * g.w_tap[2];
    const T* const from = partial + (group * K + tap * g.C) * ld;
    for (int64_t c = 0; c < g.C; ++c) {
      const T* const row = from + c * ld;
      int64_t f = 0;
      if (g.w_f == 1)
        for (; f < g.F; f += kLanes<T>) {
          Vec<T> sum = load(row + f);
          for (int64_t p = 1; p < parts; ++p) sum = sum + load(row + p * size + f);
          store_n(out + c * g.w_c + f, sum, min64(kLanes<T>, g.F - f));
        }
      for (; f < g.F; ++f) {
        T sum = row[f];
        for (int64_t p = 1; p < parts; ++p) sum = sum + row[p * size + f];
        out[c * g.w_c + f * g.w_f] = sum;
      }
    }
  });
  if (db)
    for (int64_t i = 0; i < g.groups * g.F; ++i) {
      const int64_t at = i / g.F * ld + i % g.F;
      T sum = sums[at];
      for (int64_t p = 1; p < parts; ++p) sum = sum + sums[p * g.groups * ld + at];
      db[i] = sum;
    }
}

template <class T>
void conv_weight_gradient(const ConvArgs<T>& g, const T* dy, T* dw, T* db, T* scratch) {
  const int64_t K = g.K(), ld = conv_columns(g), parts = conv_weight_parts(g);
  T* const partial = scratch;
  T* const sums = scratch + parts * g.groups * K * ld;
  const double terms =
      static_cast<double>(g.pixels()) * static_cast<double>(g.groups * g.F) * static_cast<double>(max64(1, K));
  const bool fork = terms >= kThreadTerms && num_threads() > 1;
  if (g.groups * g.F == 0) return;
  if (g.pixels() == 0) {  // an empty sum
    for (int64_t i = 0; i < g.groups * K * ld; ++i) partial[i] = T{0};
    for (int64_t i = 0; i < g.groups * ld; ++i) sums[i] = T{0};
    add_parts(g, partial, sums, 1, dw, db, false);
    return;
  }
  const Windows<T> windows(g);
  if (parts == 1) {  // the threads share the rows of dw
    const int64_t shares = fork ? max64(1, min64(num_threads(), ceil_div(K, kTileRows))) : 1;
    tasks(fork, shares, [&](int64_t t) {
      for (int64_t b = 0; b < windows.bands; ++b)
        gradient_band(windows, dy, b, cut(K, shares, t), cut(K, shares, t + 1), partial, t == 0 && db ? sums : nullptr,
                      b > 0);
    });
  } else {
    const int64_t used = min64(parts, windows.bands);
    tasks(fork, parts, [&](int64_t t) {
      if (t >= used) return;
      const int64_t b0 = cut(windows.bands, used, t), b1 = cut(windows.bands, used, t + 1);
      for (int64_t b = b0; b < b1; ++b)
        gradient_band(windows, dy, b, 0, K, partial + t * g.groups * K * ld, db ? sums + t * g.groups * ld : nullptr,
                      b > b0);
    });
    add_parts(g, partial, sums, used, dw, db, fork);
    return;
  }
  add_parts(g, partial, sums, 1, dw, db, fork);
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
