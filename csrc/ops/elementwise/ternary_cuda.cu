// Functions of three tensors and their gradients.
#include "ops/elementwise/formulas_cuda.h"
#include "ops/elementwise/functions.h"

namespace fastnn {
namespace cuda {
namespace {

FASTNN_TERNARY(FASTNN_TERNARY_FUNCTION)

template <class F, class T>
struct Ternary {
  static constexpr int arity = 3, mask = -1;
  typedef T In;
  typedef T Out;
  T p;
  __device__ T operator()(const T* x) const { return F::value(x[0], x[1], x[2], p); }
};
template <class F, class T, int Wrt>
struct Gradient {
  static constexpr int arity = 4, mask = -1;
  typedef T In;
  typedef T Out;
  T p;
  __device__ T operator()(const T* x) const {
    if constexpr (Wrt == 0)
      return F::da(x[0], x[1], x[2], x[3], p);
    else if constexpr (Wrt == 1)
      return F::db(x[0], x[1], x[2], x[3], p);
    else
      return F::dc(x[0], x[1], x[2], x[3], p);
  }
};

template <class T>
void forward(void* const (&at)[4], const Loop<4>& loop, TernaryOp op, Elem type, T p, T vb, T vc) {
  switch (op) {
#define FASTNN_X(name, ...)                                                                                 \
  case TernaryOp::name:                                                                                     \
    return run_loop(Ternary<name##_fn, T>{p}, loop, {at[0], at[1], at[2], at[3]}, {type, type, type, type}, \
                    {0, 0, vb, vc});
    FASTNN_TERNARY(FASTNN_X)
#undef FASTNN_X
    default:
      return;
  }
}
template <class T, int Wrt>
void backward(void* const (&at)[5], const Loop<5>& loop, TernaryOp op, Elem type, T p, T vb, T vc) {
  switch (op) {
#define FASTNN_X(name, ...)                                                                    \
  case TernaryOp::name:                                                                        \
    return run_loop(Gradient<name##_fn, T, Wrt>{p}, loop, {at[0], at[1], at[2], at[3], at[4]}, \
                    {type, type, type, type, type}, {0, 0, 0, vb, vc});
    FASTNN_TERNARY(FASTNN_X)
#undef FASTNN_X
    default:
      return;
  }
}

/// Moves bits of either operand.
template <class Word>
struct Where {
  static constexpr int arity = 3, mask = 0;
  typedef Word In;
  typedef Word Out;
  __device__ Word operator()(const Word* x) const { return x[0] ? x[1] : x[2]; }
};

/// The bits of a number in a type.
template <class Word>
Word bits_of(const Number& v, Elem type) {
  const auto bits = [](auto value) {
    Word w = 0;
    std::memcpy(&w, &value, sizeof value < sizeof w ? sizeof value : sizeof w);
    return w;
  };
  if (type == Elem::f32) return bits(static_cast<float>(v.f));
  if (type == Elem::f64) return bits(v.f);
  return type == Elem::b8 ? Word(v.i != 0) : static_cast<Word>(v.i);
}

}  // namespace

void ternary_forward(void* y, const void* a, const void* b, const void* c, Loop<4> loop, TernaryOp op, Elem type,
                     double p, double vb, double vc) {
  with_float(type, [&](auto tag) {
    typedef decltype(of(tag)) T;
    forward<T>({y, const_cast<void*>(a), const_cast<void*>(b), const_cast<void*>(c)}, loop, op, type, static_cast<T>(p),
               static_cast<T>(vb), static_cast<T>(vc));
  });
}

void ternary_backward(void* d, const void* dy, const void* a, const void* b, const void* c, Loop<5> loop, TernaryOp op,
                      Elem type, int wrt, double p, double vb, double vc) {
  with_float(type, [&](auto tag) {
    typedef decltype(of(tag)) T;
    void* const at[5] = {d, const_cast<void*>(dy), const_cast<void*>(a), const_cast<void*>(b), const_cast<void*>(c)};
    const T q = static_cast<T>(p), qb = static_cast<T>(vb), qc = static_cast<T>(vc);
    if (wrt == 0)
      backward<T, 0>(at, loop, op, type, q, qb, qc);
    else if (wrt == 1)
      backward<T, 1>(at, loop, op, type, q, qb, qc);
    else
      backward<T, 2>(at, loop, op, type, q, qb, qc);
  });
}

void where(void* y, const void* condition, const void* a, const void* b, Loop<4> loop, Elem type, Number va,
           Number vb) {
  with_size(elem_size(type), [&](auto tag) {
    typedef decltype(of(tag)) Word;
    run_loop(Where<Word>{}, loop, {y, condition, a, b}, {type, Elem::b8, type, type},
             {0, 0, bits_of<Word>(va, type), bits_of<Word>(vb, type)});
  });
}

}  // namespace cuda
}  // namespace fastnn
