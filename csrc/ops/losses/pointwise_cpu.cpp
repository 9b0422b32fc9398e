#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "kernels/simd_math.h"
#include "ops/losses/pointwise.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

#include "ops/losses/pointwise_formulas.h"  // into this namespace

// f(x, t, w, m, q, index, count) over the vectors of [begin, end).
template <class T, class F>
FASTNN_INLINE void each_vector(const PointwiseArgs& a, int64_t begin, int64_t end, const F& f) {
  constexpr int64_t L = kLanes<T>;
  for (int64_t i = begin; i < end; i += L) {
    const int64_t n = end - i < L ? end - i : L;
    const auto read = [&](const void* p) {
      const T* from = static_cast<const T*>(p) + i;
      return n == L ? load<T>(from) : load_n<T>(from, n);
    };
    const Vec<T> one = splat<Vec<T>>(1);
    f(read(a.x), read(a.t), a.w ? read(a.w) : one, a.m ? read(a.m) : one, a.q ? read(a.q) : one, i, n);
  }
}

template <class V>
FASTNN_INLINE double lane_sum(V v, int64_t n) {
  double total = 0;
  for (int64_t l = 0; l < n; ++l) total += v[l];
  return total;
}

template <class Loss, class T>
void forward(const PointwiseArgs& a, const Reduced& reduced, T* y, double* sums, int64_t block) {
  const Vec<T> p = splat<Vec<T>>(a.p);
  constexpr int64_t L = kLanes<T>;
  parallel_range(a.n, block, [&](int64_t begin, int64_t end) {
    Vec<T> gathered = Vec<T>{};
    double total = 0, count = a.m || a.count_weights ? 0 : static_cast<double>(end - begin);
    int64_t pending = 0;
    each_vector<T>(a, begin, end, [&](Vec<T> x, Vec<T> t, Vec<T> w, Vec<T> m, Vec<T> q, int64_t i, int64_t n) {
      const Vec<T> v = masked<Vec<T>>(Loss::template value<Vec<T>>(x, t, p, q) * w, m);
      if (y) store_n<T>(y + i, v, n);
      if (a.m || a.count_weights) count += lane_sum(a.count_weights ? m * w : m, n);
      if (n < L) {  // lanes past the end hold garbage
        total += lane_sum(v, n);
        return;
      }
      gathered += v;
      if (++pending == 64) {  // short sums in T, long ones in double
        total += lane_sum(gathered, L);
        gathered = Vec<T>{};
        pending = 0;
      }
    });
    sums[2 * (begin / block)] = total + lane_sum(gathered, L);
    sums[2 * (begin / block) + 1] = count;
  });
  finish_reduction<T>(reduced, sums, (a.n + block - 1) / block);
}

template <class Loss, class T>
void backward(const PointwiseArgs& a, T* dx, T* dt, const T* dy, int64_t dy_step, const double* scale, int64_t block) {
  const Vec<T> p = splat<Vec<T>>(a.p);
  parallel_range(a.n, block, [&](int64_t begin, int64_t end) {
    each_vector<T>(a, begin, end, [&](Vec<T> x, Vec<T> t, Vec<T> w, Vec<T> m, Vec<T> q, int64_t i, int64_t n) {
      const Vec<T> g = (dy_step ? load_n<T>(dy + i, n) : splat<Vec<T>>(dy[0])) * splat<Vec<T>>(*scale) * w;
      if (dx) store_n<T>(dx + i, masked<Vec<T>>(g * Loss::template dx<Vec<T>>(x, t, p, q), m), n);
      if (dt) store_n<T>(dt + i, masked<Vec<T>>(g * Loss::template dt<Vec<T>>(x, t, p, q), m), n);
    });
  });
}

}  // namespace

void pointwise_loss_forward(const PointwiseArgs& args, const Reduced& reduced, void* y, double* sums, int64_t block) {
  with_loss(args.loss, [&](auto loss) {
    if (args.is_double)
      forward<decltype(loss)>(args, reduced, static_cast<double*>(y), sums, block);
    else
      forward<decltype(loss)>(args, reduced, static_cast<float*>(y), sums, block);
  });
}

void pointwise_loss_backward(const PointwiseArgs& args, void* dx, void* dt, const void* dy, int64_t dy_step,
                             const double* scale, int64_t block) {
  with_loss(args.loss, [&](auto loss) {
    if (args.is_double)
      backward<decltype(loss)>(args, static_cast<double*>(dx), static_cast<double*>(dt), static_cast<const double*>(dy),
                               dy_step, scale, block);
    else
      backward<decltype(loss)>(args, static_cast<float*>(dx), static_cast<float*>(dt), static_cast<const float*>(dy),
                               dy_step, scale, block);
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
