// The GEMM micro-kernel: an MR x (NV vectors) tile of C in registers, one step of k at a time.
//
// Registers of one tile: MR * NV accumulators, NV vectors of B, one broadcast of A.
//   AVX-512, NEON (32): 14 x 2 = 28 + 2 + 1 = 31        few rows:  6 x 4 = 24 + 4 + 1 = 29
//   AVX2     (16):       6 x 2 = 12 + 2 + 1 = 15                   4 x 3 = 12 + 3 + 1 = 16
//   SSE      (16):       6 x 2 = 12 + 2 + 2 = 16 (the product needs one)
// A step loads NV vectors and MR broadcasts for MR * NV multiply-adds, so both load ports keep up with both FMA pipes.
// Every loop over accumulators is unrolled by pragma: one that is not puts them in memory, at a quarter of the speed.
#pragma once

#include "kernels/simd.h"
#include "ops/matmul/gemm.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kMaxRows = 14, kWideRows = 6, kWideVecs = 4;
#elif defined(__aarch64__)
constexpr int kMaxRows = 12, kWideRows = 6, kWideVecs = 4;
#elif defined(__AVX2__)
constexpr int kMaxRows = 6, kWideRows = 4, kWideVecs = 3;
#else
constexpr int kMaxRows = 6, kWideRows = 3, kWideVecs = 3;
#endif

/// What happens to a finished tile.
template <class T>
struct TileEnd {
  bool add;       // C += instead of C =
  const T* bias;  // of the tile's first column, or null
  Activation act;
  int64_t ahead;  // the element this far after each one read of B is fetched meanwhile (0: nothing new)
};

/// C[0..MR) x [0..n) (+)= A B over k steps; (NV - 1) L < n <= NV L. Rows of B hold NV L readable elements.
template <class T>
using TileFn = void(int64_t k, const T* A, int64_t a_row, int64_t a_col, const T* B, int64_t b_row, T* C, int64_t c_row,
                    int n, const TileEnd<T>& end);

/// Adds what `end` says to the sums of a tile and stores them.
template <class T, int MR, int NV>
FASTNN_INLINE void finish_tile(Vec<T> (&acc)[MR][NV], T* C, int64_t c_row, int n, const TileEnd<T>& end) {
  constexpr int L = kLanes<T>;
  const int last = n - (NV - 1) * L;
  if (end.add) {
#pragma GCC unroll 14
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j)
        acc[i][j] = (j + 1 < NV ? load(C + i * c_row + j * L) : load_n(C + i * c_row + j * L, last)) + acc[i][j];
  }
  if (end.bias) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const Vec<T> bias = j + 1 < NV ? load(end.bias + j * L) : load_n(end.bias + j * L, last);
#pragma GCC unroll 14
      for (int i = 0; i < MR; ++i) acc[i][j] = acc[i][j] + bias;
    }
  }
  if (end.act == Activation::relu) {
#pragma GCC unroll 14
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] < Vec<T>{} ? Vec<T>{} : acc[i][j];  // keeps NaN
  }
#pragma GCC unroll 14
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j + 1 < NV; ++j) store(C + i * c_row + j * L, acc[i][j]);
    store_n(C + i * c_row + (NV - 1) * L, acc[i][NV - 1], last);
  }
}

template <class T, int MR, int NV>
__attribute__((noinline)) void tile(int64_t k, const T* A, int64_t a_row, int64_t a_col, const T* B, int64_t b_row,
                                    T* C, int64_t c_row, int n, const TileEnd<T>& end) {
  constexpr int L = kLanes<T>;
  constexpr int G = (MR + 2) / 3;  // three rows share a base register: its own, + a_row, + 2 a_row
  Vec<T> acc[MR][NV];
#pragma GCC unroll 14
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) acc[i][j] = Vec<T>{};
  const T* a[G];
#pragma GCC unroll 14
  for (int g = 0; g < G; ++g) a[g] = A + 3 * g * a_row;
  for (; k > 0; --k) {
    Vec<T> b[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) b[j] = load(B + j * L);
    __builtin_prefetch(B + end.ahead);
    __builtin_prefetch(B + end.ahead + 64 / sizeof(T));
#pragma GCC unroll 14
    for (int i = 0; i < MR; ++i) {
      const Vec<T> ai = splat<Vec<T>>(a[i / 3][(i % 3) * a_row]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] = fma(ai, b[j], acc[i][j]);
    }
    B += b_row;
#pragma GCC unroll 14
    for (int g = 0; g < G; ++g) a[g] += a_col;
  }
  finish_tile<T, MR, NV>(acc, C, c_row, n, end);
}

/// tile<T, rows, vecs> for the sizes at run time: all rows with one or two vectors, few rows with more.
template <class T, int NV, int MR>
inline TileFn<T>* tile_rows(int rows) {
  if constexpr (MR == 1)
    return &tile<T, 1, NV>;
  else
    return rows == MR ? &tile<T, MR, NV> : tile_rows<T, NV, MR - 1>(rows);
}

template <class T>
inline TileFn<T>* tile_for(int rows, int vecs) {
  switch (vecs) {
    case 1:
      return tile_rows<T, 1, kMaxRows>(rows);
    case 2:
      return tile_rows<T, 2, kMaxRows>(rows);
    case 3:
      return tile_rows<T, 3, kWideRows>(rows);
    default:
      return tile_rows<T, kWideVecs, kWideRows>(rows);
  }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
