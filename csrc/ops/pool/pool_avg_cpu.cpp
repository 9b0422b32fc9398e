#include "ops/pool/window.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Cells that a sum is divided by. A product of doubles, because windows may be mostly padding and very wide.
inline double divisor_of(const Span& d, const Span& h, const Span& w, int64_t divisor, bool include_pad) {
  if (divisor) return static_cast<double>(divisor);
  if (include_pad) return static_cast<double>(d.whole) * static_cast<double>(h.whole) * static_cast<double>(w.whole);
  return static_cast<double>(d.count) * static_cast<double>(h.count) * static_cast<double>(w.count);
}

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
#pragma GCC unroll 4
        for (int v = 0; v < n; ++v) line[v] += load_block<B>(p + v * kLanes<T>, part);
#pragma GCC unroll 4
      for (int v = 0; v < n; ++v) sum[v] += line[v];
    }
#pragma GCC unroll 4
  for (int v = 0; v < n; ++v) store_block<B>(y + v * kLanes<T>, sum[v] / divisor, part);
}

template <class T>
void forward(T* y, const T* x, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels, row = W.in * C, slice = H.in * row, image = D.in * slice;
  parallel_range(g.batch * D.out * H.out, rows_per_task(g, W.out), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Span d = span_of(D, g.adaptive, r / H.out % D.out), h = span_of(H, g.adaptive, r % H.out);
      const T* const from = x + r / (D.out * H.out) * image;
      for (int64_t o = 0; o < W.out; ++o) {
        const Span w = span_of(W, g.adaptive, o);
        const T by = static_cast<T>(divisor_of(d, h, w, divisor, include_pad));
        const int64_t first = d.first * slice + h.first * row + w.first * C, to = (r * W.out + o) * C;
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
#pragma GCC unroll 4
  for (int i = 0; i < n; ++i) v[i] = only_new<B, T>(load_block<B>(dy + i * kLanes<T>, part) * share, part);
  for (int64_t k = 0; k < count; ++k, dx += step)
#pragma GCC unroll 4
    for (int i = 0; i < n; ++i) {
      T* const to = dx + i * kLanes<T>;
      store_block<B>(to, load_block<B>(to, part) + v[i], part);
    }
}

template <class T>
void backward(T* dx, const T* dy, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  const PoolAxis& W = g.axis[2];
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
