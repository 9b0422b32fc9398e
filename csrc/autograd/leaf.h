#pragma once
// Leaves that are given other data.

#include "autograd/node.h"

namespace fastnn {

/// The leaf x becomes a window on the memory of `data`; its .grad stays where device, shape and dtype do, else it goes.
/// A backward pass through what was computed before still finds x: the gradient is taken to its device and dtype;
/// RuntimeError there when the shape is another. Hooks stay.
void set_data(const Tensor& x, const Tensor& data);

}  // namespace fastnn
