#pragma once
// Page-locked memory of the CPU, from which a device copies behind the program.

#include "core/tensor.h"

namespace fastnn {

/// A copy from memory of DeviceApi::host_allocate() that is not waited for.
constexpr CopyKind kPinnedToDevice = static_cast<CopyKind>(3);

/// Uninitialised, row-major.
Tensor empty_pinned(const Dims& shape, DType dtype);
/// Whether the memory of x is page-locked.
bool is_pinned(const Tensor& x);
/// A copy in page-locked memory.
Tensor pin_memory(const Tensor& x);
/// As copy_to_device() and to_device(), but a copy from page-locked memory goes on behind the program: that memory must
/// stay as it is until the device has come so far.
Tensor copy_behind(const Tensor& x, DeviceIndex device);
Tensor to_device_behind(const Tensor& x, DeviceIndex device);

}  // namespace fastnn
