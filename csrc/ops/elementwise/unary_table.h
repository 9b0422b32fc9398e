// The elementwise functions of one tensor: one line each, the value with its gradient beside it.
//
//   X(name, dtype, uses, value, gradient)
//
// value    y in terms of x;  gradient  dx in terms of dy = g and of x and y.
// dtype    Float: integers become float32.  Same: integers keep their dtype (their versions are in FASTNN_UNARY_INT).
// uses     what the gradient needs: UseX, UseY, UseXY or None.
// p, q, r are the parameters of the call, K(c) is a constant. x, y, g, p, q, r are SIMD vectors or scalars alike.
// Conventions at kinks and NaN are PyTorch's: abs'(0) = relu'(0) = 0, and a gradient of 0 is chosen, never 0 * g.
#pragma once

// clang-format off
#define FASTNN_UNARY(X) \
  X(neg,          Same,  None, -x,                                         -g) \
  X(abs,          Same,  UseX, abs(x),                                     select(x > 0, g, select(x < 0, -g, K(0)))) \
  X(sign,         Same,  None, select(x > 0, K(1), select(x < 0, K(-1), K(0))), K(0)) \
  X(square,       Same,  UseX, x * x,                                      K(2) * g * x) \
  X(floor,        Same,  None, floor(x),                                   K(0)) \
  X(ceil,         Same,  None, ceil(x),                                    K(0)) \
  X(round,        Same,  None, round(x),                                   K(0)) \
  X(trunc,        Same,  None, trunc(x),                                   K(0)) \
  X(frac,         Float, None, x - trunc(x),                               g) \
  X(exp,          Float, UseY, exp(x),                                     g * y) \
  X(exp2,         Float, UseY, exp2(x),                                    g * y * K(0.69314718055994530942)) \
  X(expm1,        Float, UseY, expm1(x),                                   g * (y + K(1))) \
  X(log,          Float, UseX, log(x),                                     g / x) \
  X(log2,         Float, UseX, log2(x),                                    g / (x * K(0.69314718055994530942))) \
  X(log10,        Float, UseX, log10(x),                                   g / (x * K(2.30258509299404568402))) \
  X(log1p,        Float, UseX, log1p(x),                                   g / (x + K(1))) \
  X(sqrt,         Float, UseY, sqrt(x),                                    g / (y + y)) \
  X(rsqrt,        Float, UseY, K(1) / sqrt(x),                             K(-0.5) * g * y * y * y) \
  X(reciprocal,   Float, UseY, K(1) / x,                                   -g * y * y) \
  X(sin,          Float, UseX, sin(x),                                     g * cos(x)) \
  X(cos,          Float, UseX, cos(x),                                     -g * sin(x)) \
  X(tan,          Float, UseY, tan(x),                                     g * (K(1) + y * y)) \
  X(asin,         Float, UseX, asin(x),                                    g / sqrt((K(1) - x) * (K(1) + x))) \
  X(acos,         Float, UseX, acos(x),                                    -g / sqrt((K(1) - x) * (K(1) + x))) \
  X(atan,         Float, UseX, atan(x),                                    g / (K(1) + x * x)) \
  X(sinh,         Float, UseX, sinh(x),                                    g * cosh(x)) \
  X(cosh,         Float, UseX, cosh(x),                                    g * sinh(x)) \
  X(asinh,        Float, UseX, asinh(x),                                   g / sqrt(x * x + K(1))) \
  X(acosh,        Float, UseX, acosh(x),                                   g / sqrt((x - K(1)) * (x + K(1)))) \
  X(atanh,        Float, UseX, atanh(x),                                   g / ((K(1) - x) * (K(1) + x))) \
  X(erf,          Float, UseX, erf(x),                                     g * K(1.12837916709551257390) * exp(-x * x)) \
  X(erfc,         Float, UseX, erfc(x),                                    g * K(-1.12837916709551257390) * exp(-x * x)) \
  X(tanh,         Float, UseY, tanh(x),                                    g * (K(1) - y) * (K(1) + y)) \
  X(sigmoid,      Float, UseY, sigmoid(x),                                 g * (K(1) - y) * y) \
  X(log_sigmoid,  Float, UseX, min(x, K(0)) - log1p(exp(-abs(x))),         g * sigmoid(-x)) \
  X(logit,        Float, UseX, logit(x, p),                                logit_gradient(g, x, p)) \
  X(relu,         Same,  UseY, max(x, K(0)),                               select(y <= 0, K(0), g)) \
  X(relu6,        Same,  UseX, min(max(x, K(0)), K(6)),                    select((x > 0) & (x < 6), g, K(0))) \
  X(leaky_relu,   Float, UseX, select(x > 0, x, x * p),                    select(x > 0, g, g * p)) \
  X(elu,          Float, UseX, select(x > 0, x, p * expm1(x)),             select(x > 0, g, g * p * exp(x))) \
  X(selu,         Float, UseX, K(kSeluScale) * select(x > 0, x, K(kSeluAlpha) * expm1(x)), K(kSeluScale) * select(x > 0, g, g * K(kSeluAlpha) * exp(x))) \
  X(celu,         Float, UseX, select(x > 0, x, p * expm1(x / p)),         select(x > 0, g, g * exp(x / p))) \
  X(gelu,         Float, UseX, gelu(x),                                     gelu_gradient(g, x)) \
  X(gelu_tanh,    Float, UseX, x * sigmoid(gelu_tanh_argument(x)),         gelu_tanh_gradient(g, x)) \
  X(softplus,     Float, UseX, softplus(x, p, q),                          select(x * p > q, g, g * sigmoid(x * p))) \
  X(softsign,     Float, UseX, x / (K(1) + abs(x)),                        g / ((K(1) + abs(x)) * (K(1) + abs(x)))) \
  X(silu,         Float, UseX, x * sigmoid(x),                             silu_gradient(g, x)) \
  X(mish,         Float, UseX, mish(x),                                    mish_gradient(g, x)) \
  X(tanhshrink,   Float, UseXY, x - tanh(x),                                g * (x - y) * (x - y)) \
  X(hardtanh,     Same,  UseX, min(max(x, p), q),                          select((x > p) & (x < q), g, K(0))) \
  X(hardsigmoid,  Float, UseX, min(max(x + K(3), K(0)), K(6)) / K(6),      select((x > -3) & (x < 3), g / K(6), K(0))) \
  X(hardswish,    Float, UseX, x * min(max(x + K(3), K(0)), K(6)) / K(6),  select(x < -3, K(0), select(x <= 3, g * (x / K(3) + K(0.5)), g))) \
  X(hardshrink,   Float, UseX, select((x >= -p) & (x <= p), K(0), x),      select((x >= -p) & (x <= p), K(0), g)) \
  X(softshrink,   Float, UseX, select(x > p, x - p, select(x < -p, x + p, x * K(0))), select((x >= -p) & (x <= p), K(0), g)) \
  X(threshold,    Same,  UseX, select(x <= p, q, x),                       select(x <= p, K(0), g)) \
  X(clamp,        Same,  UseX, min(max(x, p), q),                          select((x >= p) & (x <= q), g, K(0))) \
  X(nan_to_num,   Same,  UseX, nan_to_num(x, p, q, r),                     select(is_finite(x), g, K(0))) \
  X(deg2rad,      Float, None, x * K(0.01745329251994329577),              g * K(0.01745329251994329577)) \
  X(rad2deg,      Float, None, x * K(57.2957795130823208768),              g * K(57.2957795130823208768))

// Integer versions, on the unsigned type U of the same width where overflow must wrap. T is the element type; p and q
// are the parameters as T.
#define FASTNN_UNARY_INT(X) \
  X(neg,          static_cast<T>(U(0) - U(x))) \
  X(abs,          x < 0 ? static_cast<T>(U(0) - U(x)) : x) \
  X(sign,         static_cast<T>((x > 0) - (x < 0))) \
  X(square,       static_cast<T>(U(x) * U(x))) \
  X(relu,         x > 0 ? x : T(0)) \
  X(relu6,        x < 0 ? T(0) : x > 6 ? T(6) : x) \
  X(hardtanh,     x < p ? p : x > q ? q : x) \
  X(threshold,    x <= p ? q : x) \
  X(clamp,        (x < p ? p : x) > q ? q : (x < p ? p : x)) \
  X(bitwise_not,  static_cast<T>(~x))

// Predicates: bool results, no gradient. Integers are tested as float32.
#define FASTNN_PREDICATE(X) \
  X(isnan,       x != x) \
  X(isinf,       abs(x) == inf) \
  X(isfinite,    abs(x) < inf) \
  X(isposinf,    x == inf) \
  X(isneginf,    x == -inf) \
  X(signbit,     sign_bit(x)) \
  X(logical_not, x == 0)
// clang-format on
