// The losses of pointwise.h, for vectors and scalars, on the CPU and on a device: text for the middle of
// pointwise_cpu.cpp and of pointwise_cuda.cu, which define FASTNN_INLINE and the functions of one V that are called
// here.
#pragma once

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

// Mask 0 means "not there": a NaN in an unknown target must not get through.
template <class V>
FASTNN_INLINE V masked(V value, V m) {
  return select<V>(m == splat<V>(0), splat<V>(0), value);
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
