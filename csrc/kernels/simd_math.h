// Elementary functions on the vectors of simd.h. float: our own polynomials (minimax fits, coefficients rounded one by
// one to float and refitted), about 1-3 ulp, right at 0, denormals, infinities and NaN; the measured errors are in
// docs/accuracy.md. double: libm, lane by lane - the reference path. The scalar overloads give the bits of a vector
// lane, so a value never depends on where it sits. Included inside per-ISA sources only.
#pragma once

#include <math.h>

#include "kernels/simd_single.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr float kInf = __builtin_inff();
constexpr float kNan = __builtin_nanf("");

/// c[0] + c[1] x + ... + c[N-1] x^(N-1), Horner's scheme.
template <class V, int N>
FASTNN_INLINE V poly(V x, const ElemOf<V> (&c)[N]) {
  V p = splat<V>(c[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; --i) p = fma(p, x, splat<V>(c[i]));
  return p;
}

/// x cut to [low, high]; NaN stays.
template <class V>
FASTNN_INLINE V clip(V x, ElemOf<V> low, ElemOf<V> high) {
  return larger(splat<V>(low), smaller(splat<V>(high), x));
}

// --- double, lane by lane -----------------------------------------------------------------------------------------

__attribute__((noinline)) f64v each_lane(double (*f)(double), f64v x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = f(x[i]);
  return x;
}
__attribute__((noinline)) f64v each_lane(double (*f)(double, double), f64v x, f64v y) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = f(x[i], y[i]);
  return x;
}
#define FASTNN_LIBM1(name)                                  \
  FASTNN_INLINE double name(double x) { return ::name(x); } \
  FASTNN_INLINE f64v name(f64v x) { return each_lane(static_cast<double (*)(double)>(::name), x); }
#define FASTNN_LIBM2(name)                                               \
  FASTNN_INLINE double name(double x, double y) { return ::name(x, y); } \
  FASTNN_INLINE f64v name(f64v x, f64v y) { return each_lane(static_cast<double (*)(double, double)>(::name), x, y); }
FASTNN_LIBM1(exp)
FASTNN_LIBM1(exp2)
FASTNN_LIBM1(expm1)
FASTNN_LIBM1(log)
FASTNN_LIBM1(log2)
FASTNN_LIBM1(log10)
FASTNN_LIBM1(log1p)
FASTNN_LIBM1(sin)
FASTNN_LIBM1(cos)
FASTNN_LIBM1(tan)
FASTNN_LIBM1(asin)
FASTNN_LIBM1(acos)
FASTNN_LIBM1(atan)
FASTNN_LIBM1(sinh)
FASTNN_LIBM1(cosh)
FASTNN_LIBM1(tanh)
FASTNN_LIBM1(asinh)
FASTNN_LIBM1(acosh)
FASTNN_LIBM1(atanh)
FASTNN_LIBM1(erf)
FASTNN_LIBM1(erfc)
FASTNN_LIBM2(pow)
FASTNN_LIBM2(atan2)
FASTNN_LIBM2(hypot)
FASTNN_LIBM2(fmod)
#undef FASTNN_LIBM1
#undef FASTNN_LIBM2

// --- exponentials -------------------------------------------------------------------------------------------------

/// 2^n for integers n in [-126, 127].
FASTNN_INLINE f32v pow2(i32v n) { return as_float((i32v)((u32v)(n + 127) << 23)); }
FASTNN_INLINE f32v pow2(f32v n) {
#if defined(__AVX512F__)
  return (f32v)_mm512_scalef_ps((__m512)splat<f32v>(1.0), (__m512)n);
#else
  return pow2(to_int(n));
#endif
}

/// p * 2^n, rounded once, for integral |n| <= 250.
FASTNN_INLINE f32v scale2(f32v p, f32v n) {
#if defined(__AVX512F__)
  return (f32v)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
  const i32v k = to_int(n), half = k >> 1;  // 2^n itself may overflow or be denormal
  return p * pow2(half) * pow2(k - half);
#endif
}

/// Adding it rounds |x| < 2^22 to an integer, found in the low bits of the sum.
constexpr float kRoundMagic = 12582912.0f;                        // 1.5 * 2^23
constexpr float kLn2Hi = 0.693359375f, kLn2Lo = -2.12194440e-4f;  // kLn2Hi has 9 bits: n * kLn2Hi is exact

/// (e^r - 1 - r) / r^2 on |r| <= ln2 / 2.
FASTNN_INLINE f32v exp_tail(f32v r) {
  return poly(r, {4.999999404e-01f, 1.666651219e-01f, 4.166804254e-02f, 8.369714953e-03f, 1.384561416e-03f});
}

/// e^x = 2^(n + bias) e^r with n = round(x / ln2).
FASTNN_INLINE f32v exp_biased(f32v x, float bias) {
  const f32v c = clip(x, -105.0f, 90.0f);
  const f32v n = fma(c, splat<f32v>(1.44269504), splat<f32v>(kRoundMagic)) - kRoundMagic;
  f32v r = fma(n, splat<f32v>(-kLn2Hi), c);
  r = fma(n, splat<f32v>(-kLn2Lo), r);
  return scale2(fma(r * r, exp_tail(r), r) + 1.0f, n + bias);
}
FASTNN_INLINE f32v exp(f32v x) { return exp_biased(x, 0.0f); }

FASTNN_INLINE f32v exp2(f32v x) {
  const f32v c = clip(x, -151.0f, 130.0f);
  const f32v n = round(c);
  const f32v r = (c - n) * 0.693147181f;
  return scale2(fma(r * r, exp_tail(r), r) + 1.0f, n);
}

/// 2^(n-1) (e^r - 1) + (2^(n-1) - 1/2), doubled at the end so that 2^n does not overflow before e^x does.
FASTNN_INLINE f32v expm1(f32v x) {
  const f32v c = clip(x, -25.0f, 88.8f);
  const f32v n = fma(c, splat<f32v>(1.44269504), splat<f32v>(kRoundMagic)) - kRoundMagic;
  f32v r = fma(n, splat<f32v>(-kLn2Hi), c);
  r = fma(n, splat<f32v>(-kLn2Lo), r);
  const f32v q = poly(
      r, {5.000000000e-01f, 1.666663587e-01f, 4.166651145e-02f, 8.341510780e-03f, 1.393054263e-03f, 1.504513639e-04f});
  const f32v p = fma(r * r, q, r);
  const f32v s = pow2(n - 1.0f);
  const f32v y = fma(s, p, s - 0.5f) * 2.0f;
  return x == 0.0f ? x : (n == 0.0f ? p : y);  // keeps -0 and denormals
}

/// e^-|x| based, so neither tail overflows: 1 / (1 + e^-x).
template <class V>
FASTNN_INLINE V sigmoid(V x) {
  const V z = exp(-abs(x));
  const V one = splat<V>(1.0);
  return select(x < 0, z, one) / (z + one);
}

/// t / (t + 2) with t = e^(2|x|) - 1.
FASTNN_INLINE f32v tanh(f32v x) {
  const f32v a = abs(x) * 2.0f;
  const f32v c = smaller(splat<f32v>(20.0), a);
  const f32v n = fma(c, splat<f32v>(1.44269504), splat<f32v>(kRoundMagic)) - kRoundMagic;
  f32v r = fma(n, splat<f32v>(-kLn2Hi), c);
  r = fma(n, splat<f32v>(-kLn2Lo), r);
  const f32v p = fma(r * r, exp_tail(r), r);
  const f32v s = pow2(n);
  const f32v t = fma(s, p, s - 1.0f);
  return copysign(t / (t + 2.0f), x);
}

FASTNN_INLINE f32v sinh(f32v x) {
  const f32v a = abs(x), t = a * a;
  const f32v small = fma(a * t, poly(t, {1.666666716e-01f, 8.333311416e-03f, 1.984263508e-04f, 2.783925538e-06f}), a);
  const f32v h = exp_biased(a, -1.0f);  // e^a / 2
  return copysign(a < 1.0f ? small : h - 0.25f / h, x);
}
FASTNN_INLINE f32v cosh(f32v x) {
  const f32v h = exp_biased(abs(x), -1.0f);
  return h + 0.25f / h;
}

// --- logarithms ---------------------------------------------------------------------------------------------------

/// x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); ln(1 + f) = f + tail. x must be positive and finite.
struct LogParts {
  f32v e, f, tail;
};
FASTNN_INLINE LogParts log_parts(f32v x) {
  const i32v tiny = x < 1.17549435e-38f;
  const f32v y = tiny ? x * 8388608.0f : x;
  const i32v bits = (i32v)((u32v)as_int(y) - 0x3f3504f3u);  // bits of sqrt(1/2); wraps for a negative x
  const i32v k = bits >> 23;
  const f32v f = as_float((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
  const f32v e = to_float(k) - (tiny ? splat<f32v>(23.0) : splat<f32v>(0.0));
  const f32v p = poly(f, {3.333333135e-01f, -2.500082254e-01f, 2.000126094e-01f, -1.662322134e-01f, 1.420077682e-01f,
                          -1.316198111e-01f, 1.278479844e-01f, -7.670496404e-02f});
  const f32v f2 = f * f;
  return {e, f, fma(f2 * f, p, f2 * -0.5f)};
}
/// The logarithm y of x at the edges: log 0 = -inf, log inf = inf, log of a negative number or NaN = NaN.
FASTNN_INLINE f32v log_edges(f32v x, f32v y) {
  y = x < kInf ? y : x;  // inf and NaN
  y = x == 0.0f ? splat<f32v>(-kInf) : y;
  return x < 0.0f ? splat<f32v>(kNan) : y;
}
FASTNN_INLINE f32v log_finite(f32v x) {
  const LogParts l = log_parts(x);
  return fma(l.e, splat<f32v>(kLn2Hi), l.f + fma(l.e, splat<f32v>(kLn2Lo), l.tail));
}
FASTNN_INLINE f32v log(f32v x) { return log_edges(x, log_finite(x)); }
FASTNN_INLINE f32v log2(f32v x) {
  const LogParts l = log_parts(x);
  // log2(e) = 1.4375 + 0.005195..., the first with so few bits that f * 1.4375 rounds little.
  const f32v low = fma(l.f, splat<f32v>(0.00519504088), l.tail * 1.44269504f);
  return log_edges(x, fma(l.f, splat<f32v>(1.4375), low) + l.e);
}
FASTNN_INLINE f32v log10(f32v x) {
  const LogParts l = log_parts(x);
  // log10(2) = 0.30078125 + 0.00024874...; log10(e) = 0.43359375 + 0.00070073...
  const f32v low = fma(l.e, splat<f32v>(2.48745664e-4), fma(l.f, splat<f32v>(7.00731903e-4), l.tail * 0.434294482f));
  return log_edges(x, fma(l.e, splat<f32v>(0.30078125), fma(l.f, splat<f32v>(0.43359375), low)));
}
/// ln u + (x - (u - 1)) / u with u = 1 + x rounded: the second term is what the rounding lost.
FASTNN_INLINE f32v log1p(f32v x) {
  const f32v u = x + 1.0f;
  const f32v y = log_finite(u) + (x - (u - 1.0f)) / u;
  const i32v edge = (abs(x) < 1e-7f) | (x == kInf) | (x != x);
  f32v r = edge ? x : y;
  r = x == -1.0f ? splat<f32v>(-kInf) : r;
  return x < -1.0f ? splat<f32v>(kNan) : r;
}

FASTNN_INLINE f32v asinh(f32v x) {
  const f32v a = abs(x), t = a * a;
  const f32v y = log1p(a + t / (sqrt(t + 1.0f) + 1.0f));
  return copysign(a > 1e4f ? log(a) + 0.693147181f : y, x);
}
FASTNN_INLINE f32v acosh(f32v x) {
  const f32v t = x - 1.0f;
  const f32v y = log1p(t + sqrt(fma(t, t, t + t)));
  const f32v r = x > 1e4f ? log(x) + 0.693147181f : y;
  return x < 1.0f ? splat<f32v>(kNan) : r;
}
FASTNN_INLINE f32v atanh(f32v x) {
  const f32v a = abs(x);
  return copysign(log1p((a + a) / (1.0f - a)) * 0.5f, x);
}

// --- error function -----------------------------------------------------------------------------------------------

/// ln erfc(a) on [1, 4].
FASTNN_INLINE f32v log_erfc(f32v a) {
  return poly(a, {-3.326961887e-04f, -1.127122521e+00f, -6.380934119e-01f, -1.031482369e-01f, 2.185651474e-02f,
                  -2.951940056e-03f, 1.867812825e-04f});
}
/// x + x P(x^2) for |x| < 1, 1 - exp(ln erfc |x|) beyond.
FASTNN_INLINE f32v erf(f32v x) {
  const f32v a = abs(x), t = a * a;
  const f32v small = fma(a,
                         poly(t, {1.283791661e-01f, -3.761262894e-01f, 1.128361821e-01f, -2.685512602e-02f,
                                  5.190733355e-03f, -8.030750323e-04f, 7.920303324e-05f}),
                         a);
  const f32v c = smaller(splat<f32v>(4.0), a);
  const f32v large = 1.0f - exp(log_erfc(c));
  return copysign(a < 1.0f ? small : large, x);
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn

#include "kernels/simd_trigonometry.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// --- powers -------------------------------------------------------------------------------------------------------

/// a^y = 2^(y log2 a) in double for positive finite normal a.
FASTNN_INLINE f64v pow_half(f64v a, f64v y) {
  const i64v bits = (i64v)((u64v)as_int(a) - UINT64_C(0x3fe6a09e667f3bcd));  // bits of sqrt(1/2)
  const i64v mant = (bits & INT64_C(0xfffffffffffff)) + INT64_C(0x3fe6a09e667f3bcd);
  // The exponent as a double: its bits, made positive, below those of 2^52.
  const i64v biased = (i64v)(((u64v)bits + (UINT64_C(1024) << 52)) >> 52);
  const f64v e = as_float(biased | INT64_C(0x4330000000000000)) - (4503599627370496.0 + 1024.0);
  const f64v m = as_float(mant);
  const f64v s = (m - 1.0) / (m + 1.0), s2 = s * s;
  const f64v p =
      poly(s2, {2.88539008177792722e+00, 9.61796693924308110e-01, 5.77078017257348086e-01, 4.12198400370405837e-01,
                3.20616503383340801e-01, 2.61440608093915727e-01, 2.42959142219059343e-01});
  f64v t = y * fma(s, p, e);
  t = clip(t, -1000.0, 1000.0);
  const f64v shifted = t + 6755399441055744.0;  // 1.5 * 2^52: rounds to an integer in the low bits
  const f64v f = t - (shifted - 6755399441055744.0);
  const f64v q =
      poly(f, {9.99999999959487185e-01, 6.93147180534983698e-01, 2.40226512141920895e-01, 5.55041097624902197e-02,
               9.61802552237780821e-03, 1.33334225306848474e-03, 1.54697579552922634e-04, 1.53164886054437062e-05});
  return q * as_float((i64v)(((u64v)as_int(shifted) + 1023) << 52));
}
FASTNN_INLINE f32v pow(f32v x, f32v y) {
  const f32v a = abs(x);
  const f32v zero = splat<f32v>(0.0), one = splat<f32v>(1.0), inf = splat<f32v>(kInf);
  f32v r = narrow(pow_half(widen_low(a), widen_low(y)), pow_half(widen_high(a), widen_high(y)));
  r = a == 0.0f ? (y < 0.0f ? inf : zero) : r;
  r = a == kInf ? (y < 0.0f ? zero : inf) : r;
  const i32v whole = trunc(y) == y, odd = whole & (trunc(y * 0.5f) != y * 0.5f);
  r = odd ? copysign(r, x) : r;
  r = (x < 0.0f) & (a < kInf) & ~whole ? splat<f32v>(kNan) : r;
  r = (x != x) | (y != y) ? x + y : r;
  r = (a == 1.0f) & (abs(y) == kInf) ? one : r;
  return (y == 0.0f) | (x == 1.0f) ? one : r;
}
FASTNN_INLINE f32v hypot(f32v x, f32v y) {
  const f64v xl = widen_low(x), xh = widen_high(x), yl = widen_low(y), yh = widen_high(y);
  const f32v r = narrow(sqrt(xl * xl + yl * yl), sqrt(xh * xh + yh * yh));
  return (abs(x) == kInf) | (abs(y) == kInf) ? splat<f32v>(kInf) : r;
}

// Rarely in a hot loop: through double and libm, rounded once.
__attribute__((noinline)) f32v each_lane(double (*f)(double), f32v x) {
  for (int i = 0; i < kLanes<float>; ++i) x[i] = static_cast<float>(f(x[i]));
  return x;
}
__attribute__((noinline)) f32v each_lane(double (*f)(double, double), f32v x, f32v y) {
  for (int i = 0; i < kLanes<float>; ++i) x[i] = static_cast<float>(f(x[i], y[i]));
  return x;
}
FASTNN_INLINE f32v erfc(f32v x) { return each_lane(static_cast<double (*)(double)>(::erfc), x); }
FASTNN_INLINE f32v fmod(f32v x, f32v y) { return each_lane(static_cast<double (*)(double, double)>(::fmod), x, y); }

// --- scalars: lane 0 of the vector function -----------------------------------------------------------------------

#define FASTNN_SCALAR1(name) \
  FASTNN_INLINE float name(float x) { return name(splat<f32v>(x))[0]; }
#define FASTNN_SCALAR2(name) \
  FASTNN_INLINE float name(float x, float y) { return name(splat<f32v>(x), splat<f32v>(y))[0]; }
FASTNN_SCALAR1(exp)
FASTNN_SCALAR1(exp2)
FASTNN_SCALAR1(expm1)
FASTNN_SCALAR1(log)
FASTNN_SCALAR1(log2)
FASTNN_SCALAR1(log10)
FASTNN_SCALAR1(log1p)
FASTNN_SCALAR1(sin)
FASTNN_SCALAR1(cos)
FASTNN_SCALAR1(tan)
FASTNN_SCALAR1(asin)
FASTNN_SCALAR1(acos)
FASTNN_SCALAR1(atan)
FASTNN_SCALAR1(sinh)
FASTNN_SCALAR1(cosh)
FASTNN_SCALAR1(tanh)
FASTNN_SCALAR1(asinh)
FASTNN_SCALAR1(acosh)
FASTNN_SCALAR1(atanh)
FASTNN_SCALAR1(erf)
FASTNN_SCALAR1(erfc)
FASTNN_SCALAR2(pow)
FASTNN_SCALAR2(atan2)
FASTNN_SCALAR2(hypot)
FASTNN_SCALAR2(fmod)
#undef FASTNN_SCALAR1
#undef FASTNN_SCALAR2
FASTNN_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
FASTNN_INLINE double sqrt(double x) { return __builtin_sqrt(x); }

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
