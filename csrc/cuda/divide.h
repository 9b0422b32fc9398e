#pragma once
// Positions of a flat index in a shape. By numbers that a launch knows (Divider) the division is a multiplication and a
// shift where all positions are below 2^31; by others (divide) it is one of 32 bits where both fit.

#include <cstdint>

#include "cuda/cuda.h"

namespace fastnn {
namespace cuda {

/// n / d and n % d for n in [0, 2^31) (uint32_t) or for any n >= 0 (int64_t).
template <class I>
struct Divider;

template <>
struct Divider<uint32_t> {
  uint32_t d = 1, multiplier = 1, shift = 0;
  Divider() = default;
  explicit Divider(int64_t by) : d(by > 0 ? static_cast<uint32_t>(by) : 1) {
    // 2^shift is the power of two from d on, 2^32 + multiplier is 2^(32 + shift) / d rounded up.
    while (shift < 31 && (uint32_t{1} << shift) < d) ++shift;
    const uint64_t excess = (uint64_t{1} << shift) - d;
    multiplier = static_cast<uint32_t>((excess << 32) / d + 1);
  }
  __device__ uint32_t div(uint32_t n) const { return (__umulhi(n, multiplier) + n) >> shift; }
};
template <>
struct Divider<int64_t> {
  int64_t d = 1;
  Divider() = default;
  explicit Divider(int64_t by) : d(by > 0 ? by : 1) {}
  __device__ int64_t div(int64_t n) const { return n / d; }
};

/// n becomes n / d; returns the remainder.
template <class I>
__device__ inline I split(I& n, const Divider<I>& by) {
  const I whole = by.div(n), rest = n - whole * by.d;
  n = whole;
  return rest;
}

/// f(null pointer to the type) for flat positions below `total`.
template <class F>
void with_index(int64_t total, const F& f) {
  if (total < (int64_t{1} << 31)) return f(static_cast<uint32_t*>(nullptr));
  return f(static_cast<int64_t*>(nullptr));
}

/// a / b and a % b for b > 0; 32-bit arithmetic, several times faster, where it is enough.
struct Quotient {
  int64_t quotient, rest;
};
__device__ inline Quotient divide(int64_t a, int64_t b) {
  if (static_cast<uint64_t>(a) <= UINT32_MAX && static_cast<uint64_t>(b) <= UINT32_MAX) {
    const uint32_t q = static_cast<uint32_t>(a) / static_cast<uint32_t>(b);
    return {q, static_cast<uint32_t>(a) - q * static_cast<uint32_t>(b)};
  }
  return {a / b, a % b};
}
/// n becomes n / d; returns the remainder.
__device__ inline int64_t split(int64_t& n, int64_t d) {
  const Quotient q = divide(n, d);
  n = q.quotient;
  return q.rest;
}

}  // namespace cuda
}  // namespace fastnn
