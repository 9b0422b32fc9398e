#include "kernels/parallel.h"
#include "kernels/stream.h"
#include "ops/norm/norm_vector.h"
#include "ops/norm/row_norm.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Elements whose sum in the element type is then added in double.
constexpr int64_t kBlock = 4096;
// Elements that are worth a task.
constexpr int64_t kGrain = 16384;
// Rows whose sums run side by side in backward, so that one add does not wait for the one before.
constexpr int64_t kRows = 4;

/// v, zero past the first k lanes.
template <class T>
FASTNN_INLINE Vec<T> mask(Vec<T> v, int64_t k) {
  return k == kLanes<T> ? v : lane_index<T>() < static_cast<IntLane<T>>(k) ? v : Vec<T>{};
}

struct Sums {
  double a, b;
};

/// Sums of d and d^2 over a row, d = x - m. The next row is fetched meanwhile.
template <class T>
FASTNN_INLINE Sums moments(const T* x, int64_t n, T m) {
  typedef Vec<T> V;
  constexpr int W = kLanes<T>;
  const V vm = splat<V>(double(m));
  const int64_t next = row_ahead<T>(n);
  Sums total{0, 0};
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t last = smaller(first + kBlock, n);
    V a[4] = {}, b[4] = {};
    int64_t i = first;
    for (; i + 4 * W <= last; i += 4 * W)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        __builtin_prefetch(x + i + next + k * W, 0, 3);
        const V d = load(x + i + k * W) - vm;
        a[k] += d;
        b[k] = fma(d, d, b[k]);
      }
    for (; i < last; i += W) {
      const int64_t k = smaller(W, last - i);
      const V d = mask<T>(get(x + i, k) - vm, k);
      a[0] += d;
      b[0] = fma(d, d, b[0]);
    }
    total.a += double(hsum((a[0] + a[1]) + (a[2] + a[3])));
    total.b += double(hsum((b[0] + b[1]) + (b[2] + b[3])));
  }
  return total;
}

struct Keep {
  template <class V>
  FASTNN_INLINE V operator()(V x) const {
    return x;
  }
};

template <class T>
FASTNN_INLINE double sum(const T* x, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kBlock) total += double(fold_run(x + i, smaller(kBlock, n - i), Keep(), Add()));
  return total;
}

/// y = (x r + c) weight + bias with x - m for x.
template <bool kWeight, bool kBias, class T>
void write_row(T* y, const T* x, const T* weight, const T* bias, int64_t n, T m, T r, T c, bool streams) {
  typedef Vec<T> V;
  const V vm = splat<V>(double(m)), vr = splat<V>(double(r)), vc = splat<V>(double(c));
  const int64_t next = row_ahead<T>(n);
  write_run(y, n, streams, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    if (!streams) __builtin_prefetch(y + j + next, 1, 3);
    V h = fma(get(x + j, k) - vm, vr, vc);
    if constexpr (kWeight && kBias)
      h = fma(h, get(weight + j, k), get(bias + j, k));
    else if constexpr (kWeight)
      h = h * get(weight + j, k);
    else if constexpr (kBias)
      h = h + get(bias + j, k);
    return h;
  });
}

template <class T>
void forward(bool center, T* y, double* stats, const T* x, const T* weight, const T* bias, int64_t rows, int64_t cols,
             double eps) {
  const double count = double(cols);
  const auto write = weight != nullptr ? bias != nullptr ? write_row<true, true, T> : write_row<true, false, T>
                     : bias != nullptr ? write_row<false, true, T>
                                       : write_row<false, false, T>;
  const bool streams = past_cache(2 * rows * cols * static_cast<int64_t>(sizeof(T)));
  parallel_range(rows, kGrain / (cols > 0 ? cols : 1), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * cols;
      const T m = center ? T(sum(row, cols) / count) : T(0);
      const Sums s = moments(row, cols, m);
      // m is the mean but for its rounding and that of its sum: delta.
      const double delta = center ? s.a / count : 0;
      const double var = s.b / count - delta * delta, scale = 1 / __builtin_sqrt((var < 0 ? 0 : var) + eps);
      stats[2 * r] = double(m) + delta;
      stats[2 * r + 1] = scale;
      write(y + r * cols, row, weight, bias, cols, m, T(scale), T(-delta * scale), streams);
    }
    if (streams) stream_fence();
  });
}

/// What backward knows of a row: xhat = (x - m) r + c.
template <class T>
struct RowStats {
  T m, r, c;
  RowStats() = default;
  FASTNN_INLINE explicit RowStats(const double* stats)
      : m(T(stats[0])), r(T(stats[1])), c(T(-(stats[0] - double(m)) * stats[1])) {}
};

/// kMany rows from x and dy on: sums of g and g xhat into out; dy xhat and dy added to dw and db where kParams.
template <int kMany, bool kParams, class T>
void row_sums(Sums* out, T* dw, T* db, const T* dy, const T* x, const T* weight, const RowStats<T>* s, int64_t n) {
  typedef Vec<T> V;
  constexpr int W = kLanes<T>;
  for (int r = 0; r < kMany; ++r) out[r] = {0, 0};
  V m[kMany], rs[kMany], c[kMany];
#pragma GCC unroll 4
  for (int r = 0; r < kMany; ++r)
    m[r] = splat<V>(double(s[r].m)), rs[r] = splat<V>(double(s[r].r)), c[r] = splat<V>(double(s[r].c));
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t last = smaller(first + kBlock, n);
    V a[kMany] = {}, b[kMany] = {};
    const auto step = [&](int64_t i, int64_t k) FASTNN_LAMBDA_INLINE {
      const V w = weight != nullptr ? get(weight + i, k) : splat<V>(1.0);
      V pw = V{}, pb = V{};
#pragma GCC unroll 4
      for (int r = 0; r < kMany; ++r) {
        const V d = get(dy + r * n + i, k);  // 0 past the end, so its products are
        const V h = fma(get(x + r * n + i, k) - m[r], rs[r], c[r]), g = w * d;
        a[r] += g;
        b[r] = fma(g, h, b[r]);
        if constexpr (kParams) pw = fma(d, h, pw), pb += d;
      }
      if constexpr (kParams) {
        put(dw + i, get(dw + i, k) + pw, k);
        put(db + i, get(db + i, k) + pb, k);
      }
    };
    int64_t i = first;
    for (; i + W <= last; i += W) step(i, static_cast<int64_t>(W));
    if (i < last) step(i, last - i);
#pragma GCC unroll 4
    for (int r = 0; r < kMany; ++r) out[r].a += double(hsum(a[r])), out[r].b += double(hsum(b[r]));
  }
}

template <class T>
void write_gradient(T* dx, const T* dy, const T* x, const T* weight, const RowStats<T>& s, int64_t n, double a,
                    double b, bool streams) {
  typedef Vec<T> V;
  // dx = r (g - a - (x - m) r b - c b)
  const V m = splat<V>(double(s.m)), r = splat<V>(double(s.r));
  const V slope = splat<V>(-double(s.r) * double(s.r) * b), shift = splat<V>(-double(s.r) * (a + double(s.c) * b));
  const int64_t next = kRows * row_ahead<T>(n);
  write_run(dx, n, streams, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    __builtin_prefetch(dy + j + next, 0, 3);  // of the rows whose sums come next
    __builtin_prefetch(x + j + next, 0, 3);
    V g = get(dy + j, k);
    if (weight != nullptr) g = g * get(weight + j, k);
    return fma(g, r, fma(get(x + j, k) - m, slope, shift));
  });
}

template <bool kParams, class T>
void backward_block(bool center, T* dx, T* dw, T* db, const T* dy, const T* x, const double* stats, const T* weight,
                    int64_t rows, int64_t cols, bool streams) {
  if constexpr (kParams)
    for (int64_t j = 0; j < cols; ++j) dw[j] = db[j] = T(0);
  const double per = 1 / double(cols);
  for (int64_t r = 0; r < rows;) {
    const int64_t many = rows - r >= kRows ? kRows : 1, at = r * cols;
    RowStats<T> s[kRows];
    for (int64_t i = 0; i < many; ++i) s[i] = RowStats<T>(stats + 2 * (r + i));
    Sums sums[kRows];
    if (many == kRows)
      row_sums<kRows, kParams>(sums, dw, db, dy + at, x + at, weight, s, cols);
    else
      row_sums<1, kParams>(sums, dw, db, dy + at, x + at, weight, s, cols);
    for (int64_t i = 0; i < many && dx != nullptr; ++i)
      write_gradient(dx + at + i * cols, dy + at + i * cols, x + at + i * cols, weight, s[i], cols,
                     center ? sums[i].a * per : 0, sums[i].b * per, streams);
    r += many;
  }
}

template <class T>
void backward(bool center, T* dx, T* dweight, T* dbias, T* part, const T* dy, const T* x, const double* stats,
              const T* weight, int64_t rows, int64_t cols) {
  const int64_t block = row_norm_block(rows), blocks = row_norm_blocks(rows);
  const bool params = dweight != nullptr;
  const bool streams = dx != nullptr && past_cache(3 * rows * cols * static_cast<int64_t>(sizeof(T)));
  const int64_t grain = kGrain / (block * (cols > 0 ? cols : 1));
  parallel_range(blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t r = b * block, at = r * cols, count = smaller(block, rows - r);
      T* to = params ? part + 2 * b * cols : nullptr;
      if (params)
        backward_block<true>(center, dx != nullptr ? dx + at : dx, to, to + cols, dy + at, x + at, stats + 2 * r,
                             weight, count, cols, streams);
      else
        backward_block<false, T>(center, dx + at, nullptr, nullptr, dy + at, x + at, stats + 2 * r, weight, count, cols,
                                 streams);
    }
    if (streams) stream_fence();
  });
  if (!params) return;
  parallel_range(cols, kGrain / 4 / (blocks > 0 ? blocks : 1), [&](int64_t begin, int64_t end) {
    constexpr int64_t kStrip = 64;
    for (int64_t j0 = begin; j0 < end; j0 += kStrip) {
      const int64_t w = smaller(kStrip, end - j0);
      double dw[kStrip] = {}, db[kStrip] = {};
      for (int64_t b = 0; b < blocks; ++b) {
        const T* from = part + 2 * b * cols + j0;
        for (int64_t j = 0; j < w; ++j) dw[j] += double(from[j]), db[j] += double(from[cols + j]);
      }
      for (int64_t j = 0; j < w; ++j) dweight[j0 + j] = T(dw[j]);
      for (int64_t j = 0; j < w && dbias != nullptr; ++j) dbias[j0 + j] = T(db[j]);
    }
  });
}

}  // namespace

void row_norm_forward(int type, bool center, void* y, double* stats, const void* x, const void* weight,
                      const void* bias, int64_t rows, int64_t cols, double eps) {
  with_float(type, [&](auto* tag) {
    forward(center, as(tag, y), stats, as(tag, x), as(tag, weight), as(tag, bias), rows, cols, eps);
  });
}
void row_norm_backward(int type, bool center, void* dx, void* dweight, void* dbias, void* part, const void* dy,
                       const void* x, const double* stats, const void* weight, int64_t rows, int64_t cols) {
  with_float(type, [&](auto* tag) {
    backward(center, as(tag, dx), as(tag, dweight), as(tag, dbias), as(tag, part), as(tag, dy), as(tag, x), stats,
             as(tag, weight), rows, cols);
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
