// Sums, norms and products of float and double: threads add up in the type of x, their sums are added in double.
#include "ops/reduce/reduce_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

template <class T, Fold kFold>
struct Sums : OneInput<T> {
  typedef T Local;
  typedef double State;
  T* y;
  double a;

  __device__ Local local(int64_t) const { return T(0); }
  __device__ void add(Local& s, T v, int64_t) const {
    if constexpr (kFold == Fold::sum) s += v;
    if constexpr (kFold == Fold::nansum) s += v == v ? v : T(0);
    if constexpr (kFold == Fold::abs_sum) s += fabs(v);
    if constexpr (kFold == Fold::square) s += v * v;
    if constexpr (kFold == Fold::power) s += pow(fabs(v), static_cast<T>(a));
    if constexpr (kFold == Fold::nonzero) s += v != T(0) ? T(1) : T(0);
  }
  __device__ State lift(Local s) const { return s; }
  __device__ State identity() const { return 0; }
  __device__ void combine(State& s, State b) const { s += b; }
  __device__ void finish(int64_t out, State s) const {
    if constexpr (kFold == Fold::sum) s /= a;
    if constexpr (kFold == Fold::square) s = sqrt(s);
    if constexpr (kFold == Fold::power) s = pow(s, 1.0 / a);
    y[out] = static_cast<T>(s);
  }
};

/// In double throughout: in float a part of the product may overflow where the whole does not.
template <class T>
struct Product : OneInput<T> {
  typedef double Local;
  typedef double State;
  T* y;

  __device__ Local local(int64_t) const { return 1; }
  __device__ void add(Local& s, T v, int64_t) const { s *= static_cast<double>(v); }
  __device__ State lift(Local s) const { return s; }
  __device__ State identity() const { return 1; }
  __device__ void combine(State& s, State b) const { s *= b; }
  __device__ void finish(int64_t out, State s) const { y[out] = static_cast<T>(s); }
};

template <class T, Fold kFold>
void sums(T* y, const void* x, double a, const ReduceLoop& loop) {
  Sums<T, kFold> r;
  r.y = y;
  r.a = a;
  reduce_all(r, x, loop);
}

}  // namespace

void reduce_sums(int type, void* y, const void* x, const ReduceArgs& args, const ReduceLoop& loop, void*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    T* out = static_cast<T*>(y);
    switch (args.fold) {
      case Fold::sum:
        return sums<T, Fold::sum>(out, x, args.a, loop);
      case Fold::nansum:
        return sums<T, Fold::nansum>(out, x, 1, loop);
      case Fold::abs_sum:
        return sums<T, Fold::abs_sum>(out, x, 1, loop);
      case Fold::square:
        return sums<T, Fold::square>(out, x, 1, loop);
      case Fold::power:
        return sums<T, Fold::power>(out, x, args.a, loop);
      case Fold::nonzero:
        return sums<T, Fold::nonzero>(out, x, 1, loop);
      case Fold::prod: {
        Product<T> r;
        r.y = out;
        return reduce_all(r, x, loop);
      }
      default:
        return;
    }
  });
}

}  // namespace cuda
}  // namespace fastnn
