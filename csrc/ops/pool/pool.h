#pragma once
// Pooling over windows of channels-last tensors: x is [N, L, C], [N, H, W, C] or [N, D, H, W, C] (or one example
// without N), every channel on its own. Along an axis, window o covers the cells o * stride - pad + k * dilation, k <
// kernel, that lie inside x.
//   max      y[o] = max x over the window; NaN wins     dx[i] = sum of dy[o] over the windows whose maximum i is
//   average  y[o] = sum x over the window / divisor     dx[i] = sum of dy[o] / divisor over the windows with i in them
//   unpool   y = 0, y[index[o]] = x[o]                  dx[o] = dy[index[o]]
//
// Output sizes are PyTorch's: floor((in + pads - dilation (kernel - 1) - 1) / stride) + 1, with ceil_mode ceil, but the
// last window must start inside x or its left padding. Adaptive windows are [floor(o in / out), ceil((o + 1) in /
// out)).
//
// A maximum is remembered as its cell's number in the window. Backward takes a row of dx at a time and adds to it what
// the windows over it send, in their order: each element's sum is the same on any number of threads.

#include <optional>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

/// One axis of the windows. Adaptive windows have no stride; `kernel` is then the largest number of their cells.
struct PoolAxis {
  int64_t in = 1, out = 1, kernel = 1, stride = 1, pad = 0, pad_end = 0, dilation = 1;
};
/// Depth, height, width: axes that the tensor does not have are of size 1.
struct PoolGeometry {
  int64_t batch = 1, channels = 1;
  bool adaptive = false;
  PoolAxis axis[3];

  int64_t in_plane() const { return axis[0].in * axis[1].in * axis[2].in; }
  int64_t out_plane() const { return axis[0].out * axis[1].out * axis[2].out; }
};

/// Arguments of a pooling with a fixed window, one number or one an axis; an empty stride means the kernel's size.
struct PoolArgs {
  Dims kernel, stride, padding, dilation;
  bool same = false;  // output ceil(in / stride), padded evenly, the odd cell at the end
  bool ceil_mode = false;
};

/// `spatial`: number of axes that are pooled. Returns the values and, where asked, the place of each maximum: its
/// row-major number (int64) among the positions of its image, -1 where a window holds none.
struct MaxPooled {
  Tensor values, indices;
};
MaxPooled max_pool(const char* op, const Tensor& x, int spatial, const PoolArgs& args, bool return_indices);
Tensor avg_pool(const char* op, const Tensor& x, int spatial, const PoolArgs& args, bool count_include_pad,
                std::optional<int64_t> divisor_override);
/// output_size: one number or one an axis; -1 keeps the size of x.
MaxPooled adaptive_max_pool(const char* op, const Tensor& x, int spatial, const Dims& output_size, bool return_indices);
Tensor adaptive_avg_pool(const char* op, const Tensor& x, int spatial, const Dims& output_size);
/// indices as max_pool returns them; IndexError, before anything is written, where one is outside the output. Of
/// several values for one place the last stays. output_size: empty for (in - 1) * stride - 2 * padding + kernel.
Tensor max_unpool(const char* op, const Tensor& x, const Tensor& indices, int spatial, const PoolArgs& args,
                  const Dims& output_size);

/// The windows of `args` (adaptive_windows: of output_size) over x, and the shape of the output.
PoolGeometry pool_windows(const char* op, const Tensor& x, int spatial, const PoolArgs& args, Dims& shape);
PoolGeometry adaptive_windows(const char* op, const Tensor& x, int spatial, const Dims& output_size, Dims& shape);
PoolGeometry unpool_windows(const char* op, const Tensor& x, int spatial, const PoolArgs& args, const Dims& output_size,
                            Dims& shape);

/// Whether the number of a cell in its window is kept in a byte, else in an int32.
inline bool byte_places(const PoolGeometry& g) { return g.axis[0].kernel * g.axis[1].kernel * g.axis[2].kernel <= 255; }
/// place: null, or where to put the number of each maximum's cell in its window (row-major; all bits set: no cell
/// inside x).
FASTNN_KERNEL(max_pool_forward, int type, void* y, void* place, const void* x, const PoolGeometry& g)
FASTNN_KERNEL(max_pool_backward, int type, void* dx, const void* dy, const void* place, const PoolGeometry& g)
/// Numbers in windows to positions in images.
FASTNN_KERNEL(max_pool_indices, int64_t* indices, const void* place, const PoolGeometry& g)
/// divisor 0: the window's own size, with the padding it covers where include_pad.
FASTNN_KERNEL(avg_pool_forward, int type, void* y, const void* x, const PoolGeometry& g, int64_t divisor,
              bool include_pad)
FASTNN_KERNEL(avg_pool_backward, int type, void* dx, const void* dy, const PoolGeometry& g, int64_t divisor,
              bool include_pad)
/// y (zeroed) and x are [batch, y_plane or x_plane, channels]; the indices were checked. gather: dx[o] = dy[index[o]].
FASTNN_KERNEL(unpool_scatter, int64_t itemsize, void* y, const void* x, const int64_t* index, int64_t batch,
              int64_t y_plane, int64_t x_plane, int64_t channels)
FASTNN_KERNEL(unpool_gather, int64_t itemsize, void* dx, const void* dy, const int64_t* index, int64_t batch,
              int64_t y_plane, int64_t x_plane, int64_t channels)

}  // namespace fastnn
