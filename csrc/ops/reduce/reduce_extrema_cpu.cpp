// Largest and smallest values and where they are.
#include "ops/reduce/reduce_driver.h"
#include "ops/reduce/reduce_fold.h"
#include "ops/reduce/reduce_kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

template <bool kAbs>
struct Magnitude {
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    if constexpr (kAbs)
      return abs(x);
    else
      return x;
  }
};

template <class T, bool kAbs, class Merge>
struct Extremum {
  typedef T Elem;
  typedef T State;
  static constexpr bool kColumns = true, kShortRows = true;
  T* y;
  Merge merge;

  State identity() const { return Merge::template identity<T>(); }
  void block(State& s, const T* p, int64_t m, int64_t, int64_t) const {
    s = merge(s, fold_run(p, m, Magnitude<kAbs>(), merge));
  }
  void columns(State* s, const T* x, const int64_t* rows, int64_t count, int64_t w, int64_t) const {
    T acc[kColumnStrip];
    fold_rows(acc, x, rows, count, w, Magnitude<kAbs>(), merge);
    for (int64_t j = 0; j < w; ++j) s[j] = merge(s[j], acc[j]);
  }
  void short_rows(const Vec<T>* v, int64_t n, int64_t count, int64_t out, int64_t step) const {
    const Vec<T> s = fold_short<T>(v, n, Magnitude<kAbs>(), merge);
    for (int64_t k = 0; k < count; ++k) finish(out + k * step, s[k]);
  }
  void combine(State& s, State later) const { s = merge(s, later); }
  void finish(int64_t out, State s) const { y[out] = s; }
};

/// True where v takes the place of the best so far: larger (smaller), or the first NaN.
template <bool kLeast, class T>
FASTNN_INLINE bool beats(T v, T best) {
  return (kLeast ? v < best : v > best) || (v != v && best == best);
}

template <class T, bool kLeast>
struct ArgState {
  T value;
  int64_t index;  // -1: none yet
};

template <class T, bool kLeast>
struct Arg {
  typedef T Elem;
  typedef ArgState<T, kLeast> State;
  static constexpr bool kFloat = T(1) / T(2) != T(0);
  static constexpr bool kColumns = kFloat, kShortRows = kFloat;
  T* value;
  int64_t* index;

  State identity() const { return {T(0), -1}; }
  void take(State& s, T v, int64_t i) const {
    if (s.index < 0 || beats<kLeast>(v, s.value)) s = {v, i};
  }
  void block(State& s, const T* p, int64_t m, int64_t first, int64_t) const {
    if constexpr (kFloat) {
      // The value first, at vector speed; its place only where it wins.
      T v;
      if constexpr (kLeast)
        v = fold_run(p, m, Magnitude<false>(), Min());
      else
        v = fold_run(p, m, Magnitude<false>(), Max());
      if (s.index >= 0 && !beats<kLeast>(v, s.value)) return;
      s = {v, first + find(p, m, v)};
    } else {
      for (int64_t i = 0; i < m; ++i) take(s, p[i], first + i);
    }
  }
  static int64_t find(const T* p, int64_t m, T v) {
    constexpr int W = kLanes<T>;
    const bool nan = v != v;
    int64_t i = 0;
    for (; i + W <= m; i += W) {
      const Vec<T> u = load(p + i);
      if (any(nan ? u != u : u == v)) break;
    }
    for (; i < m; ++i)
      if (nan ? p[i] != p[i] : p[i] == v) return i;
    return 0;
  }
  void columns(State* s, const T* x, const int64_t* rows, int64_t count, int64_t w, int64_t first) const {
    if constexpr (kFloat) {
      constexpr int W = kLanes<T>;
      typedef IntOf<Vec<T>> Int;
      T best[kColumnStrip];
      IntLane<T> at[kColumnStrip];
      for (int64_t j = 0; j < w; ++j) best[j] = x[rows[0] + j], at[j] = 0;
      for (int64_t r = 1; r < count; ++r) {
        const T* p = x + rows[r];
        int64_t j = 0;
        for (; j + W <= w; j += W) {
          const Vec<T> v = load(p + j), b = load(best + j);
          const Int wins = (kLeast ? v < b : v > b) | ((v != v) & (b == b));
          const Int i = load(at + j);
          store(best + j, wins ? v : b);
          store(at + j, wins ? Int{} + static_cast<IntLane<T>>(r) : i);
        }
        for (; j < w; ++j)
          if (beats<kLeast>(p[j], best[j])) best[j] = p[j], at[j] = static_cast<IntLane<T>>(r);
      }
      for (int64_t j = 0; j < w; ++j) take(s[j], best[j], first + at[j]);
    }
  }
  template <class V>
  void short_rows(const V* v, int64_t n, int64_t count, int64_t out, int64_t step) const {
    typedef IntOf<V> Int;
    V best = v[0];
    Int at = {};
    for (int64_t c = 1; c < n; ++c) {
      const Int wins = (kLeast ? v[c] < best : v[c] > best) | ((v[c] != v[c]) & (best == best));
      best = wins ? v[c] : best;
      at = wins ? Int{} + static_cast<IntLane<T>>(c) : at;
    }
    for (int64_t k = 0; k < count; ++k) finish(out + k * step, {best[k], at[k]});
  }
  void combine(State& s, const State& later) const { take(s, later.value, later.index); }
  void finish(int64_t out, const State& s) const {
    if (value) value[out] = s.value;
    if (index) index[out] = s.index;
  }
};

template <class T, bool kAbs>
struct CountEqual {
  typedef T Elem;
  typedef int64_t State;
  static constexpr bool kColumns = false, kShortRows = false;
  T* y;
  const T* ref;

  State identity() const { return 0; }
  void block(State& s, const T* p, int64_t m, int64_t, int64_t out) const {
    const T v = ref[out];
    int64_t count = 0;
    if (v != v)
      for (int64_t i = 0; i < m; ++i) count += p[i] != p[i];
    else
      for (int64_t i = 0; i < m; ++i) count += (kAbs ? abs(p[i]) : p[i]) == v;
    s += count;
  }
  void combine(State& s, State later) const { s += later; }
  void finish(int64_t out, State s) const { y[out] = static_cast<T>(s); }
};

template <class T>
void extrema(void* y, const void* x, const ReduceArgs& args, const ReduceLoop& loop, void* scratch) {
  const auto run = [&](auto r) { reduce_all(r, static_cast<const T*>(x), loop, scratch); };
  T* out = static_cast<T*>(y);
  switch (args.fold) {
    case Fold::max:
      return run(Extremum<T, false, Max>{out, {}});
    case Fold::min:
      return run(Extremum<T, false, Min>{out, {}});
    case Fold::abs_max:
      return run(Extremum<T, true, Max>{out, {}});
    case Fold::abs_min:
      return run(Extremum<T, true, Min>{out, {}});
    default:
      return;
  }
}

template <class T>
void arg(bool least, void* value, int64_t* index, const void* x, const ReduceLoop& loop, void* scratch) {
  if (least)
    reduce_all(Arg<T, true>{static_cast<T*>(value), index}, static_cast<const T*>(x), loop, scratch);
  else
    reduce_all(Arg<T, false>{static_cast<T*>(value), index}, static_cast<const T*>(x), loop, scratch);
}

template <class T>
void count_equal(void* y, const void* x, const void* ref, bool absolute, const ReduceLoop& loop, void* scratch) {
  if (absolute)
    reduce_all(CountEqual<T, true>{static_cast<T*>(y), static_cast<const T*>(ref)}, static_cast<const T*>(x), loop,
               scratch);
  else
    reduce_all(CountEqual<T, false>{static_cast<T*>(y), static_cast<const T*>(ref)}, static_cast<const T*>(x), loop,
               scratch);
}

}  // namespace

void reduce_extrema(int type, void* y, const void* x, const ReduceArgs& args, const ReduceLoop& loop, void* scratch) {
  if (type == 4)
    extrema<float>(y, x, args, loop, scratch);
  else
    extrema<double>(y, x, args, loop, scratch);
}

void reduce_arg(int type, bool least, void* value, int64_t* index, const void* x, const ReduceLoop& loop,
                void* scratch) {
  switch (type) {
    case 0:
    case 1:
      return arg<uint8_t>(least, value, index, x, loop, scratch);
    case 2:
      return arg<int32_t>(least, value, index, x, loop, scratch);
    case 3:
      return arg<int64_t>(least, value, index, x, loop, scratch);
    case 4:
      return arg<float>(least, value, index, x, loop, scratch);
    default:
      return arg<double>(least, value, index, x, loop, scratch);
  }
}

void reduce_count_equal(int type, void* y, const void* x, const void* ref, bool absolute, const ReduceLoop& loop,
                        void* scratch) {
  if (type == 4)
    count_equal<float>(y, x, ref, absolute, loop, scratch);
  else
    count_equal<double>(y, x, ref, absolute, loop, scratch);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
