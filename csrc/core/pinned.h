#pragma once
// Page-locked memory of the CPU, from which a device copies behind the program.

#include "core/tensor.h"

namespace fastnn {

/// Uninitialised, row-major.
Tensor empty_pinned(const Dims& shape, DType dtype);
/// Whether the memory of x is page-locked.
bool is_pinned(const Tensor& x);

}  // namespace fastnn
