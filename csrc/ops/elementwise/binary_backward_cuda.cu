// Gradients of the binary functions.
#include "ops/elementwise/formulas_cuda.h"
#include "ops/elementwise/functions.h"

namespace fastnn {
namespace cuda {
namespace {

FASTNN_BINARY(FASTNN_BINARY_FUNCTION)

/// An operand that the gradient does not use is null or, its value being dead, never read.
template <class F, class T, int Wrt>
struct Gradient {
  static constexpr int arity = 4, mask = -1;
  typedef T In;
  typedef T Out;
  __device__ T operator()(const T* x) const {
    if constexpr (Wrt == 0)
      return F::da(x[0], x[1], x[2], x[3]);
    else
      return F::db(x[0], x[1], x[2], x[3]);
  }
};

template <class T, int Wrt>
void backward(void* d, const void* dy, const void* a, const void* b, const void* y, const Loop<5>& loop, BinaryOp op,
              Elem type, T v) {
  switch (op) {
#define FASTNN_X(name, ...)                                                                                \
  case BinaryOp::name:                                                                                     \
    return run_loop(Gradient<name##_fn, T, Wrt>{}, loop, {d, dy, a, b, y}, {type, type, type, type, type}, \
                    {0, 0, v, v, 0});
    FASTNN_BINARY(FASTNN_X)
#undef FASTNN_X
    default:
      return;
  }
}

}  // namespace

void binary_backward(void* d, const void* dy, const void* a, const void* b, const void* y, Loop<5> loop, BinaryOp op,
                     Elem type, int wrt, Number v) {
  with_float(type, [&](auto tag) {
    typedef decltype(of(tag)) T;
    if (wrt == 0)
      backward<T, 0>(d, dy, a, b, y, loop, op, type, number_as<T>(v));
    else
      backward<T, 1>(d, dy, a, b, y, loop, op, type, number_as<T>(v));
  });
}

}  // namespace cuda
}  // namespace fastnn
