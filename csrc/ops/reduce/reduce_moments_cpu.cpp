// Mean and variance in one pass over memory, and logsumexp.
#include "ops/reduce/moments.h"
#include "ops/reduce/reduce_driver.h"
#include "ops/reduce/reduce_fold.h"
#include "ops/reduce/reduce_kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

struct Value {
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return x;
  }
};
// (x - shift)^kPower with one shift for a run, or one per column.
template <class T, int kPower>
struct Deviation {
  T shift;
  template <class V>
  FASTNN_INLINE V operator()(V x) const {
    const V d = x - splat<V>(shift);
    return kPower == 2 ? d * d : d;
  }
};
template <class T, int kPower>
struct ColumnDeviation {
  const T* shift;
  FASTNN_INLINE T operator()(T x, int64_t j) const {
    const T d = x - shift[j];
    return kPower == 2 ? d * d : d;
  }
  FASTNN_INLINE Vec<T> operator()(Vec<T> x, int64_t j) const {
    const Vec<T> d = x - load(shift + j);
    return kPower == 2 ? d * d : d;
  }
};

template <class T>
struct Moments {
  typedef T Elem;
  typedef MomentState State;
  static constexpr bool kColumns = true, kShortRows = false;
  T *y, *mean;
  double correction;
  bool root;

  State identity() const { return {0, 0, 0}; }
  // A block is read three times from L1: its mean rounded to T, then the squares around that, corrected by the sum of
  // the deviations, which is what the rounding left. Sums of squares never cancel.
  void block(State& s, const T* p, int64_t m, int64_t, int64_t) const {
    const double count = static_cast<double>(m);
    const T shift = static_cast<T>(static_cast<double>(fold_run(p, m, Value(), Add())) / count);
    const double d1 = fold_run(p, m, Deviation<T, 1>{shift}, Add()), d2 = fold_run(p, m, Deviation<T, 2>{shift}, Add());
    combine(s, {count, static_cast<double>(shift) + d1 / count, d2 - d1 * (d1 / count)});
  }
  void columns(State* s, const T* x, const int64_t* rows, int64_t count, int64_t w, int64_t) const {
    // Rounded up to whole vectors, which the last columns load.
    T shift[kColumnStrip + kLanes<T>] = {};
    T d1[kColumnStrip], d2[kColumnStrip];
    const double n = static_cast<double>(count);
    fold_rows(shift, x, rows, count, w, Value(), Add());
    for (int64_t j = 0; j < w; ++j) shift[j] = static_cast<T>(static_cast<double>(shift[j]) / n);
    fold_rows(d1, x, rows, count, w, ColumnDeviation<T, 1>{shift}, Add());
    fold_rows(d2, x, rows, count, w, ColumnDeviation<T, 2>{shift}, Add());
    for (int64_t j = 0; j < w; ++j) {
      const double e = d1[j];
      combine(s[j], {n, static_cast<double>(shift[j]) + e / n, static_cast<double>(d2[j]) - e * (e / n)});
    }
  }
  void combine(State& s, const State& b) const { join_moments(s, b); }
  void finish(int64_t out, const State& s) const {
    y[out] = static_cast<T>(variance_of(s, correction, root));
    mean[out] = static_cast<T>(mean_of(s));
  }
};

template <class T>
struct ColumnShifted {
  const T* shift;
  FASTNN_INLINE T operator()(T x, int64_t j) const { return exp(x - shift[j]); }
  FASTNN_INLINE Vec<T> operator()(Vec<T> x, int64_t j) const { return exp(x - load(shift + j)); }
};

struct LogState {
  double max, sum;  // of exp(x - max)
};

template <class T>
struct Shifted {
  T shift;
  template <class V>
  FASTNN_INLINE V operator()(V x, int64_t = 0) const {
    return exp(x - splat<V>(shift));
  }
};

template <class T>
struct LogSumExp {
  typedef T Elem;
  typedef LogState State;
  static constexpr bool kColumns = true, kShortRows = false;
  T* y;

  State identity() const { return {-HUGE_VAL, 0}; }
  void block(State& s, const T* p, int64_t m, int64_t, int64_t) const {
    const T top = fold_run(p, m, Value(), Max());
    // exp(inf - inf) would be NaN: infinities count as themselves.
    if (top - top != T(0))
      combine(s, {static_cast<double>(top), top < T(0) ? 0.0 : 1.0});
    else
      combine(s, {static_cast<double>(top), static_cast<double>(fold_run(p, m, Shifted<T>{top}, Add()))});
  }
  void columns(State* s, const T* x, const int64_t* rows, int64_t count, int64_t w, int64_t) const {
    T top[kColumnStrip], shift[kColumnStrip + kLanes<T>] = {}, sum[kColumnStrip];
    fold_rows(top, x, rows, count, w, Value(), Max());
    for (int64_t j = 0; j < w; ++j) shift[j] = top[j] - top[j] != T(0) ? T(0) : top[j];
    fold_rows(sum, x, rows, count, w, ColumnShifted<T>{shift}, Add());
    for (int64_t j = 0; j < w; ++j) {
      const bool finite = top[j] - top[j] == T(0);
      combine(s[j], {static_cast<double>(top[j]), finite ? static_cast<double>(sum[j]) : top[j] < T(0) ? 0.0 : 1.0});
    }
  }
  void combine(State& s, const State& b) const {
    if (!(b.max == b.max) || !(s.max == s.max)) {
      s = {s.max + b.max, s.sum + b.sum};
    } else if (b.max > s.max) {
      s = {b.max, b.sum + (s.sum > 0 ? s.sum * ::exp(s.max - b.max) : 0)};
    } else if (b.sum > 0) {
      s.sum += b.max == s.max ? b.sum : b.sum * ::exp(b.max - s.max);
    }
  }
  void finish(int64_t out, const State& s) const { y[out] = static_cast<T>(s.max + ::log(s.sum)); }
};

template <class T>
void moments(void* y, void* mean, const void* x, double correction, bool root, const ReduceLoop& loop, void* scratch) {
  reduce_all(Moments<T>{static_cast<T*>(y), static_cast<T*>(mean), correction, root}, static_cast<const T*>(x), loop,
             scratch);
}

}  // namespace

void reduce_moments(int type, void* y, void* mean, const void* x, double correction, bool root, const ReduceLoop& loop,
                    void* scratch) {
  if (type == 4)
    moments<float>(y, mean, x, correction, root, loop, scratch);
  else
    moments<double>(y, mean, x, correction, root, loop, scratch);
}

void reduce_logsumexp(int type, void* y, const void* x, const ReduceLoop& loop, void* scratch) {
  if (type == 4)
    reduce_all(LogSumExp<float>{static_cast<float*>(y)}, static_cast<const float*>(x), loop, scratch);
  else
    reduce_all(LogSumExp<double>{static_cast<double*>(y)}, static_cast<const double*>(x), loop, scratch);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
