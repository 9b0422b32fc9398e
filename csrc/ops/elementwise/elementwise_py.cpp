#include "ops/elementwise/elementwise.h"
#include "python/bind.h"

namespace fastnn {

void bind_elementwise(Binder& b) {
  b.both("add", &add, "x"_a, "other"_a, "x + other, broadcast.");
  b.both("relu", &relu, "x"_a, "max(x, 0).");
  b.method("clone", &clone, "A row-major copy.");
  b.method("contiguous", &contiguous, "The tensor itself when row-major, else a row-major copy.");
  b.method("to", &to, "dtype"_a, "The tensor converted to `dtype`.");
}

}  // namespace fastnn
