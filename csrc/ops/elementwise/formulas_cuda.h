#pragma once
// Formulas of the tables on a device: the functions of simd_math.h for one float or double, from CUDA's own library
// (1-2 ulp, no fast-math), with the same answers at 0, infinities and NaN.

#include "ops/elementwise/loop_cuda.h"

#ifdef __CUDACC__
#pragma nv_diag_suppress 186  // `x < 0` of an unsigned number: a formula serves all integers
#endif

namespace fastnn {
namespace cuda {
namespace {

#define FASTNN_INLINE __device__ __forceinline__

template <class V>
FASTNN_INLINE V splat(double c) {
  return static_cast<V>(c);
}
/// A constant in the type of the formula.
#define K(c) splat<V>(c)

constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kSeluAlpha = 1.6732632423543772848, kSeluScale = 1.0507009873554804934;

#define FASTNN_DEVICE1(name, single, both)                  \
  FASTNN_INLINE float name(float x) { return ::single(x); } \
  FASTNN_INLINE double name(double x) { return ::both(x); }
#define FASTNN_DEVICE2(name, single, both)                              \
  FASTNN_INLINE float name(float x, float y) { return ::single(x, y); } \
  FASTNN_INLINE double name(double x, double y) { return ::both(x, y); }
FASTNN_DEVICE1(exp, expf, exp)
FASTNN_DEVICE1(exp2, exp2f, exp2)
FASTNN_DEVICE1(expm1, expm1f, expm1)
FASTNN_DEVICE1(log, logf, log)
FASTNN_DEVICE1(log2, log2f, log2)
FASTNN_DEVICE1(log10, log10f, log10)
FASTNN_DEVICE1(log1p, log1pf, log1p)
FASTNN_DEVICE1(sqrt, sqrtf, sqrt)
FASTNN_DEVICE1(sin, sinf, sin)
FASTNN_DEVICE1(cos, cosf, cos)
FASTNN_DEVICE1(tan, tanf, tan)
FASTNN_DEVICE1(asin, asinf, asin)
FASTNN_DEVICE1(acos, acosf, acos)
FASTNN_DEVICE1(atan, atanf, atan)
FASTNN_DEVICE1(sinh, sinhf, sinh)
FASTNN_DEVICE1(cosh, coshf, cosh)
FASTNN_DEVICE1(tanh, tanhf, tanh)
FASTNN_DEVICE1(asinh, asinhf, asinh)
FASTNN_DEVICE1(acosh, acoshf, acosh)
FASTNN_DEVICE1(atanh, atanhf, atanh)
FASTNN_DEVICE1(erf, erff, erf)
FASTNN_DEVICE1(erfc, erfcf, erfc)
FASTNN_DEVICE1(floor, floorf, floor)
FASTNN_DEVICE1(ceil, ceilf, ceil)
FASTNN_DEVICE1(trunc, truncf, trunc)
FASTNN_DEVICE1(round, rintf, rint)  // half to even
FASTNN_DEVICE1(abs, fabsf, fabs)
FASTNN_DEVICE2(pow, powf, pow)
FASTNN_DEVICE2(atan2, atan2f, atan2)
FASTNN_DEVICE2(hypot, hypotf, hypot)
FASTNN_DEVICE2(fmod, fmodf, fmod)
FASTNN_DEVICE2(copysign, copysignf, copysign)
#undef FASTNN_DEVICE1
#undef FASTNN_DEVICE2
FASTNN_INLINE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
FASTNN_INLINE double fma(double a, double b, double c) { return ::fma(a, b, c); }

template <class V>
FASTNN_INLINE V select(bool condition, V a, V b) {
  return condition ? a : b;
}
FASTNN_INLINE bool sign_bit(float x) { return __float_as_int(x) < 0; }
FASTNN_INLINE bool sign_bit(double x) { return __double_as_longlong(x) < 0; }
template <class V>
FASTNN_INLINE bool is_finite(V x) {
  return abs(x) < K(HUGE_VAL);
}
/// Larger / smaller of two numbers; NaN if either is NaN.
template <class V>
FASTNN_INLINE V max(V a, V b) {
  const V m = a > b ? a : b;
  return a != a ? a : m;
}
template <class V>
FASTNN_INLINE V min(V a, V b) {
  const V m = a < b ? a : b;
  return a != a ? a : m;
}
/// e^-|x| based, so neither tail overflows: 1 / (1 + e^-x).
template <class V>
FASTNN_INLINE V sigmoid(V x) {
  const V z = exp(-abs(x));
  return select(x < 0, z, K(1)) / (z + K(1));
}

/// x Phi(x) = max(x, 0) - a Phi(-a), a = |x|, the second term 0 where Phi(-a) is (infinities).
template <class V>
FASTNN_INLINE V gelu(V x) {
  const V a = abs(x), left = K(0.5) * erfc(a * K(kSqrtHalf));
  return fma(select(a < 40, -a, K(0)), left, select(x < 0, K(0), x));
}
/// Phi(x) + x e^(-x^2/2) / sqrt(2 pi).
template <class V>
FASTNN_INLINE V gelu_gradient(V g, V x) {
  const V a = abs(x), left = K(0.5) * erfc(a * K(kSqrtHalf));
  const V density = exp(a * a * K(-0.5)) * K(0.39894228040143267794);
  return g * fma(select(a < 40, x, K(0)), density, select(x < 0, left, K(1) - left));
}

#include "ops/elementwise/formulas_generic.h"  // into this namespace

}  // namespace
}  // namespace cuda
}  // namespace fastnn
