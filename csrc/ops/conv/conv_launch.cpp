#include "ops/conv/conv_launch.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "ops/conv/conv_kernels.h"
#include "ops/elementwise/elementwise.h"
#include "ops/matmul/product.h"
#include "ops/reduce/reduce.h"
#include "ops/view/view.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

template <class T>
ConvArgs<T> args_of(const ConvShape& s, const ConvWeights& weights, int64_t N, const T* w) {
  ConvArgs<T> g;
  g.N = N, g.groups = weights.groups, g.C = weights.C, g.F = weights.F;
  for (int a = 0; a < 3; ++a) {
    g.in[a] = s.in[a], g.out[a] = s.out[a], g.taps[a] = s.taps[a];
    g.stride[a] = s.stride[a], g.dilation[a] = s.dilation[a], g.pad[a] = s.before[a];
  }
  g.w = w, g.w_c = weights.w_c, g.w_f = weights.w_f, g.w_group = weights.w_group;
  g.precision = current_device() == kCpu ? MatmulPrecision::float32 : matmul_precision();
  g.w_tap[2] = weights.tap, g.w_tap[1] = g.w_tap[2] * s.taps[2], g.w_tap[0] = g.w_tap[1] * s.taps[1];
  return g;
}

/// Working memory of the CPU's kernels; those of a device take their own.
Tensor scratch_of(int64_t elements, DType dtype) { return empty({current_device() == kCpu ? elements : 0}, dtype); }

void forward(const ConvArgs<float>& g, DType dtype) {
  const Tensor scratch = scratch_of(conv_forward_scratch(g), dtype);
  launch(kernels::conv_forward_f32, g, scratch.data<float>());
}
void forward(const ConvArgs<double>& g, DType dtype) {
  const Tensor scratch = scratch_of(conv_forward_scratch(g), dtype);
  launch(kernels::conv_forward_f64, g, scratch.data<double>());
}

/// Positions first, first + stride, ... of one axis of x, and the taps that reach them: t = tap, tap + tap_step, ...
struct Residue {
  int64_t first, count;        // positions
  int64_t taps, last_tap;      // how many taps, and the largest of them
  int64_t tap_step, dilation;  // from one of them to the next, and how far apart they meet dy
  int64_t pad;                 // of the convolution of dy that gives these positions
};

void scatter(const ConvArgs<float>& g, const Tensor& x, const Tensor& y) {
  const Tensor scratch = empty({conv_scatter_scratch(g)}, x.dtype());
  launch(kernels::conv_scatter_f32, g, x.data<float>(), y.data<float>(), scratch.data<float>());
}
void scatter(const ConvArgs<double>& g, const Tensor& x, const Tensor& y) {
  const Tensor scratch = empty({conv_scatter_scratch(g)}, x.dtype());
  launch(kernels::conv_scatter_f64, g, x.data<double>(), y.data<double>(), scratch.data<double>());
}

/// The residues that some tap reaches. Position i of x gets tap t from o = (i + before - t * dilation) / stride, where
/// that is whole; so i + before and t * dilation have the same residue.
std::vector<Residue> residues(const ConvShape& s, int a, bool& all) {
  std::vector<Residue> found;
  const int64_t stride = s.stride[a], d = s.dilation[a], common = std::gcd(stride, d), tap_step = stride / common;
  for (int64_t t0 = 0; t0 < std::min(tap_step, s.taps[a]); ++t0) {
    // t0 is the smallest tap of its residue; the first position i >= 0 with it:
    const int64_t r = t0 * d % stride, low = (r - s.before[a]) % stride, first = low < 0 ? low + stride : low;
    if (first >= s.in[a]) continue;
    Residue x;
    x.first = first, x.count = (s.in[a] - first - 1) / stride + 1;
    x.taps = (s.taps[a] - 1 - t0) / tap_step + 1;
    x.last_tap = t0 + (x.taps - 1) * tap_step;
    x.tap_step = tap_step, x.dilation = d / common;
    // Runs backwards through the taps: the first one, last_tap, meets dy at o = (first + before - last_tap d) / stride.
    x.pad = -((first + s.before[a] - x.last_tap * d) / stride);
    found.push_back(x);
  }
  all = static_cast<int64_t>(found.size()) == std::min(stride, s.in[a]);
  return found;
}

template <class T>
void adjoint(const ConvShape& s, const ConvWeights& weights, const Tensor& x, const Tensor& y, const Tensor& w,
             const Tensor& bias, Activation act) {
  ConvArgs<T> whole = args_of<T>(s, weights, x.shape()[0], w.data<T>());
  whole.bias = bias.defined() ? bias.data<T>() : nullptr;
  whole.act = act;
  if (current_device() == kCpu && conv_scatters(whole)) return scatter(whole, x, y);
  bool all[3];
  const std::vector<Residue> of[3] = {residues(s, 0, all[0]), residues(s, 1, all[1]), residues(s, 2, all[2])};
  if (!all[0] || !all[1] || !all[2]) {  // positions that no tap reaches
    if (bias.defined())
      copy_into(x, act == Activation::relu ? relu(bias.detach()) : bias);
    else
      fill_into(x, Scalar(0));
  }
  const int64_t channels = weights.groups * weights.C;
  int64_t pitch[3] = {s.in[1] * s.in[2] * channels, s.in[2] * channels, channels};
  for (const Residue& d : of[0])
    for (const Residue& h : of[1])
      for (const Residue& v : of[2]) {
        const Residue* const at[3] = {&d, &h, &v};
        ConvArgs<T> g = whole;
        std::swap(g.C, g.F);
        std::swap(g.w_c, g.w_f);
        g.x = y.data<T>();
        g.y = x.data<T>();
        g.y_image = s.in_pixels() * channels;
        for (int a = 0; a < 3; ++a) {
          const Residue& r = *at[a];
          g.in[a] = s.out[a], g.out[a] = r.count, g.taps[a] = r.taps;
          g.stride[a] = 1, g.dilation[a] = r.dilation, g.pad[a] = r.pad;
          g.w += r.last_tap * whole.w_tap[a];
          g.w_tap[a] = r.taps > 1 ? -r.tap_step * whole.w_tap[a] : 0;
          g.y += r.first * pitch[a];
          g.y_at[a] = r.count > 1 ? s.stride[a] * pitch[a] : 0;
        }
        forward(g, x.dtype());
      }
}

Matrices matrix(const Tensor& x, int64_t rows, int64_t cols) {
  Matrices m;
  m.data = x.raw(), m.dtype = x.dtype();
  m.rows = rows, m.cols = cols, m.row_stride = cols;
  return m;
}

/// Without groups, w is [taps * C, F] (or its transpose), and each window one row of x.
bool as_product(const ConvShape& s, const ConvWeights& weights) {
  return s.product() && weights.groups == 1 && (weights.w_f == 1 || s.tap_count() == 1);
}
Matrices weight_matrix(const ConvShape& s, const ConvWeights& weights, const Tensor& w) {
  Matrices m = matrix(w, s.tap_count() * weights.C, weights.F);
  // A row is a tap and a channel; of one channel only the taps are left.
  m.row_stride = weights.C == 1 ? weights.tap : weights.w_c, m.col_stride = weights.w_f;
  return m;
}
Matrices windows_matrix(const ConvShape& s, const ConvWeights& weights, const Tensor& x) {
  return matrix(x, x.shape()[0] * s.out_pixels(), s.tap_count() * weights.C);
}
Matrices result_matrix(const ConvShape& s, const ConvWeights& weights, const Tensor& y) {
  return matrix(y, y.shape()[0] * s.out_pixels(), weights.F);
}

template <class T>
void gradient(const Kernel<void(const ConvArgs<T>&, const T*, T*, T*, T*)>& kernel, ConvArgs<T> g, const Tensor& dw,
              const Tensor& db, const Tensor& x, const Tensor& dy) {
  g.x = x.data<T>();
  const Tensor scratch = scratch_of(conv_weight_scratch(g), dw.dtype());
  launch(kernel, g, dy.data<T>(), dw.data<T>(), db.defined() ? db.data<T>() : nullptr, scratch.data<T>());
}

}  // namespace

void launch_conv(const ConvShape& s, const ConvWeights& weights, const Tensor& y, const Tensor& x, const Tensor& w,
                 const Tensor& bias, Activation act) {
  if (y.numel() == 0) return;
  if (as_product(s, weights))
    return product(result_matrix(s, weights, y), windows_matrix(s, weights, x), weight_matrix(s, weights, w),
                   bias.defined() ? bias.raw() : nullptr, act);
  const auto run = [&](auto g) {
    using T = std::remove_pointer_t<decltype(g.y)>;
    g.x = x.data<T>(), g.y = y.data<T>();
    g.y_at[2] = weights.groups * weights.F, g.y_at[1] = g.y_at[2] * s.out[2], g.y_at[0] = g.y_at[1] * s.out[1];
    g.y_image = g.y_at[0] * s.out[0];
    g.bias = bias.defined() ? bias.data<T>() : nullptr;
    g.act = act;
    forward(g, y.dtype());
  };
  if (y.dtype() == DType::float32)
    run(args_of(s, weights, x.shape()[0], static_cast<const float*>(w.data<float>())));
  else
    run(args_of(s, weights, x.shape()[0], static_cast<const double*>(w.data<double>())));
}

void launch_conv_adjoint(const ConvShape& s, const ConvWeights& weights, const Tensor& x, const Tensor& y,
                         const Tensor& w, const Tensor& bias, Activation act) {
  if (x.numel() == 0) return;
  if (as_product(s, weights) && (s.tap_count() == 1 || !bias.defined()))
    return product(windows_matrix(s, weights, x), result_matrix(s, weights, y),
                   weight_matrix(s, weights, w).transposed(), bias.defined() ? bias.raw() : nullptr, act);
  if (x.dtype() == DType::float32)
    adjoint<float>(s, weights, x, y, w, bias, act);
  else
    adjoint<double>(s, weights, x, y, w, bias, act);
}

void launch_conv_weight_gradient(const ConvShape& s, const ConvWeights& weights, const Tensor& dw, const Tensor& db,
                                 const Tensor& x, const Tensor& dy) {
  if (as_product(s, weights) && weights.w_f == 1) {
    product(weight_matrix(s, weights, dw), windows_matrix(s, weights, x).transposed(), result_matrix(s, weights, dy));
    if (db.defined()) {
      Dims axes;
      for (int64_t a = 0; a + 1 < dy.dim(); ++a) axes.push_back(a);
      copy_into(db, sum(dy, axes, false));
    }
    return;
  }
  const int64_t N = x.shape()[0];
  if (dw.dtype() == DType::float32)
    gradient(kernels::conv_weight_gradient_f32, args_of<float>(s, weights, N, nullptr), dw, db, x, dy);
  else
    gradient(kernels::conv_weight_gradient_f64, args_of<double>(s, weights, N, nullptr), dw, db, x, dy);
}

}  // namespace fastnn
