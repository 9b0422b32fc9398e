// The innermost loops of reductions over float and double: fold a contiguous run, or down columns. Lanes are logical
// ones: 256 bytes of accumulators on every ISA, lane i takes elements i, i + 64, ... (float), then the upper half is
// merged onto the lower until one is left. So a sum has the same bits on every instruction set.
#pragma once

#include "kernels/simd.h"
#include "kernels/simd_math.h"
#include "ops/reduce/reduce_loop.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// --- merges: how two partial results become one -----------------------------------------------------------------

struct Add {
  template <class T>
  static constexpr T identity() {
    return T(0);
  }
  template <class V>
  FASTNN_INLINE V operator()(V a, V b) const {
    return a + b;
  }
  template <class V>
  static FASTNN_INLINE auto lanes(V v) {
    return hsum(v);
  }
};
struct Max {
  template <class T>
  static constexpr T identity() {
    return static_cast<T>(-__builtin_inf());
  }
  /// The accumulator comes first: whether the new element is NaN is known before the accumulator is.
  template <class V>
  FASTNN_INLINE V operator()(V a, V b) const {
    if constexpr (sizeof(V) == kVecBytes) {
      const V m = larger(b, a);
      return b != b ? b : m;
    } else {
      return max(a, b);
    }
  }
  template <class V>
  static FASTNN_INLINE auto lanes(V v) {
    return hmax(v);
  }
};
struct Min {
  template <class T>
  static constexpr T identity() {
    return static_cast<T>(__builtin_inf());
  }
  /// The accumulator comes first: whether the new element is NaN is known before the accumulator is.
  template <class V>
  FASTNN_INLINE V operator()(V a, V b) const {
    if constexpr (sizeof(V) == kVecBytes) {
      const V m = smaller(b, a);
      return b != b ? b : m;
    } else {
      return min(a, b);
    }
  }
  template <class V>
  static FASTNN_INLINE auto lanes(V v) {
    return hmin(v);
  }
};

// --- vectors --------------------------------------------------------------------------------------------------------

constexpr bool kMaskedLoads = kVecBytes == 64;

template <class T>
struct IntLaneOf {
  typedef int64_t type;
};
template <>
struct IntLaneOf<float> {
  typedef int32_t type;
};
template <class T>
using IntLane = typename IntLaneOf<T>::type;

/// 0, 1, 2, ... as integers of the element's size.
template <class T>
FASTNN_INLINE IntOf<Vec<T>> lane_index() {
  IntOf<Vec<T>> v;
  for (int i = 0; i < kLanes<T>; ++i) v[i] = i;
  return v;
}

/// map of the first n elements at p, `fill` in the other lanes.
template <class T, class Map>
FASTNN_INLINE Vec<T> map_tail(const T* p, int64_t n, T fill, const Map& map) {
  const auto inside = lane_index<T>() < static_cast<IntLane<T>>(n);
  return inside ? map(load_n(p, n)) : splat<Vec<T>>(fill);
}

template <class T, class Map, class Merge>
FASTNN_INLINE T fold_run(const T* p, int64_t m, const Map& map, const Merge& merge) {
  constexpr int W = kLanes<T>, NV = 256 / kVecBytes;
  const T none = Merge::template identity<T>();
  // One vector at most; the merge with the identity gives a lone -0 the sign it has in the long path.
  if (m <= W) return Merge::lanes(merge(splat<Vec<T>>(none), map_tail(p, m, none, map)));
  Vec<T> acc[NV];
#pragma GCC unroll 16
  for (int k = 0; k < NV; ++k) acc[k] = splat<Vec<T>>(none);
  int64_t i = 0;
  for (; i + NV * W <= m; i += NV * W)
#pragma GCC unroll 16
    for (int k = 0; k < NV; ++k) acc[k] = merge(acc[k], map(load(p + i + k * W)));
#pragma GCC unroll 16
  for (int k = 0; k < NV; ++k) {
    const int64_t rest = m - i - k * W;
    if (rest >= W)
      acc[k] = merge(acc[k], map(load(p + i + k * W)));
    else if (rest > 0)
      acc[k] = merge(acc[k], map_tail(p + i + k * W, rest, none, map));
  }
#pragma GCC unroll 4
  for (int half = NV / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int k = 0; k < half; ++k) acc[k] = merge(acc[k], acc[k + half]);
  return Merge::lanes(acc[0]);
}

/// Lane k of the result is the fold of lane k of v[0..n), n <= 16, in the order fold_run has for a run of n.
template <class T, class Map, class Merge>
FASTNN_INLINE Vec<T> fold_short(const Vec<T>* v, int64_t n, const Map& map, const Merge& merge) {
  const Vec<T> none = splat<Vec<T>>(Merge::template identity<T>());
  Vec<T> a[16];
#pragma GCC unroll 16
  for (int c = 0; c < 16; ++c) a[c] = c < n ? map(v[c]) : none;
#pragma GCC unroll 4
  for (int half = 8; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int c = 0; c < half; ++c) a[c] = merge(a[c], a[c + half]);
  return a[0];
}

/// acc[j] = fold over r of map(x[rows[r] + j], j): eight rows at a time as a tree, those in order.
template <class T, class Map, class Merge>
FASTNN_INLINE void fold_rows(T* acc, const T* x, const int64_t* rows, int64_t count, int64_t w, const Map& map,
                             const Merge& merge) {
  constexpr int W = kLanes<T>;
  const T none = Merge::template identity<T>();
  for (int64_t j = 0; j < w; ++j) acc[j] = none;
  int64_t r = 0;
  for (; r + 8 <= count; r += 8) {
    const T *p0 = x + rows[r], *p1 = x + rows[r + 1], *p2 = x + rows[r + 2], *p3 = x + rows[r + 3];
    const T *p4 = x + rows[r + 4], *p5 = x + rows[r + 5], *p6 = x + rows[r + 6], *p7 = x + rows[r + 7];
    const auto tree = [&](auto a, auto get, int64_t j) __attribute__((always_inline)) {
      const auto lower = merge(merge(map(get(p0), j), map(get(p1), j)), merge(map(get(p2), j), map(get(p3), j)));
      const auto upper = merge(merge(map(get(p4), j), map(get(p5), j)), merge(map(get(p6), j), map(get(p7), j)));
      return merge(a, merge(lower, upper));
    };
    int64_t j = 0;
    for (; j + W <= w; j += W)
      store(acc + j, tree(
                         load(acc + j), [&](const T* p) { return load(p + j); }, j));
    if constexpr (kMaskedLoads) {
      if (j < w) {
        const int64_t n = w - j;
        store_n(acc + j,
                tree(
                    load_n(acc + j, n), [&](const T* p) { return load_n(p + j, n); }, j),
                n);
      }
    } else {
      for (; j < w; ++j)
        acc[j] = tree(
            acc[j], [&](const T* p) { return p[j]; }, j);
    }
  }
  for (; r < count; ++r) {
    const T* p = x + rows[r];
    int64_t j = 0;
    for (; j + W <= w; j += W) store(acc + j, merge(load(acc + j), map(load(p + j), j)));
    for (; j < w; ++j) acc[j] = merge(acc[j], map(p[j], j));
  }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
