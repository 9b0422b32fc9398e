#include "ops/create/create.h"

#include <cmath>

#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void powers(double* exponents, int64_t n, double base) {
  for (int64_t i = 0; i < n; ++i) exponents[i] = std::pow(base, exponents[i]);
}

}  // namespace

Tensor full(const Dims& shape, Scalar value, DType dtype) {
  number_as("full", value, dtype);  // refuses a number that does not fit
  Tensor y = empty(shape, dtype);
  fill_into(y, value);
  return y;
}

Tensor arange(Scalar start, Scalar end, Scalar step, DType dtype) {
  const bool integers = start.kind != Scalar::floating && end.kind != Scalar::floating && step.kind != Scalar::floating;
  if (step.d == 0) throw ValueError("arange: step must not be 0");
  if (!std::isfinite(start.d) || !std::isfinite(end.d) || !std::isfinite(step.d))
    throw ValueError(str("arange: expected finite numbers, got ", start.d, ", ", end.d, ", ", step.d));
  if ((step.d > 0 && start.d > end.d) || (step.d < 0 && start.d < end.d))
    throw ValueError(str("arange: ", end.d, " is not reached from ", start.d, " in steps of ", step.d));
  if (integers) {
    // |end - start| may not fit int64: it is taken as unsigned.
    const uint64_t distance = step.i > 0 ? static_cast<uint64_t>(end.i) - static_cast<uint64_t>(start.i)
                                         : static_cast<uint64_t>(start.i) - static_cast<uint64_t>(end.i);
    const uint64_t stride = step.i > 0 ? static_cast<uint64_t>(step.i) : 0 - static_cast<uint64_t>(step.i);
    const uint64_t n = distance / stride + (distance % stride != 0);
    if (n > static_cast<uint64_t>(INT64_MAX)) throw OverflowError("arange: the number of elements overflows int64");
    Tensor y = empty({static_cast<int64_t>(n)}, dtype);
    launch(kernels::arange_integer, y.raw(), static_cast<int>(dtype), y.numel(), start.i, step.i);
    return y;
  }
  const double n = std::ceil((end.d - start.d) / step.d);
  if (!(n < 9.2e18)) throw OverflowError("arange: the number of elements overflows int64");
  Tensor y = empty({static_cast<int64_t>(n)}, dtype);
  launch(kernels::arange_floating, y.raw(), static_cast<int>(dtype), y.numel(), start.d, step.d);
  return y;
}

Tensor linspace(double start, double end, int64_t steps, DType dtype) {
  if (steps < 0) throw ValueError(str("linspace: steps must be >= 0, got ", steps));
  if (!is_floating(dtype) && !(std::fabs(start) < 9.2e18 && std::fabs(end) < 9.2e18))
    throw ValueError(str("linspace: ", start, " to ", end, " does not fit ", dtype));
  Tensor y = empty({steps}, dtype);
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0.0;
  launch(kernels::linspace_fill, y.raw(), static_cast<int>(dtype), steps, start, steps == 1 ? start : end, step);
  return y;
}

Tensor logspace(double start, double end, int64_t steps, double base, DType dtype) {
  if (!is_floating(dtype)) throw TypeError(str("logspace: expected a floating dtype, got ", dtype));
  const DeviceIndex device = current_device();
  const DeviceGuard host(kCpu);  // the powers of its own library, whatever the device
  const Tensor exponents = linspace(start, end, steps, DType::float64);
  launch_host(&powers, exponents.data<double>(), steps, base);
  return to_device(to(exponents, dtype), device);
}

Tensor eye(int64_t n, int64_t m, DType dtype) {
  if (n < 0 || m < 0) throw ValueError(str("eye: sizes must be >= 0, got ", n, " and ", m));
  Tensor y = zeros({n, m}, dtype);
  const int64_t k = n < m ? n : m;
  if (k) fill_into(alias(y, {k}, {m + 1}, 0), Scalar(1));
  return y;
}

}  // namespace fastnn
