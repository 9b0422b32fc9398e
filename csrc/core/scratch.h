#pragma once
// Working memory of kernels.

#include "core/tensor.h"

namespace fastnn {

/// For a kernel on the CPU; undefined on a device, whose kernels take their own.
inline Tensor cpu_scratch(const Dims& shape, DType dtype) {
  return current_device() == kCpu ? empty(shape, dtype) : Tensor();
}

}  // namespace fastnn
