// The convolution micro-kernel: MR rows times NV vectors of columns in registers, one term of the sum at a time. It
// differs from the tile of the matrix product in that the rows lie anywhere (a table of pointers) and the terms come in
// runs: the same few numbers (offset, length) for all rows say where the next terms are. So a window of an image is
// read in place, and a tile of pixels may go on in the next line or image.
//
//   forward, dX:  rows are pixels, a run is a line of the window (its width times the channels), a term one element
//   dW:           rows are elements of the window, a run is a line of pixels, a term one pixel
//
// Registers as in gemm_tile.h. The pointers come from memory, one load more for each row and term; with two vectors of
// columns the load ports still keep up with the multiply-adds.
#pragma once

#include "kernels/simd.h"
#include "ops/matmul/gemm.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 14, kTallRows = 28;  // with two vectors of columns, with one
#elif defined(__aarch64__)
constexpr int kTileRows = 12, kTallRows = 24;
#else
constexpr int kTileRows = 6, kTallRows = 12;
#endif

/// `len` terms, the first one at `offset` from each row's pointer, the others at the step of the call.
struct Run {
  int64_t offset, len;
};

template <class T>
struct ConvEnd {
  bool add;       // C += instead of C =
  const T* bias;  // of the first column, or null
  Activation act;
};

/// Whether a panel of n columns of one vector can be read where it is, without a packed copy.
template <class T>
constexpr bool conv_reads_in_place(int64_t n) {
  return n == kLanes<T> || (n < kLanes<T> && kVecBytes == 64);
}

/// C[i][0..n) (+)= sum over the terms of rows[i][term] * B[term][0..n); (NV - 1) L < n <= NV L. The rows of B are
/// b_row elements from each other; all NV L of each can be read, unless the panel can be read in place.
template <class T>
using ConvTileFn = void(const Run* runs, int64_t count, int64_t step, const T* const* rows, const T* B, int64_t b_row,
                        T* const* C, int64_t column, int n, const ConvEnd<T>& end);

template <class T, int MR, int NV>
__attribute__((noinline)) void conv_tile(const Run* runs, int64_t count, int64_t step, const T* const* rows, const T* B,
                                         int64_t b_row, T* const* C, int64_t column, int n, const ConvEnd<T>& end) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[MR][NV];
#pragma GCC unroll 28
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) acc[i][j] = Vec<T>{};
  const auto row_of_b = [n](const T* b) FASTNN_LAMBDA_INLINE { return kVecBytes == 64 ? load_n(b, n) : load(b); };
  for (; count > 0; --count, ++runs) {
    int64_t at = runs->offset;
    for (int64_t k = runs->len; k > 0; --k, at += step, B += b_row) {
      Vec<T> b[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) b[j] = NV == 1 ? row_of_b(B) : load(B + j * L);
#pragma GCC unroll 28
      for (int i = 0; i < MR; ++i) {
        const Vec<T> a = splat<Vec<T>>(rows[i][at]);
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) acc[i][j] = fma(a, b[j], acc[i][j]);
      }
    }
  }
  const int last = n - (NV - 1) * L;
  if (end.add) {
#pragma GCC unroll 28
    for (int i = 0; i < MR; ++i) {
      const T* const c = C[i] + column;
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j)
        acc[i][j] = (j + 1 < NV || last == L ? load(c + j * L) : load_n(c + j * L, last)) + acc[i][j];
    }
  }
  if (end.bias) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const Vec<T> bias = j + 1 < NV ? load(end.bias + j * L) : load_n(end.bias + j * L, last);
#pragma GCC unroll 28
      for (int i = 0; i < MR; ++i) acc[i][j] = acc[i][j] + bias;
    }
  }
  if (end.act == Activation::relu) {
#pragma GCC unroll 28
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] < Vec<T>{} ? Vec<T>{} : acc[i][j];  // keeps NaN
  }
#pragma GCC unroll 28
  for (int i = 0; i < MR; ++i) {
    T* const c = C[i] + column;
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      if (j + 1 < NV || last == L)
        store(c + j * L, acc[i][j]);
      else
        store_n(c + j * L, acc[i][j], last);
    }
  }
}

template <class T, int NV, int MR>
inline ConvTileFn<T>* conv_tile_rows(int64_t rows) {
  if constexpr (MR == 1)
    return &conv_tile<T, 1, NV>;
  else
    return rows == MR ? &conv_tile<T, MR, NV> : conv_tile_rows<T, NV, MR - 1>(rows);
}

/// The tile for these rows (at most conv_tile_most(vecs)) and vectors of columns (1 or 2).
template <class T>
inline ConvTileFn<T>* conv_tile_for(int64_t rows, int64_t vecs) {
  return vecs == 1 ? conv_tile_rows<T, 1, kTallRows>(rows) : conv_tile_rows<T, 2, kTileRows>(rows);
}
inline int64_t conv_tile_most(int64_t vecs) { return vecs == 1 ? kTallRows : kTileRows; }

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
