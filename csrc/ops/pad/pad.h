#pragma once
// Tensors extended, repeated and rearranged: every element of the result is a copy of one of x (or a constant). dx adds
// up the dy of its copies.

#include <optional>
#include <string>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

/// `pad` holds (before, after) pairs, from the last axis on; negative ones crop. mode: constant, reflect (without the
/// edge), replicate (the edge) or circular.
Tensor pad(const Tensor& x, const Dims& pad, const std::string& mode, Scalar value);
Tensor flip(const Tensor& x, const Dims& dims);
/// Moved by `shifts` along `dims` (the flattened tensor where dims is absent); what leaves at the end enters at the
/// start.
Tensor roll(const Tensor& x, const Dims& shifts, const std::optional<Dims>& dims);
/// The whole tensor repeated sizes[i] times along axis i; more sizes than axes add axes in front.
Tensor repeat(const Tensor& x, const Dims& sizes, const char* op = "repeat");
/// Every element repeated along `dim` (of the flattened tensor where absent): the same number of times, or repeats[i]
/// times.
Tensor repeat_interleave(const Tensor& x, int64_t repeats, std::optional<int64_t> dim);
Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, std::optional<int64_t> dim);
/// A view with the windows of `size` at every `step` along `dim` as a new last axis.
Tensor unfold(const Tensor& x, int64_t dim, int64_t size, int64_t step);
/// A matrix with the vectors in the last axis of x on a diagonal of the axes dim1 and dim2 of the result, zeros
/// elsewhere.
Tensor diag_embed(const Tensor& x, int64_t offset, int64_t dim1, int64_t dim2);

enum class PadBorder : int { reflect, replicate, circular };
/// out[k]: the element of an axis of n that stands at k - before.
FASTNN_KERNEL(pad_positions, int64_t* out, int64_t n, int64_t before, int64_t total, PadBorder border)

}  // namespace fastnn
