#include "ops/pool/window.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Row by row, so that a long sum of float32 loses no more than its sides are long.
template <class B, class T>
FASTNN_INLINE void mean_of_window(T* y, const T* x, const Span& d, const Span& h, const Span& w, int64_t slice,
                                  int64_t row, int64_t step, T divisor, int64_t part) {
  constexpr int n = kBlock<B>;
  Vec<T> sum[n] = {};
  for (int64_t i = 0; i < d.count; ++i)
    for (int64_t j = 0; j < h.count; ++j) {
      const T* p = x + i * slice + j * row;
      Vec<T> line[n] = {};
      for (int64_t k = 0; k < w.count; ++k, p += step)
#pragma GCC unroll 8
        for (int v = 0; v < n; ++v) line[v] += load_block<B>(p + v * kLanes<T>, part);
#pragma GCC unroll 8
      for (int v = 0; v < n; ++v) sum[v] += line[v];
    }
#pragma GCC unroll 8
  for (int v = 0; v < n; ++v) store_block<B>(y + v * kLanes<T>, sum[v] / divisor, part);
}

/// The mean of K x K cells in each of n vectors of channels; `x`: the first cell, `row` to the next row. A vector is
/// written before the next is read: so x is read in the order of memory.
template <int K, int n, class T>
FASTNN_INLINE void mean_of_square(T* y, const T* x, int64_t row, int64_t C) {
#pragma GCC unroll 8
  for (int v = 0; v < n; ++v, x += kLanes<T>, y += kLanes<T>) {
    Vec<T> sum;
#pragma GCC unroll 3
    for (int j = 0; j < K; ++j) {
      Vec<T> line = load(x + j * row);
#pragma GCC unroll 3
      for (int k = 1; k < K; ++k) line += load(x + j * row + k * C);
      sum = j == 0 ? line : sum + line;
    }
    store(y, sum * (T(1) / T(K * K)));
  }
}

template <int K, class T>
FASTNN_INLINE void mean_of_squares(T* y, const T* x, const Squares s, int64_t C) {
  constexpr int64_t L = kLanes<T>;
  const auto each = [=](int64_t channels, const auto mean) FASTNN_LAMBDA_INLINE {
    for (int64_t l = 0; l < s.lines; ++l) {
      const T* from = x + l * s.down;
      T* to = y + l * s.below;
      for (int64_t o = 0; o < s.count; ++o, from += s.step, to += channels) mean(to, from);
    }
  };
  // Loops with the usual numbers of channels built in read a third faster: addresses cost next to nothing there.
  const auto built_in = [=](auto vectors) FASTNN_LAMBDA_INLINE {
    constexpr int n = decltype(vectors)::value;
    each(n * L, [=](T* to, const T* from) FASTNN_LAMBDA_INLINE { mean_of_square<K, n>(to, from, s.row, n * L); });
  };
  if (C == 8 * L && kVecBytes == 64) return built_in(Vectors<8>());
  if (C == 4 * L) return built_in(Vectors<4>());
  if (C == 2 * L) return built_in(Vectors<2>());
  if (C == L) return built_in(Vectors<1>());
  each(C, [=](T* to, const T* from) FASTNN_LAMBDA_INLINE {
    int64_t c = 0;
    for (; c + 4 * L <= C; c += 4 * L) mean_of_square<K, 4>(to + c, from + c, s.row, C);
    for (; c + L <= C; c += L) mean_of_square<K, 1>(to + c, from + c, s.row, C);
    if (c < C) mean_of_square<K, 1>(to + C - L, from + C - L, s.row, C);
  });
}

template <class T>
void forward(T* y, const T* x, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  const int64_t C = g.channels, row = g.axis[2].in * C, slice = g.axis[1].in * row;
  for_windows<T>(
      g,
      [&](int64_t side, int64_t window, int64_t first, const Squares& s) FASTNN_LAMBDA_INLINE {
        if (divisor && divisor != side * side) return false;
        const auto squares = side == 2 ? mean_of_squares<2, T> : mean_of_squares<3, T>;
        squares(y + window * C, x + first, s, C);
        return true;
      },
      [&](int64_t window, int64_t image, const Span& d, const Span& h, const Span& w) FASTNN_LAMBDA_INLINE {
        const T by = static_cast<T>(divisor_of(d, h, w, divisor, include_pad));
        const int64_t from = image * g.axis[0].in * slice + d.first * slice + h.first * row + w.first * C;
        for_channels<T>(C, [&](auto block, int64_t c, int64_t part) FASTNN_LAMBDA_INLINE {
          mean_of_window<decltype(block)>(y + window * C + c, x + from + c, d, h, w, slice, row, C, by, part);
        });
      });
}

template <class B, class T>
FASTNN_INLINE void give_share(T* dx, const T* dy, int64_t count, int64_t step, T share, int64_t part) {
  constexpr int n = kBlock<B>;
  Vec<T> v[n];
#pragma GCC unroll 8
  for (int i = 0; i < n; ++i) v[i] = only_new<B, T>(load_block<B>(dy + i * kLanes<T>, part) * share, part);
  for (int64_t k = 0; k < count; ++k, dx += step)
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) {
      T* const to = dx + i * kLanes<T>;
      store_block<B>(to, load_block<B>(to, part) + v[i], part);
    }
}

// For gather_windows: dy / divisor, for every cell.
template <class T>
struct GiveShare {
  const T* dy;
  const PoolGeometry* g;
  int64_t C, divisor;
  bool include_pad;
  Inner inner;
  struct Row {
    int64_t first;
    double cells;
    T share;
  };
  Row row(int64_t first, int64_t, int64_t od, int64_t oh) const {
    const Span d = span_of(g->axis[0], false, od), h = span_of(g->axis[1], false, oh);
    const double cells = divisor_of(d, h, {0, 1, 0, 1}, divisor, include_pad);
    return {first, cells, static_cast<T>(1 / (divisor ? cells : 3 * cells))};
  }
  // As divisor_of, but without a call, around which all vectors would be saved.
  FASTNN_INLINE T share_of(const Row& row, int64_t o) const {
    if (divisor || inner.has(o)) return row.share;
    const int64_t begin = o * g->axis[2].stride - g->axis[2].pad, in = g->axis[2].in;
    int64_t end = include_pad ? in + g->axis[2].pad_end : in;
    end = begin + 3 < end ? begin + 3 : end;
    return static_cast<T>(1 / (row.cells * (end - (include_pad || begin > 0 ? begin : 0))));
  }
  template <class B>
  FASTNN_INLINE Lanes<T, kBlock<B>> load(B, const Row& row, int64_t o, int64_t c, int64_t part) const {
    const T share = share_of(row, o);
    const int64_t from = (row.first + o) * C + c;
    Lanes<T, kBlock<B>> window;
#pragma GCC unroll 8
    for (int v = 0; v < kBlock<B>; ++v) window.lane[v] = load_block<B>(dy + from + v * kLanes<T>, part) * share;
    return window;
  }
  template <class W>
  FASTNN_INLINE Vec<T> add(Vec<T> sum, const W& window, int v, const Row&, int64_t) const {
    return sum + window.lane[v];
  }
};

template <class T>
void backward(T* dx, const T* dy, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const Inner inner[3] = {{D, g.adaptive}, {H, g.adaptive}, {W, g.adaptive}};
  const auto share_of = [&](int64_t od, int64_t oh, int64_t ow) __attribute__((noinline)) {
    const Span d = span_of(D, g.adaptive, od), h = span_of(H, g.adaptive, oh), w = span_of(W, g.adaptive, ow);
    return static_cast<T>(1 / divisor_of(d, h, w, divisor, include_pad));
  };
  const bool some = inner[0].first < inner[0].end && inner[1].first < inner[1].end && inner[2].first < inner[2].end;
  const T whole = some ? share_of(inner[0].first, inner[1].first, inner[2].first) : T(0);
  const auto share_at = [&](int64_t od, int64_t oh, int64_t ow) FASTNN_LAMBDA_INLINE {
    return inner[0].has(od) && inner[1].has(oh) && inner[2].has(ow) ? whole : share_of(od, oh, ow);
  };
  if (windows_apart(g))
    return give_windows(
        dx, g,
        [&](auto block, int64_t window, int64_t, int64_t c, int64_t part, int64_t od, int64_t oh, int64_t ow)
            FASTNN_LAMBDA_INLINE {
              typedef decltype(block) B;
              const T share = share_at(od, oh, ow);
              Lanes<T, kBlock<B>> values;
#pragma GCC unroll 8
              for (int v = 0; v < kBlock<B>; ++v)
                values.lane[v] = load_block<B>(dy + window * g.channels + c + v * kLanes<T>, part) * share;
              return values;
            },
        [](const auto& values, int64_t, int v) FASTNN_LAMBDA_INLINE { return values.lane[v]; });
  if constexpr (sizeof(T) == 4)  // code for float64 is kept small
    if (gathers(g)) return gather_windows(dx, g, GiveShare<T>{dy, &g, g.channels, divisor, include_pad, inner[2]});
  const int64_t C = g.channels;
  for_rows(dx, g, [&](T* row, int64_t, int64_t windows, int64_t od, int64_t oh) {
    const Span d = span_of(g.axis[0], g.adaptive, od), h = span_of(g.axis[1], g.adaptive, oh);
    for (int64_t o = 0; o < W.out; ++o) {
      const Span w = span_of(W, g.adaptive, o);
      const T share = static_cast<T>(1 / divisor_of(d, h, w, divisor, include_pad));
      for_channels<T>(C, [&](auto block, int64_t c, int64_t part) FASTNN_LAMBDA_INLINE {
        give_share<decltype(block)>(row + w.first * C + c, dy + (windows * W.out + o) * C + c, w.count, C, share, part);
      });
    }
  });
}

}  // namespace

void avg_pool_forward(int type, void* y, const void* x, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  if (type == kFloat32)
    forward(static_cast<float*>(y), static_cast<const float*>(x), g, divisor, include_pad);
  else
    forward(static_cast<double*>(y), static_cast<const double*>(x), g, divisor, include_pad);
}

void avg_pool_backward(int type, void* dx, const void* dy, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  if (type == kFloat32)
    backward(static_cast<float*>(dx), static_cast<const float*>(dy), g, divisor, include_pad);
  else
    backward(static_cast<double*>(dx), static_cast<const double*>(dy), g, divisor, include_pad);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
