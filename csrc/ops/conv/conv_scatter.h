// The adjoint of a convolution whose input has few channels (an image, a gradient for the first layer): as sums over
// windows it would fill a part of a vector only. Here the lanes are the elements of a window: dy times the transposed
// weights gives the window of every pixel, a matrix product of full width, and the windows are added to the lines that
// they cover while they are still in the first-level cache.
//
// Where the stride of the height is one and a line of a window alone fills its vectors (conv_scatters_by_line), a line
// of x is made at a time: a line of a window is summed over the lines of dy that reach it while it is in registers, and
// what is left to add up are windows of one line.
//
// The order in which windows are added depends on the shapes alone, whatever lines a task has: the same bits on any
// number of threads and in any batch.
#pragma once

#include "ops/conv/conv_engine.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Windows of so many bytes are made at a time.
constexpr int64_t kWindowBytes = 48 << 10;

/// The elements [l0, l1) of lines: bias and activation, where there are any.
template <class T>
void finish_lines(const ConvArgs<T>& g, T* image, int64_t l0, int64_t l1) {
  if (g.bias == nullptr && g.act == Activation::none) return;
  const int64_t channels = g.groups * g.C, line = g.in[2] * channels;
  for (T* y = image + l0 * line; y < image + l1 * line; y += channels)
    for (int64_t c = 0; c < channels; ++c) {
      const T v = g.bias ? y[c] + g.bias[c] : y[c];
      y[c] = g.act == Activation::relu && v < T{0} ? T{0} : v;
    }
}

/// Packed weights: element (f, m) of a group with m = tap, channel.
template <class T>
void pack_transposed(const ConvArgs<T>& g, T* packed) {
  const Panels<T> panels(g.K());
  for (int64_t group = 0; group < g.groups; ++group)
    for (int64_t q = 0; q < panels.count; ++q) {
      T* const to = packed + (group * panels.pitch() + panels.first(q)) * g.F;
      const int64_t width = panels.width(q), n = panels.size(q);
      for (int64_t j = 0; j < width; ++j) {
        const int64_t m = panels.first(q) + j, t = m / g.C, c = m % g.C;
        const int64_t at = group * g.w_group + t / (g.taps[1] * g.taps[2]) * g.w_tap[0] +
                           t / g.taps[2] % g.taps[1] * g.w_tap[1] + t % g.taps[2] * g.w_tap[2] + c * g.w_c;
        for (int64_t f = 0; f < g.F; ++f) to[f * width + j] = j < n ? g.w[at + f * g.w_f] : T{0};
      }
    }
}

template <class T>
inline void add_run(T* y, const T* x, int64_t n) {
  constexpr int64_t L = kLanes<T>;
  for (; n >= L; n -= L, y += L, x += L) store(y, load(y) + load(x));
#if defined(__AVX512F__)
  if (n > 0) store_n(y, load_n(y, n) + load_n(x, n), n);
#else
  for (int64_t i = 0; i < n; ++i) y[i] = y[i] + x[i];
#endif
}

/// The lines [l0, l1) (of depth times height) of image n.
template <class T>
void scatter_lines(const ConvArgs<T>& g, T* x, const T* dy, const T* packed, int64_t n, int64_t l0, int64_t l1) {
  const int64_t K = g.K(), channels = g.groups * g.C, dy_pitch = g.groups * g.F, width = g.in[2];
  const Panels<T> panels(K);
  const int64_t ld = panels.pitch(), most = max64(kTileRows, kWindowBytes / (ld * int64_t(sizeof(T))));
  Arena arena{static_cast<char*>(
      thread_scratch(ThreadScratch::local, Arena::bytes(most * ld, sizeof(T)) + 2 * Arena::bytes(most, sizeof(T*))))};
  T* const windows = arena.take<T>(most * ld);
  const T** const rows = arena.take<const T*>(most);
  T** const to = arena.take<T*>(most);
  T* const image = x + n * g.in_pixels() * channels;
  __builtin_memset(image + l0 * width * channels, 0, static_cast<size_t>((l1 - l0) * width * channels) * sizeof(T));

  // One window line after the other, skipping those that reach none of these lines.
  const bool joined = g.dilation[2] == 1 && g.groups == 1;  // taps of a line follow each other in x
  const int64_t run = joined ? g.taps[2] * g.C : g.C, runs = joined ? 1 : g.taps[2];
  const int64_t row_pixels = g.out[2];
  // Neighbouring windows share elements: a load just after the store of its neighbour would wait for it.
  const int64_t apart = ceil_div(g.dilation[2] * (g.taps[2] - 1) + 1, g.stride[2]);
  for (int64_t group = 0; group < g.groups; ++group)
    for (int64_t line = 0; line < g.out[0] * g.out[1]; ++line) {
      const int64_t d = line / g.out[1] * g.stride[0] - g.pad[0], h = line % g.out[1] * g.stride[1] - g.pad[1];
      bool reaches = false;
      for (int64_t t = 0; t < g.taps[0] * g.taps[1] && !reaches; ++t) {
        const int64_t i = d + t / g.taps[1] * g.dilation[0], j = h + t % g.taps[1] * g.dilation[1];
        reaches = i >= 0 && i < g.in[0] && j >= 0 && j < g.in[1] && i * g.in[1] + j >= l0 && i * g.in[1] + j < l1;
      }
      if (!reaches) continue;
      const T* const from = dy + (n * g.image_pixels() + line * row_pixels) * dy_pitch + group * g.F;
      for (int64_t p0 = 0; p0 < row_pixels; p0 += most) {
        const int64_t pixels = min64(most, row_pixels - p0);
        for (int64_t p = 0; p < pixels; ++p) rows[p] = from + (p0 + p) * dy_pitch, to[p] = windows + p * ld;
        const Run all{0, g.F};
        for (int64_t q = 0; q < panels.count; ++q) {
          const int64_t w = panels.width(q), tiles = ceil_div(pixels, conv_tile_most(w / kLanes<T>));
          for (int64_t t = 0; t < tiles; ++t) {
            const int64_t m = cut(pixels, tiles, t), mr = cut(pixels, tiles, t + 1) - m;
            conv_tile_for<T>(mr, w / kLanes<T>)(&all, 1, 1, rows + m, packed + (group * ld + panels.first(q)) * g.F, w,
                                                to + m, panels.first(q), static_cast<int>(w),
                                                ConvEnd<T>{false, nullptr, Activation::none});
          }
        }
        for (int64_t pass = 0; pass < apart; ++pass)
          for (int64_t p = pass; p < pixels; p += apart) {
            const int64_t w0 = (p0 + p) * g.stride[2] - g.pad[2];
            const T* window = windows + p * ld;
            for (int64_t t0 = 0; t0 < g.taps[0]; ++t0)
              for (int64_t t1 = 0; t1 < g.taps[1]; ++t1, window += runs * run) {
                const int64_t i = d + t0 * g.dilation[0], j = h + t1 * g.dilation[1], l = i * g.in[1] + j;
                if (i < 0 || i >= g.in[0] || j < 0 || j >= g.in[1] || l < l0 || l >= l1) continue;
                T* const row = image + l * width * channels + group * g.C;
                if (joined) {
                  const int64_t first = max64(0, -w0) * g.C, last = min64(run, (width - w0) * g.C);
                  if (first < last) add_run(row + w0 * g.C + first, window + first, last - first);
                } else {
                  for (int64_t t2 = 0; t2 < g.taps[2]; ++t2) {
                    const int64_t w = w0 + t2 * g.dilation[2];
                    if (w >= 0 && w < width) add_run(row + w * channels, window + t2 * g.C, g.C);
                  }
                }
              }
          }
      }
    }
  finish_lines(g, image, l0, l1);
}

/// Packed weights of lines: for each tap of depth and each panel, its taps of height, and of each the element (f, m)
/// with m = tap of width, channel.
template <class T>
void pack_lines(const ConvArgs<T>& g, T* packed) {
  const Panels<T> panels(g.taps[2] * g.C);
  for (int64_t t = 0; t < g.taps[0] * g.taps[1]; ++t)
    for (int64_t q = 0; q < panels.count; ++q) {
      const int64_t width = panels.width(q), n = panels.size(q), d = t / g.taps[1], h = t % g.taps[1];
      T* const to = packed + (d * panels.pitch() + panels.first(q)) * g.taps[1] * g.F + h * g.F * width;
      for (int64_t j = 0; j < width; ++j) {
        const int64_t m = panels.first(q) + j;
        const T* const from = g.w + d * g.w_tap[0] + h * g.w_tap[1] + m / g.C * g.w_tap[2] + m % g.C * g.w_c;
        for (int64_t f = 0; f < g.F; ++f) to[f * width + j] = j < n ? from[f * g.w_f] : T{0};
      }
    }
}

/// The lines [l0, l1) of image n, each as a sum of windows of one line. Windows that share elements lie in different
/// buffers, so that these are stored only, never added to.
template <class T>
void sum_lines(const ConvArgs<T>& g, T* x, const T* dy, const T* packed, int64_t n, int64_t l0, int64_t l1) {
  constexpr int64_t L = kLanes<T>;
  const int64_t pixels = g.out[2], line = g.in[2] * g.C, margin = g.pad[2] * g.C;
  const Panels<T> panels(g.taps[2] * g.C);
  const int64_t apart = min64(pixels, ceil_div(g.taps[2], g.stride[2]));
  const int64_t pitch =
      round_up(max64(((pixels - 1) * g.stride[2] + g.taps[2]) * g.C, margin + line), L) + L;  // whole vectors are read
  Arena arena{static_cast<char*>(thread_scratch(
      ThreadScratch::local,
      Arena::bytes(apart * pitch, sizeof(T)) + 2 * Arena::bytes(pixels, 8) + Arena::bytes(g.taps[1], sizeof(Run))))};
  T* const buffers = arena.take<T>(apart * pitch);
  const T** const rows = arena.take<const T*>(pixels);
  T** const to = arena.take<T*>(pixels);
  Run* const runs = arena.take<Run>(g.taps[1]);
  __builtin_memset(buffers, 0, static_cast<size_t>(apart * pitch) * sizeof(T));  // elements that no window has
  for (int64_t p = 0; p < pixels; ++p) to[p] = buffers + p % apart * pitch + p * g.stride[2] * g.C;
  for (int64_t t = 0; t < g.taps[1]; ++t) runs[t] = Run{-t * g.dilation[1] * pixels * g.F, g.F};

  T* const image = x + n * g.in_pixels() * g.C;
  for (int64_t l = l0; l < l1; ++l) {
    const int64_t d = l / g.in[1] + g.pad[0], h = l % g.in[1] + g.pad[1];
    // Taps of height [first, last) meet lines of dy.
    const int64_t above = h - (g.out[1] - 1), first = above > 0 ? ceil_div(above, g.dilation[1]) : 0;
    const int64_t last = min64(g.taps[1], h / g.dilation[1] + 1);
    bool reached = false;
    for (int64_t t = 0; t < g.taps[0] && first < last; ++t) {
      const int64_t i = d - t * g.dilation[0];
      if (i < 0 || i % g.stride[0] != 0 || i / g.stride[0] >= g.out[0]) continue;
      const T* const from =
          dy + ((n * g.out[0] + i / g.stride[0]) * g.out[1] + h - first * g.dilation[1]) * pixels * g.F;
      for (int64_t p = 0; p < pixels; ++p) rows[p] = from + p * g.F;
      for (int64_t q = 0; q < panels.count; ++q) {
        const int64_t w = panels.width(q), tiles = ceil_div(pixels, conv_tile_most(w / L));
        const T* const B = packed + (t * panels.pitch() + panels.first(q)) * g.taps[1] * g.F + first * g.F * w;
        for (int64_t k = 0; k < tiles; ++k) {
          const int64_t m = cut(pixels, tiles, k), mr = cut(pixels, tiles, k + 1) - m;
          conv_tile_for<T>(mr, w / L)(runs, last - first, 1, rows + m, B, w, to + m, panels.first(q),
                                      static_cast<int>(panels.size(q)), ConvEnd<T>{reached, nullptr, Activation::none});
        }
      }
      reached = true;
    }
    T* const y = image + l * line;
    for (int64_t e = 0; e < line; e += L) {
      Vec<T> sum = {};
      if (reached) sum = load(buffers + margin + e);
      for (int64_t r = 1; reached && r < apart; ++r) sum = sum + load(buffers + r * pitch + margin + e);
      if (e + L <= line)
        store(y + e, sum);
      else
        store_n(y + e, sum, line - e);
    }
  }
  finish_lines(g, image, l0, l1);
}

template <class T>
void conv_scatter(const ConvArgs<T>& g, T* x, const T* dy, T* packed) {
  const bool by_line = conv_scatters_by_line(g);
  if (by_line)
    pack_lines(g, packed);
  else
    pack_transposed(g, packed);
  const int64_t lines = g.in[0] * g.in[1];
  const double terms = static_cast<double>(g.pixels()) * static_cast<double>(g.groups * g.F * g.K());
  const bool fork = terms >= kThreadTerms && num_threads() > 1;
  // A cut image makes the windows at the cut twice: only where there are few images.
  const int64_t parts = fork && g.N < num_threads() ? min64(lines, ceil_div(num_threads(), g.N)) : 1;
  tasks(fork, g.N * parts, [&](int64_t t) {
    const int64_t l0 = cut(lines, parts, t % parts), l1 = cut(lines, parts, t % parts + 1);
    (by_line ? sum_lines<T> : scatter_lines<T>)(g, x, dy, packed, t / parts, l0, l1);
  });
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
