// The float product on bfloat16 dot products (vdpbf16ps): operands are rounded to 8 significant bits while they are
// packed, each instruction adds two products per lane to a float.
//
//   |C - A B| <= (2^-7 + 2^-16) |A| |B| + the rounding errors of the sum in float
//
// (each operand is off by 2^-8 relatively). The instruction flushes denormal numbers and rounds to nearest even.
// Registers and loops are those of gemm_tile.h with a pair (k, k + 1) in the place of one k:
//   packed B: [pair][column], packed A: [row][pair] (or [pair][row] where A lies that way), all as 4-byte elements.
#pragma once

#include "ops/matmul/gemm_driver.h"

#if defined(__AVX512F__)
#include <cpuid.h>

namespace fastnn {
namespace FASTNN_ISA {
namespace {

inline bool bf16_dot_exists() {
  static const bool found = [] {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 5 & 1);
  }();
  return found;
}

/// sum + the products of the pairs in a and b. Written as text so that the file needs no processor with bfloat16.
inline f32v dot_pairs(f32v sum, f32v a, f32v b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}
/// 32 floats as bfloat16, `low` first.
inline f32v round_pairs(f32v low, f32v high) {
  f32v pairs;
  asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(pairs) : "v"(low), "v"(high));
  return pairs;
}
/// Lane i becomes the pair (even[i], odd[i]).
inline f32v interleave_pairs(f32v even, f32v odd) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (f32v)_mm512_permutexvar_epi16(order, (__m512i)round_pairs(even, odd));
}

constexpr int kPairLanes = kLanes<float>;

/// out[p] = the pair (x[2 p], x[2 p + 1]) of n floats; an odd last one is paired with zero.
inline void round_run(float* out, const float* x, int64_t n) {
  int64_t i = 0;
  for (; i + 2 * kPairLanes <= n; i += 2 * kPairLanes)
    store(out + i / 2, round_pairs(load(x + i), load(x + i + kPairLanes)));
  if (i == n) return;
  const int64_t left = n - i;
  const f32v low = left >= kPairLanes ? load(x + i) : load_n(x + i, left);
  const f32v high = left > kPairLanes ? load_n(x + i + kPairLanes, left - kPairLanes) : f32v{};
  store_n(out + i / 2, round_pairs(low, high), (left + 1) / 2);
}

/// out[p * width + j] = (x[2 p][j], x[2 p + 1][j]) for rows of n contiguous columns at distance ld; width holds whole
/// vectors.
inline void round_rows(float* out, int64_t width, const float* x, int64_t ld, int64_t kc, int64_t n) {
  for (int64_t k = 0; k < kc; k += 2, x += 2 * ld, out += width)
    for (int64_t j = 0; j < width; j += kPairLanes) {
      const int64_t left = n - j;
      const f32v even = left >= kPairLanes ? load(x + j) : load_n(x + j, left > 0 ? left : 0);
      const f32v odd = k + 1 == kc          ? f32v{}
                       : left >= kPairLanes ? load(x + ld + j)
                                            : load_n(x + ld + j, left > 0 ? left : 0);
      store(out + j, interleave_pairs(even, odd));
    }
}

/// Runs of k of `count` rows (or columns), whatever their strides: out[i * pitch + p].
inline void round_runs(float* out, int64_t pitch, const float* x, int64_t step, int64_t k_step, int64_t kc,
                       int64_t count) {
  constexpr int64_t run = 256;  // even, so pairs stay together
  for (int64_t i = 0; i < count; ++i, x += step, out += pitch) {
    if (k_step == 1) {
      round_run(out, x, kc);
      continue;
    }
    for (int64_t k = 0; k < kc; k += run) {
      alignas(64) float staged[run];
      const int64_t n = min64(run, kc - k);
      for (int64_t j = 0; j < n; ++j) staged[j] = x[(k + j) * k_step];
      round_run(out + k / 2, staged, n);
    }
  }
}

/// tile() of gemm_tile.h for pairs.
template <int MR, int NV>
__attribute__((noinline)) void tile_pairs(int64_t pairs, const float* A, int64_t a_row, int64_t a_col, const float* B,
                                          int64_t b_row, float* C, int64_t c_row, int n, const TileEnd<float>& end) {
  constexpr int L = kPairLanes;
  constexpr int G = (MR + 2) / 3;
  f32v acc[MR][NV];
#pragma GCC unroll 14
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) acc[i][j] = f32v{};
  const float* a[G];
#pragma GCC unroll 14
  for (int g = 0; g < G; ++g) a[g] = A + 3 * g * a_row;
  const auto multiply = [&](auto&& meanwhile) FASTNN_LAMBDA_INLINE {
    for (; pairs > 0; --pairs) {
      f32v b[NV];
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) b[j] = load(B + j * L);
      meanwhile();
#pragma GCC unroll 14
      for (int i = 0; i < MR; ++i) {
        const f32v ai = splat<f32v>(a[i / 3][(i % 3) * a_row]);
#pragma GCC unroll 2
        for (int j = 0; j < NV; ++j) acc[i][j] = dot_pairs(acc[i][j], ai, b[j]);
      }
      B += b_row;
#pragma GCC unroll 14
      for (int g = 0; g < G; ++g) a[g] += a_col;
    }
  };
  if (end.fetch) {
    Fetch fetch = *end.fetch;
    multiply([&]() FASTNN_LAMBDA_INLINE { fetch.one(); });
    *end.fetch = fetch;
  } else {
    multiply([]() FASTNN_LAMBDA_INLINE {});
  }
  finish_tile<float, MR, NV>(acc, C, c_row, n, end);
}

template <int NV, int MR>
inline TileFn<float>* tile_pairs_rows(int64_t rows) {
  if constexpr (MR == 1)
    return &tile_pairs<1, NV>;
  else
    return rows == MR ? &tile_pairs<MR, NV> : tile_pairs_rows<NV, MR - 1>(rows);
}

/// One task: for a run of row tiles and a chunk of K, group after group of panels of B is packed and meets all row
/// tiles, which are packed when they first come by.
inline void block_pairs(const GemmArgs<float>& g, const float* A, const float* B, const Part<float>& p) {
  constexpr int64_t L = kPairLanes, width = 2 * L;
  const int64_t rows = p.m1 - p.m0, columns = p.n1 - p.n0;
  const int64_t chunk = max64(1, ceil_div(g.K, gemm_chunks(g.K))), pairs = ceil_div(chunk, 2);
  const int64_t panels = ceil_div(columns, width);
  int64_t group = max64(1, min64(panels, kBlockBytesB / (pairs * width * 4)));
  group = ceil_div(panels, ceil_div(panels, group));
  const int64_t row_tiles = ceil_div(rows, kMaxRows);
  const int64_t pitch_a = round_up(pairs, 16) + 16;  // no two rows on the same sets of the cache
  // Rows of A that lie contiguous in k keep that order; else k by k, whole vectors wide.
  const bool by_k = g.a_row == 1 && g.a_col != 1;
  const int64_t tile_floats = by_k ? pairs * L : kMaxRows * pitch_a;
  // All row tiles are kept only if another group of panels comes back to them.
  const int64_t kept = panels > group ? tile_floats : 0;
  const int64_t run = ceil_div(row_tiles, max64(1, ceil_div(row_tiles * kept * 4, kBlockBytesA)));

  // Columns of B that lie contiguous are rounded as runs of k first, then transposed.
  const int64_t pitch_b = (pairs + 1) * width, staged_floats = g.b_col == 1 ? 0 : width * pitch_a;
  float* const packed_b = static_cast<float*>(
      thread_scratch(ThreadScratch::local, (group * pitch_b + staged_floats + run * kept + tile_floats) * 4));
  float* const staged = packed_b + group * pitch_b;
  float* const packed_a = staged + staged_floats;

  const auto row = [&](int64_t t) { return cut(rows, row_tiles, t); };
  const auto pack_a = [&](float* to, int64_t t, int64_t k0, int64_t kc) {
    const float* const a = A + (p.m0 + row(t)) * g.a_row + k0 * g.a_col;
    if (by_k)
      round_rows(to, L, a, g.a_col, kc, row(t + 1) - row(t));
    else
      round_runs(to, pitch_a, a, g.a_row, g.a_col, kc, row(t + 1) - row(t));
  };
  const auto pack_b = [&](float* to, int64_t q, int64_t k0, int64_t kc) {
    const int64_t n = min64(width, columns - q * width), kp = ceil_div(kc, 2);
    const float* const from = B + (p.n0 + q * width) * g.b_col + k0 * g.b_row;
    if (g.b_col == 1) return round_rows(to, width, from, g.b_row, kc, n);
    round_runs(staged, pitch_a, from, g.b_col, g.b_row, kc, n);
    transpose(to, width, staged, pitch_a, kp, n);
    for (int64_t k = 0; k < kp && n < width; ++k)
      for (int64_t j = n; j < width; ++j) to[k * width + j] = 0;
  };
  const bool far_a = run * kept * 4 >= kFarBytes / 2, far_c = rows * columns * 4 >= kFarBytes;

  for (int64_t t0 = 0; t0 < row_tiles; t0 += run)
    for (int64_t c = p.c0; c < p.c1; ++c) {
      const int64_t t1 = min64(t0 + run, row_tiles), k0 = c * chunk, kc = min64(chunk, g.K - k0), kp = ceil_div(kc, 2);
      const bool finish = p.finish && c + 1 == p.c1;
      TileEnd<float> end{c > p.c0 || p.add, nullptr, finish ? g.act : Activation::none};
      for (int64_t q0 = 0; q0 < panels; q0 += group) {
        const int64_t q1 = min64(q0 + group, panels);
        for (int64_t q = q0; q < q1; ++q) pack_b(packed_b + (q - q0) * pitch_b, q, k0, kc);
        for (int64_t t = t0; t < t1; ++t) {
          float* const a = packed_a + (t - t0) * kept;
          if (q0 == 0) pack_a(a, t, k0, kc);
          Fetch fetch, fetch_c;
          end.fetch = nullptr;
          if ((far_a || far_c) && t + 1 < t1) {  // the next row tile and its part of C are fetched meanwhile
            const int64_t n = min64(columns, q1 * width) - q0 * width, m = row(t + 1);
            if (q0 > 0) fetch = Fetch(a + tile_floats, tile_floats * 4, 1, 0, 64);
            if (far_c) fetch_c = Fetch(p.C + m * p.c_row + q0 * width, n * 4, row(t + 2) - m, p.c_row * 4, 64);
            end.fetch = in_turn(fetch, fetch_c);
          }
          for (int64_t q = q0; q < q1; ++q) {
            const int64_t nq = min64(width, columns - q * width), mr = row(t + 1) - row(t);
            end.bias = finish && g.bias ? g.bias + p.n0 + q * width : nullptr;
            const auto tile = nq > L ? tile_pairs_rows<2, kMaxRows>(mr) : tile_pairs_rows<1, kMaxRows>(mr);
            tile(kp, a, by_k ? 1 : pitch_a, by_k ? L : 1, packed_b + (q - q0) * pitch_b, width,
                 p.C + row(t) * p.c_row + q * width, p.c_row, static_cast<int>(nq), end);
          }
        }
      }
    }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
#endif
