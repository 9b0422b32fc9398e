#pragma once
// Tensors made from nothing but sizes and numbers. No gradients.

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

Tensor full(const Dims& shape, Scalar value, DType dtype);
inline Tensor zeros(const Dims& shape, DType dtype = DType::float32) { return full(shape, Scalar(0), dtype); }
inline Tensor ones(const Dims& shape, DType dtype = DType::float32) { return full(shape, Scalar(1), dtype); }
/// start, start + step, ... below `end` (above it where step < 0): ceil((end - start) / step) numbers.
Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype);
/// `steps` evenly spaced numbers from start to end inclusive; both ends are exact.
Tensor linspace(double start, double end, int64_t steps, DType dtype);
/// base ** linspace(start, end, steps).
Tensor logspace(double start, double end, int64_t steps, double base, DType dtype);
/// Ones on the main diagonal of n rows and m columns.
Tensor eye(int64_t n, int64_t m, DType dtype);

// y[i] = start + i * step, in int64 or float64 and then converted.
FASTNN_KERNEL(arange_integer, void* y, int type, int64_t n, int64_t start, int64_t step)
FASTNN_KERNEL(arange_floating, void* y, int type, int64_t n, double start, double step)
// From both ends towards the middle: y[i] = start + i * step, y[n - 1 - i] = end - i * step.
FASTNN_KERNEL(linspace_fill, void* y, int type, int64_t n, double start, double end, double step)

}  // namespace fastnn
