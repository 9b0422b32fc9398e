// Vectors along a row or across columns, for the kernels of this folder. Included inside per-ISA sources only.
#pragma once

#include "ops/reduce/reduce_fold.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

FASTNN_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// f(first element, lanes in use) over n elements.
template <class T, class F>
FASTNN_INLINE void each_vector(int64_t n, const F& f) {
  constexpr int W = kLanes<T>;
  int64_t j = 0;
  for (; j + W <= n; j += W) f(j, static_cast<int64_t>(W));
  if (j < n) f(j, n - j);
}
template <class T>
FASTNN_INLINE Vec<T> get(const T* p, int64_t k) {
  return k == kLanes<T> ? load(p) : load_n(p, k);
}
template <class T>
FASTNN_INLINE void put(T* p, Vec<T> v, int64_t k) {
  if (k == kLanes<T>)
    store(p, v);
  else
    store_n(p, v, k);
}

/// f(null pointer to float or double) for a floating DType given as int.
template <class F>
FASTNN_INLINE void with_float(int type, const F& f) {
  if (type == 4)
    f(static_cast<float*>(nullptr));
  else
    f(static_cast<double*>(nullptr));
}
/// A pointer of the type that the tag names.
template <class T>
FASTNN_INLINE T* as(T*, void* p) {
  return static_cast<T*>(p);
}
template <class T>
FASTNN_INLINE const T* as(T*, const void* p) {
  return static_cast<const T*>(p);
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
