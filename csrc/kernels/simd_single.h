// Operations on the vectors of simd.h that are one instruction (or two) of every processor and no operator of the
// language. Included inside per-ISA sources only.
#pragma once

#include "kernels/simd.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// larger: a > b ? a : b, smaller: a < b ? a : b, in one instruction: b where either is NaN.
#if defined(__AVX512F__)
FASTNN_INLINE f32v larger(f32v a, f32v b) { return (f32v)_mm512_max_ps((__m512)a, (__m512)b); }
FASTNN_INLINE f64v larger(f64v a, f64v b) { return (f64v)_mm512_max_pd((__m512d)a, (__m512d)b); }
FASTNN_INLINE f32v smaller(f32v a, f32v b) { return (f32v)_mm512_min_ps((__m512)a, (__m512)b); }
FASTNN_INLINE f64v smaller(f64v a, f64v b) { return (f64v)_mm512_min_pd((__m512d)a, (__m512d)b); }
#elif defined(__AVX2__)
FASTNN_INLINE f32v larger(f32v a, f32v b) { return (f32v)_mm256_max_ps((__m256)a, (__m256)b); }
FASTNN_INLINE f64v larger(f64v a, f64v b) { return (f64v)_mm256_max_pd((__m256d)a, (__m256d)b); }
FASTNN_INLINE f32v smaller(f32v a, f32v b) { return (f32v)_mm256_min_ps((__m256)a, (__m256)b); }
FASTNN_INLINE f64v smaller(f64v a, f64v b) { return (f64v)_mm256_min_pd((__m256d)a, (__m256d)b); }
#elif defined(__x86_64__)
FASTNN_INLINE f32v larger(f32v a, f32v b) { return (f32v)_mm_max_ps((__m128)a, (__m128)b); }
FASTNN_INLINE f64v larger(f64v a, f64v b) { return (f64v)_mm_max_pd((__m128d)a, (__m128d)b); }
FASTNN_INLINE f32v smaller(f32v a, f32v b) { return (f32v)_mm_min_ps((__m128)a, (__m128)b); }
FASTNN_INLINE f64v smaller(f64v a, f64v b) { return (f64v)_mm_min_pd((__m128d)a, (__m128d)b); }
#else
template <class V>
FASTNN_INLINE V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
FASTNN_INLINE V smaller(V a, V b) {
  return a < b ? a : b;
}
#endif

/// Products of the low halves of the lanes, 64 bits each.
FASTNN_INLINE u64v multiply_low(u64v a, u64v b) {
#if defined(__AVX512F__)
  return (u64v)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (u64v)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
  return (u64v)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
  return (u64v)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
  return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

/// The high halves of the lanes as low halves; what is above them is of no meaning.
FASTNN_INLINE u64v high_half(u64v a) {
#if defined(__AVX512F__)
  return (u64v)_mm512_shuffle_epi32((__m512i)a, static_cast<_MM_PERM_ENUM>(0xf5));
#elif defined(__AVX2__)
  return (u64v)_mm256_shuffle_epi32((__m256i)a, 0xf5);
#elif defined(__x86_64__)
  return (u64v)_mm_shuffle_epi32((__m128i)a, 0xf5);
#else
  return a >> 32;
#endif
}

/// a[0], b[0], a[1], b[1], ... in memory.
FASTNN_INLINE void store_pairs(void* to, u64v a, u64v b) {
  char* p = static_cast<char*>(to);
#if defined(__AVX512F__)
  const __m512i low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), high = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
  _mm512_storeu_si512(p, _mm512_permutex2var_epi64((__m512i)a, low, (__m512i)b));
  _mm512_storeu_si512(p + 64, _mm512_permutex2var_epi64((__m512i)a, high, (__m512i)b));
#elif defined(__AVX2__)
  const __m256i even = _mm256_unpacklo_epi64((__m256i)a, (__m256i)b);
  const __m256i odd = _mm256_unpackhi_epi64((__m256i)a, (__m256i)b);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute2x128_si256(even, odd, 0x20));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), _mm256_permute2x128_si256(even, odd, 0x31));
#else
  for (int i = 0; i < kVecBytes / 8; ++i) {
    const uint64_t pair[2] = {a[i], b[i]};
    __builtin_memcpy(p + 16 * i, pair, sizeof(pair));
  }
#endif
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
