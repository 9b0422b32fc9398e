#include "ops/matmul/matmul.h"
#include "python/bind.h"

namespace fastnn {

void bind_matmul(Binder& b) { b.both("matmul", &matmul, "x"_a, "other"_a, "Matrix product."); }

}  // namespace fastnn
