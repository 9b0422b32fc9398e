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
// tile. Dilated windows are patches of pixels that lie `dilation` apart. Rounding errors are a few times those of the
// plain sum (docs/architecture.md states them); an Inf or NaN of x reaches all four pixels of the patches it is in.
#pragma once

#include "ops/conv/conv_engine.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Transformed patches of one task take about this much memory.
constexpr int64_t kPatchBytes = 48 << 10;

/// The first pixel of pair `i` along an axis (conv_winograd_pairs counts them).
inline int64_t pair_start(int64_t i, int64_t out, int64_t dilation) {
  int64_t residue = 0;
  for (; residue + 1 < dilation; ++residue) {
    const int64_t pairs = conv_winograd_pairs_of(out, dilation, residue);
    if (i < pairs) break;
    i -= pairs;
  }
  return residue + 2 * dilation * i;
}

/// f(index, image, first line, b0, b1) for the lines of patches in [first, last), counted over all images: those of
/// pairs [b0, b1) of columns.
template <class F>
inline void each_line(const ConvArgs<float>& g, int64_t first, int64_t last, const F& f) {
  const int64_t down = conv_winograd_pairs(g.out[1], g.dilation[1]);
  const int64_t across = conv_winograd_pairs(g.out[2], g.dilation[2]);
  int64_t n = first / (down * across), a = first / across % down, b = first % across;
  for (int64_t p = first; p < last; b = 0) {
    const int64_t end = min64(across, b + last - p);
    f(p - first, n, pair_start(a, g.out[1], g.dilation[1]), b, end);
    p += end - b;
    if (++a == down) a = 0, ++n;
  }
}

/// Elements from one patch to the next, of V for each vector of channels ([vector][patch][position][lane]) and of the
/// sums M ([patch][position][NV vectors]): a few more than they take, so that they do not fall on few sets of the
/// cache.
template <int NV>
constexpr int64_t kPatchPitch = 16 * NV* kLanes<float> + 16;

/// Rows of patches are worked on in even numbers (the last ones may be of nothing).
inline int64_t even_rows(int64_t patches) { return round_up(patches, 4); }
inline int64_t patch_elements(int64_t patches, int64_t channels) {
  return even_rows(patches) * (channels / kLanes<float>)*kPatchPitch<1>;
}

/// M of MR patches at one position: all rows lie at fixed distances, and the sums start from zero.
template <int MR, int NV>
__attribute__((noinline)) void position_tile(const float* v, int64_t block, int64_t blocks, const float* u, float* m) {
  constexpr int L = kLanes<float>;
  f32v acc[MR][NV];
#pragma GCC unroll 28
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) acc[i][j] = f32v{};
  for (; blocks > 0; --blocks, v += block)
    for (int c = 0; c < L; ++c, u += NV * L) {
      f32v b[NV];
#pragma GCC unroll 2
      for (int j = 0; j < NV; ++j) b[j] = load(u + j * L);
#pragma GCC unroll 28
      for (int i = 0; i < MR; ++i) {
        const f32v a = splat<f32v>(v[i * kPatchPitch<1> + c]);
#pragma GCC unroll 2
        for (int j = 0; j < NV; ++j) acc[i][j] = fma(a, b[j], acc[i][j]);
      }
    }
#pragma GCC unroll 28
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < NV; ++j) store(m + i * kPatchPitch<NV> + j * L, acc[i][j]);
}

/// M of all patches at all positions, one panel of NV vectors.
template <int NV>
inline void panel_sums(const float* v, int64_t rows, int64_t C, const float* u, float* m) {
  constexpr int MR = NV == 1 ? kTallRows / 4 * 4 : kTileRows / 2 * 2;
  const int64_t blocks = C / kLanes<float>, block = rows * kPatchPitch<1>;
  for (int64_t k = 0; k < 16; ++k, u += C * NV * kLanes<float>) {
    const float* a = v + k * kLanes<float>;
    float* to = m + k * NV * kLanes<float>;
    int64_t i = 0;
    for (; i + MR <= rows; i += MR, a += MR * kPatchPitch<1>, to += MR * kPatchPitch<NV>)
      position_tile<MR, NV>(a, block, blocks, u, to);
    for (; i + 4 <= rows; i += 4, a += 4 * kPatchPitch<1>, to += 4 * kPatchPitch<NV>)
      position_tile<4, NV>(a, block, blocks, u, to);
    if (i < rows) position_tile<2, NV>(a, block, blocks, u, to);
  }
}

/// (a, b, c) -> G (a, b, c): a line of three weights as four.
inline void weight_line(f32v a, f32v b, f32v c, f32v* out) {
  const f32v half = splat<f32v>(0.5), even = (a + c) * half, odd = b * half;
  out[0] = a, out[1] = even + odd, out[2] = even - odd, out[3] = c;
}

/// U of panel q, [position][c][width]. `plain` has room for the panel's weights.
inline void panel_weights(const ConvArgs<float>& g, const Panels<float>& panels, int64_t q, float* plain, float* to) {
  constexpr int64_t L = kLanes<float>;
  const int64_t width = panels.width(q), pitch = g.C * width;
  const float* taps[9];
  int64_t row = width;
  for (int64_t t = 0; t < 9; ++t) {
    taps[t] = g.w + t / 3 * g.w_tap[1] + t % 3 * g.w_tap[2] + panels.first(q) * g.w_f;
    if (g.w_f == 1) {
      row = g.w_c;
    } else {
      pack_panel(plain + t * pitch, width, taps[t], g.w_c, g.w_f, g.C, panels.size(q));
      taps[t] = plain + t * pitch;
    }
  }
  for (int64_t c = 0; c < g.C; ++c)
    for (int64_t f = 0; f < width; f += L, to += L) {
      const int64_t at = c * row + f;
      f32v rows[4][3], line[4];
#pragma GCC unroll 3
      for (int j = 0; j < 3; ++j) {
        weight_line(load(taps[j] + at), load(taps[3 + j] + at), load(taps[6 + j] + at), line);
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) rows[k][j] = line[k];
      }
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k) {
        weight_line(rows[k][0], rows[k][1], rows[k][2], line);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) store(to + (4 * k + j) * pitch, line[j]);
      }
    }
}
inline int64_t plain_elements(const ConvArgs<float>& g) { return g.w_f == 1 ? 0 : 9 * g.C * 2 * kLanes<float>; }

/// The lines of a patch as four sums along its columns: t[.][j] = B' (d0, d1, d2, d3).
FASTNN_INLINE void patch_column(f32v (&t)[4][4], int j, f32v d0, f32v d1, f32v d2, f32v d3) {
  t[0][j] = d0 - d2, t[1][j] = d1 + d2, t[2][j] = d2 - d1, t[3][j] = d1 - d3;
}
FASTNN_INLINE void store_patch(const f32v (&t)[4][4], float* v) {
  constexpr int64_t L = kLanes<float>;
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    store(v + 4 * k * L, t[k][0] - t[k][2]);
    store(v + (4 * k + 1) * L, t[k][1] + t[k][2]);
    store(v + (4 * k + 2) * L, t[k][2] - t[k][1]);
    store(v + (4 * k + 3) * L, t[k][1] - t[k][3]);
  }
}

/// One patch of the lines r (at their first column), columns `col` elements apart; `block` elements of V from one
/// vector of channels to the next.
FASTNN_INLINE void patch_in(const float* r0, const float* r1, const float* r2, const float* r3, int64_t col, int64_t C,
                            float* v, int64_t block) {
  constexpr int64_t L = kLanes<float>;
  for (int64_t c = 0; c < C; c += L, v += block, r0 += L, r1 += L, r2 += L, r3 += L) {
    f32v t[4][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      patch_column(t, j, load(r0 + j * col), load(r1 + j * col), load(r2 + j * col), load(r3 + j * col));
    store_patch(t, v);
  }
}

/// The same at the edges: columns that are not there are zeros.
inline void edge_patch_in(const float* const* r, const bool* there, int64_t col, int64_t C, float* v, int64_t block) {
  constexpr int64_t L = kLanes<float>;
  for (int64_t c = 0; c < C; c += L, v += block) {
    f32v t[4][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      f32v d[4] = {};
      if (there[j])
        for (int i = 0; i < 4; ++i) d[i] = load(r[i] + j * col + c);
      patch_column(t, j, d[0], d[1], d[2], d[3]);
    }
    store_patch(t, v);
  }
}

/// Elements of a line of zeros that patch_in may read in place of one outside of x.
inline int64_t zero_line(const ConvArgs<float>& g) { return (3 * g.dilation[2] + 1) * g.C; }

/// V of patches [first, last); there are `rows` of them in it.
inline void patches_in(const ConvArgs<float>& g, int64_t first, int64_t last, float* v, int64_t rows,
                       const float* zeros) {
  constexpr int64_t pitch = kPatchPitch<1>;
  const int64_t block = rows * pitch;
  const int64_t C = g.C, height = g.in[1], width = g.in[2], dh = g.dilation[1], dw = g.dilation[2];
  const int64_t up = g.pad[1], left = g.pad[2], col = dw * C, out = g.out[2];
  const float* const x = g.x;
  const int64_t next = 2 * dh * width * C;  // to the lines that the patches below these add
  each_line(g, first, last, [&](int64_t p, int64_t n, int64_t h, int64_t b0, int64_t b1) {
    const float* line[4];
    int64_t step[4];  // elements from a column to the next; none in a line of zeros
    for (int i = 0; i < 4; ++i) {
      const int64_t row = h - up + i * dh;
      const bool within = row >= 0 && row < height;
      line[i] = within ? x + (n * height + row) * width * C : zeros;
      step[i] = within ? C : 0;
    }
    float* to = v + p * pitch;
    for (int64_t b = b0; b < b1; ++b, to += pitch) {
      const int64_t w = pair_start(b, out, dw) - left;
      const float* r[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) r[i] = line[i] + w * step[i];
      // Lines are short and four are read at a time: the processor's own prefetching comes too late for most of one.
      for (int64_t c = 0; c < 2 * C; c += 16) __builtin_prefetch(r[2] + next + c), __builtin_prefetch(r[3] + next + c);
      if (w >= 0 && w + 3 * dw < width) {
        patch_in(r[0], r[1], r[2], r[3], col, C, to, block);
      } else {
        bool there[4];
        for (int j = 0; j < 4; ++j) there[j] = w + j * dw >= 0 && w + j * dw < width;
        edge_patch_in(r, there, col, C, to, block);
      }
    }
  });
}

/// Four pixels of y (those past the edge are left out) from the sums of one patch, [position][NV vectors].
template <int NV>
FASTNN_INLINE void patch_out(const float* m, const float* bias, Activation act, float* y, int64_t row, int64_t col,
                             bool two_rows, bool two_cols) {
  constexpr int64_t L = kLanes<float>, W = NV * L;
#pragma GCC unroll 2
  for (int64_t f = 0; f < W; f += L) {
    f32v t[2][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const f32v m0 = load(m + j * W + f), m1 = load(m + (4 + j) * W + f), m2 = load(m + (8 + j) * W + f),
                 m3 = load(m + (12 + j) * W + f);
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
      if (i == 1 && !two_rows) continue;
      store(y + i * row + f, even);
      if (two_cols) store(y + i * row + col + f, odd);
    }
  }
}

/// The pixels of patches [first, last), columns [column, column + NV L), from their sums.
template <int NV>
inline void patches_out(const ConvArgs<float>& g, int64_t first, int64_t last, int64_t column, const float* m) {
  const int64_t dh = g.dilation[1], dw = g.dilation[2], height = g.out[1], width = g.out[2];
  const int64_t row = dh * g.y_at[1], col = dw * g.y_at[2], y_col = g.y_at[2], pitch = kPatchPitch<NV>;
  const float* const bias = g.bias ? g.bias + column : nullptr;
  const Activation act = g.act;
  each_line(g, first, last, [&](int64_t p, int64_t n, int64_t h, int64_t b0, int64_t b1) {
    float* const y = g.y + column + n * g.y_image + h * g.y_at[1];
    const float* from = m + p * pitch;
    for (int64_t b = b0; b < b1; ++b, from += pitch) {
      const int64_t w = pair_start(b, width, dw);
      patch_out<NV>(from, bias, act, y + w * y_col, row, col, h + dh < height, w + dw < width);
    }
  });
}

/// Panel q of patches [first, last), from their V and the panel's U; m: room for the sums.
inline void panel_out(const ConvArgs<float>& g, const Panels<float>& panels, int64_t q, const float* u, const float* v,
                      int64_t first, int64_t last, float* m) {
  const int64_t rows = even_rows(last - first);
  if (panels.width(q) == kLanes<float>) {
    panel_sums<1>(v, rows, g.C, u, m);
    patches_out<1>(g, first, last, panels.first(q), m);
  } else {
    panel_sums<2>(v, rows, g.C, u, m);
    patches_out<2>(g, first, last, panels.first(q), m);
  }
}

/// Patches [first, last) of y; `weights` are all panels of U.
inline void winograd_patches(const ConvArgs<float>& g, const float* weights, int64_t first, int64_t last) {
  const Panels<float> panels(g.F);
  const int64_t rows = even_rows(last - first), in = patch_elements(rows, g.C), out = rows * kPatchPitch<2>;
  Arena arena{static_cast<char*>(thread_scratch(
      ThreadScratch::local,
      Arena::bytes(in, sizeof(float)) + Arena::bytes(out, sizeof(float)) + Arena::bytes(zero_line(g), sizeof(float))))};
  float* const v = arena.take<float>(in);
  float* const m = arena.take<float>(out);
  float* const zeros = arena.take<float>(zero_line(g));
  __builtin_memset(zeros, 0, static_cast<size_t>(zero_line(g)) * sizeof(float));
  patches_in(g, first, last, v, rows, zeros);
  for (int64_t q = 0; q < panels.count; ++q)
    panel_out(g, panels, q, weights + 16 * g.C * panels.first(q), v, first, last, m);
}

/// Few patches: the weights are what there is most of. Each panel of them is used while it is in the second-level
/// cache, instead of all being written down first; V of all patches goes into `scratch`.
inline void winograd_few(const ConvArgs<float>& g, int64_t patches, float* scratch, bool fork) {
  const Panels<float> panels(g.F);
  const int64_t rows = even_rows(patches);
  tasks(fork, ceil_div(patches, kTileRows), [&](int64_t t) {
    float* const zeros =
        static_cast<float*>(thread_scratch(ThreadScratch::local, zero_line(g) * int64_t(sizeof(float))));
    __builtin_memset(zeros, 0, static_cast<size_t>(zero_line(g)) * sizeof(float));
    const int64_t first = t * kTileRows;
    patches_in(g, first, min64(first + kTileRows, patches), scratch + first * kPatchPitch<1>, rows, zeros);
  });
  tasks(fork, panels.count, [&](int64_t q) {
    const int64_t u_size = 16 * g.C * panels.width(q), out = rows * kPatchPitch<2>;
    Arena arena{static_cast<char*>(thread_scratch(ThreadScratch::local, Arena::bytes(plain_elements(g), sizeof(float)) +
                                                                            Arena::bytes(u_size, sizeof(float)) +
                                                                            Arena::bytes(out, sizeof(float))))};
    float* const plain = arena.take<float>(plain_elements(g));
    float* const u = arena.take<float>(u_size);
    panel_weights(g, panels, q, plain, u);
    panel_out(g, panels, q, u, scratch, 0, patches, arena.take<float>(out));
  });
}

inline void winograd_forward(const ConvArgs<float>& g, float* weights) {
  const int64_t patches = conv_winograd_patches(g);
  if (patches == 0) return;
  const bool fork = num_threads() > 1;
  // Patches do not meet, so which way they go and how many a task has decides no bits.
  if (patches <= 128 && patch_elements(patches, g.C) <= 16 * g.C * g.F) return winograd_few(g, patches, weights, fork);
  const Panels<float> panels(g.F);
  tasks(fork, panels.count, [&](int64_t q) {
    float* const plain =
        static_cast<float*>(thread_scratch(ThreadScratch::local, plain_elements(g) * int64_t(sizeof(float))));
    panel_weights(g, panels, q, plain, weights + 16 * g.C * panels.first(q));
  });
  const int64_t tile = g.F > kLanes<float> ? kTileRows : kTallRows;
  int64_t each = kPatchBytes / (16 * g.C * int64_t(sizeof(float))) / tile * tile;
  each = max64(each, 4 * kTileRows);
  if (fork) each = min64(each, round_up(ceil_div(patches, 4 * num_threads()), tile));
  tasks(fork, ceil_div(patches, each),
        [&](int64_t t) { winograd_patches(g, weights, t * each, min64((t + 1) * each, patches)); });
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
