#pragma once
// Indexing with integer tensors: y[p.., b.., q..] = x[p.., i_1[b], .., i_k[b], q..], where the index tensors i_j are
// broadcast to one shape b. The block b stands where the indexed axes stood when they are neighbours, else in front.
//   read:   dx = zeros; dx[i[b]] += dy[b], added in the order of b, so that the sum does not depend on threads
//   write:  x[i[b]] = v[b], the last one wins; dx = dy with zeros where written, dv = dy[i]
// Slices, integers and None never come here: they are windows (ops/view).

#include <vector>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

/// x indexed along `axes` (ascending) by int64 tensors; negative indices count from the end, IndexError out of range.
Tensor index(const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes, const char* op = "index");
/// The shape that index() returns.
Dims index_shape(const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes);
/// A copy of x with x[indices] = value (+= where `accumulate`), value broadcast; with _ in place. Nothing is written
/// when an index is out of range.
Tensor index_put(const char* op, const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes,
                 const Tensor& value, bool accumulate);
void index_put_(const char* op, const Tensor& x, const std::vector<Tensor>& indices, const Dims& axes,
                const Tensor& value, bool accumulate);
/// x = value in place, value broadcast and converted, with history of both.
void assign(const char* op, const Tensor& x, const Tensor& value);
/// Positions of the elements that are not zero: one int64 vector per axis, in row-major order.
std::vector<Tensor> nonzero_indices(const Tensor& x);
/// A 0-d tensor of the number; OverflowError where it does not fit dtype, ValueError for a fraction in an integer
/// dtype.
Tensor number_as(const char* op, Scalar value, DType dtype);
/// `index` as a row-major int64 tensor; TypeError unless it is of an integer dtype.
Tensor as_index(const char* op, const Tensor& index);
/// IndexError naming op, axis and size unless every element of the row-major int64 tensor is in [-size, size) (in [0,
/// size) where `wrap` is false).
void check_indices(const char* op, const Tensor& index, int64_t axis, int64_t size, bool wrap = true);
/// The same before a gradient is written through indices that were checked in the forward pass: on the CPU they may
/// share memory with an array that was changed since. Kernels of a device leave out what is out of range by themselves.
void check_indices_again(const char* op, const Tensor& index, int64_t axis, int64_t size, bool wrap = true);

/// Sizes and element strides of an indexed access: group 0 are the axes before the index block, group 1 those after it.
/// Offsets are low + step * place with a place in [0, places).
struct IndexLoop {
  int64_t n;       // positions of the index block
  int64_t y_step;  // elements of y from one position to the next
  int64_t low, step, places;
  int32_t rank[2];
  int64_t shape[2][kMaxRank], x_strides[2][kMaxRank], y_strides[2][kMaxRank];
};

/// The first index out of range among 65536.
struct BadIndex {
  int64_t found, value;  // found: 0 where there is none
};
// offsets[b] (+)= wrapped index[b] * stride, of the index 0 where it is out of range; bad[t]: of the t-th 65536.
constexpr int64_t kIndexGrain = 65536;
FASTNN_KERNEL(index_offsets, int64_t* offsets, BadIndex* bad, const int64_t* index, int64_t n, int64_t size,
              int64_t stride, bool accumulate)
FASTNN_KERNEL(index_check, BadIndex* bad, const int64_t* index, int64_t n, int64_t low, int64_t high)
FASTNN_KERNEL(index_get, void* y, const void* x, const int64_t* offsets, int64_t itemsize, const IndexLoop& loop)
FASTNN_KERNEL(index_set, void* x, const void* y, const int64_t* offsets, int64_t itemsize, const IndexLoop& loop)
FASTNN_KERNEL(index_accumulate, void* x, const void* y, const int64_t* offsets, int type, const IndexLoop& loop)
// The gradient of values written to places that later ones wrote again is zero. dv: [before, n, after bytes]; owner:
// scratch.
FASTNN_KERNEL(index_drop_overwritten, void* dv, int64_t* owner, const int64_t* offsets, int64_t n, int64_t before,
              int64_t after_bytes)
// counts[t] = elements of the t-th 65536 that are not zero; then their positions, written from out[start[t]] on.
FASTNN_KERNEL(nonzero_count, int64_t* counts, const void* x, int type, int64_t n)
FASTNN_KERNEL(nonzero_fill, int64_t* out, const int64_t* start, const void* x, int type, int64_t n)
// Row-major positions to coordinates along one axis: (position / inner) % size.
FASTNN_KERNEL(unravel_axis, int64_t* out, const int64_t* position, int64_t n, int64_t inner, int64_t size)

}  // namespace fastnn
