// Winograd's F(2x2, 3x3) (Lavin and Gray 2015): two by two pixels of y from a patch of four by four, as 16 products
// instead of 36 for each pair of channels.
//
//   Y = A' [ (G w G') . (B' d B) ] A        summed over the channels before the outer transform
//
//   B' = [1  0 -1  0]   G = [ 1    0    0 ]   A' = [1 1  1  0]
//        [0  1  1  0]       [1/2  1/2  1/2]        [0 1 -1 -1]
//        [0 -1  1  0]       [1/2 -1/2  1/2]
//        [0  1  0 -1]       [ 0    0    1 ]
//
// For each of the 16 positions the sum over channels is a matrix product of patches and weights, done with the same
// tile. Rounding errors are a few times those of the plain sum (docs/architecture.md states them); an Inf or NaN of x
// reaches all four pixels of the patches it is in.
#pragma once

#include "ops/conv/conv_engine.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Transformed patches of one task take about this much memory.
constexpr int64_t kPatchBytes = 384 << 10;

/// (a, b, c) -> G (a, b, c): a line of three weights as four.
inline void weight_line(f32v a, f32v b, f32v c, f32v* out) {
  const f32v half = splat<f32v>(0.5), even = (a + c) * half, odd = b * half;
  out[0] = a, out[1] = even + odd, out[2] = even - odd, out[3] = c;
}

/// U[panel][position][c][width] of all weights.
inline void winograd_weights(const ConvArgs<float>& g, float* transformed, bool fork) {
  constexpr int64_t L = kLanes<float>;
  const Panels<float> panels(g.F);
  tasks(fork, panels.count, [&](int64_t q) {
    const int64_t width = panels.width(q), pitch = g.C * width;
    float* const plain =
        static_cast<float*>(detail::gemm_scratch(detail::GemmScratch::local, 9 * pitch * int64_t(sizeof(float))));
    for (int64_t t = 0; t < 9; ++t)
      pack_panel(plain + t * pitch, width, g.w + t / 3 * g.w_tap[1] + t % 3 * g.w_tap[2] + panels.first(q) * g.w_f,
                 g.w_c, g.w_f, g.C, panels.size(q));
    float* const to = transformed + 16 * g.C * panels.first(q);
    for (int64_t i = 0; i < pitch; i += L) {
      f32v rows[4][3], line[4];
      for (int j = 0; j < 3; ++j) {
        weight_line(load(plain + j * pitch + i), load(plain + (3 + j) * pitch + i), load(plain + (6 + j) * pitch + i),
                    line);
        for (int k = 0; k < 4; ++k) rows[k][j] = line[k];
      }
      for (int k = 0; k < 4; ++k) {
        weight_line(rows[k][0], rows[k][1], rows[k][2], line);
        for (int j = 0; j < 4; ++j) store(to + (4 * k + j) * pitch + i, line[j]);
      }
    }
  });
}

/// One patch: V[position][channel], `pitch` elements from one position to the next.
inline void patch_in(const float* const* d, int64_t C, float* v, int64_t pitch) {
  constexpr int64_t L = kLanes<float>;
  for (int64_t c = 0; c < C; c += L) {
    f32v t[4][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const f32v d0 = load(d[j] + c), d1 = load(d[4 + j] + c), d2 = load(d[8 + j] + c), d3 = load(d[12 + j] + c);
      t[0][j] = d0 - d2, t[1][j] = d1 + d2, t[2][j] = d2 - d1, t[3][j] = d1 - d3;
    }
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
      float* const to = v + 4 * k * pitch + c;
      store(to, t[k][0] - t[k][2]);
      store(to + pitch, t[k][1] + t[k][2]);
      store(to + 2 * pitch, t[k][2] - t[k][1]);
      store(to + 3 * pitch, t[k][1] - t[k][3]);
    }
  }
}

/// Four pixels of y (null: outside) from the sums of one patch.
inline void patch_out(const float* m, int64_t pitch, int64_t width, const float* bias, Activation act,
                      float* const* y) {
  constexpr int64_t L = kLanes<float>;
  for (int64_t f = 0; f < width; f += L) {
    f32v t[2][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const f32v m0 = load(m + j * pitch + f), m1 = load(m + (4 + j) * pitch + f), m2 = load(m + (8 + j) * pitch + f),
                 m3 = load(m + (12 + j) * pitch + f);
      t[0][j] = m0 + m1 + m2, t[1][j] = m1 - m2 - m3;
    }
    const f32v b = bias ? load(bias + f) : f32v{};
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      f32v even = t[i][0] + t[i][1] + t[i][2] + b, odd = t[i][1] - t[i][2] - t[i][3] + b;
      if (act == Activation::relu) {
        even = even < f32v{} ? f32v{} : even;
        odd = odd < f32v{} ? f32v{} : odd;
      }
      if (y[2 * i]) store(y[2 * i] + f, even);
      if (y[2 * i + 1]) store(y[2 * i + 1] + f, odd);
    }
  }
}

/// Patches [first, last), counted over all images.
inline void winograd_patches(const ConvArgs<float>& g, const float* weights, int64_t first, int64_t last) {
  const Panels<float> panels(g.F);
  const int64_t down = ceil_div(g.out[1], 2), across = ceil_div(g.out[2], 2), count = last - first;
  const int64_t v_pitch = count * g.C;
  Arena arena{static_cast<char*>(detail::gemm_scratch(
      detail::GemmScratch::local, Arena::bytes(16 * v_pitch, sizeof(float)) +
                                      Arena::bytes(16 * count * panels.width(0), sizeof(float)) +
                                      2 * Arena::bytes(count, sizeof(float*)) +
                                      Arena::bytes(4 * count, sizeof(float*)) + Arena::bytes(g.C, sizeof(float))))};
  float* const v = arena.take<float>(16 * v_pitch);
  float* const m = arena.take<float>(16 * count * panels.width(0));
  const float** const rows = arena.take<const float*>(count);
  float** const sums = arena.take<float*>(count);
  float** const y = arena.take<float*>(4 * count);
  float* const zeros = arena.take<float>(g.C);
  __builtin_memset(zeros, 0, static_cast<size_t>(g.C) * sizeof(float));
  for (int64_t p = 0; p < count; ++p) {
    const int64_t n = (first + p) / (down * across), h = (first + p) / across % down * 2, w = (first + p) % across * 2;
    const float* const image = g.x + n * g.in[1] * g.in[2] * g.C;
    const float* d[16];
    for (int64_t k = 0; k < 16; ++k) {
      const int64_t i = h + k / 4 - g.pad[1], j = w + k % 4 - g.pad[2];
      const bool inside = i >= 0 && i < g.in[1] && j >= 0 && j < g.in[2];
      d[k] = inside ? image + (i * g.in[2] + j) * g.C : zeros;
    }
    patch_in(d, g.C, v + p * g.C, v_pitch);
    for (int64_t k = 0; k < 4; ++k) {
      const int64_t i = h + k / 2, j = w + k % 2;
      y[4 * p + k] = i < g.out[1] && j < g.out[2] ? g.y + n * g.y_image + i * g.y_at[1] + j * g.y_at[2] : nullptr;
    }
  }
  const Run all{0, g.C};
  for (int64_t q = 0; q < panels.count; ++q) {
    const int64_t width = panels.width(q), vecs = width / kLanes<float>, column = panels.first(q);
    const int64_t tiles = ceil_div(count, conv_tile_most(vecs)), m_pitch = count * width;
    for (int64_t k = 0; k < 16; ++k) {
      const float* const u = weights + 16 * g.C * column + k * g.C * width;
      for (int64_t p = 0; p < count; ++p) {
        rows[p] = v + k * v_pitch + p * g.C;
        sums[p] = m + k * m_pitch + p * width;
      }
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t p = cut(count, tiles, t), mr = cut(count, tiles, t + 1) - p;
        conv_tile_for<float>(mr, vecs)(&all, 1, 1, rows + p, u, sums + p, 0, static_cast<int>(width),
                                       ConvEnd<float>{false, nullptr, Activation::none});
      }
    }
    for (int64_t p = 0; p < count; ++p) {
      float* to[4];
      for (int k = 0; k < 4; ++k) to[k] = y[4 * p + k] ? y[4 * p + k] + column : nullptr;
      patch_out(m + p * width, m_pitch, width, g.bias ? g.bias + column : nullptr, g.act, to);
    }
  }
}

inline void winograd_forward(const ConvArgs<float>& g, float* weights) {
  const int64_t patches = g.N * ceil_div(g.out[1], 2) * ceil_div(g.out[2], 2);
  if (patches == 0) return;
  const bool fork = num_threads() > 1;
  winograd_weights(g, weights, fork);
  // Patches do not meet, so how many a task has decides no bits.
  int64_t each = kPatchBytes / (16 * g.C * int64_t(sizeof(float))) / kTileRows * kTileRows;
  if (fork) each = min64(each, ceil_div(patches, 4 * num_threads()));
  each = max64(each, 2 * kTileRows);
  tasks(fork, ceil_div(patches, each),
        [&](int64_t t) { winograd_patches(g, weights, t * each, min64((t + 1) * each, patches)); });
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
