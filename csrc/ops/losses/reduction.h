#pragma once
// What becomes of the losses of a batch.

#include <cstdint>
#include <string>

#include "core/errors.h"

namespace fastnn {

enum class Reduction { none, mean, sum };

/// "none", "mean" or "sum"; ValueError naming `op` otherwise.
inline Reduction reduction_from(const char* op, const std::string& name) {
  if (name == "none") return Reduction::none;
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  throw ValueError(str(op, ": reduction must be 'none', 'mean' or 'sum', got '", name, "'"));
}

/// What a loss kernel leaves besides the losses, in tensors, so that a replayed step finds it: out[0] = the reduced
/// loss (in the dtype of x), scale[0] = what backward multiplies by (1 / count for "mean").
struct Reduced {
  Reduction how;
  void* out;      // null for none
  double* scale;  // one element
};

/// Adds up the blocks' pairs (loss, count) and leaves the result; called by kernels after their parallel loop.
template <class T>
static inline void finish_reduction(const Reduced& reduced, const double* sums, int64_t blocks) {
  if (reduced.how == Reduction::none) {
    *reduced.scale = 1;
    return;
  }
  double total = 0, count = 0;
  for (int64_t b = 0; b < blocks; ++b) total += sums[2 * b], count += sums[2 * b + 1];
  const bool mean = reduced.how == Reduction::mean;
  *static_cast<T*>(reduced.out) = static_cast<T>(mean ? total / count : total);
  *reduced.scale = mean ? 1 / count : 1;
}

}  // namespace fastnn
