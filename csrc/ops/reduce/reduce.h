#pragma once
// Reductions over any axes: y[kept] = fold of x over `axes`. An empty list of axes means all of them. The tree of a
// fold is fixed by the number of reduced elements (reduce_loop.h), so results have the same bits on any number of
// threads, and a row alone has those of the row in a batch. float32 is folded in blocks and blocks are added in double.
//
//   op          y                                   dx
//   sum         sum x                               dy
//   mean        sum x / n                           dy / n
//   var         sum (x - mean)^2 / (n - c)          dy 2 (x - mean) / (n - c)
//   std         sqrt(var)                           dy (x - mean) / (y (n - c)), 0 where y = 0
//   amax, amin  largest, smallest                   dy / ties where x = y
//   max, min    the same along one axis + index     dy at the index
//   prod        product                             dy * product of the other elements
//   logsumexp   log sum exp x                       dy exp(x - y)
//   norm p      (sum |x|^p)^(1/p)                   dy sign(x) |x|^(p-1) / y^(p-1), 0 where y = 0

#include <optional>
#include <utility>

#include "core/tensor.h"

namespace fastnn {

/// y = sum of x over `axes` (empty: all). Integers and bools give int64.
Tensor sum(const Tensor& x, const Dims& axes, bool keepdim);
/// x summed over the axes along which `shape` was broadcast to x's shape; x itself when the shapes are equal. No
/// history.
Tensor sum_to(const Tensor& x, const Dims& shape);

/// NaN for no elements.
Tensor mean(const Tensor& x, const Dims& axes, bool keepdim);
/// NaN where n - correction is not positive (infinite where the squares are not 0).
Tensor var(const Tensor& x, const Dims& axes, double correction, bool keepdim);
Tensor stddev(const Tensor& x, const Dims& axes, double correction, bool keepdim);
std::pair<Tensor, Tensor> var_mean(const Tensor& x, const Dims& axes, double correction, bool keepdim);
/// Sum of the elements that are not NaN.
Tensor nansum(const Tensor& x, const Dims& axes, bool keepdim);
/// Integers and bools give int64.
Tensor prod(const Tensor& x, const Dims& axes, bool keepdim);
Tensor logsumexp(const Tensor& x, const Dims& axes, bool keepdim);
/// p: 0 counts the elements that are not 0, +-inf is the largest or smallest magnitude.
Tensor norm(const Tensor& x, double p, const Dims& axes, bool keepdim);

/// NaN where any element is NaN; ValueError when there is nothing to compare.
Tensor amax(const Tensor& x, const Dims& axes, bool keepdim);
Tensor amin(const Tensor& x, const Dims& axes, bool keepdim);
/// (values, int64 indices) along one axis, the first place among equals.
std::pair<Tensor, Tensor> max(const Tensor& x, int64_t axis, bool keepdim);
std::pair<Tensor, Tensor> min(const Tensor& x, int64_t axis, bool keepdim);
/// First index of the largest (smallest), of the flattened x without an axis.
Tensor argmax(const Tensor& x, std::optional<int64_t> axis, bool keepdim);
Tensor argmin(const Tensor& x, std::optional<int64_t> axis, bool keepdim);

/// bool: x != 0 somewhere, everywhere; int64: how often.
Tensor any(const Tensor& x, const Dims& axes, bool keepdim);
Tensor all(const Tensor& x, const Dims& axes, bool keepdim);
Tensor count_nonzero(const Tensor& x, const Dims& axes);

}  // namespace fastnn
