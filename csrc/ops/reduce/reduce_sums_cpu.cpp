// Sums, norms and products of float and double.
#include "ops/reduce/reduce_driver.h"
#include "ops/reduce/reduce_fold.h"
#include "ops/reduce/reduce_kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Maps take a vector or a scalar, so that tails round as whole vectors do; the column index is not used here.
struct Same {
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return x;
  }
};
struct Abs {
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return abs(x);
  }
};
struct Square {
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return x * x;
  }
};
struct Power {
  double p;
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return pow(abs(x), splat<V>(p));
  }
};
struct Number {
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return x == x ? x : splat<V>(0.0);
  }
};
struct Nonzero {
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return x != 0 ? splat<V>(1.0) : splat<V>(0.0);
  }
};

template <class T, class Map, class Merge, Fold kFold>
struct Sums {
  typedef T Elem;
  typedef double State;
  static constexpr bool kColumns = true, kShortRows = true;
  T* y;
  double a;
  Map map;
  Merge merge;

  State identity() const { return Merge::template identity<double>(); }
  void block(State& s, const T* p, int64_t m, int64_t, int64_t) const {
    s = merge(s, static_cast<double>(fold_run(p, m, map, merge)));
  }
  void columns(State* s, const T* x, const int64_t* rows, int64_t count, int64_t w, int64_t) const {
    T acc[kColumnStrip];
    fold_rows(acc, x, rows, count, w, map, merge);
    for (int64_t j = 0; j < w; ++j) s[j] = merge(s[j], static_cast<double>(acc[j]));
  }
  void short_rows(const Vec<T>* v, int64_t n, int64_t count, int64_t out, int64_t step) const {
    const Vec<T> s = fold_short<T>(v, n, map, merge);
    for (int64_t k = 0; k < count; ++k) finish(out + k * step, merge(identity(), static_cast<double>(s[k])));
  }
  void combine(State& s, State later) const { s = merge(s, later); }
  void finish(int64_t out, State s) const {
    if constexpr (kFold == Fold::sum) s /= a;
    if constexpr (kFold == Fold::square) s = sqrt(s);
    if constexpr (kFold == Fold::power) s = ::pow(s, 1.0 / a);
    y[out] = static_cast<T>(s);
  }
};

/// Products run in double throughout: in float a part of the product may overflow where the whole does not.
template <class T>
struct Product {
  typedef T Elem;
  typedef double State;
  static constexpr bool kColumns = true, kShortRows = false;
  T* y;

  State identity() const { return 1; }
  void block(State& s, const T* p, int64_t m, int64_t, int64_t) const {
    double a[4] = {1, 1, 1, 1};
    int64_t i = 0;
    for (; i + 4 <= m; i += 4)
      for (int k = 0; k < 4; ++k) a[k] *= static_cast<double>(p[i + k]);
    for (; i < m; ++i) a[0] *= static_cast<double>(p[i]);
    s *= (a[0] * a[1]) * (a[2] * a[3]);
  }
  void columns(State* s, const T* x, const int64_t* rows, int64_t count, int64_t w, int64_t) const {
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < w; ++j) s[j] *= static_cast<double>(x[rows[r] + j]);
  }
  void combine(State& s, State later) const { s *= later; }
  void finish(int64_t out, State s) const { y[out] = static_cast<T>(s); }
};

template <class T>
void sums(void* y, const void* x, const ReduceArgs& args, const ReduceLoop& loop, void* scratch) {
  const auto run = [&](auto r) { reduce_all(r, static_cast<const T*>(x), loop, scratch); };
  T* out = static_cast<T*>(y);
  switch (args.fold) {
    case Fold::sum:
      return run(Sums<T, Same, Add, Fold::sum>{out, args.a, {}, {}});
    case Fold::nansum:
      return run(Sums<T, Number, Add, Fold::nansum>{out, 1, {}, {}});
    case Fold::abs_sum:
      return run(Sums<T, Abs, Add, Fold::abs_sum>{out, 1, {}, {}});
    case Fold::square:
      return run(Sums<T, Square, Add, Fold::square>{out, 1, {}, {}});
    case Fold::power:
      return run(Sums<T, Power, Add, Fold::power>{out, args.a, {args.a}, {}});
    case Fold::nonzero:
      return run(Sums<T, Nonzero, Add, Fold::nonzero>{out, 1, {}, {}});
    case Fold::prod:
      return run(Product<T>{out});
    default:
      return;
  }
}

}  // namespace

void reduce_sums(int type, void* y, const void* x, const ReduceArgs& args, const ReduceLoop& loop, void* scratch) {
  if (type == 4)
    sums<float>(y, x, args, loop, scratch);
  else
    sums<double>(y, x, args, loop, scratch);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
