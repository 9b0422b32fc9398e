#include "kernels/parallel.h"
#include "ops/optim/optim_kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// 16 K elements of a handful of float arrays fill an L2 cache; fewer are not worth a second thread.
constexpr int64_t kGrain = 16384;

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }
inline float larger(float a, float b) { return a > b || a != a ? a : b; }
inline double larger(double a, double b) { return a > b || a != a ? a : b; }

/// The gradient an update works with: its sign turned for maximize, plus the L2 term. Not added at weight decay 0, so
/// that an infinite parameter does not become NaN by 0 * inf.
template <class T>
inline T effective(T g, T p, T sign, T wd) {
  return wd != T(0) ? sign * g + wd * p : sign * g;
}

double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1, base *= base) {
    if (exponent & 1) result *= base;
  }
  return result;
}

/// f(slot, begin, end) over the elements of all parameters as if they lay behind each other: many small parameters are
/// one task, a large one several. Each element is computed alone, so the cuts do not change its bits.
template <class F>
void each_range(const OptimSlot* slots, int64_t count, const F& f) {
  int64_t all = 0;
  for (int64_t i = 0; i < count; i++) {
    if (slots[i].step != nullptr) ++*slots[i].step;
    all += slots[i].n;
  }
  parallel_range(all, kGrain, [=, &f](int64_t begin, int64_t end) {
    int64_t at = 0;
    for (int64_t i = 0; i < count && at < end; at += slots[i++].n) {
      const int64_t from = begin > at ? begin - at : 0, to = end - at < slots[i].n ? end - at : slots[i].n;
      if (from < to) f(slots[i], from, to);
    }
  });
}

template <class T>
void sgd_range(const OptimSlot& s, int64_t begin, int64_t end, const SgdArgs& a) {
  T* const p = static_cast<T*>(s.p);
  T* const buf = static_cast<T*>(s.state[0]);
  const T* const g = static_cast<const T*>(s.g);
  const bool first = buf != nullptr && *s.step == 1;
  const T lr = T(*a.lr), mu = T(a.momentum), keep = T(1 - a.dampening), wd = T(a.weight_decay);
  const T sign = a.maximize ? T(-1) : T(1);
  const bool nesterov = a.nesterov;
  if (buf == nullptr) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; i++) p[i] -= lr * effective(g[i], p[i], sign, wd);
    return;
  }
#pragma GCC ivdep
  for (int64_t i = begin; i < end; i++) {
    const T d = effective(g[i], p[i], sign, wd);
    const T b = first ? d : mu * buf[i] + keep * d;
    buf[i] = b;
    p[i] -= lr * (nesterov ? d + mu * b : b);
  }
}

template <class T, bool centered, bool heavy>
void rmsprop_range(T* p, T* square, T* mean, T* buf, const T* g, int64_t begin, int64_t end, const RmspropArgs& a) {
  const T lr = T(*a.lr), alpha = T(a.alpha), rest = T(1 - a.alpha), eps = T(a.eps), wd = T(a.weight_decay);
  const T mu = T(a.momentum), sign = a.maximize ? T(-1) : T(1);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; i++) {
    const T d = effective(g[i], p[i], sign, wd);
    const T s = alpha * square[i] + rest * d * d;
    square[i] = s;
    T var = s;
    if (centered) {
      const T m = mean[i] + (d - mean[i]) * rest;
      mean[i] = m;
      var = s - m * m;
    }
    const T u = d / (root(var) + eps);
    if (heavy) {
      const T b = mu * buf[i] + u;
      buf[i] = b;
      p[i] -= lr * b;
    } else {
      p[i] -= lr * u;
    }
  }
}

template <class T>
void rmsprop_slot(const OptimSlot& s, int64_t begin, int64_t end, const RmspropArgs& a) {
  T* const p = static_cast<T*>(s.p);
  T* const square = static_cast<T*>(s.state[0]);
  T* const mean = static_cast<T*>(s.state[1]);
  T* const buf = static_cast<T*>(s.state[2]);
  const T* const g = static_cast<const T*>(s.g);
  if (mean != nullptr && buf != nullptr) rmsprop_range<T, true, true>(p, square, mean, buf, g, begin, end, a);
  if (mean != nullptr && buf == nullptr) rmsprop_range<T, true, false>(p, square, mean, buf, g, begin, end, a);
  if (mean == nullptr && buf != nullptr) rmsprop_range<T, false, true>(p, square, mean, buf, g, begin, end, a);
  if (mean == nullptr && buf == nullptr) rmsprop_range<T, false, false>(p, square, mean, buf, g, begin, end, a);
}

template <class T, bool amsgrad>
void adam_range(T* p, T* m, T* v, T* vmax, const T* g, int64_t begin, int64_t end, const AdamArgs& a, double c1,
                double c2) {
  // c1, c2: the bias corrections 1 - beta^t. Both divisions of the formula move into the scalars.
  const T step = T(*a.lr / c1), inv_root_c2 = T(1 / __builtin_sqrt(c2)), eps = T(a.eps);
  const T rest1 = T(1 - a.beta1), b2 = T(a.beta2), rest2 = T(1 - a.beta2), sign = a.maximize ? T(-1) : T(1);
  const T l2 = a.decoupled ? T(0) : T(a.weight_decay), shrink = a.decoupled ? T(1 - *a.lr * a.weight_decay) : T(1);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; i++) {
    const T d = effective(g[i], p[i], sign, l2);
    const T mi = m[i] + (d - m[i]) * rest1;
    const T vi = b2 * v[i] + rest2 * d * d;
    m[i] = mi;
    v[i] = vi;
    T w = vi;
    if (amsgrad) {
      w = larger(vi, vmax[i]);
      vmax[i] = w;
    }
    p[i] = shrink * p[i] - step * mi / (root(w) * inv_root_c2 + eps);
  }
}

template <class T>
void adam_slot(const OptimSlot& s, int64_t begin, int64_t end, const AdamArgs& a) {
  T* const p = static_cast<T*>(s.p);
  T* const m = static_cast<T*>(s.state[0]);
  T* const v = static_cast<T*>(s.state[1]);
  T* const vmax = static_cast<T*>(s.state[2]);
  const T* const g = static_cast<const T*>(s.g);
  const double c1 = 1 - power(a.beta1, *s.step), c2 = 1 - power(a.beta2, *s.step);
  if (vmax != nullptr) {
    adam_range<T, true>(p, m, v, vmax, g, begin, end, a, c1, c2);
  } else {
    adam_range<T, false>(p, m, v, vmax, g, begin, end, a, c1, c2);
  }
}

template <class T>
void adagrad_slot(const OptimSlot& slot, int64_t begin, int64_t end, const AdagradArgs& a) {
  T* const p = static_cast<T*>(slot.p);
  T* const sum = static_cast<T*>(slot.state[0]);
  const T* const g = static_cast<const T*>(slot.g);
  const T lr = T(*a.lr / (1 + double(*slot.step - 1) * a.lr_decay)), eps = T(a.eps), wd = T(a.weight_decay);
  const T sign = a.maximize ? T(-1) : T(1);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; i++) {
    const T d = effective(g[i], p[i], sign, wd);
    const T s = sum[i] + d * d;
    sum[i] = s;
    p[i] -= lr * d / (root(s) + eps);
  }
}

template <class T>
void adadelta_slot(const OptimSlot& slot, int64_t begin, int64_t end, const AdadeltaArgs& a) {
  T* const p = static_cast<T*>(slot.p);
  T* const square = static_cast<T*>(slot.state[0]);
  T* const acc = static_cast<T*>(slot.state[1]);
  const T* const g = static_cast<const T*>(slot.g);
  const T lr = T(*a.lr), rho = T(a.rho), rest = T(1 - a.rho), eps = T(a.eps), wd = T(a.weight_decay);
  const T sign = a.maximize ? T(-1) : T(1);
#pragma GCC ivdep
  for (int64_t i = begin; i < end; i++) {
    const T d = effective(g[i], p[i], sign, wd);
    const T s = rho * square[i] + rest * d * d;
    square[i] = s;
    const T u = root(acc[i] + eps) / root(s + eps) * d;
    acc[i] = rho * acc[i] + rest * u * u;
    p[i] -= lr * u;
  }
}

/// sum |x|^p of one chunk, or its maximum for p = inf; eight running sums, added as a fixed tree. NaN stays NaN.
template <class T>
double norm_chunk(const T* g, int64_t n, double p) {
  constexpr int kLanes = 8;
  double lane[kLanes] = {};
  const bool max = p == __builtin_inf();
  int64_t i = 0;
  if (p == 2) {
    for (; i + kLanes <= n; i += kLanes) {
      for (int k = 0; k < kLanes; k++) lane[k] += double(g[i + k]) * double(g[i + k]);
    }
  } else if (p == 1) {
    for (; i + kLanes <= n; i += kLanes) {
      for (int k = 0; k < kLanes; k++) lane[k] += __builtin_fabs(double(g[i + k]));
    }
  }
  for (int k = 0; i < n; i++, k = (k + 1) % kLanes) {
    const double x = __builtin_fabs(double(g[i]));
    lane[k] = max ? larger(x, lane[k]) : lane[k] + (p == 2 ? x * x : p == 1 ? x : __builtin_pow(x, p));
    if (max && lane[k] != lane[k]) return lane[k];
  }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int k = 0; k < width; k++) lane[k] = max ? larger(lane[k], lane[k + width]) : lane[k] + lane[k + width];
  }
  return lane[0];
}

template <class T>
void norm_partial(double* partial, const T* g, int64_t n, double p) {
  parallel_range(n, FASTNN_GRAD_NORM_CHUNK, [=](int64_t begin, int64_t end) {
    partial[begin / FASTNN_GRAD_NORM_CHUNK] = norm_chunk(g + begin, end - begin, p);
  });
}

template <class T>
void norm_finish(T* norm, const double* partial, int64_t chunks, double p) {
  const bool max = p == __builtin_inf();
  double total = 0;
  for (int64_t i = 0; i < chunks; i++) total = max ? larger(partial[i], total) : total + partial[i];
  if (total == total && !max) total = p == 2 ? __builtin_sqrt(total) : p == 1 ? total : __builtin_pow(total, 1 / p);
  *norm = T(total);
}

template <class T>
void clip(T* g, const T* norm, int64_t n, double max_norm) {
  const T scale = T(max_norm / (double(*norm) + 1e-6));
  if (scale >= 1) return;  // a NaN norm goes on: every gradient becomes NaN, as the mathematics says
  parallel_range(n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) g[i] *= scale;
  });
}

}  // namespace

void sgd_step_f32(const OptimSlot* slots, int64_t count, SgdArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { sgd_range<float>(s, begin, end, args); });
}
void sgd_step_f64(const OptimSlot* slots, int64_t count, SgdArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { sgd_range<double>(s, begin, end, args); });
}
void rmsprop_step_f32(const OptimSlot* slots, int64_t count, RmspropArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { rmsprop_slot<float>(s, begin, end, args); });
}
void rmsprop_step_f64(const OptimSlot* slots, int64_t count, RmspropArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { rmsprop_slot<double>(s, begin, end, args); });
}
void adam_step_f32(const OptimSlot* slots, int64_t count, AdamArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { adam_slot<float>(s, begin, end, args); });
}
void adam_step_f64(const OptimSlot* slots, int64_t count, AdamArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { adam_slot<double>(s, begin, end, args); });
}
void adagrad_step_f32(const OptimSlot* slots, int64_t count, AdagradArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { adagrad_slot<float>(s, begin, end, args); });
}
void adagrad_step_f64(const OptimSlot* slots, int64_t count, AdagradArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { adagrad_slot<double>(s, begin, end, args); });
}
void adadelta_step_f32(const OptimSlot* slots, int64_t count, AdadeltaArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { adadelta_slot<float>(s, begin, end, args); });
}
void adadelta_step_f64(const OptimSlot* slots, int64_t count, AdadeltaArgs args) {
  each_range(slots, count,
             [&](const OptimSlot& s, int64_t begin, int64_t end) { adadelta_slot<double>(s, begin, end, args); });
}
void grad_norm_partial_f32(double* partial, const float* g, int64_t n, double p) { norm_partial(partial, g, n, p); }
void grad_norm_partial_f64(double* partial, const double* g, int64_t n, double p) { norm_partial(partial, g, n, p); }
void grad_norm_finish_f32(float* norm, const double* partial, int64_t chunks, double p) {
  norm_finish(norm, partial, chunks, p);
}
void grad_norm_finish_f64(double* norm, const double* partial, int64_t chunks, double p) {
  norm_finish(norm, partial, chunks, p);
}
void grad_clip_f32(float* g, const float* norm, int64_t n, double max_norm) { clip(g, norm, n, max_norm); }
void grad_clip_f64(double* g, const double* norm, int64_t n, double max_norm) { clip(g, norm, n, max_norm); }

}  // namespace FASTNN_ISA
}  // namespace fastnn
