// Sums and products of integers (in int64, wrapping as NumPy's do), and any, all, count of every dtype.
#include "ops/reduce/reduce_driver.h"
#include "ops/reduce/reduce_fold.h"
#include "ops/reduce/reduce_kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

template <class T, bool kProduct>
struct Whole {
  typedef T Elem;
  typedef uint64_t State;  // wraps without undefined behaviour
  static constexpr bool kColumns = true, kShortRows = false;
  uint64_t* y;

  State identity() const { return kProduct ? 1 : 0; }
  void block(State& s, const T* p, int64_t m, int64_t, int64_t) const {
    uint64_t acc = s;
    for (int64_t i = 0; i < m; ++i) combine(acc, static_cast<uint64_t>(p[i]));
    s = acc;
  }
  void columns(State* s, const T* x, const int64_t* rows, int64_t count, int64_t w, int64_t) const {
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < w; ++j) combine(s[j], static_cast<uint64_t>(x[rows[r] + j]));
  }
  void combine(State& s, State later) const { s = kProduct ? s * later : s + later; }
  void finish(int64_t out, State s) const { y[out] = s; }
};

template <class T, IntFold kFold>
struct Count {
  typedef T Elem;
  typedef int64_t State;
  static constexpr bool kColumns = true, kShortRows = false;
  void* y;
  int64_t n;

  State identity() const { return 0; }
  void block(State& s, const T* p, int64_t m, int64_t, int64_t) const {
    int32_t count = 0;  // m <= 4096
    for (int64_t i = 0; i < m; ++i) count += p[i] != T(0);
    s += count;
  }
  void columns(State* s, const T* x, const int64_t* rows, int64_t count, int64_t w, int64_t) const {
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < w; ++j) s[j] += x[rows[r] + j] != T(0);
  }
  void combine(State& s, State later) const { s += later; }
  void finish(int64_t out, State s) const {
    if (kFold == IntFold::count)
      static_cast<int64_t*>(y)[out] = s;
    else
      static_cast<uint8_t*>(y)[out] = kFold == IntFold::any ? s > 0 : s == n;
  }
};

template <class T>
void ints(IntFold fold, void* y, const void* x, const ReduceLoop& loop, void* scratch) {
  const auto run = [&](auto r) { reduce_all(r, static_cast<const T*>(x), loop, scratch); };
  switch (fold) {
    case IntFold::any:
      return run(Count<T, IntFold::any>{y, loop.n});
    case IntFold::all:
      return run(Count<T, IntFold::all>{y, loop.n});
    case IntFold::count:
      return run(Count<T, IntFold::count>{y, loop.n});
    default:
      break;
  }
  if constexpr (T(1) / T(2) == T(0)) {
    if (fold == IntFold::sum)
      run(Whole<T, false>{static_cast<uint64_t*>(y)});
    else
      run(Whole<T, true>{static_cast<uint64_t*>(y)});
  }
}

}  // namespace

void reduce_ints(IntFold fold, int type, void* y, const void* x, const ReduceLoop& loop, void* scratch) {
  switch (type) {
    case 0:
    case 1:
      return ints<uint8_t>(fold, y, x, loop, scratch);
    case 2:
      return ints<int32_t>(fold, y, x, loop, scratch);
    case 3:
      return ints<int64_t>(fold, y, x, loop, scratch);
    case 4:
      return ints<float>(fold, y, x, loop, scratch);
    default:
      return ints<double>(fold, y, x, loop, scratch);
  }
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
