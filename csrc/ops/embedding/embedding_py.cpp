#include "ops/embedding/embedding.h"
#include "python/bind.h"

namespace fastnn {
namespace {

/// padding_idx as PyTorch has it: negative ones count from the end.
int64_t padding_row(const char* op, const std::optional<int64_t>& padding_idx, const Tensor& weight) {
  if (!padding_idx) return -1;
  const int64_t v = weight.dim() > 0 ? weight.shape()[0] : 0;
  if (*padding_idx < -v || *padding_idx >= v)
    throw ValueError(str(op, ": padding_idx must be a row of weight ", weight.shape(), ", got ", *padding_idx));
  return *padding_idx < 0 ? *padding_idx + v : *padding_idx;
}

}  // namespace

void bind_embedding(Binder& b) {
  b.function(
      "embedding",
      [](const Tensor& x, const Tensor& weight, std::optional<int64_t> padding_idx, std::optional<double> max_norm,
         double norm_type) {
        const int64_t padding = padding_row("embedding", padding_idx, weight);
        if (max_norm) embedding_renorm_(weight, x, *max_norm, norm_type);
        return embedding(x, weight, padding);
      },
      "x"_a, "weight"_a, "padding_idx"_a = py::none(), "max_norm"_a = py::none(), "norm_type"_a = 2.0,
      R"(Rows of a table by number: y[..., :] = weight[x[...]].

The gradient is dense; every row is summed in the order of the ids, so it has the same bits on any number of threads.

Parameters
----------
x : Tensor of integers, any shape
    Ids in [0, V); IndexError otherwise, before anything is read.
weight : Tensor [V, D]
    float32 or float64.
padding_idx : int, optional
    A row that gets no gradient; negative: from the end.
max_norm : float, optional
    Rows used whose norm is larger are scaled down to it first, in place.
norm_type : float, default 2
    The p of that norm.

Returns
-------
Tensor [*x.shape, D])");
  b.function(
      "embedding_bag",
      [](const Tensor& x, const Tensor& weight, const std::optional<Tensor>& offsets, const std::string& mode,
         const std::optional<Tensor>& per_sample_weights, bool include_last_offset, std::optional<int64_t> padding_idx,
         std::optional<double> max_norm, double norm_type) {
        const int64_t padding = padding_row("embedding_bag", padding_idx, weight);
        const BagMode how =
            mode == "sum"    ? BagMode::sum
            : mode == "mean" ? BagMode::mean
            : mode == "max"
                ? BagMode::max
                : throw ValueError(str("embedding_bag: mode must be 'sum', 'mean' or 'max', got '", mode, "'"));
        if (max_norm) embedding_renorm_(weight, x, *max_norm, norm_type);
        return embedding_bag(x, weight, offsets ? *offsets : Tensor(), how,
                             per_sample_weights ? *per_sample_weights : Tensor(), include_last_offset, padding);
      },
      "x"_a, "weight"_a, "offsets"_a = py::none(), "mode"_a = "mean", "per_sample_weights"_a = py::none(),
      "include_last_offset"_a = false, "padding_idx"_a = py::none(), "max_norm"_a = py::none(), "norm_type"_a = 2.0,
      R"(Sums, means or maxima over bags of rows of a table, without the rows in between.

Parameters
----------
x : Tensor of integers [B, L] or [n]
    Ids in [0, V); each row is a bag, or `offsets` says where the bags start.
weight : Tensor [V, D]
    float32 or float64.
offsets : Tensor of integers [B], optional
    With one axis only: the first is 0, none is smaller than the one before, none exceeds n.
mode : str, default "mean"
    "sum", "mean" or "max".
per_sample_weights : Tensor of x's shape, optional
    A factor for every id; "sum" only.
include_last_offset : bool, default False
    offsets is [B + 1], the last being n.
padding_idx : int, optional
    Left out of the bags; its row gets no gradient. Negative: from the end.
max_norm, norm_type : float, optional
    As in embedding.

Returns
-------
Tensor [B, D]
    An empty bag is 0.)");
}

}  // namespace fastnn
