#pragma once
// Tensors joined along an axis and cut apart again. The gradient of a join is the cut, that of a cut the join.

#include <vector>

#include "core/tensor.h"

namespace fastnn {

/// The tensors one after the other along `dim`; the other sizes must agree. dtypes are promoted. 1-d tensors without
/// elements are skipped, as in PyTorch.
Tensor cat(const std::vector<Tensor>& tensors, int64_t dim, const char* op = "cat");
/// The tensors along a new axis.
Tensor stack(const std::vector<Tensor>& tensors, int64_t dim);
/// Views of the given sizes along `dim`, which add up to its size.
std::vector<Tensor> split(const Tensor& x, const Dims& sizes, int64_t dim);
/// Views of `size` (the last one may be smaller).
std::vector<Tensor> split(const Tensor& x, int64_t size, int64_t dim);
/// At most `chunks` views of equal size (the last one may be smaller).
std::vector<Tensor> chunk(const Tensor& x, int64_t chunks, int64_t dim);
/// A view of every slice along `dim`, without that axis.
std::vector<Tensor> unbind(const Tensor& x, int64_t dim);

}  // namespace fastnn
