// The GEMM micro-kernel: an MR x (NV vectors) tile of C in registers, one step of k at a time.
//
// Registers of one tile: MR * NV accumulators, NV vectors of B, one broadcast of A.
//   AVX-512, NEON (32): 14 x 2 = 28 + 2 + 1 = 31        few rows:  6 x 4 = 24 + 4 + 1 = 29   one set:  8 x 3
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
constexpr int kMaxRows = 14, kThreeRows = 8, kWideRows = 6, kWideVecs = 4;
#elif defined(__aarch64__)
constexpr int kMaxRows = 12, kThreeRows = 8, kWideRows = 6, kWideVecs = 4;
#elif defined(__AVX2__)
constexpr int kMaxRows = 6, kThreeRows = 4, kWideRows = 4, kWideVecs = 3;
#else
constexpr int kMaxRows = 6, kThreeRows = 3, kWideRows = 3, kWideVecs = 3;
#endif

/// Memory that tiles bring into the second-level cache while they run, one fetch with every step of k: `count` runs of
/// `bytes`, `apart` bytes from each to the next. A fetch is the two lines at its first and its last byte.
struct Fetch {
  const char* at = nullptr;             // null: nothing to fetch
  int64_t step = 0, left = 0;           // bytes of a fetch, fetches left of this run
  int64_t run = 0, runs = 0, jump = 0;  // fetches of a run, runs left, bytes from the end of one to the next
  const Fetch* then = nullptr;          // what follows

  Fetch() = default;
  Fetch(const void* from, int64_t bytes, int64_t count, int64_t apart, int64_t step_)
      : at(static_cast<const char*>(from)), step(step_), runs(count) {
    run = left = (bytes + step - 1) / step, jump = apart - run * step;
  }
  FASTNN_INLINE void one() {
    __builtin_prefetch(at, 0, 2);
    at += step;
    __builtin_prefetch(at - 64, 0, 2);
    if (__builtin_expect(--left == 0, 0)) {
      if (--runs > 0)
        at += jump, left = run;
      else if (then)
        *this = *then;
      else  // the same line again and again
        step = 0, left = INT64_MAX;
    }
  }
};

/// Tiles that can copy B while they read it.
template <int MR, int NV>
constexpr bool kCopies = NV == 2 ? MR + 3 > kMaxRows : NV == 3 && MR + 2 > kThreeRows&& kThreeRows == 8;

/// What happens to a finished tile, and meanwhile.
template <class T>
struct TileEnd {
  bool add;       // C += instead of C =
  const T* bias;  // of the tile's first column, or null
  Activation act;
  Fetch* fetch = nullptr;
  T* copy = nullptr;  // with `fetch`, on tiles that can: B goes there as well, its rows one after the other
};

/// C[0..MR) x [0..n) (+)= A B over k steps; (NV - 1) L < n <= NV L. Rows of B hold NV L readable elements.
template <class T>
using TileFn = void(int64_t k, const T* A, int64_t a_row, int64_t a_col, const T* B, int64_t b_row, T* C, int64_t c_row,
                    int n, const TileEnd<T>& end);

/// The last vector of a row, of which n elements are there. Where no mask is at hand, most rows should not pay for it.
template <class T>
FASTNN_INLINE Vec<T> load_last(const T* p, int64_t n) {
  return kVecBytes < 64 && n == kLanes<T> ? load(p) : load_n(p, n);
}
template <class T>
FASTNN_INLINE void store_last(T* p, Vec<T> v, int64_t n) {
  if (kVecBytes < 64 && n == kLanes<T>)
    store(p, v);
  else
    store_n(p, v, n);
}

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
        acc[i][j] = (j + 1 < NV ? load(C + i * c_row + j * L) : load_last(C + i * c_row + j * L, last)) + acc[i][j];
  }
  if (end.bias) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      const Vec<T> bias = j + 1 < NV ? load(end.bias + j * L) : load_last(end.bias + j * L, last);
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
    store_last(C + i * c_row + (NV - 1) * L, acc[i][NV - 1], last);
  }
}

/// Without `Fetches`, `end.fetch` and `end.copy` are not looked at: half the size.
template <class T, int MR, int NV, bool Fetches>
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
  const auto multiply = [&](auto&& meanwhile) FASTNN_LAMBDA_INLINE {
    for (; k > 0; --k) {
      Vec<T> b[NV];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) b[j] = load(B + j * L);
      meanwhile(b);
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
  };
  if (!Fetches || !end.fetch) {
    multiply([](const auto&) FASTNN_LAMBDA_INLINE {});
  } else {
    Fetch fetch = *end.fetch;
    if (kCopies<MR, NV> && end.copy) {
      T* copy = end.copy;
      multiply([&](const Vec<T>(&b)[NV]) FASTNN_LAMBDA_INLINE {
        fetch.one();
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) store(copy + j * L, b[j]);
        copy += NV * L;
      });
    } else {
      multiply([&](const auto&) FASTNN_LAMBDA_INLINE { fetch.one(); });
    }
    *end.fetch = fetch;
  }
  finish_tile<T, MR, NV>(acc, C, c_row, n, end);
}

/// tile<T, rows, vecs> for the sizes at run time: all rows with one or two vectors, few rows with more.
template <class T, bool Fetches, int NV, int MR>
inline TileFn<T>* tile_rows(int rows) {
  if constexpr (MR == 1)
    return &tile<T, 1, NV, Fetches>;
  else
    return rows == MR ? &tile<T, MR, NV, Fetches> : tile_rows<T, Fetches, NV, MR - 1>(rows);
}

template <class T, bool Fetches>
inline TileFn<T>* tile_for(int rows, int vecs) {
  switch (vecs) {
    case 1:
      return tile_rows<T, Fetches, 1, kMaxRows>(rows);
    case 2:
      return tile_rows<T, Fetches, 2, kMaxRows>(rows);
    case 3:
      return tile_rows<T, Fetches, 3, kThreeRows>(rows);
    default:
      return tile_rows<T, Fetches, kWideVecs, kWideRows>(rows);
  }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
