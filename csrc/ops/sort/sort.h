#pragma once
// Order along one axis. Sorting is stable in both directions (the lower index first among equals), NaN is larger than
// every number, -0 equals +0. dx gets dy at the indices.
//
// An element becomes an unsigned key of the same order; short lines are sorted by insertion, long ones by radix.

#include <utility>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

/// (values, int64 indices), smallest first, or largest where `descending`.
std::pair<Tensor, Tensor> sort(const Tensor& x, int64_t axis, bool descending);
Tensor argsort(const Tensor& x, int64_t axis, bool descending);
/// The k largest (smallest) of every line, in order.
std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int64_t axis, bool largest);
/// The k-th smallest, k from 1.
std::pair<Tensor, Tensor> kthvalue(const Tensor& x, int64_t k, int64_t axis, bool keepdim);
/// The lower middle, NaN where there is one.
std::pair<Tensor, Tensor> median(const Tensor& x, int64_t axis, bool keepdim);
/// Of all elements.
Tensor median(const Tensor& x);

// Lines up to this length are sorted on the stack; longer ones use scratch, for at most kSortTasks lines at a time.
constexpr int64_t kSortShort = 512;
constexpr int64_t kSortTasks = 16;
/// Bytes of scratch for an element of a line (two buffers of key and index).
constexpr int64_t kSortBytes = 32;

/// The first k of every sorted line of x, row-major [outer, n, inner]; value may be null. With `pick` >= 0 only that
/// place of each line is written (k = 1), or the first NaN where `nan_wins` and there is one.
FASTNN_KERNEL(sort_lines, int type, bool descending, void* value, int64_t* index, const void* x, int64_t outer,
              int64_t n, int64_t inner, int64_t k, int64_t pick, bool nan_wins, void* scratch)
/// dx[o, index[o, j, i], i] = dy[o, j, i] for j < k; the rest of dx, row-major [outer, n, inner], is 0.
FASTNN_KERNEL(sort_place, int type, void* dx, const void* dy, const int64_t* index, int64_t outer, int64_t k, int64_t n,
              int64_t inner)

}  // namespace fastnn
