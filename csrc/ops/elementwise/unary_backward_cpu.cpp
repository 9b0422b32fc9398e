// Gradients of the unary functions.
#include "ops/elementwise/formulas.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

typedef void (*GradientRun)(char* dx, const char* dy, const char* x, const char* y, int64_t n, bool streams,
                            const UnaryParams& params);

enum Uses { None = 0, UseX = 1, UseY = 2, UseXY = 3 };

template <class F, class T, Uses kUses>
void gradient_run(char* dx_, const char* dy_, const char* x_, const char* y_, int64_t n, bool streams,
                  const UnaryParams& params) {
  typedef Vec<T> V;
  T* dx = reinterpret_cast<T*>(dx_);
  const T* dy = reinterpret_cast<const T*>(dy_);
  const T* x = kUses & UseX ? reinterpret_cast<const T*>(x_) : dy;  // an operand not used is not read
  const T* y = kUses & UseY ? reinterpret_cast<const T*>(y_) : dy;
  const V p = splat<V>(params.p.f), q = splat<V>(params.q.f);
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>)
    put_vector(dx + i, F::gradient(load(dy + i), load(x + i), load(y + i), p, q), streams);
  if (i < n)
    store_n(dx + i, F::gradient(load_n(dy + i, n - i), load_n(x + i, n - i), load_n(y + i, n - i), p, q), n - i);
}

FASTNN_UNARY(FASTNN_UNARY_FUNCTION)

GradientRun pick(UnaryOp op, Elem type) {
  switch (op) {
#define FASTNN_X(name, dtype, what, ...) \
  case UnaryOp::name:                    \
    return type == Elem::f32 ? gradient_run<name##_fn, float, what> : gradient_run<name##_fn, double, what>;
    FASTNN_UNARY(FASTNN_X)
#undef FASTNN_X
    default:
      return nullptr;
  }
}

}  // namespace

void unary_backward(void* dx, const void* dy, const void* x, const void* y, Loop<4> loop, UnaryOp op, Elem type,
                    UnaryParams params) {
  const GradientRun f = pick(op, type);
  char* const base[4] = {static_cast<char*>(dx), static_cast<char*>(const_cast<void*>(dy)),
                         static_cast<char*>(const_cast<void*>(x)), static_cast<char*>(const_cast<void*>(y))};
  run_loop<1>(loop, base, {type, type, type, type},
              [&](char* const* p, int64_t n, bool streams) { f(p[0], p[1], p[2], p[3], n, streams, params); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
