// Comparisons and predicates: results of bool.
#include "ops/elementwise/formulas.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

typedef void (*CompareRun)(char* y, const char* a, const char* b, int64_t n);
typedef void (*PredicateRun)(char* y, const char* x, int64_t n);

template <class F, class T>
void compare_run(char* y_, const char* a_, const char* b_, int64_t n) {
  uint8_t* __restrict y = reinterpret_cast<uint8_t*>(y_);
  const T *a = reinterpret_cast<const T*>(a_), *b = reinterpret_cast<const T*>(b_);
  for (int64_t i = 0; i < n; ++i) y[i] = F::value(a[i], b[i]);
}
template <class F, class T>
void predicate_run(char* y_, const char* x_, int64_t n) {
  uint8_t* __restrict y = reinterpret_cast<uint8_t*>(y_);
  const T* x = reinterpret_cast<const T*>(x_);
  for (int64_t i = 0; i < n; ++i) y[i] = F::value(x[i]);
}

bool sign_bit(float x) { return __builtin_signbit(x); }
bool sign_bit(double x) { return __builtin_signbit(x); }

FASTNN_COMPARE(FASTNN_COMPARE_FUNCTION)
FASTNN_PREDICATE(FASTNN_PREDICATE_FUNCTION)

template <class T>
CompareRun pick(CompareOp op) {
  switch (op) {
#define FASTNN_X(name, ...) \
  case CompareOp::name:     \
    return compare_run<name##_fn, T>;
    FASTNN_COMPARE(FASTNN_X)
#undef FASTNN_X
    default:
      return nullptr;
  }
}
CompareRun pick(CompareOp op, Elem type) {
  switch (type) {
    case Elem::f32:
      return pick<float>(op);
    case Elem::f64:
      return pick<double>(op);
    case Elem::i64:
      return pick<int64_t>(op);
    case Elem::i32:
      return pick<int32_t>(op);
    default:
      return pick<uint8_t>(op);
  }
}
template <class T>
PredicateRun pick(PredicateOp op) {
  switch (op) {
#define FASTNN_X(name, ...) \
  case PredicateOp::name:   \
    return predicate_run<name##_fn, T>;
    FASTNN_PREDICATE(FASTNN_X)
#undef FASTNN_X
    default:
      return nullptr;
  }
}

}  // namespace

void compare(void* y, const void* a, const void* b, Loop<3> loop, CompareOp op, Elem type, Number v) {
  const CompareRun f = pick(op, type);
  char* base[3] = {static_cast<char*>(y), mutable_bytes(a), mutable_bytes(b)};
  alignas(8) char cell[8];
  put_operand(base, loop, 1, cell, type, v);
  put_operand(base, loop, 2, cell, type, v);
  run_loop<1>(loop, base, {Elem::b8, type, type}, [&](char* const* p, int64_t n, bool) { f(p[0], p[1], p[2], n); });
}

void predicate(void* y, const void* x, Loop<2> loop, PredicateOp op, Elem type) {
  const PredicateRun f = type == Elem::f32 ? pick<float>(op) : pick<double>(op);
  char* const base[2] = {static_cast<char*>(y), mutable_bytes(x)};
  run_loop<1>(loop, base, {Elem::b8, type}, [&](char* const* p, int64_t n, bool) { f(p[0], p[1], n); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
