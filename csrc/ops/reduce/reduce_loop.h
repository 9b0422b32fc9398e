#pragma once
// How a reduction walks its input: kept axes (one output each) and reduced axes, both without size-1 axes, sorted by
// input stride and joined where one continues the other. A plain struct, so that kernels can take it.

#include <cstdint>

#include "core/dims.h"

namespace fastnn {

// The tree of every reduction is fixed by the number of reduced elements alone. Along contiguous data: blocks of 4096
// elements in the vector lanes (16 KB of float stay in L1 for reducers that read twice), blocks added in double, chunks
// of 16 blocks added in double (a chunk is a task when one output is large). Down columns: 128 rows in the input's
// type, then double, chunks of 1024 rows.
constexpr int64_t kReduceBlock = 4096;
constexpr int64_t kReduceChunk = 16 * kReduceBlock;
constexpr int64_t kColumnRows = 128;
constexpr int64_t kColumnChunk = 8 * kColumnRows;
// Columns handled together: 128 rows of 512 floats (256 KB) stay in L2 for reducers that read twice.
constexpr int64_t kColumnStrip = 512;
// Elements below which a task is not worth waking a thread.
constexpr int64_t kReduceGrain = 32768;

struct ReduceLoop {
  int32_t kept_rank, red_rank;
  // Columns: the innermost kept axis has stride 1 and no reduced axis has.
  bool columns;
  int64_t outputs, n;  // number of outputs, and of elements reduced into each
  int64_t partials;    // states of scratch the kernel needs (0: none)
  int64_t x_start, y_start;
  int64_t kept_size[kMaxRank], kept_x[kMaxRank], kept_y[kMaxRank];
  int64_t red_size[kMaxRank], red_x[kMaxRank];
};

class Tensor;
/// The walk over x (any strides) that reduces `axes` (sorted, distinct) into a row-major output. `ordered` keeps the
/// reduced elements in index order (argmax); else they come in the order of memory.
ReduceLoop reduce_loop(const Tensor& x, const Dims& axes, bool ordered);
/// The shape after the reduction of `axes`.
Dims reduced_shape(const Dims& shape, const Dims& axes, bool keepdim);

}  // namespace fastnn
