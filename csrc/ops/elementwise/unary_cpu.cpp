// Unary functions: one contiguous loop a function and type, made from the table; the driver does the rest.
#include "ops/elementwise/formulas.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

typedef void (*UnaryRun)(char* y, const char* x, int64_t n, bool streams, const UnaryParams& params);

template <class F, class T>
void unary_run(char* y_, const char* x_, int64_t n, bool streams, const UnaryParams& params) {
  typedef Vec<T> V;
  T* y = reinterpret_cast<T*>(y_);
  const T* x = reinterpret_cast<const T*>(x_);
  const V p = splat<V>(params.p.f), q = splat<V>(params.q.f), r = splat<V>(params.r.f);
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) put_vector(y + i, F::value(load(x + i), p, q, r), streams);
  if (i < n) store_n(y + i, F::value(load_n(x + i, n - i), p, q, r), n - i);
}

template <class F, class T>
void unary_int_run(char* y_, const char* x_, int64_t n, bool, const UnaryParams& params) {
  T* y = reinterpret_cast<T*>(y_);
  const T* x = reinterpret_cast<const T*>(x_);
  const T p = number_as<T>(params.p), q = number_as<T>(params.q), r = number_as<T>(params.r);
  for (int64_t i = 0; i < n; ++i) y[i] = F::value(x[i], p, q, r);
}

FASTNN_UNARY(FASTNN_UNARY_FUNCTION)
FASTNN_UNARY_INT(FASTNN_UNARY_INT_FUNCTION)

UnaryRun pick(UnaryOp op, Elem type) {
  switch (op) {
#define FASTNN_X(name, ...)                                     \
  case UnaryOp::name:                                           \
    if (type == Elem::f32) return unary_run<name##_fn, float>;  \
    if (type == Elem::f64) return unary_run<name##_fn, double>; \
    break;
    FASTNN_UNARY(FASTNN_X)
#undef FASTNN_X
    default:
      break;
  }
  switch (op) {
#define FASTNN_X(name, ...)                                           \
  case UnaryOp::name:                                                 \
    if (type == Elem::i64) return unary_int_run<name##_int, int64_t>; \
    if (type == Elem::i32) return unary_int_run<name##_int, int32_t>; \
    return unary_int_run<name##_int, uint8_t>;
    FASTNN_UNARY_INT(FASTNN_X)
#undef FASTNN_X
    default:
      return nullptr;  // the op's check lets no such pair through
  }
}

}  // namespace

void unary_forward(void* y, const void* x, Loop<2> loop, UnaryOp op, Elem type, UnaryParams params) {
  const UnaryRun f = pick(op, type);
  char* const base[2] = {static_cast<char*>(y), static_cast<char*>(const_cast<void*>(x))};
  run_loop<1>(loop, base, {type, type},
              [&](char* const* p, int64_t n, bool streams) { f(p[0], p[1], n, streams, params); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
