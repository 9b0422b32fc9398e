// Small numbers that memory holds in bytes, as lanes of vectors. Included inside per-ISA sources only.
#pragma once

#include "kernels/simd.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Bytes as numbers, one a lane, and back where they are 0 to 255.
FASTNN_INLINE i32v load_bytes(const uint8_t* p, i32v) {
#if defined(__AVX512F__)
  return (i32v)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (i32v)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
  return i32v{p[0], p[1], p[2], p[3]};
#endif
}
FASTNN_INLINE i64v load_bytes(const uint8_t* p, i64v) {
#if defined(__AVX512F__)
  return (i64v)_mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return i64v{p[0], p[1], p[2], p[3]};
#else
  return i64v{p[0], p[1]};
#endif
}
FASTNN_INLINE void store_bytes(uint8_t* p, i32v v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8((__m512i)v));
#elif defined(__AVX2__)
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
#else
  for (int i = 0; i < kVecBytes / 4; ++i) p[i] = static_cast<uint8_t>(v[i]);
#endif
}
FASTNN_INLINE void store_bytes(uint8_t* p, i64v v) {
#if defined(__AVX512F__)
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm512_cvtepi64_epi8((__m512i)v));
#else
  for (int i = 0; i < kVecBytes / 8; ++i) p[i] = static_cast<uint8_t>(v[i]);
#endif
}

/// The same for the first n lanes (the others 0), of n bytes.
template <class V>
FASTNN_INLINE V load_bytes_n(const uint8_t* p, int64_t n, V) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << n) - 1u), p);
  if constexpr (sizeof(V{}[0]) == 4)
    return (V)_mm512_cvtepu8_epi32(bytes);
  else
    return (V)_mm512_cvtepu8_epi64(bytes);
#else
  V v = {};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
template <class V>
FASTNN_INLINE void store_bytes_n(uint8_t* p, V v, int64_t n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(v[0]) == 4)
    _mm512_mask_cvtepi32_storeu_epi8(p, static_cast<__mmask16>((1u << n) - 1u), (__m512i)v);
  else
    _mm512_mask_cvtepi64_storeu_epi8(p, static_cast<__mmask8>((1u << n) - 1u), (__m512i)v);
#else
  for (int64_t i = 0; i < n; ++i) p[i] = static_cast<uint8_t>(v[i]);
#endif
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
