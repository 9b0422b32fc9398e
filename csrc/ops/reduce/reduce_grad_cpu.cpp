// Gradients of reductions: two numbers per output, spread over the elements that were reduced.
#include "ops/reduce/coefficient.h"
#include "ops/reduce/reduce_driver.h"
#include "ops/reduce/reduce_fold.h"
#include "ops/reduce/reduce_kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

template <class T>
struct ProdState {
  double product;
  int64_t zeros;
};

template <class T>
struct ProdParts {
  typedef T Elem;
  typedef ProdState<T> State;
  static constexpr bool kColumns = false, kShortRows = false;
  T *product, *zeros;

  State identity() const { return {1.0, 0}; }
  void block(State& s, const T* p, int64_t m, int64_t, int64_t) const {
    for (int64_t i = 0; i < m; ++i) {
      s.zeros += p[i] == T(0);
      s.product *= p[i] == T(0) ? 1.0 : static_cast<double>(p[i]);
    }
  }
  void combine(State& s, const State& later) const { s = {s.product * later.product, s.zeros + later.zeros}; }
  void finish(int64_t out, const State& s) const {
    product[out] = static_cast<T>(s.product);
    zeros[out] = static_cast<T>(s.zeros);
  }
};

template <class V>
FASTNN_INLINE V sign(V x) {
  const V zero = splat<V>(0.0);
  return x > 0 ? splat<V>(1.0) : (x < 0 ? splat<V>(-1.0) : (x == x ? zero : x));
}

template <Spread kKind, class V>
FASTNN_INLINE V spread_one(V x, V a, V b, V p) {
  const V zero = splat<V>(0.0);
  if constexpr (kKind == Spread::centred) return a * (x - b);
  if constexpr (kKind == Spread::equal) return (x == b) | ((x != x) & (b != b)) ? a : zero;
  if constexpr (kKind == Spread::equal_abs) return (abs(x) == b) | ((x != x) & (b != b)) ? a * sign(x) : zero;
  if constexpr (kKind == Spread::sign) return a * sign(x);
  if constexpr (kKind == Spread::scaled) return a * x;
  // sign(0) |0|^(p - 1) is 0 for p > 1; below 1 the norm has no gradient there, and 0 it is too.
  if constexpr (kKind == Spread::power) return x == 0 ? zero : a * sign(x) * pow(abs(x), p - splat<V>(1.0));
  if constexpr (kKind == Spread::exponent) {
    // x = b = +-inf: exp(x - b) would be NaN. +inf: the whole gradient; -inf: all are -inf, and the limit is not there.
    const V e = exp(x - b);
    return a * (x == b ? splat<V>(1.0) : e);
  }
  if constexpr (kKind == Spread::quotient) {
    const V whole = b == 0 ? a / x : zero, alone = b == 1 ? a : zero;
    return x != 0 ? whole : alone;
  }
  if constexpr (kKind == Spread::number) return x == x ? a : zero;
}

template <Spread kKind, class T>
void spread(T* dx, const T* x, const T* a, const T* b, double p, const SpreadLoop& loop) {
  const int inner = loop.rank - 1;
  const int64_t n = loop.size[inner], sdx = loop.dx[inner], sx = loop.x[inner], sc = loop.c[inner];
  const int64_t outer = loop.total / n;
  // Long rows are cut into pieces, so that one row can use every thread too.
  const int64_t pieces = n / kReduceGrain + (n % kReduceGrain != 0);
  parallel_range(outer * pieces, kReduceGrain / (n < kReduceGrain ? n : kReduceGrain), [&](int64_t begin, int64_t end) {
    const Vec<T> vp = splat<Vec<T>>(p);
    for (int64_t t = begin; t < end; ++t) {
      const Walk w(inner, loop.size, loop.dx, loop.x, t / pieces), c(inner, loop.size, loop.c, nullptr, t / pieces);
      int64_t i = t % pieces * kReduceGrain;
      const int64_t last = smaller(i + kReduceGrain, n);
      T* out = dx + w.x;
      const T *in = x + w.y, *pa = a + c.x, *pb = b + c.x;
      constexpr int W = kLanes<T>;
      if (sdx == 1 && sx == 1 && sc == 0) {
        const Vec<T> va = splat<Vec<T>>(pa[0]), vb = splat<Vec<T>>(pb[0]);
        for (; i + W <= last; i += W) store(out + i, spread_one<kKind>(load(in + i), va, vb, vp));
        if (i < last) store_n(out + i, spread_one<kKind>(load_n(in + i, last - i), va, vb, vp), last - i);
      } else if (sdx == 1 && sx == 1 && sc == 1) {
        for (; i + W <= last; i += W) store(out + i, spread_one<kKind>(load(in + i), load(pa + i), load(pb + i), vp));
        const int64_t m = last - i;
        if (m > 0) store_n(out + i, spread_one<kKind>(load_n(in + i, m), load_n(pa + i, m), load_n(pb + i, m), vp), m);
      } else {
        for (; i < last; ++i)
          out[i * sdx] =
              spread_one<kKind>(splat<Vec<T>>(in[i * sx]), splat<Vec<T>>(pa[i * sc]), splat<Vec<T>>(pb[i * sc]), vp)[0];
      }
    }
  });
}

template <class T>
void spread_kind(Spread kind, void* dx, const void* x, const void* a, const void* b, double p, const SpreadLoop& loop) {
  T* o = static_cast<T*>(dx);
  const T *i = static_cast<const T*>(x), *u = static_cast<const T*>(a), *v = static_cast<const T*>(b);
  switch (kind) {
#define FASTNN_X(name) \
  case Spread::name:   \
    return spread<Spread::name>(o, i, u, v, p, loop);
    FASTNN_SPREAD(FASTNN_X)
#undef FASTNN_X
  }
}

template <class T>
void place(T* dx, const T* dy, const int64_t* index, int64_t count, int64_t size, int64_t inner) {
  parallel_range(count, kReduceGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dx[(i / inner * size + index[i]) * inner + i % inner] = dy[i];
  });
}

template <class T>
void coefficient(Coefficient kind, T* a, const T* dy, const T* y, const T* s, double number, int64_t count) {
  for (int64_t i = 0; i < count; ++i) a[i] = static_cast<T>(coefficient_of(kind, dy, y, s, number, i));
}

}  // namespace

void reduce_prod_parts(int type, void* product, void* zeros, const void* x, const ReduceLoop& loop, void* scratch) {
  if (type == 4)
    reduce_all(ProdParts<float>{static_cast<float*>(product), static_cast<float*>(zeros)}, static_cast<const float*>(x),
               loop, scratch);
  else
    reduce_all(ProdParts<double>{static_cast<double*>(product), static_cast<double*>(zeros)},
               static_cast<const double*>(x), loop, scratch);
}

void reduce_spread(Spread kind, int type, void* dx, const void* x, const void* a, const void* b, double p,
                   const SpreadLoop& loop) {
  if (type == 4)
    spread_kind<float>(kind, dx, x, a, b, p, loop);
  else
    spread_kind<double>(kind, dx, x, a, b, p, loop);
}

void reduce_place(int type, void* dx, const void* dy, const int64_t* index, int64_t count, int64_t size,
                  int64_t inner) {
  if (type == 4)
    place(static_cast<float*>(dx), static_cast<const float*>(dy), index, count, size, inner);
  else
    place(static_cast<double*>(dx), static_cast<const double*>(dy), index, count, size, inner);
}

void reduce_coefficient(Coefficient kind, int type, void* a, const void* dy, const void* y, const void* s,
                        double number, int64_t count) {
  if (type == 4)
    coefficient(kind, static_cast<float*>(a), static_cast<const float*>(dy), static_cast<const float*>(y),
                static_cast<const float*>(s), number, count);
  else
    coefficient(kind, static_cast<double*>(a), static_cast<const double*>(dy), static_cast<const double*>(y),
                static_cast<const double*>(s), number, count);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
