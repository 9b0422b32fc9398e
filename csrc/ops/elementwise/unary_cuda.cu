// Unary functions: one kernel a function and type, made from the table.
#include "ops/elementwise/formulas_cuda.h"
#include "ops/elementwise/functions.h"

namespace fastnn {
namespace cuda {
namespace {

FASTNN_UNARY(FASTNN_UNARY_FUNCTION)
FASTNN_UNARY_INT(FASTNN_UNARY_INT_FUNCTION)

template <class F, class T>
struct Unary {
  static constexpr int arity = 1, mask = -1;
  typedef T In;
  typedef T Out;
  T p, q, r;
  __device__ T operator()(const T* x) const { return F::value(x[0], p, q, r); }
};

template <class F, class T>
void unary(void* y, const void* x, const Loop<2>& loop, Elem type, const UnaryParams& v) {
  run_loop(Unary<F, T>{number_as<T>(v.p), number_as<T>(v.q), number_as<T>(v.r)}, loop, {y, x}, {type, type}, {0, 0});
}

}  // namespace

void unary_forward(void* y, const void* x, Loop<2> loop, UnaryOp op, Elem type, UnaryParams params) {
  if (type == Elem::f32 || type == Elem::f64) {
    switch (op) {
#define FASTNN_X(name, ...)                                                      \
  case UnaryOp::name:                                                            \
    return type == Elem::f32 ? unary<name##_fn, float>(y, x, loop, type, params) \
                             : unary<name##_fn, double>(y, x, loop, type, params);
      FASTNN_UNARY(FASTNN_X)
#undef FASTNN_X
      default:
        return;  // the op's check lets no such pair through
    }
  }
  switch (op) {
#define FASTNN_X(name, ...)                                                           \
  case UnaryOp::name:                                                                 \
    return type == Elem::i64   ? unary<name##_int, int64_t>(y, x, loop, type, params) \
           : type == Elem::i32 ? unary<name##_int, int32_t>(y, x, loop, type, params) \
                               : unary<name##_int, uint8_t>(y, x, loop, Elem::u8, params);
    FASTNN_UNARY_INT(FASTNN_X)
#undef FASTNN_X
    default:
      return;
  }
}

}  // namespace cuda
}  // namespace fastnn
