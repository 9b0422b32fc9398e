#include "kernels/parallel.h"
#include "kernels/simd_math.h"
#include "ops/glove/glove.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int64_t kL = kLanes<float>;
constexpr int64_t kColumns = 32;  // of a task that applies steps; rows are a multiple of 16
constexpr int64_t kEntries = 64;  // of a task that takes residuals
constexpr int64_t kAhead = 4;

FASTNN_INLINE void prefetch_row(const float* p, int64_t d) {
  for (int64_t k = 0; k < d; k += 16) __builtin_prefetch(p + k);
}

void residuals(const Glove& w, int64_t first, int64_t begin, int64_t end) {
  for (int64_t b = begin; b < end; ++b) {
    const int64_t n = first + b;
    if (b + kAhead < end) {
      prefetch_row(w.theta + w.i[n + kAhead] * w.d, w.d);
      prefetch_row(w.e + w.j[n + kAhead] * w.d, w.d);
    }
    const float *t = w.theta + w.i[n] * w.d, *e = w.e + w.j[n] * w.d;
    f32v sum = {};
    for (int64_t k = 0; k < w.d; k += kL) sum = fma(load(t + k), load(e + k), sum);
    const float diff = hsum(sum) + w.bias[w.i[n]] + w.bias[w.v + w.j[n]] - w.target[n];
    w.g[b] = w.weight[n] * diff;
    w.loss[b] = 0.5 * double(w.g[b]) * double(diff);
  }
}

/// p and s after a step with gradient g.
FASTNN_INLINE void adagrad(float* p, float* s, f32v g, f32v old, f32v rate) {
  const f32v squares = fma(g, g, load(s));
  store(s, squares);
  store(p, old - rate * g / sqrt(squares));
}

template <int NV>
void apply_columns(const Glove& w, int64_t first, int64_t count, int64_t column) {
  const f32v rate = splat<f32v>(double(w.rate));
  for (int64_t b = 0; b < count; ++b) {
    const int64_t t = w.i[first + b] * w.d + column, e = w.j[first + b] * w.d + column;
    const f32v g = splat<f32v>(double(w.g[b]));
#pragma GCC unroll 8
    for (int k = 0; k < NV; ++k) {
      const f32v x = load(w.theta + t + k * kL), y = load(w.e + e + k * kL);
      adagrad(w.theta + t + k * kL, w.theta_squares + t + k * kL, g * y, x, rate);
      adagrad(w.e + e + k * kL, w.e_squares + e + k * kL, g * x, y, rate);
    }
  }
}

void apply_biases(const Glove& w, int64_t first, int64_t count) {
  for (int64_t b = 0; b < count; ++b) {
    const float g = w.g[b];
    for (const int64_t at : {int64_t{w.i[first + b]}, w.v + w.j[first + b]}) {
      w.bias_squares[at] += g * g;
      w.bias[at] -= w.rate * g / sqrt(w.bias_squares[at]);
    }
  }
}

}  // namespace

void glove_train(double* total, const Glove& w) {
  const int64_t slices = (w.d + kColumns - 1) / kColumns;
  *total = 0;
  for (int64_t first = 0; first < w.n; first += w.batch) {
    const int64_t count = w.n - first < w.batch ? w.n - first : w.batch;
    parallel_range(count, kEntries, [&](int64_t begin, int64_t end) { residuals(w, first, begin, end); });
    parallel_tasks(slices + 1, [&](int64_t task) {
      const int64_t column = task * kColumns;
      if (task == slices)
        apply_biases(w, first, count);
      else if (w.d - column >= kColumns)
        apply_columns<kColumns / kL>(w, first, count, column);
      else
        apply_columns<16 / kL>(w, first, count, column);
    });
    for (int64_t b = 0; b < count; ++b) *total += w.loss[b];
  }
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
