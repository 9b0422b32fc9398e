// Formulas that are the same for vectors and scalars, on the CPU and on a device: text for the middle of formulas.h and
// of formulas_cuda.h, which define FASTNN_INLINE, K and the functions of one V that are called here.
#pragma once

template <class V>
FASTNN_INLINE V logit(V x, V eps) {
  const V z = select(eps < 0, x, min(max(x, eps), K(1) - eps));
  return log(z / (K(1) - z));
}
template <class V>
FASTNN_INLINE V logit_gradient(V g, V x, V eps) {
  const V inside = g / (x * (K(1) - x));
  // Outside [eps, 1 - eps] the clamp is flat; without a clamp the function is not defined there.
  return select(eps < 0, select((x < 0) | (x > 1), K(__builtin_nan("")), inside),
                select((x < eps) | (x > K(1) - eps), K(0), inside));
}

/// 0.5 (1 + tanh u) = sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
template <class V>
FASTNN_INLINE V gelu_tanh_argument(V x) {
  return x * fma(x * x, K(2 * 0.79788456080286535588 * 0.044715), K(2 * 0.79788456080286535588));
}
template <class V>
FASTNN_INLINE V gelu_tanh_gradient(V g, V x) {
  const V s = sigmoid(gelu_tanh_argument(x));
  const V du = fma(x * x, K(6 * 0.79788456080286535588 * 0.044715), K(2 * 0.79788456080286535588));
  return g * (s + x * s * (K(1) - s) * du);
}

/// ln(1 + e^z) / beta with z = beta x, linear above the threshold.
template <class V>
FASTNN_INLINE V softplus(V x, V beta, V threshold) {
  const V z = x * beta;
  return select(z > threshold, x, (max(z, K(0)) + log1p(exp(-abs(z)))) / beta);
}
template <class V>
FASTNN_INLINE V silu_gradient(V g, V x) {
  const V s = sigmoid(x);
  return g * s * (K(1) + x * (K(1) - s));
}
/// tanh(ln(1 + e)) = n / (n + 2) with n = e (e + 2), e = e^x.
template <class V>
FASTNN_INLINE V mish(V x) {
  const V e = exp(min(x, K(20))), n = e * (e + K(2));
  return x * (n / (n + K(2)));
}
template <class V>
FASTNN_INLINE V mish_gradient(V g, V x) {
  const V e = exp(min(x, K(20))), n = e * (e + K(2)), m = n + K(2);
  return g * (n / m + x * (K(4) * e * (e + K(1)) / (m * m)));
}
template <class V>
FASTNN_INLINE V nan_to_num(V x, V nan, V positive, V negative) {
  const V y = select(abs(x) == K(__builtin_inf()), select(x > 0, positive, negative), x);
  return select(x != x, nan, y);
}

/// Python's: the quotient is rounded down, the remainder has the sign of b.
template <class V>
FASTNN_INLINE V remainder(V a, V b) {
  const V m = fmod(a, b);
  return select((m != 0) & (sign_bit(m) != sign_bit(b)), m + b, m);
}
template <class V>
FASTNN_INLINE V floor_divide(V a, V b) {
  const V m = fmod(a, b), q = a / b;
  V d = (a - m) / b;
  d = select((m != 0) & (sign_bit(m) != sign_bit(b)), d - K(1), d);
  const V f = floor(d);
  const V whole = select(d - f > K(0.5), f + K(1), f);  // d is an integer but for rounding
  return select(b == 0, q, select(d == 0, copysign(K(0), q), whole));
}
/// a - b, 0 for equal infinities.
template <class V>
FASTNN_INLINE V difference(V a, V b) {
  return select(a == b, K(0), a - b);
}
template <class V>
FASTNN_INLINE V logaddexp(V a, V b) {
  return max(a, b) + log1p(exp(-abs(difference(a, b))));
}

// --- integers -----------------------------------------------------------------------------------------------------

template <class T>
struct UnsignedOf;
template <>
struct UnsignedOf<int64_t> {
  typedef uint64_t type;
};
template <>
struct UnsignedOf<int32_t> {
  typedef uint32_t type;
};
template <>
struct UnsignedOf<uint8_t> {
  typedef uint32_t type;  // arithmetic on uint8_t would be signed
};

/// b is not 0; b = -1 is apart because the smallest integer over -1 traps.
template <class T>
FASTNN_INLINE T int_trunc_divide(T a, T b) {
  typedef typename UnsignedOf<T>::type U;
  return b == static_cast<T>(-1) && static_cast<T>(-1) < 0 ? static_cast<T>(U(0) - U(a)) : static_cast<T>(a / b);
}
template <class T>
FASTNN_INLINE T int_fmod(T a, T b) {
  return b == static_cast<T>(-1) && static_cast<T>(-1) < 0 ? T(0) : static_cast<T>(a % b);
}
template <class T>
FASTNN_INLINE T int_floor_divide(T a, T b) {
  const T q = int_trunc_divide(a, b), m = int_fmod(a, b);
  return m != 0 && (m < 0) != (b < 0) ? static_cast<T>(q - 1) : q;
}
template <class T>
FASTNN_INLINE T int_remainder(T a, T b) {
  const T m = int_fmod(a, b);
  return m != 0 && (m < 0) != (b < 0) ? static_cast<T>(m + b) : m;
}
/// Squaring; a negative exponent gives the truncated 1 / a^|b|: 0 but for a = 1 and -1.
template <class T>
FASTNN_INLINE T int_pow(T a, T b) {
  typedef typename UnsignedOf<T>::type U;
  if (b < 0) return a == 1 ? T(1) : a == static_cast<T>(-1) ? (b & 1 ? a : T(1)) : T(0);
  U r = 1, base = static_cast<U>(a);
  for (T e = b; e > 0; e = static_cast<T>(e / 2)) {
    if (e & 1) r *= base;
    base *= base;
  }
  return static_cast<T>(r);
}
/// A shift by a negative number or by the width and more gives 0 (or -1 for a negative number shifted right).
template <class T>
FASTNN_INLINE T int_left_shift(T a, T b) {
  typedef typename UnsignedOf<T>::type U;
  return b < 0 || b >= static_cast<T>(8 * sizeof(T)) ? T(0) : static_cast<T>(U(a) << b);
}
template <class T>
FASTNN_INLINE T int_right_shift(T a, T b) {
  return static_cast<T>(a >> (b < 0 || b >= static_cast<T>(8 * sizeof(T)) ? static_cast<T>(8 * sizeof(T) - 1) : b));
}
