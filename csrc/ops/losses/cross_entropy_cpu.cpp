#include "kernels/parallel.h"
#include "kernels/stream.h"
#include "ops/losses/cross_entropy.h"
#include "ops/softmax/exp_sum.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Row maximum and log(sum(exp(x))): two passes, the second of which finds the row in cache.
template <class T>
T log_sum_exp(const T* x, int64_t n) {
  const T top = line_max(x, n);
  const int64_t next = row_ahead<T>(n);
  T* const nowhere = nullptr;
  // All -inf: every exp below would be exp(nan). Then no class has probability and the sum is 0.
  if (!ordinary(top)) return log(static_cast<T>(exp_sum_by<false>(Exp(), nowhere, x, n, T(0), next)));
  return top + log(static_cast<T>(exp_sum_by<false>(ExpBelow(), nowhere, x, n, top, next)));
}

template <class T>
void forward(const CrossEntropyArgs& a, const Reduced& reduced, T* loss, T* lse, double* sums, int64_t block) {
  const T* x = static_cast<const T*>(a.x);
  const T* prob = static_cast<const T*>(a.prob);
  const T* w = static_cast<const T*>(a.weight);
  const double smooth = a.smoothing / static_cast<double>(a.cols);
  parallel_range(a.rows, block, [&](int64_t begin, int64_t end) {
    double loss_sum = 0, weight_sum = 0;
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * a.cols;
      if (a.label && a.label[r] == a.ignore_index) {
        lse[r] = T(0);
        if (loss) loss[r] = T(0);
        continue;
      }
      const T z = a.is_log ? T(0) : log_sum_exp(row, a.cols);
      lse[r] = z;
      double value = 0;
      if (a.label) {
        const int64_t y = a.label[r];
        const double wy = w ? w[y] : 1;
        value = (1 - a.smoothing) * wy * (static_cast<double>(z) - row[y]);
        weight_sum += wy;
        if (smooth != 0)
          for (int64_t c = 0; c < a.cols; ++c) value += smooth * (w ? w[c] : 1) * (static_cast<double>(z) - row[c]);
      } else {
        for (int64_t c = 0; c < a.cols; ++c) {
          const double t = (1 - a.smoothing) * prob[r * a.cols + c] + smooth;
          // A class of probability 0 costs nothing, even where log p is -inf.
          if (t != 0) value += (w ? w[c] : 1) * t * (static_cast<double>(z) - row[c]);
        }
        weight_sum += 1;
      }
      if (loss) loss[r] = static_cast<T>(value);
      loss_sum += value;
    }
    sums[2 * (begin / block)] = loss_sum;
    sums[2 * (begin / block) + 1] = weight_sum;
  });
  finish_reduction<T>(reduced, sums, (a.rows + block - 1) / block);
}

// dx_c = g (p_c total - a_c), with p = exp(x - lse).
template <class T, class E>
void scaled_softmax(const E& e, T* dx, const T* x, T lse, T factor, int64_t n, bool streams) {
  const Vec<T> z = splat<Vec<T>>(lse), f = splat<Vec<T>>(factor);
  write_run(dx, n, streams, [&](int64_t i, int64_t k) FASTNN_LAMBDA_INLINE {
    return e((k == kLanes<T> ? load(x + i) : load_n(x + i, k)) - z) * f;
  });
}
template <class T>
void scaled_softmax(T* dx, const T* x, T lse, T factor, int64_t n, bool streams) {
  if (ordinary(lse))
    scaled_softmax(ExpBelow(), dx, x, lse, factor, n, streams);
  else
    scaled_softmax(Exp(), dx, x, lse, factor, n, streams);
}

template <class T>
void backward(const CrossEntropyArgs& a, T* dx, T* dt, const T* lse, const T* dy, int64_t dy_step, const double* scale,
              int64_t block) {
  const T* x = static_cast<const T*>(a.x);
  const T* prob = static_cast<const T*>(a.prob);
  const T* w = static_cast<const T*>(a.weight);
  const double smooth = a.smoothing / static_cast<double>(a.cols), keep = 1 - a.smoothing;
  double all_weights = static_cast<double>(a.cols);
  if (w) {
    all_weights = 0;
    for (int64_t c = 0; c < a.cols; ++c) all_weights += w[c];
  }
  // Past the cache only where no second pass over a row follows: the label's element is corrected by itself.
  const bool streams =
      dx && a.label && !a.is_log && smooth == 0 && past_cache(2 * a.rows * a.cols * static_cast<int64_t>(sizeof(T)));
  parallel_range(a.rows, block, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * a.cols;
      T* out = dx ? dx + r * a.cols : nullptr;
      if (a.label && a.label[r] == a.ignore_index) {
        for (int64_t c = 0; c < a.cols; ++c) out[c] = T(0);
        continue;
      }
      const double g = *scale * dy[r * dy_step];
      if (out) {
        double total = 0;
        if (a.label) {
          total = keep * (w ? w[a.label[r]] : 1) + smooth * all_weights;
        } else {
          for (int64_t c = 0; c < a.cols; ++c) total += (w ? w[c] : 1) * (keep * prob[r * a.cols + c] + smooth);
        }
        if (a.is_log)
          for (int64_t c = 0; c < a.cols; ++c) out[c] = T(0);
        else
          scaled_softmax(out, row, lse[r], static_cast<T>(g * total), a.cols, streams);
        if (a.label) {
          if (smooth != 0)
            for (int64_t c = 0; c < a.cols; ++c) out[c] -= static_cast<T>(g * smooth * (w ? w[c] : 1));
          const int64_t y = a.label[r];
          T p;  // computed again, with the same bits, rather than read back from memory
          if (streams)
            scaled_softmax(&p, row + y, lse[r], static_cast<T>(g * total), 1, false);
          else
            p = out[y];
          out[y] = p - static_cast<T>(g * keep * (w ? w[y] : 1));
        } else {
          for (int64_t c = 0; c < a.cols; ++c)
            out[c] -= static_cast<T>(g * (w ? w[c] : 1) * (keep * prob[r * a.cols + c] + smooth));
        }
      }
      if (dt)
        for (int64_t c = 0; c < a.cols; ++c)
          dt[r * a.cols + c] = static_cast<T>(g * keep * (w ? w[c] : 1) * (static_cast<double>(lse[r]) - row[c]));
    }
    if (streams) stream_fence();
  });
}

}  // namespace

void cross_entropy_forward(const CrossEntropyArgs& args, const Reduced& reduced, void* loss, void* lse, double* sums,
                           int64_t block) {
  if (args.is_double)
    forward(args, reduced, static_cast<double*>(loss), static_cast<double*>(lse), sums, block);
  else
    forward(args, reduced, static_cast<float*>(loss), static_cast<float*>(lse), sums, block);
}

void cross_entropy_backward(const CrossEntropyArgs& args, void* dx, void* dt, const void* lse, const void* dy,
                            int64_t dy_step, const double* scale, int64_t block) {
  if (args.is_double)
    backward(args, static_cast<double*>(dx), static_cast<double*>(dt), static_cast<const double*>(lse),
             static_cast<const double*>(dy), dy_step, scale, block);
  else
    backward(args, static_cast<float*>(dx), static_cast<float*>(dt), static_cast<const float*>(lse),
             static_cast<const float*>(dy), dy_step, scale, block);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
