// Mean and variance in one pass over memory, and logsumexp.
#include "ops/reduce/moments_cuda.h"
#include "ops/reduce/reduce_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

template <class T>
struct Moments : MomentsOf<T> {
  T *y, *mean;
  double correction;
  bool root;

  __device__ void finish(int64_t out, const MomentState& s) const {
    y[out] = static_cast<T>(variance_of(s, correction, root));
    mean[out] = static_cast<T>(mean_of(s));
  }
};

template <class T>
struct LogLocal {
  T max, sum;  // of exp(x - max)
};
struct LogState {
  double max, sum;
};

template <class T>
struct LogSumExp : OneInput<T> {
  typedef LogLocal<T> Local;
  typedef LogState State;
  T* y;
  T none;  // -inf

  __device__ Local local(int64_t) const { return {none, T(0)}; }
  // Infinities count as themselves: exp(inf - inf) would be NaN.
  __device__ void add(Local& s, T v, int64_t) const {
    if (v > s.max) {
      s.sum = s.sum * exp(s.max - v) + T(1);
      s.max = v;
    } else if (v == s.max) {
      s.sum += v > none ? T(1) : T(0);
    } else {
      s.sum += exp(v - s.max);  // NaN where either is
      if (v != v) s.max = v;
    }
  }
  __device__ State lift(const Local& s) const { return {static_cast<double>(s.max), static_cast<double>(s.sum)}; }
  __device__ State identity() const { return {static_cast<double>(none), 0}; }
  __device__ void combine(State& s, const State& b) const {
    if (!(b.max == b.max) || !(s.max == s.max)) {
      s.max += b.max;
    } else if (b.max > s.max) {
      s.sum = b.sum + (s.sum > 0 ? s.sum * exp(s.max - b.max) : 0);
      s.max = b.max;
    } else if (b.sum > 0) {
      s.sum += b.max == s.max ? b.sum : b.sum * exp(b.max - s.max);
    }
  }
  __device__ void finish(int64_t out, const State& s) const { y[out] = static_cast<T>(s.max + log(s.sum)); }
};

}  // namespace

void reduce_moments(int type, void* y, void* mean, const void* x, double correction, bool root, const ReduceLoop& loop,
                    void*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    Moments<T> r;
    r.y = static_cast<T*>(y);
    r.mean = static_cast<T*>(mean);
    r.correction = correction;
    r.root = root;
    reduce_all(r, x, loop);
  });
}

void reduce_logsumexp(int type, void* y, const void* x, const ReduceLoop& loop, void*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    LogSumExp<T> r;
    r.y = static_cast<T*>(y);
    r.none = static_cast<T>(-HUGE_VAL);
    reduce_all(r, x, loop);
  });
}

}  // namespace cuda
}  // namespace fastnn
