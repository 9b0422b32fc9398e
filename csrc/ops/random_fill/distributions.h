// From the words of a draw to numbers, alike on the CPU and on a device: plain products and sums, each rounded by
// itself (the CPU's sources and random_fill_cuda.cu are compiled without contraction), so all give the same bits.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/host_device.h"

#ifdef __CUDA_ARCH__
#define FASTNN_UNROLL _Pragma("unroll")
#elif defined(__CUDACC__)
#define FASTNN_UNROLL  // nvcc's host code has no draws
#else
#define FASTNN_UNROLL _Pragma("GCC unroll 16")
#endif

namespace fastnn {
namespace {  // every instruction set has its own

FASTNN_HOST_DEVICE inline uint64_t word64(const uint32_t* words, int64_t i) {
  return static_cast<uint64_t>(words[2 * i]) | static_cast<uint64_t>(words[2 * i + 1]) << 32;
}

// --- float32 and float64 alike ------------------------------------------------------------------------------------

/// Element i of a draw as an integer of 24 or 53 bits.
FASTNN_HOST_DEVICE inline int32_t bits_of(const uint32_t* words, int64_t i, float) {
  return static_cast<int32_t>(words[i] >> 8);
}
FASTNN_HOST_DEVICE inline int64_t bits_of(const uint32_t* words, int64_t i, double) {
  return static_cast<int64_t>(word64(words, i) >> 11);
}

template <class T>
struct Real;
template <>
struct Real<float> {
  typedef int32_t Int;
  static constexpr int bits = 24;
  static constexpr float unit = 0x1p-24f;
  static constexpr int mantissa = 23;
  static constexpr Int half_root = 0x3f3504f3;  // bits of sqrt(1/2)
};
template <>
struct Real<double> {
  typedef int64_t Int;
  static constexpr int bits = 53;
  static constexpr double unit = 0x1p-53;
  static constexpr int mantissa = 52;
  static constexpr Int half_root = INT64_C(0x3fe6a09e667f3bcd);
};

template <class T, int N>
FASTNN_HOST_DEVICE inline T series(T x, const T (&c)[N]) {
  T p = c[N - 1];
  FASTNN_UNROLL
  for (int i = N - 2; i >= 0; --i) p = p * x + c[i];
  return p;
}

/// ln(m / 2^bits) for integers 1 <= m <= 2^bits: x = 2^e z, ln z = 2 artanh((z - 1) / (z + 1)).
template <class T>
FASTNN_HOST_DEVICE inline T log_unit(typename Real<T>::Int m) {
  typedef typename Real<T>::Int Int;
  const T x = static_cast<T>(m) * Real<T>::unit;
  Int bits;
  memcpy(&bits, &x, sizeof(x));
  bits -= Real<T>::half_root;
  const T e = static_cast<T>(static_cast<int32_t>(bits >> Real<T>::mantissa));
  const Int fraction = (bits & ((Int{1} << Real<T>::mantissa) - 1)) + Real<T>::half_root;
  T z;
  memcpy(&z, &fraction, sizeof(z));
  const T s = (z - 1) / (z + 1), t = s * s;  // t <= 0.0295
  constexpr T c32[] = {T(1.0 / 3), T(1.0 / 5), T(1.0 / 7), T(1.0 / 9)};
  constexpr T c64[] = {T(1.0 / 3),  T(1.0 / 5),  T(1.0 / 7),  T(1.0 / 9),  T(1.0 / 11),
                       T(1.0 / 13), T(1.0 / 15), T(1.0 / 17), T(1.0 / 19), T(1.0 / 21)};
  const T tail = sizeof(T) == 4 ? series(t, c32) : series(t, c64);
  const T s2 = s + s;
  return e * T(0.69314718055994530942) + (s2 + s2 * t * tail);
}

/// cos and sin of 2 pi k / 2^bits: the nearest multiple of a quarter turn is split off exactly.
template <class T>
FASTNN_HOST_DEVICE inline void turn(typename Real<T>::Int k, T& c, T& s) {
  typedef typename Real<T>::Int Int;
  constexpr int shift = Real<T>::bits - 2;
  const Int q = (k + (Int{1} << (shift - 1))) >> shift;
  const T r = static_cast<T>(k - (q << shift)) * (T(6.28318530717958647693) * Real<T>::unit), t = r * r;
  constexpr T s32[] = {T(-1.0 / 6), T(1.0 / 120), T(-1.0 / 5040), T(1.0 / 362880)};
  constexpr T c32[] = {T(-0.5), T(1.0 / 24), T(-1.0 / 720), T(1.0 / 40320)};
  constexpr T s64[] = {T(-1.0 / 6),
                       T(1.0 / 120),
                       T(-1.0 / 5040),
                       T(1.0 / 362880),
                       T(-1.0 / 39916800),
                       T(1.0 / 6227020800.0),
                       T(-1.0 / 1307674368000.0),
                       T(1.0 / 355687428096000.0)};
  constexpr T c64[] = {T(-0.5),           T(1.0 / 24),          T(-1.0 / 720),           T(1.0 / 40320),
                       T(-1.0 / 3628800), T(1.0 / 479001600.0), T(-1.0 / 87178291200.0), T(1.0 / 20922789888000.0)};
  const T sine = r + r * t * (sizeof(T) == 4 ? series(t, s32) : series(t, s64));
  const T cosine = 1 + t * (sizeof(T) == 4 ? series(t, c32) : series(t, c64));
  const T a = q & 1 ? -sine : cosine, b = q & 1 ? cosine : sine;
  c = q & 2 ? -a : a;
  s = q & 2 ? -b : b;
}

/// Words below it are true with probability p.
inline uint64_t threshold(double p) { return static_cast<uint64_t>(p * 4294967296.0); }

}  // namespace
}  // namespace fastnn
