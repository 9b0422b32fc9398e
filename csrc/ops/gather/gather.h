#pragma once
// Elements picked along one axis by an index tensor, and their inverse. With i = index[p.., j, q..]:
//   gather       y[p, j, q] = x[p, i, q]                    dx = scatter_add(zeros, index, dy)
//   scatter      y = x; y[p, i, q] = src[p, j, q], in the order of j       dx = dy where not written, dsrc = dy[p, i,
//   q] where src stayed scatter_add  y = x; y[p, i, q] += src[p, j, q], in the order of j      dx = dy, dsrc =
//   gather(dy, index)
// Negative indices count from the end. All indices are checked before anything is written.

#include <optional>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index);
/// `add`: scatter_add. `inplace`: written into the memory of x, which is returned.
Tensor scatter(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& src, bool add, bool inplace);
/// gather with index and x broadcast along the other axes; both flattened where `dim` is absent.
Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int64_t> dim);
/// The slices of x along `dim` that a 1-d index names.
Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index);
/// x with alpha * source[j] added to slice index[j] along `dim`, in the order of j.
Tensor index_add(const Tensor& x, int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha, bool inplace);
/// Elements of the flattened x, in the shape of index.
Tensor take(const Tensor& x, const Tensor& index);
/// The elements where mask is true, in row-major order; x and mask broadcast.
Tensor masked_select(const Tensor& x, const Tensor& mask);
/// y = value (0-d) where mask, else x; both broadcast. dx = 0 where mask, else dy; dvalue = sum of dy where mask.
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value);
/// Coordinates of the elements that are not zero: [count, rank] of int64.
Tensor nonzero(const Tensor& x);
/// y[.., c] = 1 where c == x[..], else 0. num_classes -1: one more than the largest.
Tensor one_hot(const Tensor& x, int64_t num_classes, DType dtype);
/// The part of each matrix (last two axes) on and below (tril) or on and above (triu) a diagonal, zeros elsewhere.
Tensor tril(const Tensor& x, int64_t diagonal);
Tensor triu(const Tensor& x, int64_t diagonal);

/// Sizes of the index [before, n, after] and element strides of two tensors read in that order: `a` is addressed by the
/// index along the axis (stride a_axis, size), `b` by the position (stride b_axis). Group 0: axes before, group 1: axes
/// after.
struct GatherLoop {
  int64_t n, size, a_axis, b_axis;
  int32_t rank[2];
  int64_t shape[2][kMaxRank], a[2][kMaxRank], b[2][kMaxRank];
};
FASTNN_KERNEL(gather_along, void* b, const void* a, const int64_t* index, int64_t itemsize, const GatherLoop& loop)
FASTNN_KERNEL(scatter_along, void* a, const void* b, const int64_t* index, int64_t itemsize, const GatherLoop& loop)
FASTNN_KERNEL(scatter_add_along, void* a, const void* b, const int64_t* index, int type, const GatherLoop& loop)
// owner[a] = flat position of the last index that names it; then b = a where the index is that position, else 0.
FASTNN_KERNEL(scatter_owner, int64_t* owner, const int64_t* index, const GatherLoop& loop)
FASTNN_KERNEL(gather_owned, void* b, const void* a, const int64_t* owner, const int64_t* index, int64_t itemsize,
              const GatherLoop& loop)
// y = value where mask == wanted, n elements in order.
FASTNN_KERNEL(fill_where, void* y, const uint8_t* mask, const void* value, int64_t itemsize, int64_t n, bool wanted)
FASTNN_KERNEL(one_hot_fill, void* y, int type, const int64_t* index, int64_t n, int64_t classes)
// Row r of each matrix keeps columns [0, r + diagonal] (lower) or [r + diagonal, cols).
FASTNN_KERNEL(triangle, void* y, const void* x, int64_t itemsize, int64_t batch, int64_t rows, int64_t cols,
              int64_t diagonal, bool upper)

}  // namespace fastnn
