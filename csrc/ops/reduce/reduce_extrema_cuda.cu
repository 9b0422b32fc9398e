// Largest and smallest values, where they are, and how many elements equal them.
#include "ops/reduce/reduce_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

template <class T, bool kAbs, class Merge>
struct Extremum : OneInput<T> {
  typedef T Local;
  typedef T State;
  T* y;
  T none;

  __device__ Local local(int64_t) const { return none; }
  __device__ void add(Local& s, T v, int64_t) const { s = Merge()(s, kAbs ? fabs(v) : v); }
  __device__ State lift(Local s) const { return s; }
  __device__ State identity() const { return none; }
  __device__ void combine(State& s, State b) const { s = Merge()(s, b); }
  __device__ void finish(int64_t out, State s) const { y[out] = s; }
};

template <class T>
struct ArgState {
  T value;
  int64_t index;  // -1: none yet
};

/// The first NaN, else the first of the largest (smallest).
template <class T, bool kLeast>
struct Arg : OneInput<T> {
  typedef ArgState<T> Local;
  typedef ArgState<T> State;
  T* value;
  int64_t* index;

  __device__ State identity() const {
    State s{};
    s.index = -1;
    return s;
  }
  __device__ Local local(int64_t) const { return identity(); }
  /// Whether v is more than best; both NaN or equal: neither is.
  static __device__ bool beats(T v, T best) { return (kLeast ? v < best : v > best) || (v != v && best == best); }
  __device__ void add(Local& s, T v, int64_t i) const {  // i rises
    if (s.index < 0 || beats(v, s.value)) s.value = v, s.index = i;
  }
  __device__ State lift(const Local& s) const { return s; }
  __device__ void combine(State& s, const State& b) const {
    if (b.index < 0) return;
    if (s.index < 0 || beats(b.value, s.value) || (!beats(s.value, b.value) && b.index < s.index)) s = b;
  }
  __device__ void finish(int64_t out, const State& s) const {
    if (value) value[out] = s.value;
    if (index) index[out] = s.index;
  }
};

template <class T>
struct EqualLocal {
  T ref;
  int32_t count;
};
template <class T, bool kAbs>
struct CountEqual : OneInput<T> {
  typedef EqualLocal<T> Local;
  typedef int64_t State;
  T* y;
  const T* ref;

  __device__ Local local(int64_t out) const { return {ref[out], 0}; }
  __device__ void add(Local& s, T v, int64_t) const {
    s.count += (kAbs ? fabs(v) : v) == s.ref || (v != v && s.ref != s.ref);
  }
  __device__ State lift(const Local& s) const { return s.count; }
  __device__ State identity() const { return 0; }
  __device__ void combine(State& s, State b) const { s += b; }
  __device__ void finish(int64_t out, State s) const { y[out] = static_cast<T>(s); }
};

template <class T, bool kAbs, class Merge>
void extremum(void* y, const void* x, double none, const ReduceLoop& loop) {
  Extremum<T, kAbs, Merge> r;
  r.y = static_cast<T*>(y);
  r.none = static_cast<T>(none);
  reduce_all(r, x, loop);
}

template <class T, bool kLeast>
void arg(void* value, int64_t* index, const void* x, const ReduceLoop& loop) {
  Arg<T, kLeast> r;
  r.value = static_cast<T*>(value);
  r.index = index;
  reduce_all(r, x, loop);
}

template <class T, bool kAbs>
void count_equal(void* y, const void* x, const void* ref, const ReduceLoop& loop) {
  CountEqual<T, kAbs> r;
  r.y = static_cast<T*>(y);
  r.ref = static_cast<const T*>(ref);
  reduce_all(r, x, loop);
}

}  // namespace

void reduce_extrema(int type, void* y, const void* x, const ReduceArgs& args, const ReduceLoop& loop, void*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    switch (args.fold) {
      case Fold::max:
        return extremum<T, false, Max>(y, x, -HUGE_VAL, loop);
      case Fold::min:
        return extremum<T, false, Min>(y, x, HUGE_VAL, loop);
      case Fold::abs_max:
        return extremum<T, true, Max>(y, x, -HUGE_VAL, loop);
      case Fold::abs_min:
        return extremum<T, true, Min>(y, x, HUGE_VAL, loop);
      default:
        return;
    }
  });
}

void reduce_arg(int type, bool least, void* value, int64_t* index, const void* x, const ReduceLoop& loop, void*) {
  // A bool is the byte that it is.
  with_type(type == 0 ? 1 : type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    if constexpr (!std::is_same_v<T, bool>) {
      if (least)
        arg<T, true>(value, index, x, loop);
      else
        arg<T, false>(value, index, x, loop);
    }
  });
}

void reduce_count_equal(int type, void* y, const void* x, const void* ref, bool absolute, const ReduceLoop& loop,
                        void*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    if (absolute)
      count_equal<T, true>(y, x, ref, loop);
    else
      count_equal<T, false>(y, x, ref, loop);
  });
}

}  // namespace cuda
}  // namespace fastnn
