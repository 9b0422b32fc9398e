// Comparisons and predicates: results of bool.
#include "ops/elementwise/formulas_cuda.h"
#include "ops/elementwise/functions.h"

namespace fastnn {
namespace cuda {
namespace {

FASTNN_COMPARE(FASTNN_COMPARE_FUNCTION)
FASTNN_PREDICATE(FASTNN_PREDICATE_FUNCTION)

template <class F, class T>
struct Comparison {
  static constexpr int arity = 2, mask = -1;
  typedef T In;
  typedef uint8_t Out;
  __device__ uint8_t operator()(const T* x) const { return F::value(x[0], x[1]); }
};
template <class F, class T>
struct Test {
  static constexpr int arity = 1, mask = -1;
  typedef T In;
  typedef uint8_t Out;
  __device__ uint8_t operator()(const T* x) const { return F::value(x[0]); }
};

template <class T>
void compare_with(void* y, const void* a, const void* b, const Loop<3>& loop, CompareOp op, Elem type, T v) {
  switch (op) {
#define FASTNN_X(name, ...) \
  case CompareOp::name:     \
    return run_loop(Comparison<name##_fn, T>{}, loop, {y, a, b}, {Elem::b8, type, type}, {v, v, v});
    FASTNN_COMPARE(FASTNN_X)
#undef FASTNN_X
    default:
      return;
  }
}
template <class T>
void test(void* y, const void* x, const Loop<2>& loop, PredicateOp op, Elem type) {
  switch (op) {
#define FASTNN_X(name, ...) \
  case PredicateOp::name:   \
    return run_loop(Test<name##_fn, T>{}, loop, {y, x}, {Elem::b8, type}, {0, 0});
    FASTNN_PREDICATE(FASTNN_X)
#undef FASTNN_X
    default:
      return;
  }
}

}  // namespace

void compare(void* y, const void* a, const void* b, Loop<3> loop, CompareOp op, Elem type, Number v) {
  switch (type) {
    case Elem::f32:
      return compare_with(y, a, b, loop, op, type, number_as<float>(v));
    case Elem::f64:
      return compare_with(y, a, b, loop, op, type, v.f);
    case Elem::i64:
      return compare_with(y, a, b, loop, op, type, v.i);
    case Elem::i32:
      return compare_with(y, a, b, loop, op, type, static_cast<int32_t>(v.i));
    case Elem::u8:
      return compare_with(y, a, b, loop, op, type, static_cast<uint8_t>(v.i));
    case Elem::b8:
      return compare_with(y, a, b, loop, op, type, static_cast<uint8_t>(v.i != 0));
  }
}

void predicate(void* y, const void* x, Loop<2> loop, PredicateOp op, Elem type) {
  if (type == Elem::f32)
    test<float>(y, x, loop, op, type);
  else
    test<double>(y, x, loop, op, type);
}

}  // namespace cuda
}  // namespace fastnn
