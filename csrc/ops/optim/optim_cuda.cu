// The optimisers' updates on a device. Slots are a list in the host's memory, so they travel as arguments of the
// kernel, as many at once as fit: a network of some dozens of parameters is one launch. Counts of updates go forward in
// a launch before, once for each slot; every block of the update then reads them.

#include <cmath>
#include <new>

#include "cuda/pack.h"
#include "ops/optim/optim_kernels.h"

namespace fastnn {
namespace cuda {
namespace {

// --- the rules: one element, and what all elements of a slot share --------------------------------------------------

__device__ inline float root(float x) { return sqrtf(x); }
__device__ inline double root(double x) { return sqrt(x); }
template <class T>
__device__ inline T larger(T a, T b) {
  return a > b || a != a ? a : b;
}

__device__ inline double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

/// The gradient an update works with: its sign turned for maximize, plus the L2 term. Not added at weight decay 0, so
/// that an infinite parameter does not become NaN by 0 * inf.
template <class T>
__device__ inline T effective(T g, T p, T sign, T wd) {
  return wd != T(0) ? sign * g + wd * p : sign * g;
}

// Constructed once a block; has(k): does the slot have state k?
template <class T>
struct Sgd {
  using Args = SgdArgs;
  T lr, mu, keep, wd, sign;
  bool heavy, first, nesterov;
  __device__ Sgd(const OptimSlot& s, const Args& a)
      : lr(T(*a.lr)),
        mu(T(a.momentum)),
        keep(T(1 - a.dampening)),
        wd(T(a.weight_decay)),
        sign(a.maximize ? T(-1) : T(1)),
        heavy(s.state[0] != nullptr),
        first(heavy && *s.step == 1),
        nesterov(a.nesterov) {}
  __device__ void operator()(T& p, T (&state)[3], T g) const {
    const T d = effective(g, p, sign, wd);
    if (!heavy) {
      p -= lr * d;
      return;
    }
    const T b = first ? d : mu * state[0] + keep * d;
    state[0] = b;
    p -= lr * (nesterov ? d + mu * b : b);
  }
};

template <class T>
struct Rmsprop {
  using Args = RmspropArgs;
  T lr, alpha, rest, eps, wd, mu, sign;
  bool centered, heavy;
  __device__ Rmsprop(const OptimSlot& s, const Args& a)
      : lr(T(*a.lr)),
        alpha(T(a.alpha)),
        rest(T(1 - a.alpha)),
        eps(T(a.eps)),
        wd(T(a.weight_decay)),
        mu(T(a.momentum)),
        sign(a.maximize ? T(-1) : T(1)),
        centered(s.state[1] != nullptr),
        heavy(s.state[2] != nullptr) {}
  __device__ void operator()(T& p, T (&state)[3], T g) const {
    const T d = effective(g, p, sign, wd);
    const T s = alpha * state[0] + rest * d * d;
    state[0] = s;
    T var = s;
    if (centered) {
      const T m = state[1] + (d - state[1]) * rest;
      state[1] = m;
      var = s - m * m;
    }
    T u = d / (root(var) + eps);
    if (heavy) state[2] = u = mu * state[2] + u;
    p -= lr * u;
  }
};

template <class T>
struct Adam {
  using Args = AdamArgs;
  T step, inv_root_c2, eps, rest1, b2, rest2, sign, l2, shrink;
  bool amsgrad;
  __device__ Adam(const OptimSlot& s, const Args& a) {
    // c1, c2: the bias corrections 1 - beta^t. Both divisions of the formula move into the scalars.
    const double lr = *a.lr, c1 = 1 - power(a.beta1, *s.step), c2 = 1 - power(a.beta2, *s.step);
    step = T(lr / c1), inv_root_c2 = T(1 / sqrt(c2)), eps = T(a.eps);
    rest1 = T(1 - a.beta1), b2 = T(a.beta2), rest2 = T(1 - a.beta2), sign = a.maximize ? T(-1) : T(1);
    l2 = a.decoupled ? T(0) : T(a.weight_decay), shrink = a.decoupled ? T(1 - lr * a.weight_decay) : T(1);
    amsgrad = s.state[2] != nullptr;
  }
  __device__ void operator()(T& p, T (&state)[3], T g) const {
    const T d = effective(g, p, sign, l2);
    const T m = state[0] + (d - state[0]) * rest1, v = b2 * state[1] + rest2 * d * d;
    state[0] = m, state[1] = v;
    T w = v;
    if (amsgrad) state[2] = w = larger(v, state[2]);
    p = shrink * p - step * m / (root(w) * inv_root_c2 + eps);
  }
};

template <class T>
struct Adagrad {
  using Args = AdagradArgs;
  T lr, eps, wd, sign;
  __device__ Adagrad(const OptimSlot& s, const Args& a)
      : lr(T(*a.lr / (1 + double(*s.step - 1) * a.lr_decay))),
        eps(T(a.eps)),
        wd(T(a.weight_decay)),
        sign(a.maximize ? T(-1) : T(1)) {}
  __device__ void operator()(T& p, T (&state)[3], T g) const {
    const T d = effective(g, p, sign, wd), s = state[0] + d * d;
    state[0] = s;
    p -= lr * d / (root(s) + eps);
  }
};

template <class T>
struct Adadelta {
  using Args = AdadeltaArgs;
  T lr, rho, rest, eps, wd, sign;
  __device__ Adadelta(const OptimSlot&, const Args& a)
      : lr(T(*a.lr)),
        rho(T(a.rho)),
        rest(T(1 - a.rho)),
        eps(T(a.eps)),
        wd(T(a.weight_decay)),
        sign(a.maximize ? T(-1) : T(1)) {}
  __device__ void operator()(T& p, T (&state)[3], T g) const {
    const T d = effective(g, p, sign, wd), s = rho * state[0] + rest * d * d;
    state[0] = s;
    const T u = root(state[1] + eps) / root(s + eps) * d;
    state[1] = rho * state[1] + rest * u * u;
    p -= lr * u;
  }
};

// --- the sweep over the slots ---------------------------------------------------------------------------------------

constexpr int kThreads = 256;
constexpr int64_t kPerBlock = 4096;  // elements
constexpr int kSlots = 64;           // of one launch: 3.6 KB of the 4 KB that arguments may take

struct Slots {
  OptimSlot slot[kSlots];
  uint32_t end[kSlots];  // the blocks of a slot end here
};
static_assert(sizeof(Slots) + sizeof(RmspropArgs) <= 4000, "arguments of a kernel");

struct Counts {
  int64_t* step[kSlots * 7];
};
static_assert(sizeof(Counts) <= 4000, "arguments of a kernel");

__global__ void advance(Counts counts, int64_t n) {
  const int64_t i = thread_index();
  if (i < n) ++*counts.step[i];
}

template <class T, class Rule>
__global__ void __launch_bounds__(kThreads) update(Slots slots, int64_t count, typename Rule::Args args) {
  int64_t i = 0;
  for (int64_t below = count; i < below;) {  // the first slot that ends past this block
    const int64_t middle = (i + below) / 2;
    if (slots.end[middle] > blockIdx.x) {
      below = middle;
    } else {
      i = middle + 1;
    }
  }
  const OptimSlot s = slots.slot[i];
  __shared__ unsigned char shared[sizeof(Rule)] __align__(16);
  if (threadIdx.x == 0) new (shared) Rule(s, args);
  __syncthreads();
  const Rule rule = *reinterpret_cast<const Rule*>(shared);

  const int64_t begin = static_cast<int64_t>(blockIdx.x - (i == 0 ? 0 : slots.end[i - 1])) * kPerBlock;
  const int64_t end = s.n - begin < kPerBlock ? s.n : begin + kPerBlock;
  T* const p = static_cast<T*>(s.p);
  const T* const g = static_cast<const T*>(s.g);
  T* const state[3] = {static_cast<T*>(s.state[0]), static_cast<T*>(s.state[1]), static_cast<T*>(s.state[2])};
  constexpr int V = kPack<T>;
  int64_t rest = begin;
  if (aligned<V>(p) && aligned<V>(g) && aligned<V>(state[0]) && aligned<V>(state[1]) && aligned<V>(state[2])) {
    rest = begin + (end - begin) / V * V;
    for (int64_t at = begin + threadIdx.x * V; at < rest; at += kThreads * V) {
      Pack<T, V> x = as_pack<T, V>(p + at), k[3] = {};
      const Pack<T, V> d = as_pack<T, V>(g + at);
      for (int j = 0; j < 3; ++j)
        if (state[j] != nullptr) k[j] = as_pack<T, V>(state[j] + at);
      for (int e = 0; e < V; ++e) {
        T values[3] = {k[0][e], k[1][e], k[2][e]};
        rule(x[e], values, d[e]);
        k[0][e] = values[0], k[1][e] = values[1], k[2][e] = values[2];
      }
      as_pack<T, V>(p + at) = x;
      for (int j = 0; j < 3; ++j)
        if (state[j] != nullptr) as_pack<T, V>(state[j] + at) = k[j];
    }
  }
  for (int64_t at = rest + threadIdx.x; at < end; at += kThreads) {
    T values[3] = {};
    for (int j = 0; j < 3; ++j)
      if (state[j] != nullptr) values[j] = state[j][at];
    rule(p[at], values, g[at]);
    for (int j = 0; j < 3; ++j)
      if (state[j] != nullptr) state[j][at] = values[j];
  }
}

template <class T, template <class> class Rule, class Args>
void step(const OptimSlot* slots, int64_t count, const Args& args) {
  Counts counts{};
  int counted = 0;
  const auto flush = [&] {
    run(&advance, (counted + kThreads - 1) / kThreads, kThreads, 0, counts, counted);
    counted = 0;
  };
  for (int64_t i = 0; i < count; ++i) {
    if (slots[i].step == nullptr) continue;
    counts.step[counted++] = slots[i].step;
    if (counted == kSlots * 7) flush();
  }
  if (counted > 0) flush();
  Slots part{};
  int filled = 0;
  uint32_t blocks = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t wanted = (slots[i].n + kPerBlock - 1) / kPerBlock;
    if (wanted > 0) {
      part.slot[filled] = slots[i];
      part.end[filled++] = blocks += static_cast<uint32_t>(wanted);
    }
    if (filled == kSlots || (i + 1 == count && filled > 0)) {
      run(&update<T, Rule<T>>, blocks, kThreads, 0, part, filled, args);
      filled = 0, blocks = 0;
    }
  }
}

// --- the joint norm -------------------------------------------------------------------------------------------------

/// One term of a norm; how terms come together.
struct Norm {
  double p;
  int64_t max;
  __device__ double term(double x) const {
    x = fabs(x);
    return max || p == 1 ? x : p == 2 ? x * x : pow(x, p);
  }
  __device__ double operator()(double a, double b) const { return max ? larger(a, b) : a + b; }
};
Norm norm_of(double p) { return {p, std::isinf(p)}; }

/// Blocks: chunks.
template <class T>
__global__ void __launch_bounds__(kThreads) norm_partial(double* partial, const T* g, int64_t n, Norm norm) {
  __shared__ double cells[kWarp];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * FASTNN_GRAD_NORM_CHUNK;
  const int64_t end = n - begin < FASTNN_GRAD_NORM_CHUNK ? n : begin + FASTNN_GRAD_NORM_CHUNK;
  double total = 0;
  constexpr int V = kPack<T>;
  // The same elements for a thread wherever g lies: the norm has the same bits.
  const int64_t rest = begin + (end - begin) / V * V;
  const bool whole = aligned<V>(g);
  for (int64_t at = begin + threadIdx.x * V; at < rest; at += kThreads * V) {
    Pack<T, V> x;
    if (whole)
      x = as_pack<T, V>(g + at);
    else
      for (int e = 0; e < V; ++e) x[e] = g[at + e];
    for (int e = 0; e < V; ++e) total = norm(norm.term(double(x[e])), total);
  }
  for (int64_t at = rest + threadIdx.x; at < end; at += kThreads) total = norm(norm.term(double(g[at])), total);
  total = block_reduce(total, norm, 0.0, cells);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

template <class T>
__global__ void __launch_bounds__(kThreads) norm_finish(T* out, const double* partial, int64_t chunks, Norm norm) {
  __shared__ double cells[kWarp];
  double total = 0;
  for (int64_t i = threadIdx.x; i < chunks; i += kThreads) total = norm(partial[i], total);
  total = block_reduce(total, norm, 0.0, cells);
  if (threadIdx.x != 0) return;
  if (total == total && !norm.max) total = norm.p == 2 ? sqrt(total) : norm.p == 1 ? total : pow(total, 1 / norm.p);
  *out = T(total);
}

template <class T>
__global__ void clip(T* g, const T* norm, int64_t n, double max_norm) {
  const T scale = T(max_norm / (double(*norm) + 1e-6));
  if (scale >= 1) return;  // a NaN norm goes on: every gradient becomes NaN, as the mathematics says
  for (int64_t i = thread_index(); i < n; i += thread_count()) g[i] *= scale;
}

template <class T>
void partial_sums(double* partial, const T* g, int64_t n, double p) {
  const int64_t chunks = (n + FASTNN_GRAD_NORM_CHUNK - 1) / FASTNN_GRAD_NORM_CHUNK;
  run(&norm_partial<T>, static_cast<unsigned>(chunks), kThreads, 0, partial, g, n, norm_of(p));
}
template <class T>
void finish(T* norm, const double* partial, int64_t chunks, double p) {
  run(&norm_finish<T>, 1, kThreads, 0, norm, partial, chunks, norm_of(p));
}
template <class T>
void scale(T* g, const T* norm, int64_t n, double max_norm) {
  run(&clip<T>, grid_for(n, kThreads * 4), kThreads, 0, g, norm, n, max_norm);
}

}  // namespace

void sgd_step_f32(const OptimSlot* slots, int64_t count, SgdArgs args) { step<float, Sgd>(slots, count, args); }
void sgd_step_f64(const OptimSlot* slots, int64_t count, SgdArgs args) { step<double, Sgd>(slots, count, args); }
void rmsprop_step_f32(const OptimSlot* slots, int64_t count, RmspropArgs args) {
  step<float, Rmsprop>(slots, count, args);
}
void rmsprop_step_f64(const OptimSlot* slots, int64_t count, RmspropArgs args) {
  step<double, Rmsprop>(slots, count, args);
}
void adam_step_f32(const OptimSlot* slots, int64_t count, AdamArgs args) { step<float, Adam>(slots, count, args); }
void adam_step_f64(const OptimSlot* slots, int64_t count, AdamArgs args) { step<double, Adam>(slots, count, args); }
void adagrad_step_f32(const OptimSlot* slots, int64_t count, AdagradArgs args) {
  step<float, Adagrad>(slots, count, args);
}
void adagrad_step_f64(const OptimSlot* slots, int64_t count, AdagradArgs args) {
  step<double, Adagrad>(slots, count, args);
}
void adadelta_step_f32(const OptimSlot* slots, int64_t count, AdadeltaArgs args) {
  step<float, Adadelta>(slots, count, args);
}
void adadelta_step_f64(const OptimSlot* slots, int64_t count, AdadeltaArgs args) {
  step<double, Adadelta>(slots, count, args);
}
void grad_norm_partial_f32(double* partial, const float* g, int64_t n, double p) { partial_sums(partial, g, n, p); }
void grad_norm_partial_f64(double* partial, const double* g, int64_t n, double p) { partial_sums(partial, g, n, p); }
void grad_norm_finish_f32(float* norm, const double* partial, int64_t chunks, double p) {
  finish(norm, partial, chunks, p);
}
void grad_norm_finish_f64(double* norm, const double* partial, int64_t chunks, double p) {
  finish(norm, partial, chunks, p);
}
void grad_clip_f32(float* g, const float* norm, int64_t n, double max_norm) { scale(g, norm, n, max_norm); }
void grad_clip_f64(double* g, const double* norm, int64_t n, double max_norm) { scale(g, norm, n, max_norm); }

}  // namespace cuda
}  // namespace fastnn
