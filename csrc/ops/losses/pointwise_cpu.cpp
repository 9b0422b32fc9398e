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

template <class V>
FASTNN_INLINE V weighted(V value, V w) {
  // Weight 0 means "not there": a NaN in an unknown target must not get through.
  return select<V>(w == splat<V>(0), splat<V>(0), value * w);
}

// f(x, t, w, q, index, count) over the vectors of [begin, end).
template <class T, class F>
FASTNN_INLINE void each_vector(const PointwiseArgs& a, int64_t begin, int64_t end, const F& f) {
  const T *x = static_cast<const T*>(a.x), *t = static_cast<const T*>(a.t);
  const T *w = static_cast<const T*>(a.w), *q = static_cast<const T*>(a.q);
  const Vec<T> one = splat<Vec<T>>(1);
  constexpr int64_t L = kLanes<T>;
  int64_t i = begin;
  for (; i + L <= end; i += L)
    f(load<T>(x + i), load<T>(t + i), w ? load<T>(w + i) : one, q ? load<T>(q + i) : one, i, L);
  if (i < end) {
    const int64_t n = end - i;
    f(load_n<T>(x + i, n), load_n<T>(t + i, n), w ? load_n<T>(w + i, n) : one, q ? load_n<T>(q + i, n) : one, i, n);
  }
}

template <class Loss, class T>
void forward(const PointwiseArgs& a, T* y, double* sums, int64_t block) {
  const Vec<T> p = splat<Vec<T>>(a.p);
  constexpr int64_t L = kLanes<T>;
  parallel_range(a.n, block, [&](int64_t begin, int64_t end) {
    Vec<T> gathered = Vec<T>{};
    double total = 0;
    int64_t pending = 0;
    const auto flush = [&] {
      for (int l = 0; l < L; ++l) total += gathered[l];
      gathered = Vec<T>{};
      pending = 0;
    };
    each_vector<T>(a, begin, end, [&](Vec<T> x, Vec<T> t, Vec<T> w, Vec<T> q, int64_t i, int64_t n) {
      Vec<T> v = weighted<Vec<T>>(Loss::template value<Vec<T>>(x, t, p, q), w);
      if (n < L) {  // lanes past the end hold garbage
        T lanes[L];
        store(lanes, v);
        for (int64_t l = n; l < L; ++l) lanes[l] = T(0);
        v = load<T>(lanes);
      }
      if (y) store_n<T>(y + i, v, n);
      gathered += v;
      if (++pending == 64) flush();  // short float sums, long ones in double
    });
    flush();
    sums[begin / block] = total;
  });
}

template <class Loss, class T>
void backward(const PointwiseArgs& a, T* dx, T* dt, const T* dy, int64_t dy_step, double scale, int64_t block) {
  const Vec<T> p = splat<Vec<T>>(a.p);
  parallel_range(a.n, block, [&](int64_t begin, int64_t end) {
    each_vector<T>(a, begin, end, [&](Vec<T> x, Vec<T> t, Vec<T> w, Vec<T> q, int64_t i, int64_t n) {
      const Vec<T> g = (dy_step ? load_n<T>(dy + i, n) : splat<Vec<T>>(dy[0])) * splat<Vec<T>>(scale);
      if (dx) store_n<T>(dx + i, weighted<Vec<T>>(g * Loss::template dx<Vec<T>>(x, t, p, q), w), n);
      if (dt) store_n<T>(dt + i, weighted<Vec<T>>(g * Loss::template dt<Vec<T>>(x, t, p, q), w), n);
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

void pointwise_loss_forward(const PointwiseArgs& args, void* y, double* sums, int64_t block) {
  with_loss(args.loss, [&](auto loss) {
    if (args.is_double)
      forward<decltype(loss)>(args, static_cast<double*>(y), sums, block);
    else
      forward<decltype(loss)>(args, static_cast<float*>(y), sums, block);
  });
}

void pointwise_loss_backward(const PointwiseArgs& args, void* dx, void* dt, const void* dy, int64_t dy_step,
                             double scale, int64_t block) {
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
