// Sine, cosine, tangent and their inverses; the errors are in docs/accuracy.md. A part of simd_math.h, which includes
// it.
#pragma once

#include "kernels/simd_math.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// x = n pi/2 + r, |r| <= pi/4, reduced in double: exact enough up to |x| = 1e6.
struct Quadrant {
  f32v r;
  i32v n;
};
FASTNN_INLINE f64v reduce_half(f64v x, f64v n) {
  // pi/2 in two parts, the first with 33 bits: its product with |n| < 2^20 is exact.
  return (x - n * 1.57079632673412561417e+00) - n * 6.07710050650619224932e-11;
}
FASTNN_INLINE Quadrant reduce_quadrant(f32v x) {
  const f64v lo = widen_low(x), hi = widen_high(x);
  const f64v nlo = round(lo * 0.63661977236758134308), nhi = round(hi * 0.63661977236758134308);
  return {narrow(reduce_half(lo, nlo), reduce_half(hi, nhi)), to_int(narrow(nlo, nhi))};
}
FASTNN_INLINE f32v sin_poly(f32v r) {
  const f32v t = r * r;
  return fma(r * t, poly(t, {-1.666665524e-01f, 8.332190104e-03f, -1.951840532e-04f}), r);
}
FASTNN_INLINE f32v cos_poly(f32v r) {
  const f32v t = r * r;
  return fma(t * t, poly(t, {4.166664556e-02f, -1.388730132e-03f, 2.443067024e-05f}),
             fma(t, splat<f32v>(-0.5), splat<f32v>(1.0)));
}
/// Lanes with |x| > 1e6 (and inf, NaN) from libm in double, which reduces any argument; the others from y.
__attribute__((noinline)) f32v huge_lanes(double (*f)(double), f32v x, f32v y) {
  for (int i = 0; i < kLanes<float>; ++i)
    if (!(__builtin_fabsf(x[i]) <= 1e6f)) y[i] = static_cast<float>(f(x[i]));
  return y;
}
#define FASTNN_HUGE(fn) any(~(abs(x) <= 1e6f)) ? huge_lanes(static_cast<double (*)(double)>(::fn), x, y) : y
FASTNN_INLINE f32v sin(f32v x) {
  const Quadrant q = reduce_quadrant(x);
  const f32v v = (q.n & 1) != 0 ? cos_poly(q.r) : sin_poly(q.r);
  f32v y = as_float(as_int(v) ^ ((q.n & 2) << 30));
  y = x == 0.0f ? x : y;  // -0
  return FASTNN_HUGE(sin);
}
FASTNN_INLINE f32v cos(f32v x) {
  const Quadrant q = reduce_quadrant(x);
  const f32v v = (q.n & 1) != 0 ? sin_poly(q.r) : cos_poly(q.r);
  const f32v y = as_float(as_int(v) ^ (((q.n + 1) & 2) << 30));
  return FASTNN_HUGE(cos);
}
FASTNN_INLINE f32v tan(f32v x) {
  const Quadrant q = reduce_quadrant(x);
  const f32v s = sin_poly(q.r), c = cos_poly(q.r);
  const i32v odd = (q.n & 1) != 0;
  f32v y = (odd ? c : s) / (odd ? -s : c);
  y = x == 0.0f ? x : y;
  return FASTNN_HUGE(tan);
}
#undef FASTNN_HUGE

/// atan on [0, 1].
FASTNN_INLINE f32v atan_unit(f32v a) {
  const f32v t = a * a;
  return fma(a * t,
             poly(t, {-3.333316743e-01f, 1.999414563e-01f, -1.421426535e-01f, 1.067912802e-01f, -7.580927014e-02f,
                      4.355719313e-02f, -1.658319123e-02f, 2.975037554e-03f}),
             a);
}
constexpr float kHalfPi = 1.57079637f, kHalfPiLow = -4.37113883e-8f;
FASTNN_INLINE f32v atan(f32v x) {
  const f32v a = abs(x);
  const i32v big = a > 1.0f;
  const f32v u = atan_unit(big ? 1.0f / a : a);
  return copysign(big ? kHalfPi - (u - kHalfPiLow) : u, x);
}
FASTNN_INLINE f32v atan2(f32v y, f32v x) {
  const f32v ay = abs(y), ax = abs(x);
  const i32v steep = ay > ax;
  f32v q = (steep ? ax : ay) / (steep ? ay : ax);
  q = (ay == 0.0f) & (ax == 0.0f) ? splat<f32v>(0.0) : q;
  q = (ay == kInf) & (ax == kInf) ? splat<f32v>(1.0) : q;
  f32v r = atan_unit(q);
  r = steep ? kHalfPi - (r - kHalfPiLow) : r;
  r = as_int(x) < 0 ? 2 * kHalfPi - (r - 2 * kHalfPiLow) : r;
  r = (x != x) | (y != y) ? x + y : r;
  return copysign(r, y);
}
/// (asin a - a) / a^3 as a function of a^2, a <= 1/2.
FASTNN_INLINE f32v asin_tail(f32v t) {
  return poly(t, {1.666675508e-01f, 7.495190203e-02f, 4.548414424e-02f, 2.411031909e-02f, 4.228570685e-02f});
}
/// Above 1/2: asin a = pi/2 - 2 asin(sqrt((1 - a) / 2)).
FASTNN_INLINE f32v asin(f32v x) {
  const f32v a = abs(x);
  const i32v big = a > 0.5f;
  const f32v t = big ? (1.0f - a) * 0.5f : a * a;
  const f32v s = big ? sqrt(t) : a;
  const f32v u = fma(s * t, asin_tail(t), s);
  return copysign(big ? kHalfPi - (u + u - kHalfPiLow) : u, x);
}
FASTNN_INLINE f32v acos(f32v x) {
  const f32v a = abs(x);
  const i32v big = a > 0.5f;
  const f32v t = big ? (1.0f - a) * 0.5f : a * a;
  const f32v s = big ? sqrt(t) : a;
  const f32v u = fma(s * t, asin_tail(t), s);
  const f32v near = x < 0.0f ? 2 * kHalfPi - (u + u - 2 * kHalfPiLow) : u + u;
  return big ? near : kHalfPi - (copysign(u, x) - kHalfPiLow);
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
