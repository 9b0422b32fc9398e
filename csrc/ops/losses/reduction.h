#pragma once
// What becomes of the losses of a batch.

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

}  // namespace fastnn
