// Gradients of reductions: two numbers per output, spread over the elements that were reduced.
#include "ops/reduce/coefficient.h"
#include "ops/reduce/reduce_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

struct ProdState {
  double product;
  int64_t zeros;
};

template <class T>
struct ProdParts : OneInput<T> {
  typedef ProdState Local;
  typedef ProdState State;
  T *product, *zeros;

  __device__ State identity() const { return {1, 0}; }
  __device__ Local local(int64_t) const { return identity(); }
  __device__ void add(Local& s, T v, int64_t) const {
    s.zeros += v == T(0);
    s.product *= v == T(0) ? 1.0 : static_cast<double>(v);
  }
  __device__ State lift(const Local& s) const { return s; }
  __device__ void combine(State& s, const State& b) const { s.product *= b.product, s.zeros += b.zeros; }
  __device__ void finish(int64_t out, const State& s) const {
    product[out] = static_cast<T>(s.product);
    zeros[out] = static_cast<T>(s.zeros);
  }
};

template <class T>
__device__ inline T sign(T x) {
  return x > 0 ? T(1) : (x < 0 ? T(-1) : (x == x ? T(0) : x));
}

template <Spread kKind, class T>
__device__ inline T spread_one(T x, T a, T b, T p) {
  if constexpr (kKind == Spread::centred) return a * (x - b);
  if constexpr (kKind == Spread::equal) return x == b || (x != x && b != b) ? a : T(0);
  if constexpr (kKind == Spread::equal_abs) return fabs(x) == b || (x != x && b != b) ? a * sign(x) : T(0);
  if constexpr (kKind == Spread::sign) return a * sign(x);
  if constexpr (kKind == Spread::scaled) return a * x;
  // sign(0) |0|^(p - 1) is 0 for p > 1; below 1 the norm has no gradient there, and 0 it is too.
  if constexpr (kKind == Spread::power) return x == 0 ? T(0) : a * sign(x) * pow(fabs(x), p - T(1));
  // x = b = +-inf: exp(x - b) would be NaN. +inf: the whole gradient; -inf: all are -inf, and the limit is not there.
  if constexpr (kKind == Spread::exponent) return a * (x == b ? T(1) : exp(x - b));
  if constexpr (kKind == Spread::quotient) return x != 0 ? (b == 0 ? a / x : T(0)) : (b == 1 ? a : T(0));
  if constexpr (kKind == Spread::number) return x == x ? a : T(0);
}

/// V elements of the innermost axis a thread, whose strides are 1 in dx and x where V > 1.
template <Spread kKind, int V, class T>
__global__ void spread_elements(SpreadLoop j, T* dx, const T* x, const T* a, const T* b, T p) {
  const int inner = j.rank - 1;
  const int64_t c_step = j.c[inner];
  for (int64_t i = thread_index(); i < j.total / V; i += thread_count()) {
    int64_t index = i * V, to = 0, from = 0, at = 0;
    for (int k = inner; k >= 0; --k) {
      const Quotient q = k > 0 ? divide(index, j.size[k]) : Quotient{0, index};
      to += q.rest * j.dx[k];
      from += q.rest * j.x[k];
      at += q.rest * j.c[k];
      index = q.quotient;
    }
    Pack<T, V> v = as_pack<T, V>(x + from);
#pragma unroll
    for (int k = 0; k < V; ++k) v.v[k] = spread_one<kKind>(v.v[k], a[at + k * c_step], b[at + k * c_step], p);
    as_pack<T, V>(dx + to) = v;
  }
}

template <Spread kKind, class T>
void spread(T* dx, const T* x, const T* a, const T* b, double p, const SpreadLoop& loop) {
  constexpr int V = kPack<T>;
  const int inner = loop.rank - 1;
  bool packs =
      loop.dx[inner] == 1 && loop.x[inner] == 1 && loop.size[inner] % V == 0 && aligned<V>(dx) && aligned<V>(x);
  for (int i = 0; i < inner; ++i) packs = packs && loop.dx[i] % V == 0 && loop.x[i] % V == 0;
  const T q = static_cast<T>(p);
  if (packs)
    run(&spread_elements<kKind, V, T>, grid_for(loop.total / V, 256), 256, 0, loop, dx, x, a, b, q);
  else
    run(&spread_elements<kKind, 1, T>, grid_for(loop.total, 256), 256, 0, loop, dx, x, a, b, q);
}

template <class T>
__global__ void place(T* dx, const T* dy, const int64_t* index, int64_t count, int64_t size, int64_t inner) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    const Quotient q = divide(i, inner);
    const int64_t at = index[i];
    if (at >= 0 && at < size) dx[(q.quotient * size + at) * inner + q.rest] = dy[i];
  }
}

template <class T>
__global__ void coefficients(Coefficient kind, T* a, const T* dy, const T* y, const T* s, double number,
                             int64_t count) {
  for (int64_t i = thread_index(); i < count; i += thread_count())
    a[i] = static_cast<T>(coefficient_of(kind, dy, y, s, number, i));
}

}  // namespace

void reduce_prod_parts(int type, void* product, void* zeros, const void* x, const ReduceLoop& loop, void*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    ProdParts<T> r;
    r.product = static_cast<T*>(product);
    r.zeros = static_cast<T*>(zeros);
    reduce_all(r, x, loop);
  });
}

void reduce_spread(Spread kind, int type, void* dx, const void* x, const void* a, const void* b, double p,
                   const SpreadLoop& loop) {
  if (loop.total == 0) return;
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    T* o = static_cast<T*>(dx);
    const T *i = static_cast<const T*>(x), *u = static_cast<const T*>(a), *v = static_cast<const T*>(b);
    switch (kind) {
#define FASTNN_X(name) \
  case Spread::name:   \
    return spread<Spread::name>(o, i, u, v, p, loop);
      FASTNN_SPREAD(FASTNN_X)
#undef FASTNN_X
    }
  });
}

void reduce_place(int type, void* dx, const void* dy, const int64_t* index, int64_t count, int64_t size,
                  int64_t inner) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    run(&place<T>, grid_for(count, 256), 256, 0, static_cast<T*>(dx), static_cast<const T*>(dy), index, count, size,
        inner);
  });
}

void reduce_coefficient(Coefficient kind, int type, void* a, const void* dy, const void* y, const void* s,
                        double number, int64_t count) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    run(&coefficients<T>, grid_for(count, 256), 256, 0, kind, static_cast<T*>(a), static_cast<const T*>(dy),
        static_cast<const T*>(y), static_cast<const T*>(s), number, count);
  });
}

}  // namespace cuda
}  // namespace fastnn
