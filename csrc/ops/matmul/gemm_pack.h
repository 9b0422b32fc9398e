// Copies of operands in the order the tile reads them. Made only where reading in place is slow (or, for the last,
// partial panel of B, would read past the end).
#pragma once

#include "kernels/simd.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Rows whose distance is a multiple of this many bytes fall on few sets of the first-level cache and evict each other.
constexpr int64_t kAliasBytes = 2048;
/// The rows of one tile, of which each is a line at a time, do so from this distance on: they share one set.
constexpr int64_t kPageBytes = 4096;

template <class T>
inline bool aliases(int64_t stride, int64_t bytes = kAliasBytes) {
  return stride != 0 && stride * static_cast<int64_t>(sizeof(T)) % bytes == 0;
}

#if defined(__AVX2__)
// Transposes work on 32-byte vectors on AVX-512 too: the wide forms of these loads and shuffles run at half the rate.
constexpr int kGroup = 8;  // rows that one call takes

/// 8 rows of 4 floats become 4 rows of 8: r[k][j] = p[j * ld + k].
inline void load_group(__m256 (&r)[4], const float* p, int64_t ld) {
  const auto rows = [=](const float* q) {  // row r beside row r + 4
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(q)), _mm_loadu_ps(q + 4 * ld), 1);
  };
  const __m256 r0 = rows(p), r1 = rows(p + ld), r2 = rows(p + 2 * ld), r3 = rows(p + 3 * ld);
  const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
  const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
  const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
  const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
  r[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23));
  r[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23));
  r[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23));
  r[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23));
}
/// 8 rows of 2 doubles become 2 rows of 8, each in two vectors: r[2 k + j / 4][j % 4] = p[j * ld + k].
inline void load_group(__m256d (&r)[4], const double* p, int64_t ld) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half, p += 4 * ld) {
    const auto rows = [=](const double* q) {
      return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(q)), _mm_loadu_pd(q + 2 * ld), 1);
    };
    const __m256d r0 = rows(p), r1 = rows(p + ld);
    r[half] = _mm256_unpacklo_pd(r0, r1);
    r[2 + half] = _mm256_unpackhi_pd(r0, r1);
  }
}
inline void transpose_group(float* out, int64_t width, const float* p, int64_t ld) {
  __m256 r[4];
  load_group(r, p, ld);
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) _mm256_storeu_ps(out + k * width, r[k]);
}
inline void transpose_group(double* out, int64_t width, const double* p, int64_t ld) {
  __m256d r[4];
  load_group(r, p, ld);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) _mm256_storeu_pd(out + i / 2 * width + i % 2 * 4, r[i]);
}
#endif

#if defined(__AVX512F__)
/// 16 rows of 16 floats become their transpose. Halves of rows 4 apart are loaded side by side, so that transposes
/// within lanes and one choice of lanes are left to do.
inline void transpose_square(float* out, int64_t width, const float* p, int64_t ld) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half, p += 8) {
    __m512 t[2][4];
#pragma GCC unroll 2
    for (int g = 0; g < 2; ++g) {
      __m512 r[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const float* const q = p + (8 * g + i) * ld;
        r[i] = _mm512_mask_broadcast_f32x8(_mm512_castps256_ps512(_mm256_loadu_ps(q)), 0xff00,
                                           _mm256_loadu_ps(q + 4 * ld));
      }
      const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1]));
      const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
      const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
      const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
      t[g][0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23));
      t[g][1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23));
      t[g][2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23));
      t[g][3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23));
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      _mm512_storeu_ps(out + (8 * half + k) * width, _mm512_shuffle_f32x4(t[0][k], t[1][k], 0x88));
      _mm512_storeu_ps(out + (8 * half + 4 + k) * width, _mm512_shuffle_f32x4(t[0][k], t[1][k], 0xdd));
    }
  }
}
#endif

/// out[k * width + j] = p[j * ld + k] for j < n, k < kc: columns of B that lie contiguous in memory.
template <class T>
inline void transpose(T* out, int64_t width, const T* p, int64_t ld, int64_t kc, int64_t n) {
  int64_t done = 0;  // columns that are finished
#if defined(__AVX2__)
  constexpr int64_t per = 16 / sizeof(T), run = 128, pitch = run + 16;
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    done = kc < 16 ? 0 : n / 16 * 16;
    for (int64_t k0 = 0; k0 < kc; k0 += run)
      for (int64_t j = 0; j < done; j += 16)
        for (int64_t i = k0; i < kc && i < k0 + run; i += 16) {
          const int64_t k = i + 16 < kc ? i : kc - 16;  // the last square overlaps the one before
          transpose_square(out + k * width + j, width, p + j * ld + k, ld);
        }
    out += done, p += done * ld, n -= done, done = 0;
  }
#endif
  const bool stage = aliases<T>(ld);
  done = n / kGroup * kGroup;
  for (int64_t k0 = 0; k0 < kc; k0 += run) {
    const int64_t k1 = k0 + run < kc ? k0 + run : kc;
    for (int64_t j = 0; j < done; j += kGroup) {
      const T* from = p + j * ld;
      int64_t k = k0;
      if (stage && k1 - k0 == run) {
        // These rows would evict each other between two visits of 16 bytes: read each once, whole, through the stack.
        alignas(64) T rows[kGroup * pitch];
        for (int64_t i = 0; i < kGroup; ++i)
#pragma GCC unroll 8
          for (int64_t x = 0; x < run; x += kLanes<T>) store(rows + i * pitch + x, load(from + i * ld + k0 + x));
        for (int64_t x = 0; x < run; x += per) transpose_group(out + (k0 + x) * width + j, width, rows + x, pitch);
        continue;
      }
      for (; k + per <= k1; k += per) transpose_group(out + k * width + j, width, from + k, ld);
      for (; k < k1; ++k)
        for (int64_t i = 0; i < kGroup; ++i) out[k * width + j + i] = from[i * ld + k];
    }
  }
#endif
  for (int64_t j = done; j < n; ++j)
    for (int64_t k = 0; k < kc; ++k) out[k * width + j] = p[j * ld + k];
}

/// One panel of B: out[k * width + j] = B[k * b_row + j * b_col], zero for n <= j < width.
template <class T>
inline void pack_panel(T* out, int64_t width, const T* B, int64_t b_row, int64_t b_col, int64_t kc, int64_t n) {
  constexpr int64_t L = kLanes<T>;
  if (b_col == 1) {
    for (int64_t k = 0; k < kc; ++k, B += b_row, out += width) {
      int64_t j = 0;
      for (; j + L <= n; j += L) store(out + j, load(B + j));
      if (j < n) store(out + j, load_n(B + j, n - j)), j += L;
      for (; j < width; j += L) store(out + j, Vec<T>{});
    }
    return;
  }
  if (b_row == 1) {
    transpose(out, width, B, b_col, kc, n);
  } else {
    for (int64_t k = 0; k < kc; ++k)
      for (int64_t j = 0; j < n; ++j) out[k * width + j] = B[k * b_row + j * b_col];
  }
  if (n < width)
    for (int64_t k = 0; k < kc; ++k)
      for (int64_t j = n; j < width; ++j) out[k * width + j] = T{0};
}

/// Rows of A one after the other at a pitch that does not alias: out[i * pitch + k] = A[i * a_row + k].
template <class T>
inline void copy_rows(T* out, int64_t pitch, const T* A, int64_t a_row, int64_t kc, int64_t rows) {
  constexpr int64_t L = kLanes<T>;
  for (int64_t i = 0; i < rows; ++i, A += a_row, out += pitch) {
    int64_t k = 0;
    for (; k + L <= kc; k += L) {
      __builtin_prefetch(A + 2 * a_row + k);  // memory likes to know where the next row begins
      store(out + k, load(A + k));
    }
    if (k < kc) store_n(out + k, load_n(A + k, kc - k), kc - k);
  }
}

/// The rows of A that one tile reads, k by k: out[k * MR + i] = A[i + k * a_col].
template <class T, int MR>
void pack_columns(T* out, const T* A, int64_t a_col, int64_t kc) {
  for (int64_t k = 0; k < kc; ++k)
    if constexpr (kVecBytes == 64 && MR <= kLanes<T>)
      store_n(out + k * MR, load_n(A + k * a_col, MR), MR);
    else
      __builtin_memcpy(out + k * MR, A + k * a_col, MR * sizeof(T));
}

template <class T, int MR>
inline void pack_columns_of(int64_t rows, T* out, const T* A, int64_t a_col, int64_t kc) {
  if constexpr (MR == 1)
    pack_columns<T, 1>(out, A, a_col, kc);
  else
    rows == MR ? pack_columns<T, MR>(out, A, a_col, kc) : pack_columns_of<T, MR - 1>(rows, out, A, a_col, kc);
}

/// out[k * rows + i] = A[i * a_row + k * a_col].
template <class T>
inline void pack_strided(T* out, const T* A, int64_t a_row, int64_t a_col, int64_t kc, int64_t rows) {
  for (int64_t k = 0; k < kc; ++k)
    for (int64_t i = 0; i < rows; ++i) out[k * rows + i] = A[i * a_row + k * a_col];
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
