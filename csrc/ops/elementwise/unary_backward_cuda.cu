// Gradients of the unary functions.
#include "ops/elementwise/formulas_cuda.h"
#include "ops/elementwise/functions.h"

namespace fastnn {
namespace cuda {
namespace {

FASTNN_UNARY(FASTNN_UNARY_FUNCTION)

/// An operand that the gradient does not use is null or, its value being dead, never read.
template <class F, class T>
struct Gradient {
  static constexpr int arity = 3, mask = -1;
  typedef T In;
  typedef T Out;
  T p, q;
  __device__ T operator()(const T* x) const { return F::gradient(x[0], x[1], x[2], p, q); }
};

template <class T>
void backward(void* dx, const void* dy, const void* x, const void* y, const Loop<4>& loop, UnaryOp op, Elem type,
              const UnaryParams& params) {
  const T p = number_as<T>(params.p), q = number_as<T>(params.q);
  switch (op) {
#define FASTNN_X(name, ...) \
  case UnaryOp::name:       \
    return run_loop(Gradient<name##_fn, T>{p, q}, loop, {dx, dy, x, y}, {type, type, type, type}, {0, 0, 0, 0});
    FASTNN_UNARY(FASTNN_X)
#undef FASTNN_X
    default:
      return;
  }
}

}  // namespace

void unary_backward(void* dx, const void* dy, const void* x, const void* y, Loop<4> loop, UnaryOp op, Elem type,
                    UnaryParams params) {
  if (type == Elem::f32)
    backward<float>(dx, dy, x, y, loop, op, type, params);
  else
    backward<double>(dx, dy, x, y, loop, op, type, params);
}

}  // namespace cuda
}  // namespace fastnn
