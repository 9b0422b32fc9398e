#pragma once
// affine_warp: images [N, H, W, C] seen through an affine map. Cell (i, j) of the output reads its image n at
//
//   (u, v) = M_n (j, i, 1)        column u and row v, in cells; the centre of cell (0, 0) is (0, 0)
//
//   nearest    the cell around (u, v)
//   bilinear   four cells with the shares of the distance
//   bicubic    sixteen cells with Keys' weights, a = -3/4 (as PyTorch and OpenCV)
//
// Cells outside the image: constant reads `fill`, edge the cell at the border, reflect mirrors at the border's centre,
// symmetric at its outer edge. A cell with the weight 0 is not read. A position that is not finite reads `fill`.
// dx: each dy, divided into the same shares. Positions are doubles in every dtype; uint8 is rounded to nearest.

#include <string>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

/// x: uint8, float32 or float64. matrix: float64 [N, 2, 3], not differentiated. height, width: of the output.
Tensor affine_warp(const Tensor& x, const Tensor& matrix, int64_t height, int64_t width, const std::string& mode,
                   const std::string& border, double fill);

enum class WarpBorder : int { constant, edge, reflect, symmetric };

struct WarpGeometry {
  int64_t images, height, width, channels, out_height, out_width;
  int taps;  // cells an axis: 1 nearest, 2 bilinear, 4 bicubic
  WarpBorder border;
  double fill;
};
FASTNN_KERNEL(warp_forward, int type, void* y, const void* x, const double* matrix, const WarpGeometry& g)
FASTNN_KERNEL(warp_backward, int type, void* dx, const void* dy, const double* matrix, const WarpGeometry& g)

}  // namespace fastnn
