// The gradient of the weights by the same patches as conv_winograd.h, F(3x3, 2x2): with the transforms of x as there,
//
//   dw = G' [ sum over patches of (B' x B) . (A dy A') ] G
//
// again 16 products for each pair of channels instead of 36. For each position the sum over patches is a matrix product
// [C, patches] [patches, F]. Order of the sums: patches in blocks of a fixed size, the blocks of a part one after the
// other, the parts from left to right: shapes alone decide.
#pragma once

#include "ops/conv/conv_winograd.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// The tiles of `count` rows: whole ones, then what is left.
struct Tiles {
  int64_t count, most;
  ConvTileFn<float>*whole, *rest;
  Tiles(int64_t rows, int64_t vecs)
      : count(rows),
        most(conv_tile_most(vecs)),
        whole(conv_tile_for<float>(most, vecs)),
        rest(rows % most == 0 ? nullptr : conv_tile_for<float>(rows % most, vecs)) {}
  void run(const Run& terms, int64_t step, const float* const* rows, const float* B, float* const* to, int64_t column,
           int64_t width, bool add) const {
    const ConvEnd<float> end{add, nullptr, Activation::none};
    int64_t i = 0;
    for (; i + most <= count; i += most) whole(&terms, 1, step, rows + i, B, width, to + i, column, int(width), end);
    if (rest) rest(&terms, 1, step, rows + i, B, width, to + i, column, int(width), end);
  }
};

/// Patches of one block: enough that the partial result is not walked through too often.
constexpr int64_t kBlockPatches = 64;
/// Elements from one position to the next of a block of W, [position][patch][NV vectors].
template <int NV>
constexpr int64_t kGradientPitch = kBlockPatches* NV* kLanes<float> + 16;

/// W = A dy A' of one patch of two by two pixels d, and their sums added to `sums`.
template <int NV>
FASTNN_INLINE void patch_of_gradient(const float* const (&d)[4], float* to, float* sums) {
  constexpr int64_t L = kLanes<float>, pitch = kGradientPitch<NV>;
#pragma GCC unroll 2
  for (int64_t f = 0; f < NV * L; f += L) {
    f32v t[4][2];
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const f32v a = load(d[j] + f), b = load(d[2 + j] + f);
      t[0][j] = a, t[1][j] = a + b, t[2][j] = a - b, t[3][j] = f32v{} - b;
    }
    if (sums) store(sums + f, load(sums + f) + (t[1][0] + t[1][1]));
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      float* const w = to + 4 * i * pitch + f;
      store(w, t[i][0]);
      store(w + pitch, t[i][0] + t[i][1]);
      store(w + 2 * pitch, t[i][0] - t[i][1]);
      store(w + 3 * pitch, f32v{} - t[i][1]);
    }
  }
}

/// W of patches [first, last), columns [column, column + NV L); `zeros` are as many.
template <int NV>
inline void patches_of_gradient(const ConvArgs<float>& g, const float* dy, int64_t first, int64_t last, int64_t column,
                                const float* zeros, float* w, float* sums) {
  const int64_t F = g.F, height = g.out[1], width = g.out[2], dh = g.dilation[1], dw = g.dilation[2];
  each_line(g, first, last, [&](int64_t p, int64_t n, int64_t i, int64_t b0, int64_t b1) {
    const float* const upper = dy + (n * height + i) * width * F + column;
    const bool down = i + dh < height;
    const float* const lower = down ? upper + dh * width * F : zeros;
    const int64_t step = down ? F : 0;
    float* to = w + p * NV * kLanes<float>;
    for (int64_t b = b0; b < b1; ++b, to += NV * kLanes<float>) {
      const int64_t j = pair_start(b, width, dw);
      const bool across = j + dw < width;
      const float* const d[4] = {upper + j * F, across ? upper + (j + dw) * F : zeros, lower + j * step,
                                 across ? lower + (j + dw) * step : zeros};
      patch_of_gradient<NV>(d, to, sums);
    }
  });
}

/// Adds the products of patches [first, last) to partial [position][c][F], or writes them.
inline void winograd_gradient_block(const ConvArgs<float>& g, const float* dy, int64_t first, int64_t last,
                                    float* partial, float* sums, bool add) {
  constexpr int64_t L = kLanes<float>;
  const Panels<float> panels(g.F);
  const int64_t count = last - first, rows_in = even_rows(count), v_size = patch_elements(count, g.C);
  const int64_t zero = max64(zero_line(g), 2 * L);
  Arena arena{static_cast<char*>(thread_scratch(
      ThreadScratch::local, Arena::bytes(v_size, sizeof(float)) + Arena::bytes(16 * kGradientPitch<2>, sizeof(float)) +
                                2 * Arena::bytes(g.C, sizeof(float*)) + Arena::bytes(zero, sizeof(float))))};
  float* const v = arena.take<float>(v_size);
  float* const w = arena.take<float>(16 * kGradientPitch<2>);
  const float** const rows = arena.take<const float*>(g.C);
  float** const to = arena.take<float*>(g.C);
  float* const zeros = arena.take<float>(zero);
  __builtin_memset(zeros, 0, static_cast<size_t>(zero) * sizeof(float));
  patches_in(g, first, last, v, rows_in, zeros);
  for (int64_t c = 0; c < g.C; ++c) rows[c] = v + c / L * rows_in * kPatchPitch<1> + c % L, to[c] = partial + c * g.F;
  for (int64_t q = 0; q < panels.count; ++q) {
    const int64_t width = panels.width(q), column = panels.first(q);
    float* const own = sums ? sums + column : nullptr;
    if (width == L)
      patches_of_gradient<1>(g, dy, first, last, column, zeros, w, own);
    else
      patches_of_gradient<2>(g, dy, first, last, column, zeros, w, own);
    const Tiles tiles(g.C, width / L);
    for (int64_t k = 0; k < 16; ++k) {
      const Run all{k * L, count};
      tiles.run(all, kPatchPitch<1>, rows, w + k * (width == L ? kGradientPitch<1> : kGradientPitch<2>), to,
                k * g.C * g.F + column, width, add);
    }
  }
}

/// dw = G' (sum of the parts) G, row c of all taps.
inline void weights_out(const ConvArgs<float>& g, const float* partial, int64_t parts, int64_t c, float* dw) {
  constexpr int64_t L = kLanes<float>;
  const int64_t pitch = g.C * g.F, size = 16 * pitch;
  const f32v half = splat<f32v>(0.5);
  for (int64_t f = 0; f < g.F; f += L) {
    f32v rows[3][4], taps[9];
    for (int j = 0; j < 4; ++j) {
      f32v u[4];
      for (int i = 0; i < 4; ++i) {
        const float* const from = partial + (4 * i + j) * pitch + c * g.F + f;
        u[i] = load(from);
        for (int64_t p = 1; p < parts; ++p) u[i] = u[i] + load(from + p * size);
      }
      const f32v even = (u[1] + u[2]) * half;
      rows[0][j] = u[0] + even, rows[1][j] = (u[1] - u[2]) * half, rows[2][j] = even + u[3];
    }
    for (int i = 0; i < 3; ++i) {
      const f32v even = (rows[i][1] + rows[i][2]) * half;
      taps[3 * i] = rows[i][0] + even, taps[3 * i + 1] = (rows[i][1] - rows[i][2]) * half;
      taps[3 * i + 2] = even + rows[i][3];
    }
    for (int t = 0; t < 9; ++t) {
      float* const to = dw + t / 3 * g.w_tap[1] + t % 3 * g.w_tap[2] + c * g.w_c + f * g.w_f;
      if (g.w_f == 1) {
        store(to, taps[t]);
      } else {
        float lanes[L];
        store(lanes, taps[t]);
        for (int64_t i = 0; i < L; ++i) to[i * g.w_f] = lanes[i];
      }
    }
  }
}

inline void winograd_weight_gradient(const ConvArgs<float>& g, const float* dy, float* dw, float* db, float* scratch) {
  const int64_t patches = conv_winograd_patches(g), parts = conv_weight_parts(g), size = 16 * g.C * g.F;
  float* const sums = scratch + parts * size;
  const int64_t blocks = ceil_div(patches, kBlockPatches);
  const bool fork = num_threads() > 1;
  tasks(fork, parts, [&](int64_t t) {
    const int64_t b0 = cut(blocks, parts, t), b1 = cut(blocks, parts, t + 1);
    float* const own = db ? sums + t * g.F : nullptr;
    if (own) __builtin_memset(own, 0, static_cast<size_t>(g.F) * sizeof(float));
    if (b0 == b1) __builtin_memset(scratch + t * size, 0, static_cast<size_t>(size) * sizeof(float));
    for (int64_t b = b0; b < b1; ++b)
      winograd_gradient_block(g, dy, b * kBlockPatches, min64((b + 1) * kBlockPatches, patches), scratch + t * size,
                              own, b > b0);
  });
  tasks(fork, g.C, [&](int64_t c) { weights_out(g, scratch, parts, c, dw); });
  for (int64_t f = 0; db && f < g.F; ++f) {
    float sum = sums[f];
    for (int64_t p = 1; p < parts; ++p) sum = sum + sums[p * g.F + f];
    db[f] = sum;
  }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
