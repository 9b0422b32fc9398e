// Depthwise convolution, one filter for each channel: nothing is shared between channels, so they are the lanes and the
// sums are direct. A few pixels at a time share the loads of the weights; the bands and windows are those of the
// others.
#pragma once

#include "ops/conv/conv_engine.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int kDepthPixels = 6, kDepthTaps = 6;
/// Pixels that share what their windows have in common: sums, columns and weights fill the registers.
constexpr int kNeighbours = kVecBytes == 64 ? 8 : 4;

/// A result from its sum.
template <class T, bool WHOLE>
inline void finish_pixel(T* to, int64_t n, Vec<T> sum, bool biased, Vec<T> bias, Activation act) {
  Vec<T> y = biased ? sum + bias : sum;
  if (act == Activation::relu) y = y < Vec<T>{} ? Vec<T>{} : y;
  if (WHOLE)
    store(to, y);
  else
    store_n(to, y, n);
}

/// `n` channels (at most a vector) of PIX pixels: to[i][c] = act(bias[c] + sum_t rows[i][offsets[t] + c] w[t][c]).
template <class T, int PIX, bool WHOLE>
inline void depthwise_pixels(const T* const* rows, T* const* to, int64_t c, int64_t n, const int64_t* offsets,
                             int64_t taps, const T* w, int64_t w_pitch, const T* bias, Activation act) {
  const auto get = [n](const T* p) { return WHOLE ? load(p) : load_n(p, n); };
  Vec<T> acc[PIX];
#pragma GCC unroll 8
  for (int i = 0; i < PIX; ++i) acc[i] = Vec<T>{};
  for (int64_t t = 0; t < taps; ++t) {
    const Vec<T> wt = get(w + t * w_pitch + c);
    const int64_t at = offsets[t] + c;
#pragma GCC unroll 8
    for (int i = 0; i < PIX; ++i) acc[i] = fma(get(rows[i] + at), wt, acc[i]);
  }
  const Vec<T> b = bias ? get(bias + c) : Vec<T>{};
#pragma GCC unroll 8
  for (int i = 0; i < PIX; ++i) finish_pixel<T, WHOLE>(to[i] + c, n, acc[i], bias != nullptr, b, act);
}

/// The same for PIX pixels from `row` on that are as far from each other as the taps of a line, of which there are
/// three: a column is read once for the three windows that it is in.
template <class T, int PIX, bool WHOLE>
inline void depthwise_neighbours(const T* row, int64_t step, T* const* to, int64_t c, int64_t n, const int64_t* offsets,
                                 int64_t taps, const T* w, int64_t w_pitch, const T* bias, Activation act) {
  const auto get = [n](const T* p) { return WHOLE ? load(p) : load_n(p, n); };
  Vec<T> acc[PIX];
#pragma GCC unroll 8
  for (int i = 0; i < PIX; ++i) acc[i] = Vec<T>{};
  for (int64_t t = 0; t < taps; t += 3) {
    const T *const x = row + offsets[t] + c, *const wt = w + t * w_pitch + c;
    const Vec<T> w0 = get(wt), w1 = get(wt + w_pitch), w2 = get(wt + 2 * w_pitch);
    Vec<T> left = get(x), middle = get(x + step);
#pragma GCC unroll 8
    for (int i = 0; i < PIX; ++i) {
      const Vec<T> right = get(x + (i + 2) * step);
      acc[i] = fma(right, w2, fma(middle, w1, fma(left, w0, acc[i])));
      left = middle, middle = right;
    }
  }
  const Vec<T> b = bias ? get(bias + c) : Vec<T>{};
#pragma GCC unroll 8
  for (int i = 0; i < PIX; ++i) finish_pixel<T, WHOLE>(to[i] + c, n, acc[i], bias != nullptr, b, act);
}

/// `shared`: the distance of pixels whose windows overlap in two of their three columns, or 0.
template <class T, bool WHOLE>
void depthwise_channels(const T* const* rows, T* const* to, int64_t pixels, int64_t shared, int64_t c, int64_t n,
                        const int64_t* offsets, int64_t taps, const T* w, int64_t w_pitch, const T* bias,
                        Activation act) {
  constexpr int N = kNeighbours;
  int64_t p = 0;
  while (p < pixels) {
    const T* const* const r = rows + p;
    // In one line: from one line to the next it is farther.
    if (shared && p + N <= pixels && r[N - 1] - r[0] == (N - 1) * shared) {
      depthwise_neighbours<T, N, WHOLE>(r[0], shared, to + p, c, n, offsets, taps, w, w_pitch, bias, act);
      p += N;
    } else if (p + kDepthPixels <= pixels) {
      depthwise_pixels<T, kDepthPixels, WHOLE>(r, to + p, c, n, offsets, taps, w, w_pitch, bias, act);
      p += kDepthPixels;
    } else {
      depthwise_pixels<T, 1, WHOLE>(r, to + p, c, n, offsets, taps, w, w_pitch, bias, act);
      ++p;
    }
  }
}

/// Where each tap of a window is.
template <class T>
void tap_offsets(const Windows<T>& s, int64_t* offsets) {
  const ConvArgs<T>& g = s.g;
  for (int64_t d = 0; d < g.taps[0]; ++d)
    for (int64_t h = 0; h < g.taps[1]; ++h)
      for (int64_t w = 0; w < g.taps[2]; ++w)
        *offsets++ = s.see == See::gathered ? (d * g.taps[1] + h) * g.taps[2] + w
                                            : d * g.dilation[0] * s.pitch[0] + h * g.dilation[1] * s.pitch[1] +
                                                  w * g.dilation[2] * s.pitch[2];
}

template <class T>
void depthwise_band(const Windows<T>& windows, const T* weights, int64_t b) {
  const ConvArgs<T>& g = windows.g;
  const int64_t taps = g.tap_count(), most = windows.band_pixels, copy_size = windows.copy_elements();
  Arena arena{static_cast<char*>(thread_scratch(
      ThreadScratch::local,
      Arena::bytes(copy_size, sizeof(T)) + 2 * Arena::bytes(most, sizeof(T*)) + Arena::bytes(taps, sizeof(int64_t))))};
  T* const copy = arena.take<T>(copy_size);
  const T** const rows = arena.take<const T*>(most);
  T** const to = arena.take<T*>(most);
  int64_t* const offsets = arena.take<int64_t>(taps);
  tap_offsets(windows, offsets);
  int64_t first, last;
  windows.band(b, first, last);
  const int64_t pixels = last - first, step = windows.step();
  result_pixels(g, first, pixels, to);
  const auto point = [&](int64_t group) {
    windows.fill(b, group, copy);
    windows.lines(b, group, copy, [&](int64_t i, const T* at, int64_t count) {
      for (int64_t p = 0; p < count; ++p) rows[i + p] = at + p * step;
    });
  };
  if (windows.see == See::gathered) {  // one channel at a time is there
    for (int64_t c = 0; c < g.groups; ++c) {
      point(c);
      for (int64_t p = 0; p < pixels; ++p) rows[p] -= c;
      depthwise_channels<T, false>(rows, to, pixels, 0, c, 1, offsets, taps, weights, g.groups, g.bias, g.act);
    }
    return;
  }
  point(0);
  const bool three = g.taps[2] == 3 && step > 0 && offsets[1] - offsets[0] == step;
  const int64_t shared = three ? step : 0;
  int64_t c = 0;
  for (; c + kLanes<T> <= g.groups; c += kLanes<T>)
    depthwise_channels<T, true>(rows, to, pixels, shared, c, kLanes<T>, offsets, taps, weights, g.groups, g.bias,
                                g.act);
  if (c < g.groups)
    depthwise_channels<T, false>(rows, to, pixels, shared, c, g.groups - c, offsets, taps, weights, g.groups, g.bias,
                                 g.act);
}

template <class T>
void depthwise_forward(const ConvArgs<T>& g, T* weights) {
  if (g.pixels() == 0) return;
  T* to = weights;
  for (int64_t d = 0; d < g.taps[0]; ++d)
    for (int64_t h = 0; h < g.taps[1]; ++h)
      for (int64_t w = 0; w < g.taps[2]; ++w)
        for (int64_t c = 0; c < g.groups; ++c)
          *to++ = g.w[d * g.w_tap[0] + h * g.w_tap[1] + w * g.w_tap[2] + c * g.w_group];
  const Windows<T> windows(g);
  const double terms = static_cast<double>(g.pixels()) * static_cast<double>(g.groups * g.tap_count());
  tasks(terms >= kThreadTerms && num_threads() > 1, windows.bands,
        [&](int64_t b) { depthwise_band(windows, weights, b); });
}

/// TAPS taps of n channels: out[t][c] (+)= sum over pixels rows[p][offsets[t] + c] * dy[p * dy_pitch + c].
template <class T, int TAPS, bool WHOLE>
inline void depthwise_taps(const T* const* rows, int64_t pixels, const T* dy, int64_t dy_pitch, int64_t c, int64_t n,
                           const int64_t* offsets, T* out, int64_t ld, bool add) {
  const auto get = [n](const T* p) { return WHOLE ? load(p) : load_n(p, n); };
  Vec<T> acc[TAPS];
  int64_t at[TAPS];
#pragma GCC unroll 8
  for (int t = 0; t < TAPS; ++t) acc[t] = Vec<T>{}, at[t] = offsets[t] + c;
  for (int64_t p = 0; p < pixels; ++p) {
    const Vec<T> g = get(dy + p * dy_pitch + c);
#pragma GCC unroll 8
    for (int t = 0; t < TAPS; ++t) acc[t] = fma(get(rows[p] + at[t]), g, acc[t]);
  }
#pragma GCC unroll 8
  for (int t = 0; t < TAPS; ++t) {
    const Vec<T> y = add ? get(out + t * ld + c) + acc[t] : acc[t];
    if (WHOLE)
      store(out + t * ld + c, y);
    else
      store_n(out + t * ld + c, y, n);
  }
}

template <class T, bool WHOLE>
void depthwise_gradient_channels(const T* const* rows, int64_t pixels, const T* dy, int64_t dy_pitch, int64_t c,
                                 int64_t n, const int64_t* offsets, int64_t taps, T* out, int64_t ld, bool add) {
  int64_t t = 0;
  for (; t + kDepthTaps <= taps; t += kDepthTaps)
    depthwise_taps<T, kDepthTaps, WHOLE>(rows, pixels, dy, dy_pitch, c, n, offsets + t, out + t * ld, ld, add);
  for (; t + 3 <= taps; t += 3)
    depthwise_taps<T, 3, WHOLE>(rows, pixels, dy, dy_pitch, c, n, offsets + t, out + t * ld, ld, add);
  for (; t < taps; ++t)
    depthwise_taps<T, 1, WHOLE>(rows, pixels, dy, dy_pitch, c, n, offsets + t, out + t * ld, ld, add);
}

/// One band of dw, [taps, channels], and of the sums of dy (where not null).
template <class T>
void depthwise_gradient_band(const Windows<T>& windows, const T* dy, int64_t b, T* partial, T* sums, bool add) {
  constexpr int64_t L = kLanes<T>;
  const ConvArgs<T>& g = windows.g;
  const int64_t taps = g.tap_count(), most = windows.band_pixels, copy_size = windows.copy_elements();
  Arena arena{static_cast<char*>(
      thread_scratch(ThreadScratch::local,
                     Arena::bytes(copy_size, sizeof(T)) + Arena::bytes(most, sizeof(T*)) + Arena::bytes(taps, 8)))};
  T* const copy = arena.take<T>(copy_size);
  const T** const rows = arena.take<const T*>(most);
  int64_t* const offsets = arena.take<int64_t>(taps);
  tap_offsets(windows, offsets);
  int64_t first, last;
  windows.band(b, first, last);
  const int64_t pixels = last - first, step = windows.step(), channels = g.groups;
  const T* const from = dy + first * channels;
  const auto point = [&](int64_t group) {
    windows.fill(b, group, copy);
    windows.lines(b, group, copy, [&](int64_t i, const T* at, int64_t count) {
      for (int64_t p = 0; p < count; ++p) rows[i + p] = at + p * step;
    });
  };
  const bool gathered = windows.see == See::gathered;
  if (!gathered) point(0);
  for (int64_t c = 0; c < channels;) {
    const int64_t n = gathered ? 1 : min64(L, channels - c);
    if (gathered) {
      point(c);
      for (int64_t p = 0; p < pixels; ++p) rows[p] -= c;
    }
    if (sums) {
      Vec<T> s = {};
      for (int64_t p = 0; p < pixels; ++p) s = s + load_n(from + p * channels + c, n);
      store_n(sums + c, add ? load_n(sums + c, n) + s : s, n);
    }
    if (n == L)
      depthwise_gradient_channels<T, true>(rows, pixels, from, channels, c, n, offsets, taps, partial, channels, add);
    else
      depthwise_gradient_channels<T, false>(rows, pixels, from, channels, c, n, offsets, taps, partial, channels, add);
    c += n;
  }
}

template <class T>
void depthwise_weight_gradient(const ConvArgs<T>& g, const T* dy, T* dw, T* db, T* scratch) {
  const int64_t taps = g.tap_count(), channels = g.groups, size = taps * channels;
  const Windows<T> windows(g);
  const int64_t parts = g.pixels() == 0 ? 0 : min64(conv_weight_parts(g), windows.bands);
  T* const sums = scratch + parts * size;
  const double terms = static_cast<double>(g.pixels()) * static_cast<double>(size);
  tasks(terms >= kThreadTerms && num_threads() > 1, parts, [&](int64_t t) {
    const int64_t b0 = cut(windows.bands, parts, t), b1 = cut(windows.bands, parts, t + 1);
    for (int64_t b = b0; b < b1; ++b)
      depthwise_gradient_band(windows, dy, b, scratch + t * size, db ? sums + t * channels : nullptr, b > b0);
  });
  for (int64_t t = 0; t < taps; ++t) {
    T* const out = dw + t / (g.taps[1] * g.taps[2]) * g.w_tap[0] + t / g.taps[2] % g.taps[1] * g.w_tap[1] +
                   t % g.taps[2] * g.w_tap[2];
    for (int64_t c = 0; c < channels; ++c) {
      T sum = parts > 0 ? scratch[t * channels + c] : T{0};
      for (int64_t p = 1; p < parts; ++p) sum = sum + scratch[p * size + t * channels + c];
      out[c * g.w_group] = sum;
    }
  }
  for (int64_t c = 0; db && c < channels; ++c) {
    T sum = parts > 0 ? sums[c] : T{0};
    for (int64_t p = 1; p < parts; ++p) sum = sum + sums[p * channels + c];
    db[c] = sum;
  }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
