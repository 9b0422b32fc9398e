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

/// The mean of K x K cells, in n vectors of their channels; `x`: the first cell, `row` to the next row. A division only
/// where the quotient needs one: a mean of ones is one.
template <int K, int n, class T>
FASTNN_INLINE void mean_of_square(T* y, const T* x, int64_t row, int64_t C) {
  Vec<T> sum[n];
#pragma GCC unroll 3
  for (int j = 0; j < K; ++j, x += row) {
    Vec<T> line[n];
#pragma GCC unroll 8
    for (int v = 0; v < n; ++v) line[v] = load(x + v * kLanes<T>);
#pragma GCC unroll 3
    for (int k = 1; k < K; ++k)
#pragma GCC unroll 8
      for (int v = 0; v < n; ++v) line[v] += load(x + k * C + v * kLanes<T>);
#pragma GCC unroll 8
    for (int v = 0; v < n; ++v) sum[v] = j == 0 ? line[v] : sum[v] + line[v];
  }
#pragma GCC unroll 8
  for (int v = 0; v < n; ++v) store(y + v * kLanes<T>, K == 2 ? sum[v] * T(0.25) : sum[v] / T(K * K));
}

/// `count` windows of K x K cells that lie inside x, `step` elements from one to the next.
template <int K, class T>
FASTNN_INLINE void mean_of_squares(T* y, const T* x, int64_t count, int64_t step, int64_t row, int64_t C) {
  constexpr int64_t L = kLanes<T>;
  // Loops with the usual numbers of channels built in read a third faster: addresses cost next to nothing there.
  const auto built_in = [&](auto vectors) FASTNN_LAMBDA_INLINE {
    constexpr int n = decltype(vectors)::value;
    for (int64_t o = 0; o < count; ++o, x += step, y += n * L) mean_of_square<K, n>(y, x, row, n * L);
  };
  if (C == 8 * L && kVecBytes == 64) return built_in(Vectors<8>());
  if (C == 4 * L) return built_in(Vectors<4>());
  if (C == 2 * L) return built_in(Vectors<2>());
  if (C == L) return built_in(Vectors<1>());
  for (int64_t o = 0; o < count; ++o, x += step, y += C) {
    int64_t c = 0;
    for (; c + 4 * L <= C; c += 4 * L) mean_of_square<K, 4>(y + c, x + c, row, C);
    for (; c + L <= C; c += L) mean_of_square<K, 1>(y + c, x + c, row, C);
    if (c < C) mean_of_square<K, 1>(y + C - L, x + C - L, row, C);
  }
}

template <class T>
void forward(T* y, const T* x, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels, row = W.in * C, slice = H.in * row, image = D.in * slice;
  const Inner inner(W, g.adaptive);
  parallel_range(g.batch * D.out * H.out, rows_per_task(g, W.out), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Span d = span_of(D, g.adaptive, r / H.out % D.out), h = span_of(H, g.adaptive, r % H.out);
      const T* const from = x + r / (D.out * H.out) * image;
      const int64_t side = W.dilation == 1 ? square_side(g, d.count, h.count, kLanes<T>) : 0;
      for (int64_t o = 0; o < W.out; ++o) {
        const Span w = span_of(W, g.adaptive, o);
        const T by = static_cast<T>(divisor_of(d, h, w, divisor, include_pad));
        const int64_t first = d.first * slice + h.first * row + w.first * C, to = (r * W.out + o) * C;
        if (side && by == static_cast<T>(side * side) && o == inner.first && o < inner.end) {
          const auto squares = side == 2 ? mean_of_squares<2, T> : mean_of_squares<3, T>;
          squares(y + to, from + first, inner.end - o, W.stride * C, row, C);
          o = inner.end - 1;
          continue;
        }
        for_channels<T>(C, [&](auto block, int64_t c, int64_t part) FASTNN_LAMBDA_INLINE {
          mean_of_window<decltype(block)>(y + to + c, from + first + c, d, h, w, slice, row, C, by, part);
        });
      }
    }
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
