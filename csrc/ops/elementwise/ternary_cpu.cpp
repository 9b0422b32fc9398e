// Functions of three tensors and their gradients.
#include "ops/elementwise/formulas.h"
#include "ops/elementwise/functions.h"
#include "ops/elementwise/kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

typedef void (*ForwardRun)(char* y, const char* a, const char* b, const char* c, int64_t n, bool streams, double p);
typedef void (*GradientRun)(char* d, const char* dy, const char* a, const char* b, const char* c, int64_t n,
                            bool streams, double p);

template <class F, class T>
void forward_run(char* y_, const char* a_, const char* b_, const char* c_, int64_t n, bool streams, double p_) {
  T* y = reinterpret_cast<T*>(y_);
  const T *a = reinterpret_cast<const T*>(a_), *b = reinterpret_cast<const T*>(b_), *c = reinterpret_cast<const T*>(c_);
  const Vec<T> p = splat<Vec<T>>(p_);
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>)
    put_vector(y + i, F::value(load(a + i), load(b + i), load(c + i), p), streams);
  if (i < n) store_n(y + i, F::value(load_n(a + i, n - i), load_n(b + i, n - i), load_n(c + i, n - i), p), n - i);
}
template <class F, class T, int Wrt>
void gradient_run(char* d_, const char* dy_, const char* a_, const char* b_, const char* c_, int64_t n, bool streams,
                  double p_) {
  T* d = reinterpret_cast<T*>(d_);
  const T *dy = reinterpret_cast<const T*>(dy_), *a = reinterpret_cast<const T*>(a_);
  const T *b = reinterpret_cast<const T*>(b_), *c = reinterpret_cast<const T*>(c_);
  const Vec<T> p = splat<Vec<T>>(p_);
  const auto f = [p](Vec<T> g, Vec<T> va, Vec<T> vb, Vec<T> vc) FASTNN_LAMBDA_INLINE {
    if constexpr (Wrt == 0)
      return F::da(g, va, vb, vc, p);
    else if constexpr (Wrt == 1)
      return F::db(g, va, vb, vc, p);
    else
      return F::dc(g, va, vb, vc, p);
  };
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>)
    put_vector(d + i, f(load(dy + i), load(a + i), load(b + i), load(c + i)), streams);
  if (i < n) {
    const int64_t m = n - i;
    store_n(d + i, f(load_n(dy + i, m), load_n(a + i, m), load_n(b + i, m), load_n(c + i, m)), m);
  }
}

FASTNN_TERNARY(FASTNN_TERNARY_FUNCTION)

template <class T>
ForwardRun pick(TernaryOp op) {
  switch (op) {
#define FASTNN_X(name, ...) \
  case TernaryOp::name:     \
    return forward_run<name##_fn, T>;
    FASTNN_TERNARY(FASTNN_X)
#undef FASTNN_X
    default:
      return nullptr;
  }
}
template <class T>
GradientRun pick_gradient(TernaryOp op, int wrt) {
  switch (op) {
#define FASTNN_X(name, ...)                           \
  case TernaryOp::name:                               \
    return wrt == 0   ? gradient_run<name##_fn, T, 0> \
           : wrt == 1 ? gradient_run<name##_fn, T, 1> \
                      : gradient_run<name##_fn, T, 2>;
    FASTNN_TERNARY(FASTNN_X)
#undef FASTNN_X
    default:
      return nullptr;
  }
}

// Chosen by size only, so the same memory may be seen as another type elsewhere.
typedef uint64_t __attribute__((may_alias)) Word8;
typedef uint32_t __attribute__((may_alias)) Word4;
typedef uint8_t Word1;

#define FASTNN_WHERE(name, Word)                                                               \
  void name(char* y_, const char* condition_, const char* a_, const char* b_, int64_t n) {     \
    Word* y = reinterpret_cast<Word*>(y_);                                                     \
    const Word *a = reinterpret_cast<const Word*>(a_), *b = reinterpret_cast<const Word*>(b_); \
    const uint8_t* condition = reinterpret_cast<const uint8_t*>(condition_);                   \
    for (int64_t i = 0; i < n; ++i) {                                                          \
      const Word va = a[i], vb = b[i];                                                         \
      y[i] = condition[i] ? va : vb;                                                           \
    }                                                                                          \
  }
FASTNN_WHERE(where1, Word1)
FASTNN_WHERE(where4, Word4)
FASTNN_WHERE(where8, Word8)
#undef FASTNN_WHERE

}  // namespace

void ternary_forward(void* y, const void* a, const void* b, const void* c, Loop<4> loop, TernaryOp op, Elem type,
                     double p, double vb, double vc) {
  const ForwardRun f = type == Elem::f32 ? pick<float>(op) : pick<double>(op);
  char* base[4] = {static_cast<char*>(y), mutable_bytes(a), mutable_bytes(b), mutable_bytes(c)};
  alignas(8) char cell[2][8];
  put_operand(base, loop, 2, cell[0], type, {vb, 0});
  put_operand(base, loop, 3, cell[1], type, {vc, 0});
  run_loop<1>(loop, base, {type, type, type, type},
              [&](char* const* q, int64_t n, bool streams) { f(q[0], q[1], q[2], q[3], n, streams, p); });
}

void ternary_backward(void* d, const void* dy, const void* a, const void* b, const void* c, Loop<5> loop, TernaryOp op,
                      Elem type, int wrt, double p, double vb, double vc) {
  const GradientRun f = type == Elem::f32 ? pick_gradient<float>(op, wrt) : pick_gradient<double>(op, wrt);
  char* base[5] = {static_cast<char*>(d), mutable_bytes(dy), mutable_bytes(a), mutable_bytes(b), mutable_bytes(c)};
  alignas(8) char cell[2][8];
  put_operand(base, loop, 3, cell[0], type, {vb, 0});
  put_operand(base, loop, 4, cell[1], type, {vc, 0});
  run_loop<1>(loop, base, {type, type, type, type, type},
              [&](char* const* q, int64_t n, bool streams) { f(q[0], q[1], q[2], q[3], q[4], n, streams, p); });
}

void where(void* y, const void* condition, const void* a, const void* b, Loop<4> loop, Elem type, Number va,
           Number vb) {
  const int64_t size = elem_size(type);
  void (*f)(char*, const char*, const char*, const char*, int64_t) = size == 4 ? where4 : size == 8 ? where8 : where1;
  char* base[4] = {static_cast<char*>(y), mutable_bytes(condition), mutable_bytes(a), mutable_bytes(b)};
  alignas(8) char cell[2][8];
  put_operand(base, loop, 2, cell[0], type, va);
  put_operand(base, loop, 3, cell[1], type, vb);
  run_loop<1>(loop, base, {type, Elem::b8, type, type},
              [&](char* const* q, int64_t n, bool) { f(q[0], q[1], q[2], q[3], n); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
