#pragma once
// What stands in the border of a padded axis, for the kernels of the CPU and of CUDA devices.

#include "core/host_device.h"
#include "ops/pad/pad.h"

namespace fastnn {
namespace {

/// The element of an axis of n that stands at place i of the padded one, counted from the first element.
FASTNN_HOST_DEVICE inline int64_t element_at(int64_t i, int64_t n, PadBorder border) {
  if (border == PadBorder::replicate) return i < 0 ? 0 : i >= n ? n - 1 : i;
  if (border == PadBorder::circular) return i < 0 ? i + n : i >= n ? i - n : i;
  return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

}  // namespace
}  // namespace fastnn
