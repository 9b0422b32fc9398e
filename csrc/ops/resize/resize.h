#pragma once
// Resizing of channels-last tensors [N, L, C], [N, H, W, C] or [N, D, H, W, C], every axis on its own. Output cell o
// reads at the source position s(o), with `scale` input cells an output cell:
//   nearest        s = floor(o scale)                     nearest-exact  s = floor((o + 1/2) scale)
//   linear         s = (o + 1/2) scale - 1/2, at least 0; with align_corners s = o scale, scale = (in - 1) / (out - 1):
//                  a share s - floor(s) of the cell above and the rest of the cell below
//   bicubic        the positions of linear, not held at 0, sixteen cells (ops/warp); two axes only
//   area           the mean of an adaptive window (ops/pool)
// dx: each dy, divided into the same shares. scale is in / out, or 1 / scale_factor where that was given.
//
// Shares and cells of an axis are computed once into a table. Backward takes a row of dx at a time and adds what the
// rows of dy that read it send, in their order, so sums do not depend on threads.

#include <optional>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

/// Either `size` (empty: absent) or `scale_factor` (empty: absent), one number or one an axis. mode: nearest,
/// nearest-exact, area, or linear, bilinear (also bicubic), trilinear for 1, 2, 3 axes.
Tensor interpolate(const Tensor& x, const Dims& size, const std::vector<double>& scale_factor, const std::string& mode,
                   std::optional<bool> align_corners, bool recompute_scale_factor);

enum class ResizeMode : int { nearest, nearest_exact, linear };

struct ResizeAxis {
  int64_t in = 1, out = 1;
  double scale = 1;  // input cells an output cell
};
/// Depth, height, width: axes that the tensor does not have are of size 1.
struct ResizeGeometry {
  int64_t batch = 1, channels = 1;
  ResizeMode mode = ResizeMode::nearest;
  bool align_corners = false;
  ResizeAxis axis[3];
};

/// The cells that an output cell reads, and their shares.
struct ResizeTap {
  int64_t low, high;
  double low_share, high_share;
};
/// The output cells [first, last] that read an input cell.
struct ResizeReach {
  int64_t first, last;
};
/// Bytes of the tables of all axes.
inline int64_t resize_tables(const ResizeGeometry& g) {
  int64_t bytes = 0;
  for (const ResizeAxis& a : g.axis)
    bytes =
        checked_add(bytes, checked_add(checked_mul(a.out, sizeof(ResizeTap)), checked_mul(a.in, sizeof(ResizeReach))));
  return bytes;
}

/// matrix [images, 2, 3]: from cells of the result to cells of x, a scale and a shift along both axes.
FASTNN_KERNEL(resize_maps, double* matrix, int64_t images, double sx, double tx, double sy, double ty)
FASTNN_KERNEL(resize_forward, int type, void* y, const void* x, void* tables, const ResizeGeometry& g)
FASTNN_KERNEL(resize_backward, int type, void* dx, const void* dy, void* tables, const ResizeGeometry& g)

}  // namespace fastnn
