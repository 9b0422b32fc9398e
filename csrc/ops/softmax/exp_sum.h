// Maximum and sum of exponentials of a line: what softmax and cross-entropy share. Included inside per-ISA sources
// only.
#pragma once

#include "kernels/simd_exp.h"
#include "kernels/stream.h"
#include "ops/reduce/reduce_fold.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Elements whose float sum is then added in double.
constexpr int64_t kBlock = 4096;

struct Value {
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return x;
  }
};

/// Whether the largest element of a line lets every difference from it be a number <= 0 (or -inf).
template <class T>
FASTNN_INLINE bool ordinary(T m) {
  return m - m == T(0);
}
struct Exp {  // any argument
  template <class V>
  FASTNN_INLINE V operator()(V x) const {
    return exp(x);
  }
};
struct ExpBelow {  // arguments <= 0, not NaN
  template <class V>
  FASTNN_INLINE V operator()(V x) const {
    return exp_below(x);
  }
};

/// Fetches the four vectors from p on, for the passes over the next line.
template <int kWrite, class T>
FASTNN_INLINE void fetch(const T* p) {
#pragma GCC unroll 4
  for (int k = 0; k < kVecBytes / 16; ++k) __builtin_prefetch(p + k * (64 / static_cast<int>(sizeof(T))), kWrite, 3);
}

/// Sum of e(x - m) over n elements; stored to y where kStore. `next`: see row_ahead; `next_y`: the same for y, 0 where
/// y is a buffer.
template <bool kStore, class E, class T>
FASTNN_INLINE double exp_sum_by(const E& e, T* y, const T* x, int64_t n, T m, int64_t next, int64_t next_y = 0) {
  constexpr int W = kLanes<T>;
  const Vec<T> vm = splat<Vec<T>>(m);
  double total = 0;
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t last = first + kBlock < n ? first + kBlock : n;
    Vec<T> a[4] = {};
    int64_t i = first;
    for (; i + 4 * W <= last; i += 4 * W) {
      fetch<0>(x + i + next);
      if constexpr (kStore) fetch<1>(y + i + next_y);
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        const Vec<T> v = e(load(x + i + k * W) - vm);
        if constexpr (kStore) store(y + i + k * W, v);
        a[k] += v;
      }
    }
    for (; i < last; i += W) {
      const int64_t k = last - i < W ? last - i : W;
      const Vec<T> v = e(load_n(x + i, k) - vm);
      if constexpr (kStore) store_n(y + i, v, k);
      a[0] += lane_index<T>() < static_cast<IntLane<T>>(k) ? v : splat<Vec<T>>(0.0);
    }
    total += static_cast<double>(hsum((a[0] + a[1]) + (a[2] + a[3])));
  }
  return total;
}
template <bool kStore, class T>
FASTNN_INLINE double exp_sum(T* y, const T* x, int64_t n, T m, int64_t next, int64_t next_y = 0) {
  return ordinary(m) ? exp_sum_by<kStore>(ExpBelow(), y, x, n, m, next, next_y)
                     : exp_sum_by<kStore>(Exp(), y, x, n, m, next, next_y);
}

/// Largest of n elements; NaN if there is one.
template <class T>
FASTNN_INLINE T line_max(const T* x, int64_t n) {
  return fold_run(x, n, Value(), Max());
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
