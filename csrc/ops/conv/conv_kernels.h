#pragma once
// The kernels of convolutions, as pointers, sizes and strides. All three kinds of passes are one sum over a window:
//
//   y[n][o][f] = act( bias[f] + sum_{t, c} x[n][o * stride + t * dilation - pad][c] * w[t][c][f] )
//
// with o, t triples (depth, height, width; axes that are not there have one element) and zeros outside of x. The
// gradient of x is such sums too, one for each residue of the position modulo the stride: dy is the input, the taps run
// backwards and c and f change places. All that is in the strides of w and y.

#include "kernels/kernel.h"
#include "ops/matmul/gemm.h"

namespace fastnn {

template <class T>
struct ConvArgs {
  int64_t N = 0, groups = 1;
  int64_t C = 0, F = 0;  // channels of x and of y in each group
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, taps[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1}, pad[3] = {0, 0, 0};  // pad may be negative (x is cropped)
  const T* x = nullptr;                                                        // dense [N, in..., groups * C]
  T* y = nullptr;  // channels contiguous; strides of the image and of the three axes
  int64_t y_image = 0, y_at[3] = {0, 0, 0};
  const T* w = nullptr;
  int64_t w_tap[3] = {0, 0, 0}, w_c = 0, w_f = 0, w_group = 0;
  const T* bias = nullptr;
  Activation act = Activation::none;
  MatmulPrecision precision = MatmulPrecision::float32;  // on a device; the CPU's convolutions are in float32

  // Always inline: a copy compiled for one instruction set must not be what the others call.
  [[gnu::always_inline]] int64_t tap_count() const { return taps[0] * taps[1] * taps[2]; }
  /// Terms of one sum (no channels: no terms, whatever the taps are).
  [[gnu::always_inline]] int64_t K() const { return C == 0 ? 0 : C * tap_count(); }
  [[gnu::always_inline]] int64_t image_pixels() const { return out[0] * out[1] * out[2]; }
  [[gnu::always_inline]] int64_t pixels() const { return N * image_pixels(); }
  [[gnu::always_inline]] int64_t in_pixels() const { return in[0] * in[1] * in[2]; }
  [[gnu::always_inline]] bool depthwise() const { return C == 1 && F == 1 && groups > 1; }
};

/// Columns of packed weights and of partial gradients: whole vectors of the widest instruction set.
template <class T>
static int64_t conv_columns(const ConvArgs<T>& g) {
  return g.depthwise() ? 1 : (g.F + 15) / 16 * 16;
}

/// Winograd's F(2x2, 3x3) (conv_winograd.h) takes the pixels of y two by two, `dilation` apart: this many pairs along
/// an axis, one residue of the position after the other.
static int64_t conv_winograd_pairs_of(int64_t out, int64_t dilation, int64_t residue) {
  return ((out - residue + dilation - 1) / dilation + 1) / 2;
}
static int64_t conv_winograd_pairs(int64_t out, int64_t dilation) {
  int64_t pairs = 0;
  for (int64_t r = 0; r < dilation && r < out; ++r) pairs += conv_winograd_pairs_of(out, dilation, r);
  return pairs;
}
template <class T>
static int64_t conv_winograd_patches(const ConvArgs<T>& g) {
  return g.N * conv_winograd_pairs(g.out[1], g.dilation[1]) * conv_winograd_pairs(g.out[2], g.dilation[2]);
}

/// Whether conv_forward takes 3x3 windows by Winograd: 16 products for four pixels instead of 36. From channels that
/// fill vectors, and images large enough to pay for the transformed weights and whose pixels mostly come in pairs, on;
/// the batch does not decide, so an image alone has the same bits.
template <class T>
static bool conv_winograds(const ConvArgs<T>& g) {
  bool fits = sizeof(T) == 4 && g.groups == 1 && g.C >= 16 && g.F >= 16 && g.C % 16 == 0 && g.F % 16 == 0;
  for (int i = 0; i < 3; ++i) fits = fits && g.taps[i] == (i == 0 ? 1 : 3) && g.stride[i] == 1 && g.dilation[i] <= 8;
  if (!fits || g.in[0] != 1 || g.out[0] != 1 || g.pad[0] != 0 || g.out[1] * g.out[2] < 36) return false;
  const int64_t pairs = conv_winograd_pairs(g.out[1], g.dilation[1]) * conv_winograd_pairs(g.out[2], g.dilation[2]);
  return pairs <= g.out[1] * g.out[2] * 2 / 5;
}

/// How many neighbouring pixels of few channels are taken as one (conv_widen.h), 1: none. As many as fit a vector of
/// the widest instruction set and divide a line.
template <class T>
static int64_t conv_widening(const ConvArgs<T>& g) {
  if (sizeof(T) != 4 || g.groups != 1 || g.F < 1 || g.F > 8 || g.K() == 0 || g.dilation[2] != 1) return 1;
  if (g.y != nullptr && g.y_at[2] != g.F) return 1;
  int64_t P = 16 / g.F;
  while (P > 1 && (g.out[2] % P != 0 || g.stride[2] > 4 * g.taps[2] / (P - 1))) --P;
  return P;
}
template <class T>
static int64_t conv_widened_taps(const ConvArgs<T>& g, int64_t P) {
  return g.taps[0] * g.taps[1] * (g.taps[2] + (P - 1) * g.stride[2]);
}

/// Elements of the planes of x and y of a band, of a few lines at least.
constexpr int64_t kPlaneBand = 64 << 10;
/// Of a line in a plane: y's width and what the taps reach over.
template <class T>
static int64_t conv_planes_pitch(const ConvArgs<T>& g) {
  return g.out[2] + (g.taps[2] - 1) * g.dilation[2];
}
/// Bands of an image.
template <class T>
static int64_t conv_planes_bands(const ConvArgs<T>& g) {
  const int64_t lines = kPlaneBand / ((g.C + g.F) * conv_planes_pitch(g));
  return (g.out[1] + lines - 1) / lines;
}
/// Whether pixels are the lanes (conv_planes.h), in the sums over windows or in the gradient of w: few channels on both
/// sides, and less work than with widened pixels.
constexpr int kConvPlanes = 6;
template <class T>
static bool conv_by_planes(const ConvArgs<T>& g, bool gradient) {
  bool fits = sizeof(T) == 4 && g.groups == 1 && g.C >= 1 && g.C <= kConvPlanes && g.F >= 1 && g.F <= kConvPlanes;
  for (int i = 0; i < 3; ++i) fits = fits && g.stride[i] == 1 && g.out[i] >= 1;
  if (!fits || g.in[0] != 1 || g.out[0] != 1 || g.taps[0] != 1 || g.pad[0] != 0) return false;
  if (g.y != nullptr && g.y_at[2] != g.F && g.out[2] > 1) return false;
  // In products of vectors for an image. Loads cross cache lines: with one plane of y two for each product, and too
  // many in the gradient of few taps. To bring channels apart and together a vector takes as long as four products;
  // widened pixels reach two thirds of their speed.
  const int64_t pitch = conv_planes_pitch(g);
  if (pitch > kPlaneBand / 4 / (g.C + g.F)) return false;  // long lines are better cut, for caches and threads
  int64_t cost = (g.out[1] * pitch + 15) / 16 * g.K() * (g.F == 1 ? 2 : g.F);
  if (gradient && g.taps[2] <= 3) cost += cost / 2;
  cost += 4 * (g.in[1] * ((g.in[2] + 15) / 16) * g.C * (g.C - 1) + g.out[1] * ((g.out[2] + 15) / 16) * g.F * (g.F - 1));
  const int64_t P = conv_widening(g);
  return cost < g.image_pixels() / P * conv_widened_taps(g, P) * g.C * 3 / 2;
}
/// Parts of the sum over images and bands in the gradient of w, by the shape alone.
template <class T>
static int64_t conv_planes_parts(const ConvArgs<T>& g) {
  const int64_t bands = conv_planes_bands(g);
  return g.N < 1 ? 1 : g.N < 16 && g.N * bands < 16 ? g.N * bands : 16;
}

/// Elements of working memory that conv_forward needs for its packed weights.
template <class T>
static int64_t conv_forward_scratch(const ConvArgs<T>& g) {
  if (conv_by_planes(g, false)) return g.K() * g.F + 16 * (g.C * g.C + g.F * g.F);
  if (conv_winograds(g)) return 16 * g.C * g.F;
  const int64_t P = conv_widening(g);
  if (P > 1) return conv_widened_taps(g, P) * g.C * (16 + P * g.F) + P * g.F;
  return g.groups * g.K() * conv_columns(g);
}

/// Whether the gradient of w goes by Winograd as well (its partial results are 16 ninths of w's size each).
template <class T>
static bool conv_winograds_gradient(const ConvArgs<T>& g) {
  return conv_winograds(g) && g.C * g.F <= 1 << 18;
}

/// The sum over pixels in the gradient of w is cut into this many parts, each with a partial result of its own: by the
/// shapes alone, more of them the smaller w is.
template <class T>
static int64_t conv_weight_parts(const ConvArgs<T>& g) {
  int64_t size = g.groups * g.K() * conv_columns(g), blocks = g.pixels() / 512, most = 1 << 20, parts = 1;
  if (conv_winograds_gradient(g)) {  // at least two, if there is something to share
    size = 16 * g.C * g.F, blocks = conv_winograd_patches(g) / 32;
    most = 2 * size > 1 << 22 ? 2 * size : 1 << 22;
  }
  while (parts < 16 && parts * 2 <= blocks && parts * 2 * size <= most) parts *= 2;
  return parts;
}

/// Elements of working memory of conv_weight_gradient: partial results of dw and of the bias gradient.
template <class T>
static int64_t conv_weight_scratch(const ConvArgs<T>& g) {
  if (conv_by_planes(g, true)) return conv_planes_parts(g) * (g.K() + 1) * g.F + 16 * (g.C * g.C + g.F * g.F);
  const int64_t P = conv_widening(g);
  if (P > 1) return (16 * 16 + P * g.F) * (conv_widened_taps(g, P) * g.C + 1);
  const int64_t rows = conv_winograds_gradient(g) ? 16 * g.C : g.K();
  return conv_weight_parts(g) * g.groups * (rows + 1) * conv_columns(g);
}

/// y as above.
FASTNN_KERNEL(conv_forward_f32, const ConvArgs<float>& args, float* scratch)
FASTNN_KERNEL(conv_forward_f64, const ConvArgs<double>& args, double* scratch)
/// dw[t][c][f] = sum over n, o of x[n][o * stride + t * dilation - pad][c] * dy[n][o][f], dw with the strides of w and
/// dy dense [N, out..., groups * F]; db[f] = sum of dy where db is not null. y, w, bias and act are not used.
FASTNN_KERNEL(conv_weight_gradient_f32, const ConvArgs<float>& args, const float* dy, float* dw, float* db,
              float* scratch)
FASTNN_KERNEL(conv_weight_gradient_f64, const ConvArgs<double>& args, const double* dy, double* dw, double* db,
              double* scratch)

/// The adjoint where x has few channels: x = act( dx of conv for dy, + bias ), x dense [N, in..., groups * C] and dy
/// dense [N, out..., groups * F]; y is not used. Scratch: conv_scatter_scratch elements. On a device that has no narrow
/// vectors to fill, the sums over windows are as good.
FASTNN_CPU_KERNEL(conv_scatter_f32, const ConvArgs<float>& args, float* x, const float* dy, float* scratch)
FASTNN_CPU_KERNEL(conv_scatter_f64, const ConvArgs<double>& args, double* x, const double* dy, double* scratch)

/// The cost of conv_scatter for a pixel of y, in vectors of products: whole windows, each line of them added to x (24),
/// or windows of one line, which takes whole vectors for each but adds less.
template <class T>
static int64_t conv_scatter_cost(const ConvArgs<T>& g, bool by_line) {
  const int64_t lines = g.taps[0] * g.taps[1];
  return by_line ? ((g.taps[2] * g.C + 15) / 16 * g.F + 4) * lines : (g.K() + 15) / 16 * g.F + 24 * lines;
}
template <class T>
static bool conv_scatters_by_line(const ConvArgs<T>& g) {
  // The buffers of a line, one for each of the windows that overlap, stay in the second-level cache.
  const int64_t overlap = (g.taps[2] + g.stride[2] - 1) / g.stride[2], apart = g.out[2] < overlap ? g.out[2] : overlap;
  const int64_t windows = (g.out[2] - 1) * g.stride[2] + g.taps[2], line = g.pad[2] + g.in[2];
  const int64_t room = (256 << 10) / static_cast<int64_t>(sizeof(T)) / (apart < 1 ? 1 : apart) / (g.C < 1 ? 1 : g.C);
  return g.groups == 1 && g.stride[1] == 1 && g.dilation[2] == 1 && g.taps[1] * g.F <= kGemmChunk && windows <= room &&
         line <= room && conv_scatter_cost(g, true) < conv_scatter_cost(g, false);
}

/// Whether conv_scatter is the better adjoint: vectors would be half empty otherwise. Not for strides of one where the
/// pixels can be widened and that costs less (in vectors of a pixel: products, and what adding up windows takes).
template <class T>
static bool conv_scatters(const ConvArgs<T>& g) {
  if (g.depthwise() || g.C * static_cast<int64_t>(sizeof(T)) > 32 || g.tap_count() <= 1 || g.C == 0 || g.F == 0 ||
      g.F > kGemmChunk)
    return false;
  ConvArgs<T> back = g;
  back.C = g.F, back.F = g.C, back.y = nullptr;
  for (int i = 0; i < 3; ++i) back.in[i] = g.out[i], back.out[i] = g.in[i];
  if (conv_by_planes(back, false)) return false;
  const int64_t P = g.stride[0] * g.stride[1] * g.stride[2] == 1 ? conv_widening(back) : 1;
  const int64_t windows = conv_scatter_cost(g, conv_scatters_by_line(g));
  return P == 1 || conv_widened_taps(back, P) * g.F / P * g.in_pixels() > windows * g.image_pixels();
}
template <class T>
static int64_t conv_scatter_scratch(const ConvArgs<T>& g) {
  if (conv_scatters_by_line(g)) return g.taps[0] * g.taps[1] * g.F * ((g.taps[2] * g.C + 15) / 16 * 16);
  return g.groups * g.F * ((g.K() + 15) / 16 * 16);
}

}  // namespace fastnn
