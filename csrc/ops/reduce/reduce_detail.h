#pragma once
// What the operations of this folder share: running a reduction kernel, and spreading a gradient.

#include "core/scratch.h"
#include "ops/reduce/reduce_kernels.h"
#include "runtime/launch.h"

namespace fastnn {

inline int type_of(const Tensor& x) { return static_cast<int>(x.dtype()); }
inline void require_floating(const char* op, const Tensor& x) {
  if (!x.is_floating()) throw TypeError(str(op, ": expected a float32 or float64 tensor, got ", x.dtype()));
}
inline int64_t reduced_count(const Tensor& x, const Dims& axes) {
  int64_t n = 1;
  for (int64_t a : axes) n *= x.shape()[a];
  return n;
}
/// ValueError where a fold without an identity would meet no elements.
inline void require_elements(const char* op, const Tensor& x, const Dims& axes) {
  if (reduced_count(x, axes) == 0)
    throw ValueError(str(op, ": expected at least one element to reduce, got shape ", x.shape(), " over axes ", axes));
}

/// Scratch of a reduction, freed with the object.
struct ReduceScratch {
  Tensor memory;
  explicit ReduceScratch(const ReduceLoop& loop) {
    if (loop.partials) memory = cpu_scratch({checked_mul(loop.partials, kReduceStateBytes / 8)}, DType::int64);
  }
  void* get() const { return memory.defined() ? memory.raw() : nullptr; }
};

/// x folded over sorted axes into a new tensor of x's (floating) dtype.
Tensor fold(Fold kind, double a, const Tensor& x, const Dims& axes, bool keepdim);
Tensor fold_ints(IntFold kind, const Tensor& x, const Dims& axes, bool keepdim);

/// dx (row-major, of x's shape) from coefficients a, b (row-major over the kept axes) and x.
Tensor spread(Spread kind, const Tensor& x, const Tensor& a, const Tensor& b, const Dims& axes, double p = 0);
/// The coefficient of each output; y and s may be undefined where the kind does not use them.
Tensor coefficient(Coefficient kind, const Tensor& dy, const Tensor& y, const Tensor& s, double number = 0);
/// dy as it must look to broadcast against x: size 1 along the reduced axes.
Tensor broadcast_gradient(const Tensor& dy, const Dims& shape, const Dims& axes);

}  // namespace fastnn
