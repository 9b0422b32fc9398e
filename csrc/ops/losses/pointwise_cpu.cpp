#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "kernels/simd_math.h"
#include "ops/losses/pointwise.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

template <class V>
FASTNN_INLINE V clamp_log(V x) {
  return max(log(x), splat<V>(-100));  // as PyTorch: log 0 would make the loss infinite
}
template <class V>
FASTNN_INLINE V clamp_to(V x, V low, V high) {
  return max(min(x, high), low);
}

// One struct a loss: value, derivative by x, derivative by t. p: parameter, q: positive weight.
struct Mse {
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V, V) {
    return (x - t) * (x - t);
  }
  template <class V>
  static FASTNN_INLINE V dx(V x, V t, V, V) {
    return splat<V>(2) * (x - t);
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V t, V, V) {
    return splat<V>(2) * (t - x);
  }
};
struct L1 {
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V, V) {
    return abs(x - t);
  }
  template <class V>
  static FASTNN_INLINE V dx(V x, V t, V, V) {
    const V d = x - t, zero = splat<V>(0);
    return select<V>(d > zero, splat<V>(1), select<V>(d < zero, splat<V>(-1), d));  // 0 at 0, NaN at NaN
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V t, V p, V q) {
    return -dx(x, t, p, q);
  }
};
struct Huber {  // p = delta
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V p, V) {
    const V a = abs(x - t), half = splat<V>(0.5);
    return select<V>(a > p, p * (a - half * p), half * a * a);
  }
  template <class V>
  static FASTNN_INLINE V dx(V x, V t, V p, V) {
    return clamp_to(x - t, -p, p);
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V t, V p, V) {
    return clamp_to(t - x, -p, p);
  }
};
struct SmoothL1 {  // p = beta > 0 (0 is L1)
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V p, V) {
    const V a = abs(x - t), half = splat<V>(0.5);
    return select<V>(a < p, half * a * a / p, a - half * p);
  }
  template <class V>
  static FASTNN_INLINE V dx(V x, V t, V p, V) {
    return clamp_to((x - t) / p, splat<V>(-1), splat<V>(1));
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V t, V p, V q) {
    return -dx(x, t, p, q);
  }
};
struct Bce {
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V, V) {
    const V one = splat<V>(1);
    return (t - one) * max(log1p(-x), splat<V>(-100)) - t * clamp_log(x);
  }
  template <class V>
  static FASTNN_INLINE V dx(V x, V t, V, V) {
    return (x - t) / max((splat<V>(1) - x) * x, splat<V>(1e-12));
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V, V, V) {
    return max(log1p(-x), splat<V>(-100)) - clamp_log(x);
  }
};
struct BceWithLogits {
  // softplus(-x) = log(1 + exp(-x)), without overflow
  template <class V>
  static FASTNN_INLINE V softplus_neg(V x) {
    return log1p(exp(-abs(x))) + max(-x, splat<V>(0));
  }
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V, V q) {
    const V one = splat<V>(1);
    return (one - t) * x + (one + (q - one) * t) * softplus_neg(x);
  }
  template <class V>
  static FASTNN_INLINE V dx(V x, V t, V, V q) {
    const V one = splat<V>(1);
    return (one - t) - (one + (q - one) * t) * sigmoid(-x);
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V, V, V q) {
    return (q - splat<V>(1)) * softplus_neg(x) - x;
  }
};
struct KlDiv {  // x = log q; 0 log 0 = 0
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V, V) {
    return select<V>(t == splat<V>(0), splat<V>(0), t * (log(t) - x));
  }
  template <class V>
  static FASTNN_INLINE V dx(V, V t, V, V) {
    return -t;
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V t, V, V) {
    return log(t) + splat<V>(1) - x;
  }
};
struct KlDivLog {  // t = log p too
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V, V) {
    return exp(t) * (t - x);
  }
  template <class V>
  static FASTNN_INLINE V dx(V, V t, V, V) {
    return -exp(t);
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V t, V, V) {
    return exp(t) * (t - x + splat<V>(1));
  }
};
struct Hinge {  // p = margin, t = -1 or 1
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V p, V) {
    return max(p - t * x, splat<V>(0));
  }
  template <class V>
  static FASTNN_INLINE V dx(V x, V t, V p, V) {
    return select<V>(p - t * x > splat<V>(0), -t, splat<V>(0));
  }
  template <class V>
  static FASTNN_INLINE V dt(V x, V t, V p, V) {
    return select<V>(p - t * x > splat<V>(0), -x, splat<V>(0));
  }
};
struct HingeEmbedding {  // t = 1: x, t = -1: max(0, p - x)
  template <class V>
  static FASTNN_INLINE V value(V x, V t, V p, V) {
    return select<V>(t > splat<V>(0), x, max(p - x, splat<V>(0)));
  }
  template <class V>
  static FASTNN_INLINE V dx(V x, V t, V p, V) {
    return select<V>(t > splat<V>(0), splat<V>(1), select<V>(p - x > splat<V>(0), splat<V>(-1), splat<V>(0)));
  }
  template <class V>
  static FASTNN_INLINE V dt(V, V, V, V) {
    return splat<V>(0);
  }
};

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

// Mask 0 means "not there": a NaN in an unknown target must not get through.
template <class V>
FASTNN_INLINE V masked(V value, V m) {
  return select<V>(m == splat<V>(0), splat<V>(0), value);
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

template <class F>
void with_loss(int loss, const F& f) {
  switch (static_cast<PointwiseLoss>(loss)) {
    case PointwiseLoss::mse:
      return f(Mse{});
    case PointwiseLoss::l1:
      return f(L1{});
    case PointwiseLoss::huber:
      return f(Huber{});
    case PointwiseLoss::smooth_l1:
      return f(SmoothL1{});
    case PointwiseLoss::bce:
      return f(Bce{});
    case PointwiseLoss::bce_with_logits:
      return f(BceWithLogits{});
    case PointwiseLoss::kl_div:
      return f(KlDiv{});
    case PointwiseLoss::kl_div_log:
      return f(KlDivLog{});
    case PointwiseLoss::hinge:
      return f(Hinge{});
    case PointwiseLoss::hinge_embedding:
      return f(HingeEmbedding{});
  }
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
