// Formulas of the tables that do not fit on a line. Included inside per-ISA sources only.
#pragma once

#include "kernels/loop_run.h"
#include "kernels/simd_exp.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// A constant in the type of the formula.
#define K(c) splat<V>(c)

constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kSeluAlpha = 1.6732632423543772848, kSeluScale = 1.0507009873554804934;

template <class V>
FASTNN_INLINE IntOf<V> sign_bit(V x) {
  return as_int(x) < 0;
}
template <class V>
FASTNN_INLINE IntOf<V> is_finite(V x) {
  return abs(x) < splat<V>(__builtin_inf());
}

/// The left half of the normal distribution Phi and e^(-a^2/2), for |x| = a. Phi(-a) = e^(-a^2/2) m(t) t, t = 1 / (1 +
/// 0.305 a), m t a polynomial with m(1) = 1/2 (relative error 1.1e-7 up to a = 14): no cancellation, where 1 + erf has
/// no digits. x and a are cut to 15, where both are 0 and multiply no infinity; a NaN stays.
struct NormalTail {
  f32v x, a, phi, e;
};
FASTNN_INLINE NormalTail normal_tail(f32v x) {
  const f32v a = smaller(splat<f32v>(15.0), abs(x)), t = 1.0f / fma(a, splat<f32v>(0.305), splat<f32v>(1.0));
  const f32v z = a * a * -0.721347520f, n = (z + kRoundMagic) - kRoundMagic, f = z - n;
  const f32v p =
      poly(f, {1.0f, 6.931471825e-01f, 2.402228117e-01f, 5.550560355e-02f, 9.669759311e-03f, 1.330022700e-03f});
  const f32v e = scale2(p, n);
  const f32v m = poly(t, {1.216417895e-01f, 1.224338587e-01f, 1.036355198e-01f, 1.202834623e-01f, -3.652442680e-02f,
                          1.840762786e-01f, -1.519994375e-01f, 3.645295547e-02f});
  return {copysign(a, x), a, e * (m * t), e};
}
FASTNN_INLINE f64v normal_cdf(f64v x) { return 0.5 * (1.0 + erf(x * kSqrtHalf)); }
/// x Phi(x) = max(x, 0) - a Phi(-a), a = |x|.
FASTNN_INLINE f32v gelu(f32v x) {
  const NormalTail n = normal_tail(x);
  return fma(-n.a, n.phi, larger(f32v{}, x));
}
FASTNN_INLINE f64v gelu(f64v x) { return x * normal_cdf(x); }
/// Phi(x) + x e^(-x^2/2) / sqrt(2 pi).
FASTNN_INLINE f32v gelu_gradient(f32v g, f32v x) {
  const NormalTail n = normal_tail(x);
  return g * fma(n.x, n.e * 0.398942280f, x < 0.0f ? n.phi : 1.0f - n.phi);
}
FASTNN_INLINE f64v gelu_gradient(f64v g, f64v x) {
  return g * (normal_cdf(x) + x * 0.39894228040143267794 * exp(x * x * -0.5));
}

#include "ops/elementwise/formulas_generic.h"  // into this namespace

/// A number as an integer of type T, saturated.
template <class T>
inline T number_as(const Number& v) {
  const int64_t low = sizeof(T) == 8 ? INT64_MIN : sizeof(T) == 4 ? INT32_MIN : 0;
  const int64_t high = sizeof(T) == 8 ? INT64_MAX : sizeof(T) == 4 ? INT32_MAX : 255;
  return static_cast<T>(v.i < low ? low : v.i > high ? high : v.i);
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
