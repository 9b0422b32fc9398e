// The elementwise functions of two and three tensors: one line each, the value with its gradients beside it.
//
//   X(name, uses, value, da, db)      value y of a and b; gradients in terms of dy = g, a, b and y.
//
// uses: what the gradients need: None; UseOther, each the other operand only; UseB, da only b; UseAB; UseABY. K(c) is a
// constant; all names are SIMD vectors or scalars alike.
#pragma once

// clang-format off
#define FASTNN_BINARY(X) \
  X(add,          None,   a + b,                       g,                                 g) \
  X(sub,          None,   a - b,                       g,                                 -g) \
  X(mul,          UseOther,a * b,                       g * b,                             g * a) \
  X(div,          UseB,   a / b,                       g / b,                             -g * (a / b / b)) \
  X(floor_divide, None,   floor_divide(a, b),          K(0),                              K(0)) \
  X(trunc_divide, None,   trunc(a / b),                K(0),                              K(0)) \
  X(remainder,    UseAB,  remainder(a, b),             g,                                 -g * floor_divide(a, b)) \
  X(fmod,         UseAB,  fmod(a, b),                  g,                                 -g * trunc(a / b)) \
  X(pow,          UseABY, pow(a, b),                   select(b == 0, K(0), g * b * pow(a, b - K(1))), select((a == 0) & (b >= 0), K(0), g * y * log(a))) \
  X(minimum,      UseAB,  min(a, b),                   select(a == b, g * K(0.5), select(a > b, K(0), g)), select(a == b, g * K(0.5), select(b > a, K(0), g))) \
  X(maximum,      UseAB,  max(a, b),                   select(a == b, g * K(0.5), select(a < b, K(0), g)), select(a == b, g * K(0.5), select(b < a, K(0), g))) \
  X(fmin,         UseAB,  select((a <= b) | (b != b), a, b), select((a <= b) | (b != b), g, K(0)), select((a <= b) | (b != b), K(0), g)) \
  X(fmax,         UseAB,  select((a >= b) | (b != b), a, b), select((a >= b) | (b != b), g, K(0)), select((a >= b) | (b != b), K(0), g)) \
  X(atan2,        UseAB,  atan2(a, b),                 g * b / (a * a + b * b),           -g * a / (a * a + b * b)) \
  X(hypot,        UseABY, hypot(a, b),                 g * (a / y),                       g * (b / y)) \
  X(copysign,     UseAB,  copysign(a, b),              select(a == 0, K(0), select(sign_bit(a) == sign_bit(b), g, -g)), K(0)) \
  X(xlogy,        UseAB,  select((a == 0) & (b == b), K(0), a * log(b)), select((a == 0) & (b <= 0), K(0), g * log(b)), g * a / b) \
  X(logaddexp,    UseAB,  logaddexp(a, b),             g * sigmoid(difference(a, b)),     g * sigmoid(difference(b, a))) \
  X(prelu,        UseAB,  select(a > 0, a, a * b),     select(a > 0, g, g * b),           select(a > 0, K(0), g * a)) \
  X(heaviside,    None,   select(a == 0, b, select(a < 0, K(0), select(a > 0, K(1), a))), K(0), K(0))

// Integer versions; U is the unsigned type, where overflow wraps. The kernel has made sure that no divisor is 0.
#define FASTNN_BINARY_INT(X) \
  X(add,          static_cast<T>(U(a) + U(b))) \
  X(sub,          static_cast<T>(U(a) - U(b))) \
  X(mul,          static_cast<T>(U(a) * U(b))) \
  X(floor_divide, int_floor_divide(a, b)) \
  X(trunc_divide, int_trunc_divide(a, b)) \
  X(remainder,    int_remainder(a, b)) \
  X(fmod,         int_fmod(a, b)) \
  X(pow,          int_pow(a, b)) \
  X(minimum,      a < b ? a : b) \
  X(maximum,      a > b ? a : b) \
  X(fmin,         a < b ? a : b) \
  X(fmax,         a > b ? a : b) \
  X(bitwise_and,  static_cast<T>(a & b)) \
  X(bitwise_or,   static_cast<T>(a | b)) \
  X(bitwise_xor,  static_cast<T>(a ^ b)) \
  X(left_shift,   int_left_shift(a, b)) \
  X(right_shift,  int_right_shift(a, b)) \
  X(heaviside,    a == 0 ? b : a > 0 ? T(1) : T(0))

// Comparisons and logic: bool results, any dtype, no gradient. The logical ones see their operands as bool.
#define FASTNN_COMPARE(X) \
  X(eq, a == b) \
  X(ne, a != b) \
  X(lt, a < b) \
  X(le, a <= b) \
  X(gt, a > b) \
  X(ge, a >= b)

// Three tensors: X(name, value, da, db, dc); p is a number of the call.
#define FASTNN_TERNARY(X) \
  X(lerp,    a + c * (b - a),          g * (K(1) - c),     g * c,                           g * (b - a)) \
  X(addcmul, a + p * b * c,            g,                  g * p * c,                       g * p * b) \
  X(addcdiv, a + p * (b / c),          g,                  g * p / c,                       -g * p * (b / c / c)) \
  X(clamp,   min(max(a, b), c),        select((a >= b) & (a <= c), g, K(0)), select((a < b) & (b < c), g, K(0)), select((a > c) | (b > c), g, K(0)))
// clang-format on
