// Count, mean and sum of squares about it, from one pass over memory: what variances and channel_norm share.
#pragma once

#include "ops/reduce/moments.h"
#include "ops/reduce/reduce_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

/// A thread's elements about the first of them, so that a mean that is large beside the deviation costs no digits.
template <class T>
struct MomentLocal {
  T pivot, s1, s2;
  int32_t count;
};

/// The reducer but for finish().
template <class T>
struct MomentsOf : OneInput<T> {
  typedef MomentLocal<T> Local;
  typedef MomentState State;

  __device__ Local local(int64_t) const { return {T(0), T(0), T(0), 0}; }
  __device__ void add(Local& s, T v, int64_t) const {
    if (s.count++ == 0) s.pivot = v;
    const T d = v - s.pivot;
    s.s1 += d;
    s.s2 += d * d;
  }
  __device__ State lift(const Local& s) const {
    if (s.count == 0) return identity();
    const double n = s.count, d = static_cast<double>(s.s1) / n, m2 = static_cast<double>(s.s2) - s.s1 * d;
    // NaN stays; a mean of which an infinity is part is none either.
    return {n, m2 == m2 ? static_cast<double>(s.pivot) + d : m2, m2 < 0 ? 0 : m2};
  }
  __device__ State identity() const { return {0, 0, 0}; }
  __device__ void combine(State& s, const State& b) const { join_moments(s, b); }
};

}  // namespace
}  // namespace cuda
}  // namespace fastnn
