// Binary functions: one kernel a function and type, made from the table.
#include "ops/elementwise/formulas_cuda.h"
#include "ops/elementwise/functions.h"

namespace fastnn {
namespace cuda {
namespace {

FASTNN_BINARY(FASTNN_BINARY_FUNCTION)
FASTNN_BINARY_INT(FASTNN_BINARY_INT_FUNCTION)

template <class F, class T>
struct Binary {
  static constexpr int arity = 2, mask = -1;
  typedef T In;
  typedef T Out;
  __device__ T operator()(const T* x) const { return F::value(x[0], x[1]); }
};

/// Divisors are checked before the launch; in a replay of a graph one that has become 0 gives 0.
template <class F, class T>
struct Division : Binary<F, T> {
  __device__ T operator()(const T* x) const { return x[1] == 0 ? T(0) : F::value(x[0], x[1]); }
};

constexpr bool divides(BinaryOp op) {
  return op == BinaryOp::floor_divide || op == BinaryOp::trunc_divide || op == BinaryOp::remainder ||
         op == BinaryOp::fmod;
}

template <class T>
void floats(void* y, const void* a, const void* b, const Loop<3>& loop, BinaryOp op, Elem type, const Number& number) {
  const T v = number_as<T>(number);
  switch (op) {
#define FASTNN_X(name, ...) \
  case BinaryOp::name:      \
    return run_loop(Binary<name##_fn, T>{}, loop, {y, a, b}, {type, type, type}, {v, v, v});
    FASTNN_BINARY(FASTNN_X)
#undef FASTNN_X
    default:
      return;  // the op's check lets no such pair through
  }
}
template <class T>
void integers(void* y, const void* a, const void* b, const Loop<3>& loop, BinaryOp op, Elem type, T v) {
  switch (op) {
#define FASTNN_X(name, ...)                                                                                       \
  case BinaryOp::name: {                                                                                          \
    using Function = std::conditional_t<divides(BinaryOp::name), Division<name##_int, T>, Binary<name##_int, T>>; \
    return run_loop(Function{}, loop, {y, a, b}, {type, type, type}, {v, v, v});                                  \
  }
    FASTNN_BINARY_INT(FASTNN_X)
#undef FASTNN_X
    default:
      return;
  }
}

}  // namespace

void binary_forward(void* y, const void* a, const void* b, Loop<3> loop, BinaryOp op, Elem type, Number v) {
  switch (type) {
    case Elem::f32:
      return floats<float>(y, a, b, loop, op, type, v);
    case Elem::f64:
      return floats<double>(y, a, b, loop, op, type, v);
    case Elem::i64:
      return integers(y, a, b, loop, op, type, number_as<int64_t>(v));
    case Elem::i32:
      return integers(y, a, b, loop, op, type, number_as<int32_t>(v));
    case Elem::u8:
      return integers(y, a, b, loop, op, type, number_as<uint8_t>(v));
    case Elem::b8:  // and, or, xor
      return integers(y, a, b, loop, op, type, static_cast<uint8_t>(v.i != 0));
  }
}

}  // namespace cuda
}  // namespace fastnn
