// Sums and products of integers (in int64, wrapping), and any, all, count of every dtype.
#include "ops/reduce/reduce_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

template <class T, bool kProduct>
struct Whole : OneInput<T> {
  typedef uint64_t Local;  // wraps without undefined behaviour
  typedef uint64_t State;
  uint64_t* y;

  __device__ State identity() const { return kProduct ? 1 : 0; }
  __device__ Local local(int64_t) const { return identity(); }
  __device__ void add(Local& s, T v, int64_t) const { combine(s, static_cast<uint64_t>(v)); }
  __device__ State lift(Local s) const { return s; }
  __device__ void combine(State& s, State b) const { s = kProduct ? s * b : s + b; }
  __device__ void finish(int64_t out, State s) const { y[out] = s; }
};

template <class T>
struct Count : OneInput<T> {
  typedef int32_t Local;
  typedef int64_t State;
  IntFold fold;
  int64_t n;
  void* y;

  __device__ Local local(int64_t) const { return 0; }
  __device__ void add(Local& s, T v, int64_t) const { s += v != T(0); }
  __device__ State lift(Local s) const { return s; }
  __device__ State identity() const { return 0; }
  __device__ void combine(State& s, State b) const { s += b; }
  __device__ void finish(int64_t out, State s) const {
    if (fold == IntFold::count)
      static_cast<int64_t*>(y)[out] = s;
    else
      static_cast<uint8_t*>(y)[out] = fold == IntFold::any ? s > 0 : s == n;
  }
};

template <class T, bool kProduct>
void whole(void* y, const void* x, const ReduceLoop& loop) {
  Whole<T, kProduct> r;
  r.y = static_cast<uint64_t*>(y);
  reduce_all(r, x, loop);
}

}  // namespace

void reduce_ints(IntFold fold, int type, void* y, const void* x, const ReduceLoop& loop, void*) {
  // A bool is the byte that it is.
  with_type(type == 0 ? 1 : type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    if constexpr (!std::is_same_v<T, bool>) {
      if (fold == IntFold::sum || fold == IntFold::prod) {
        if constexpr (std::is_integral_v<T>) {
          if (fold == IntFold::sum)
            whole<T, false>(y, x, loop);
          else
            whole<T, true>(y, x, loop);
        }
        return;
      }
      Count<T> r;
      r.fold = fold;
      r.n = loop.n;
      r.y = y;
      reduce_all(r, x, loop);
    }
  });
}

}  // namespace cuda
}  // namespace fastnn
