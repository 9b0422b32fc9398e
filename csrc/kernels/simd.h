// A small vector layer for kernels: Vec<float> and Vec<double> (with Vec<int32_t> and Vec<int64_t> of the same width)
// are GCC vector types, so + - * / < == ?: work on them as on scalars. Included inside per-ISA sources only; everything
// has internal linkage. Only this file, simd_single.h, simd_bytes.h and simd_math.h have intrinsics.
//
//   width: 64 bytes (AVX-512), 32 (AVX2), 16 (x86-64-v2, NEON)
//
// A comparison gives an integer vector, all ones where true; `mask ? a : b` or select(mask, a, b) chooses by lane. The
// functions are overloaded for float and double as well, so one formula serves vectors and scalars.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
// GCC 12 takes the undefined pass-through operand inside its own AVX-512 intrinsics for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace fastnn {
namespace FASTNN_ISA {
namespace {

#define FASTNN_INLINE inline __attribute__((always_inline))
#define FASTNN_LAMBDA_INLINE __attribute__((always_inline))

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

typedef float f32v __attribute__((vector_size(kVecBytes)));
typedef double f64v __attribute__((vector_size(kVecBytes)));
typedef int32_t i32v __attribute__((vector_size(kVecBytes)));
typedef int64_t i64v __attribute__((vector_size(kVecBytes)));
typedef uint32_t u32v __attribute__((vector_size(kVecBytes)));
typedef uint64_t u64v __attribute__((vector_size(kVecBytes)));
typedef float f32h __attribute__((vector_size(kVecBytes / 2)));
typedef int32_t i32h __attribute__((vector_size(kVecBytes / 2)));

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  typedef f32v type;
};
template <>
struct VecOf<double> {
  typedef f64v type;
};
template <>
struct VecOf<int32_t> {
  typedef i32v type;
};
template <>
struct VecOf<int64_t> {
  typedef i64v type;
};
template <class T>
using Vec = typename VecOf<T>::type;
/// Lanes of Vec<T>.
template <class T>
constexpr int kLanes = kVecBytes / static_cast<int>(sizeof(T));

/// Element and mask type of a vector (or scalar) type.
template <class V>
struct VecInfo;
template <>
struct VecInfo<f32v> {
  typedef float Elem;
  typedef i32v Int;
};
template <>
struct VecInfo<f64v> {
  typedef double Elem;
  typedef i64v Int;
};
template <>
struct VecInfo<float> {
  typedef float Elem;
  typedef int32_t Int;
};
template <>
struct VecInfo<double> {
  typedef double Elem;
  typedef int64_t Int;
};
template <class V>
using ElemOf = typename VecInfo<V>::Elem;
template <class V>
using IntOf = typename VecInfo<V>::Int;

// --- load, store ------------------------------------------------------------------------------------------------

template <class T>
FASTNN_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
template <class T>
FASTNN_INLINE void store(T* p, Vec<T> v) {
  __builtin_memcpy(p, &v, sizeof(v));
}

/// The first n lanes (0 <= n <= lanes), the others 0. Never reads past p + n.
template <class T>
FASTNN_INLINE Vec<T> load_n(const T* p, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return reinterpret_cast<Vec<T>>(_mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1u), p));
  else
    return reinterpret_cast<Vec<T>>(_mm512_maskz_loadu_epi64(static_cast<__mmask8>((1u << n) - 1u), p));
#else
  Vec<T> v = {};
  __builtin_memcpy(&v, p, static_cast<size_t>(n) * sizeof(T));
  return v;
#endif
}
/// Writes the first n lanes only.
template <class T>
FASTNN_INLINE void store_n(T* p, Vec<T> v, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1u), reinterpret_cast<__m512i>(v));
  else
    _mm512_mask_storeu_epi64(p, static_cast<__mmask8>((1u << n) - 1u), reinterpret_cast<__m512i>(v));
#else
  __builtin_memcpy(p, &v, static_cast<size_t>(n) * sizeof(T));
#endif
}

/// The constant c in every lane. V may be a scalar type too.
template <class V>
FASTNN_INLINE V splat(double c) {
  return V{} + static_cast<ElemOf<V>>(c);
}
template <>
FASTNN_INLINE f32v splat<f32v>(double c) {
  // Not V{} + c: adding would turn -0 into +0.
  const float e = static_cast<float>(c);
#if defined(__AVX512F__)
  return (f32v)_mm512_set1_ps(e);
#elif defined(__AVX2__)
  return (f32v)_mm256_set1_ps(e);
#else
  return f32v{e, e, e, e};
#endif
}
template <>
FASTNN_INLINE f64v splat<f64v>(double c) {
#if defined(__AVX512F__)
  return (f64v)_mm512_set1_pd(c);
#elif defined(__AVX2__)
  return (f64v)_mm256_set1_pd(c);
#else
  return f64v{c, c};
#endif
}
template <>
FASTNN_INLINE float splat<float>(double c) {
  return static_cast<float>(c);
}
template <>
FASTNN_INLINE double splat<double>(double c) {
  return c;
}

// --- choose, compare ----------------------------------------------------------------------------------------------

template <class V>
FASTNN_INLINE V select(IntOf<V> mask, V a, V b) {
  return mask ? a : b;
}
FASTNN_INLINE IntOf<f32v> as_int(f32v x) { return (i32v)x; }
FASTNN_INLINE IntOf<f64v> as_int(f64v x) { return (i64v)x; }
FASTNN_INLINE f32v as_float(i32v x) { return (f32v)x; }
FASTNN_INLINE f64v as_float(i64v x) { return (f64v)x; }

/// True if any lane of a mask is set.
FASTNN_INLINE bool any(i32v m) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#elif defined(__x86_64__)
  return !_mm_testz_si128((__m128i)m, (__m128i)m);
#else
  return (m[0] | m[1] | m[2] | m[3]) != 0;
#endif
}
FASTNN_INLINE bool any(i64v m) { return any((i32v)m); }

FASTNN_INLINE f32v abs(f32v x) { return (f32v)((i32v)x & 0x7fffffff); }
FASTNN_INLINE f64v abs(f64v x) { return (f64v)((i64v)x & INT64_C(0x7fffffffffffffff)); }
FASTNN_INLINE float abs(float x) { return __builtin_fabsf(x); }
FASTNN_INLINE double abs(double x) { return __builtin_fabs(x); }

/// |magnitude| with the sign bit of `sign`.
FASTNN_INLINE f32v copysign(f32v magnitude, f32v sign) {
  return (f32v)(((i32v)magnitude & 0x7fffffff) | ((i32v)sign & INT32_MIN));
}
FASTNN_INLINE f64v copysign(f64v magnitude, f64v sign) {
  return (f64v)(((i64v)magnitude & INT64_MAX) | ((i64v)sign & INT64_MIN));
}
FASTNN_INLINE float copysign(float m, float s) { return __builtin_copysignf(m, s); }
FASTNN_INLINE double copysign(double m, double s) { return __builtin_copysign(m, s); }

/// Larger / smaller of two numbers; NaN if either is NaN.
template <class V>
FASTNN_INLINE V max(V a, V b) {
  const V m = a > b ? a : b;  // b where either is NaN
  return a != a ? a : m;
}
template <class V>
FASTNN_INLINE V min(V a, V b) {
  const V m = a < b ? a : b;
  return a != a ? a : m;
}

// --- arithmetic ---------------------------------------------------------------------------------------------------

/// a * b + c, rounded once where the ISA can (AVX2, AVX-512, NEON), else twice.
FASTNN_INLINE f32v fma(f32v a, f32v b, f32v c) {
#if defined(__AVX512F__)
  return (f32v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
  return (f32v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (f32v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}
FASTNN_INLINE f64v fma(f64v a, f64v b, f64v c) {
#if defined(__AVX512F__)
  return (f64v)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__)
  return (f64v)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
  return (f64v)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
  return a * b + c;
#endif
}
#if defined(__FMA__) || defined(__aarch64__)
FASTNN_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FASTNN_INLINE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
FASTNN_INLINE float fma(float a, float b, float c) { return a * b + c; }
FASTNN_INLINE double fma(double a, double b, double c) { return a * b + c; }
#endif

#if defined(__AVX512F__)
FASTNN_INLINE f32v sqrt(f32v x) { return (f32v)_mm512_sqrt_ps((__m512)x); }
FASTNN_INLINE f64v sqrt(f64v x) { return (f64v)_mm512_sqrt_pd((__m512d)x); }
#define FASTNN_ROUND(name, mode)                                                                              \
  FASTNN_INLINE f32v name(f32v x) { return (f32v)_mm512_roundscale_ps((__m512)x, mode | _MM_FROUND_NO_EXC); } \
  FASTNN_INLINE f64v name(f64v x) { return (f64v)_mm512_roundscale_pd((__m512d)x, mode | _MM_FROUND_NO_EXC); }
#elif defined(__AVX2__)
FASTNN_INLINE f32v sqrt(f32v x) { return (f32v)_mm256_sqrt_ps((__m256)x); }
FASTNN_INLINE f64v sqrt(f64v x) { return (f64v)_mm256_sqrt_pd((__m256d)x); }
#define FASTNN_ROUND(name, mode)                                                                         \
  FASTNN_INLINE f32v name(f32v x) { return (f32v)_mm256_round_ps((__m256)x, mode | _MM_FROUND_NO_EXC); } \
  FASTNN_INLINE f64v name(f64v x) { return (f64v)_mm256_round_pd((__m256d)x, mode | _MM_FROUND_NO_EXC); }
#elif defined(__x86_64__)
FASTNN_INLINE f32v sqrt(f32v x) { return (f32v)_mm_sqrt_ps((__m128)x); }
FASTNN_INLINE f64v sqrt(f64v x) { return (f64v)_mm_sqrt_pd((__m128d)x); }
#define FASTNN_ROUND(name, mode)                                                                      \
  FASTNN_INLINE f32v name(f32v x) { return (f32v)_mm_round_ps((__m128)x, mode | _MM_FROUND_NO_EXC); } \
  FASTNN_INLINE f64v name(f64v x) { return (f64v)_mm_round_pd((__m128d)x, mode | _MM_FROUND_NO_EXC); }
#elif defined(__aarch64__)
FASTNN_INLINE f32v sqrt(f32v x) { return (f32v)vsqrtq_f32((float32x4_t)x); }
FASTNN_INLINE f64v sqrt(f64v x) { return (f64v)vsqrtq_f64((float64x2_t)x); }
#endif
#if defined(__x86_64__)
FASTNN_ROUND(floor, _MM_FROUND_TO_NEG_INF)
FASTNN_ROUND(ceil, _MM_FROUND_TO_POS_INF)
FASTNN_ROUND(trunc, _MM_FROUND_TO_ZERO)
FASTNN_ROUND(round, _MM_FROUND_TO_NEAREST_INT)  // half to even
#undef FASTNN_ROUND
#elif defined(__aarch64__)
#define FASTNN_ROUND(name, fn)                                                \
  FASTNN_INLINE f32v name(f32v x) { return (f32v)fn##q_f32((float32x4_t)x); } \
  FASTNN_INLINE f64v name(f64v x) { return (f64v)fn##q_f64((float64x2_t)x); }
FASTNN_ROUND(floor, vrndm)
FASTNN_ROUND(ceil, vrndp)
FASTNN_ROUND(trunc, vrnd)
FASTNN_ROUND(round, vrndn)
#undef FASTNN_ROUND
#endif

// --- convert ------------------------------------------------------------------------------------------------------

/// Integer nearest (the caller keeps |x| < 2^31), and back.
FASTNN_INLINE i32v to_int(f32v x) { return __builtin_convertvector(x, i32v); }
FASTNN_INLINE f32v to_float(i32v x) { return __builtin_convertvector(x, f32v); }

/// The lower / upper half of a float vector as doubles, and two such halves back (rounded to nearest).
FASTNN_INLINE f64v widen_low(f32v x) {
  f32h h;
  __builtin_memcpy(&h, &x, sizeof(h));
  return __builtin_convertvector(h, f64v);
}
FASTNN_INLINE f64v widen_high(f32v x) {
  f32h h;
  __builtin_memcpy(&h, reinterpret_cast<const char*>(&x) + sizeof(h), sizeof(h));
  return __builtin_convertvector(h, f64v);
}
FASTNN_INLINE f32v narrow(f64v low, f64v high) {
  const f32h a = __builtin_convertvector(low, f32h), b = __builtin_convertvector(high, f32h);
  f32v r;
  __builtin_memcpy(&r, &a, sizeof(a));
  __builtin_memcpy(reinterpret_cast<char*>(&r) + sizeof(a), &b, sizeof(b));
  return r;
}

// --- horizontal ---------------------------------------------------------------------------------------------------

/// Sum / maximum / minimum of the lanes in a fixed tree: upper half onto lower half until one lane is left.
template <class V, class F>
FASTNN_INLINE ElemOf<V> fold_lanes(V v, F f) {
  ElemOf<V> a[kVecBytes / sizeof(ElemOf<V>)];
  __builtin_memcpy(a, &v, sizeof(v));
#pragma GCC unroll 4
  for (int half = kVecBytes / static_cast<int>(sizeof(ElemOf<V>)) / 2; half > 0; half /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) a[i] = f(a[i], a[i + half]);
  return a[0];
}
#if defined(__AVX512F__)
FASTNN_INLINE float hsum(f32v v) {
  const __m512 x = (__m512)v;
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
#elif defined(__AVX2__)
FASTNN_INLINE float hsum(f32v v) {
  const __m256 h = (__m256)v;
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
#else
FASTNN_INLINE float hsum(f32v v) {
  return fold_lanes(v, [](float a, float b) { return a + b; });
}
#endif
FASTNN_INLINE double hsum(f64v v) {
  return fold_lanes(v, [](double a, double b) { return a + b; });
}
#if defined(__AVX512F__)
/// The tree of fold_lanes in registers, every lane the whole result in the end.
template <class F>
FASTNN_INLINE float fold_floats(f32v v, F f) {
  v = f(v, (f32v)_mm512_shuffle_f32x4((__m512)v, (__m512)v, 0x4e));
  v = f(v, (f32v)_mm512_shuffle_f32x4((__m512)v, (__m512)v, 0xb1));
  v = f(v, (f32v)_mm512_permute_ps((__m512)v, 0x4e));
  return f(v, (f32v)_mm512_permute_ps((__m512)v, 0xb1))[0];
}
FASTNN_INLINE float hmax(f32v v) {
  return fold_floats(v, [](f32v a, f32v b) FASTNN_LAMBDA_INLINE { return max(a, b); });
}
FASTNN_INLINE float hmin(f32v v) {
  return fold_floats(v, [](f32v a, f32v b) FASTNN_LAMBDA_INLINE { return min(a, b); });
}
#endif
/// NaN if any lane is NaN.
template <class V>
FASTNN_INLINE ElemOf<V> hmax(V v) {
  return fold_lanes(v, [](ElemOf<V> a, ElemOf<V> b) { return a != a || a > b ? a : b; });
}
template <class V>
FASTNN_INLINE ElemOf<V> hmin(V v) {
  return fold_lanes(v, [](ElemOf<V> a, ElemOf<V> b) { return a != a || a < b ? a : b; });
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
