#pragma once
// Views: another window on the same memory. dx is dy seen through the inverse window.

#include <functional>

#include "core/tensor.h"

namespace fastnn {

/// The same elements in row-major order as `shape` (one size may be -1); a view where the strides allow, else a copy.
Tensor reshape(const Tensor& x, const Dims& shape);
/// As reshape, but ValueError where a copy would be needed.
Tensor view(const Tensor& x, const Dims& shape);
Tensor permute(const Tensor& x, const Dims& axes);
Tensor transpose(const Tensor& x, int64_t axis0, int64_t axis1);
/// Broadcast to `shape` without copying; -1 keeps a size.
Tensor expand(const Tensor& x, const Dims& shape);
/// Removes size-1 axes: those listed, or all where the list is empty.
Tensor squeeze(const Tensor& x, const Dims& axes);
Tensor unsqueeze(const Tensor& x, int64_t axis);
/// x[..., index, ...] along `axis`; negative counts from the end, IndexError out of range.
Tensor select(const Tensor& x, int64_t axis, int64_t index);
/// x[..., start : : step, ...] with `length` elements; step may be negative. Bounds are checked.
Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t length, int64_t step);
/// Reversed along `axes`, as a view with negative strides.
Tensor flip_view(const Tensor& x, const Dims& axes);
/// Any window that shows each element of x at most once. `change` turns x's shape, strides and offset into the
/// window's; it is also called with those of a row-major tensor of the same shape, for the gradient.
using WindowChange = std::function<void(Dims& shape, Dims& strides, int64_t& offset)>;
Tensor window(const Tensor& x, const WindowChange& change);
/// The diagonal of the two axes, appended as the last axis.
Tensor diagonal(const Tensor& x, int64_t offset, int64_t axis0, int64_t axis1);

}  // namespace fastnn
