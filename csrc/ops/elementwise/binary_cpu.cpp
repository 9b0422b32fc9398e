// Binary functions and their gradients: one contiguous loop a function and type, made from the table.
#include "ops/elementwise/formulas.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

typedef void (*BinaryRun)(char* y, const char* a, const char* b, int64_t n, bool streams);
typedef void (*GradientRun)(char* d, const char* dy, const char* a, const char* b, const char* y, int64_t n,
                            bool streams);

enum Uses { None, UseOther, UseB, UseAB, UseABY };

template <class F, class T>
void binary_run(char* y_, const char* a_, const char* b_, int64_t n, bool streams) {
  T* y = reinterpret_cast<T*>(y_);
  const T *a = reinterpret_cast<const T*>(a_), *b = reinterpret_cast<const T*>(b_);
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) put_vector(y + i, F::value(load(a + i), load(b + i)), streams);
  if (i < n) store_n(y + i, F::value(load_n(a + i, n - i), load_n(b + i, n - i)), n - i);
}
template <class F, class T>
void binary_int_run(char* y_, const char* a_, const char* b_, int64_t n, bool) {
  T* y = reinterpret_cast<T*>(y_);
  const T *a = reinterpret_cast<const T*>(a_), *b = reinterpret_cast<const T*>(b_);
  for (int64_t i = 0; i < n; ++i) y[i] = F::value(a[i], b[i]);
}
template <class F, class T, int Wrt, Uses kUses>
void gradient_run(char* d_, const char* dy_, const char* a_, const char* b_, const char* y_, int64_t n, bool streams) {
  T* d = reinterpret_cast<T*>(d_);
  const T* dy = reinterpret_cast<const T*>(dy_);
  const T* a = kUses != None ? reinterpret_cast<const T*>(a_) : dy;  // an operand not used is not read
  const T* b = kUses != None ? reinterpret_cast<const T*>(b_) : dy;
  const T* y = kUses == UseABY ? reinterpret_cast<const T*>(y_) : dy;
  const auto f = [](Vec<T> g, Vec<T> va, Vec<T> vb, Vec<T> vy) FASTNN_LAMBDA_INLINE {
    if constexpr (Wrt == 0)
      return F::da(g, va, vb, vy);
    else
      return F::db(g, va, vb, vy);
  };
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>)
    put_vector(d + i, f(load(dy + i), load(a + i), load(b + i), load(y + i)), streams);
  if (i < n) {
    const int64_t m = n - i;
    store_n(d + i, f(load_n(dy + i, m), load_n(a + i, m), load_n(b + i, m), load_n(y + i, m)), m);
  }
}

FASTNN_BINARY(FASTNN_BINARY_FUNCTION)
FASTNN_BINARY_INT(FASTNN_BINARY_INT_FUNCTION)

BinaryRun pick(BinaryOp op, Elem type) {
  switch (op) {
#define FASTNN_X(name, ...)                                      \
  case BinaryOp::name:                                           \
    if (type == Elem::f32) return binary_run<name##_fn, float>;  \
    if (type == Elem::f64) return binary_run<name##_fn, double>; \
    break;
    FASTNN_BINARY(FASTNN_X)
#undef FASTNN_X
    default:
      break;
  }
  switch (op) {
#define FASTNN_X(name, ...)                                            \
  case BinaryOp::name:                                                 \
    if (type == Elem::i64) return binary_int_run<name##_int, int64_t>; \
    if (type == Elem::i32) return binary_int_run<name##_int, int32_t>; \
    return binary_int_run<name##_int, uint8_t>;
    FASTNN_BINARY_INT(FASTNN_X)
#undef FASTNN_X
    default:
      return nullptr;  // the op's check lets no such pair through
  }
}

template <class T>
GradientRun pick_gradient(BinaryOp op, int wrt) {
  switch (op) {
#define FASTNN_X(name, what, ...) \
  case BinaryOp::name:            \
    return wrt == 0 ? gradient_run<name##_fn, T, 0, what> : gradient_run<name##_fn, T, 1, what>;
    FASTNN_BINARY(FASTNN_X)
#undef FASTNN_X
    default:
      return nullptr;
  }
}

bool reads_operands(BinaryOp op) {
#define FASTNN_X(name, what, ...) what,
  constexpr Uses uses[] = {FASTNN_BINARY(FASTNN_X)};
#undef FASTNN_X
  return uses[static_cast<int>(op)] != None;
}

template <class T>
bool any_zero(const char* p, int64_t n) {
  const T* x = reinterpret_cast<const T*>(p);
  bool zero = false;
  for (int64_t i = 0; i < n; ++i) zero |= x[i] == 0;
  return zero;
}

/// One pass over the divisors before the first write: dividing an integer by 0 would trap.
void check_divisors(const Loop<3>& loop, char* b, Elem type, BinaryOp op) {
  bool found = false;
  Loop<1> l;
  l.rank = loop.rank;
  l.n = loop.n;
  l.type[0] = loop.type[2];
  for (int d = 0; d < kLoopRank; ++d) l.shape[d] = loop.shape[d], l.stride[0][d] = loop.stride[2][d];
  char* const base[1] = {b};
  run_loop<0>(l, base, {type}, [&](char* const* p, int64_t n, bool) {
    if (type == Elem::i64   ? any_zero<int64_t>(p[0], n)
        : type == Elem::i32 ? any_zero<int32_t>(p[0], n)
                            : any_zero<uint8_t>(p[0], n))
      __atomic_store_n(&found, true, __ATOMIC_RELAXED);
  });
  if (found) throw_integer_division_by_zero(op);
}

}  // namespace

void binary_forward(void* y, const void* a, const void* b, Loop<3> loop, BinaryOp op, Elem type, Number v) {
  const BinaryRun f = pick(op, type);
  char* base[3] = {static_cast<char*>(y), mutable_bytes(a), mutable_bytes(b)};
  alignas(8) char cell[8];
  put_operand(base, loop, 1, cell, type, v);
  put_operand(base, loop, 2, cell, type, v);
  if (type != Elem::f32 && type != Elem::f64 &&
      (op == BinaryOp::floor_divide || op == BinaryOp::trunc_divide || op == BinaryOp::remainder ||
       op == BinaryOp::fmod))
    check_divisors(loop, base[2], type, op);
  run_loop<1>(loop, base, {type, type, type},
              [&](char* const* p, int64_t n, bool streams) { f(p[0], p[1], p[2], n, streams); });
}

void binary_backward(void* d, const void* dy, const void* a, const void* b, const void* y, Loop<5> loop, BinaryOp op,
                     Elem type, int wrt, Number v) {
  const GradientRun f = type == Elem::f32 ? pick_gradient<float>(op, wrt) : pick_gradient<double>(op, wrt);
  char* base[5] = {static_cast<char*>(d), mutable_bytes(dy), mutable_bytes(a), mutable_bytes(b), mutable_bytes(y)};
  // A null operand is the number, or one that this gradient does not use.
  alignas(8) char cell[8];
  if (reads_operands(op)) {
    put_operand(base, loop, 2, cell, type, v);
    put_operand(base, loop, 3, cell, type, v);
  }
  run_loop<1>(loop, base, {type, type, type, type, type},
              [&](char* const* p, int64_t n, bool streams) { f(p[0], p[1], p[2], p[3], p[4], n, streams); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
