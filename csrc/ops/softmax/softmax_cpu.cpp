#include "kernels/parallel.h"
#include "kernels/stream.h"
#include "ops/reduce/reduce_driver.h"
#include "ops/softmax/exp_sum.h"
#include "ops/softmax/softmax.h"
#include "runtime/thread_scratch.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// An exponential costs about ten additions, so threads pay from fewer elements than in a sum.
constexpr int64_t kGrain = 16384;
// Columns by rows that stay in L2 between the passes of a strip.
constexpr int64_t kStripElements = 32768;
constexpr int64_t kMaxStrip = 512;

/// Whether results of n elements, made from so many arrays of them, go past the cache.
template <class T>
FASTNN_INLINE bool large(int64_t n, int64_t arrays) {
  return past_cache((arrays + 1) * n * static_cast<int64_t>(sizeof(T)));
}

/// y = f(x) over n elements, f on vectors.
template <class T, class F>
FASTNN_INLINE void transform(T* y, const T* x, int64_t n, bool streams, const F& f) {
  write_run(y, n, streams, [&](int64_t i, int64_t k) FASTNN_LAMBDA_INLINE {
    return f(k == kLanes<T> ? load(x + i) : load_n(x + i, k));
  });
}

/// What is known of a part of a line: its largest element, and the sum of exp(x - max).
struct Part {
  double max, sum;
};

template <class T, bool kLog>
FASTNN_INLINE void finish_line(T* y, const T* x, int64_t n, bool streams, Part p) {
  if constexpr (kLog) {
    const Vec<T> vm = splat<Vec<T>>(p.max), vl = splat<Vec<T>>(::log(p.sum));
    transform(y, x, n, streams, [&](Vec<T> v) FASTNN_LAMBDA_INLINE { return (v - vm) - vl; });
  } else {
    const Vec<T> vm = splat<Vec<T>>(p.max), scale = splat<Vec<T>>(1.0 / p.sum);
    if (ordinary(p.max))
      transform(y, x, n, streams, [&](Vec<T> v) FASTNN_LAMBDA_INLINE { return exp_below(v - vm) * scale; });
    else
      transform(y, x, n, streams, [&](Vec<T> v) FASTNN_LAMBDA_INLINE { return exp(v - vm) * scale; });
  }
}

/// One line that stays in the cache between its passes: maximum, exponentials and their sum, scaling. The exponentials
/// are written to y at once, so that its lines are fetched while they are computed, not while they are scaled; where y
/// goes past the cache, to `kept`, so that it is never fetched at all.
template <class T, bool kLog>
FASTNN_INLINE void line(T* y, const T* x, int64_t n, T* kept, bool streams) {
  const T m = line_max(x, n);
  if constexpr (kLog) {
    finish_line<T, true>(y, x, n, streams, {static_cast<double>(m), exp_sum<false>(y, x, n, m, row_ahead<T>(n))});
  } else {
    T* const e = streams ? kept : y;
    const int64_t next = row_ahead<T>(n);
    const Vec<T> scale = splat<Vec<T>>(1.0 / exp_sum<true>(e, x, n, m, next, streams ? 0 : next));
    transform(y, e, n, streams, [&](Vec<T> v) FASTNN_LAMBDA_INLINE { return v * scale; });
  }
}

/// Maximum and sum of a chunk in one pass over memory: block by block, each from its own maximum. Infinite maxima give
/// NaN, as the formula does.
template <class T>
Part chunk_part(const T* x, int64_t n) {
  Part p{static_cast<double>(-HUGE_VAL), 0};
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t k = smaller(kBlock, n - i);
    const T m = fold_run(x + i, k, Value(), Max());
    if (m == static_cast<T>(-HUGE_VAL)) continue;
    const double top = static_cast<double>(m), s = exp_sum<false>(static_cast<T*>(nullptr), x + i, k, m, 0);
    if (top > p.max || top != top)
      p = {top, s + (p.sum > 0 ? p.sum * ::exp(p.max - top) : 0)};
    else
      p.sum += s * ::exp(top - p.max);
  }
  return p;
}

template <class T, bool kLog>
void long_lines(T* y, const T* x, int64_t outer, int64_t n, Part* part) {
  const bool streams = large<T>(outer * n, 1);
  const int64_t chunks = n / kSoftmaxChunk + (n % kSoftmaxChunk != 0);
  parallel_tasks(outer * chunks, [&](int64_t t) {
    const int64_t i = t % chunks * kSoftmaxChunk;
    part[t] = chunk_part(x + t / chunks * n + i, smaller(kSoftmaxChunk, n - i));
  });
  for (int64_t o = 0; o < outer; ++o) {
    Part* p = part + o * chunks;
    double m = p[0].max, s = 0;
    for (int64_t c = 1; c < chunks; ++c) m = p[c].max > m || p[c].max != p[c].max ? p[c].max : m;
    // A chunk of only -inf adds nothing (and exp(-inf - -inf) would be NaN).
    for (int64_t c = 0; c < chunks; ++c)
      if (p[c].sum != 0) s += p[c].sum * ::exp(p[c].max - m);
    p[0] = {m, s};
  }
  parallel_tasks(outer * chunks, [&](int64_t t) {
    const int64_t i = t % chunks * kSoftmaxChunk, at = t / chunks * n + i;
    finish_line<T, kLog>(y + at, x + at, smaller(kSoftmaxChunk, n - i), streams, part[t / chunks * chunks]);
    if (streams) stream_fence();
  });
}

// --- lines across memory: strips of columns
// ---------------------------------------------------------------------------

/// Columns of a strip: as many as keep n rows of them (x and y) in L2, where those are whole cache lines enough to read
/// memory well. Longer columns are read twice, in blocks of rows, and are as wide as the buffers.
constexpr int64_t kNarrowest = 64;
FASTNN_INLINE bool long_columns(int64_t n) { return n > kStripElements / kNarrowest; }
FASTNN_INLINE int64_t strip_width(int64_t n, int64_t inner) {
  const int64_t w = long_columns(n) ? kMaxStrip : kStripElements / (n > 0 ? n : 1) / 16 * 16;
  return smaller(smaller(w, kMaxStrip), inner);
}

/// f(o, j, w): columns [j, j + w) of outer index o.
template <class F>
void each_strip(int64_t outer, int64_t n, int64_t inner, const F& f) {
  const int64_t width = strip_width(n, inner), strips = inner / width + (inner % width != 0);
  parallel_range(outer * strips, kGrain / (width * n), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t j = t % strips * width;
      f(t / strips, j, smaller(width, inner - j));
    }
  });
}

/// out[j] = f(j, lanes) for the w columns; f loads and stores through the two helpers below.
template <class T, class F>
FASTNN_INLINE void each_column(int64_t w, const F& f) {
  constexpr int W = kLanes<T>;
  int64_t j = 0;
  for (; j + W <= w; j += W) f(j, static_cast<int64_t>(W));
  if (j < w) f(j, w - j);
}
template <class T>
FASTNN_INLINE Vec<T> get(const T* p, int64_t k) {
  return k == kLanes<T> ? load(p) : load_n(p, k);
}
template <class T>
FASTNN_INLINE void put(T* p, Vec<T> v, int64_t k) {
  if (k == kLanes<T>)
    store(p, v);
  else
    store_n(p, v, k);
}

/// m[j] = largest of rows [first, last).
template <class T>
FASTNN_INLINE void strip_max(T* m, const T* x, int64_t first, int64_t last, int64_t pitch, int64_t w) {
  each_column<T>(w, [&](int64_t j, int64_t k) { store(m + j, get(x + first * pitch + j, k)); });
  for (int64_t r = first + 1; r < last; ++r)
    each_column<T>(w, [&](int64_t j, int64_t k) { store(m + j, max(load(m + j), get(x + r * pitch + j, k))); });
}

/// total[j] += sum of exp(x - m[j]) over rows [first, last), at most kColumnRows; stored to y where kStore.
template <bool kStore, class T>
FASTNN_INLINE void strip_exp(double* total, T* y, const T* x, const T* m, int64_t first, int64_t last, int64_t pitch,
                             int64_t w) {
  T s[kMaxStrip + kLanes<T>];
  each_column<T>(w, [&](int64_t j, int64_t) { store(s + j, splat<Vec<T>>(0.0)); });
  for (int64_t r = first; r < last; ++r)
    each_column<T>(w, [&](int64_t j, int64_t k) {
      const Vec<T> e = exp(get(x + r * pitch + j, k) - load(m + j));
      if constexpr (kStore) put(y + r * pitch + j, e, k);
      store(s + j, load(s + j) + e);
    });
  for (int64_t j = 0; j < w; ++j) total[j] += s[j];
}

template <class T, bool kLog>
void strip(T* y, const T* x, int64_t n, int64_t pitch, int64_t w) {
  // Buffers are read by whole vectors past w.
  T m[kMaxStrip + kLanes<T>], s[kMaxStrip + kLanes<T>] = {};
  double total[kMaxStrip];
  for (int64_t j = 0; j < w; ++j) total[j] = 0;
  const bool twice = long_columns(n);
  if (!twice) {
    strip_max(m, x, 0, n, pitch, w);
    for (int64_t i = 0; i < n; i += kColumnRows)
      strip_exp<!kLog>(total, y, x, m, i, smaller(i + kColumnRows, n), pitch, w);
  } else {
    // The sums so far are scaled whenever a block brings a larger maximum; all -inf so far counts as from 0.
    T block[kMaxStrip + kLanes<T>];
    for (int64_t j = 0; j < w; ++j) m[j] = static_cast<T>(-HUGE_VAL);
    for (int64_t i = 0; i < n; i += kColumnRows) {
      const int64_t last = smaller(i + kColumnRows, n);
      strip_max(block, x, i, last, pitch, w);
      for (int64_t j = 0; j < w; ++j) {
        if (block[j] > m[j] || block[j] != block[j]) {
          if (total[j] > 0) total[j] *= ::exp(static_cast<double>(m[j]) - static_cast<double>(block[j]));
          m[j] = block[j];
        }
        s[j] = m[j] == static_cast<T>(-HUGE_VAL) ? T(0) : m[j];
      }
      strip_exp<false>(total, static_cast<T*>(nullptr), x, s, i, last, pitch, w);
    }
  }
  for (int64_t j = 0; j < w; ++j) s[j] = static_cast<T>(kLog ? ::log(total[j]) : 1.0 / total[j]);
  for (int64_t r = 0; r < n; ++r)
    each_column<T>(w, [&](int64_t j, int64_t k) {
      T* out = y + r * pitch + j;
      const T* in = x + r * pitch + j;
      if constexpr (kLog)
        put(out, (get(in, k) - load(m + j)) - load(s + j), k);
      else if (twice)
        put(out, exp(get(in, k) - load(m + j)) * load(s + j), k);
      else
        put(out, get(out, k) * load(s + j), k);
    });
}

template <class T, bool kLog>
void forward(T* y, const T* x, int64_t outer, int64_t n, int64_t inner, double* scratch) {
  if (inner > 1)
    each_strip(outer, n, inner, [&](int64_t o, int64_t j, int64_t w) {
      strip<T, kLog>(y + o * n * inner + j, x + o * n * inner + j, n, inner, w);
    });
  else if (n > kSoftmaxChunk)
    long_lines<T, kLog>(y, x, outer, n, reinterpret_cast<Part*>(scratch));
  else
    parallel_range(outer, kGrain / n, [&](int64_t begin, int64_t end) {
      const bool streams = large<T>(outer * n, 1);
      T* kept = nullptr;
      if (streams && !kLog)
        kept = static_cast<T*>(thread_scratch(ThreadScratch::local, n * static_cast<int64_t>(sizeof(T))));
      for (int64_t o = begin; o < end; ++o) line<T, kLog>(y + o * n, x + o * n, n, kept, streams);
      if (streams) stream_fence();
    });
}

// --- backward
// -----------------------------------------------------------------------------------------------------------

/// sum y dy (softmax) or sum dy (log_softmax) of n elements.
template <class T, bool kLog>
FASTNN_INLINE double line_dot(const T* dy, const T* y, int64_t n) {
  constexpr int W = kLanes<T>;
  double total = 0;
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t last = smaller(first + kBlock, n);
    Vec<T> a[4] = {};
    int64_t i = first;
    for (; i + 4 * W <= last; i += 4 * W)
#pragma GCC unroll 4
      for (int k = 0; k < 4; ++k)
        a[k] = kLog ? a[k] + load(dy + i + k * W) : fma(load(dy + i + k * W), load(y + i + k * W), a[k]);
    for (; i < last; i += W) {
      const int64_t k = smaller(W, last - i);
      a[0] = kLog ? a[0] + load_n(dy + i, k) : fma(load_n(dy + i, k), load_n(y + i, k), a[0]);
    }
    total += static_cast<double>(hsum((a[0] + a[1]) + (a[2] + a[3])));
  }
  return total;
}

template <bool kLog, class V>
FASTNN_INLINE V gradient(V dy, V y, V dot) {
  if constexpr (kLog)
    return dy - exp(y) * dot;
  else
    return y * (dy - dot);
}

template <class T, bool kLog>
FASTNN_INLINE void line_gradient(T* dx, const T* dy, const T* y, int64_t n, bool streams, double dot) {
  const Vec<T> v = splat<Vec<T>>(dot);
  const int64_t next = row_ahead<T>(n);
  write_run(dx, n, streams, [&](int64_t i, int64_t k) FASTNN_LAMBDA_INLINE {
    __builtin_prefetch(dy + i + next, 0, 3);
    __builtin_prefetch(y + i + next, 0, 3);
    return k == kLanes<T> ? gradient<kLog>(load(dy + i), load(y + i), v)
                          : gradient<kLog>(load_n(dy + i, k), load_n(y + i, k), v);
  });
}

template <class T, bool kLog>
void strip_gradient(T* dx, const T* dy, const T* y, int64_t n, int64_t pitch, int64_t w) {
  T s[kMaxStrip + kLanes<T>];
  double total[kMaxStrip];
  for (int64_t j = 0; j < w; ++j) total[j] = 0;
  for (int64_t first = 0; first < n; first += kColumnRows) {
    const int64_t last = smaller(first + kColumnRows, n);
    each_column<T>(w, [&](int64_t j, int64_t) { store(s + j, splat<Vec<T>>(0.0)); });
    for (int64_t r = first; r < last; ++r)
      each_column<T>(w, [&](int64_t j, int64_t k) {
        const Vec<T> d = get(dy + r * pitch + j, k);
        store(s + j, load(s + j) + (kLog ? d : d * get(y + r * pitch + j, k)));
      });
    for (int64_t j = 0; j < w; ++j) total[j] += s[j];
  }
  for (int64_t j = 0; j < w; ++j) s[j] = static_cast<T>(total[j]);
  for (int64_t r = 0; r < n; ++r)
    each_column<T>(w, [&](int64_t j, int64_t k) {
      const int64_t i = r * pitch + j;
      put(dx + i, gradient<kLog>(get(dy + i, k), get(y + i, k), load(s + j)), k);
    });
}

template <class T, bool kLog>
void backward(T* dx, const T* dy, const T* y, int64_t outer, int64_t n, int64_t inner, double* scratch) {
  const bool streams = large<T>(outer * n * inner, 2);
  if (inner > 1) {
    each_strip(outer, n, inner, [&](int64_t o, int64_t j, int64_t w) {
      const int64_t i = o * n * inner + j;
      strip_gradient<T, kLog>(dx + i, dy + i, y + i, n, inner, w);
    });
  } else if (n > kSoftmaxChunk) {
    const int64_t chunks = n / kSoftmaxChunk + (n % kSoftmaxChunk != 0);
    parallel_tasks(outer * chunks, [&](int64_t t) {
      const int64_t i = t % chunks * kSoftmaxChunk, at = t / chunks * n + i;
      scratch[t] = line_dot<T, kLog>(dy + at, y + at, smaller(kSoftmaxChunk, n - i));
    });
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t c = 1; c < chunks; ++c) scratch[o * chunks] += scratch[o * chunks + c];
    parallel_tasks(outer * chunks, [&](int64_t t) {
      const int64_t i = t % chunks * kSoftmaxChunk, at = t / chunks * n + i;
      line_gradient<T, kLog>(dx + at, dy + at, y + at, smaller(kSoftmaxChunk, n - i), streams,
                             scratch[t / chunks * chunks]);
      if (streams) stream_fence();
    });
  } else {
    parallel_range(outer, kGrain / n, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * n; i < end * n; i += n)
        line_gradient<T, kLog>(dx + i, dy + i, y + i, n, streams, line_dot<T, kLog>(dy + i, y + i, n));
      if (streams) stream_fence();
    });
  }
}

}  // namespace

void softmax_forward(int type, bool log, void* y, const void* x, int64_t outer, int64_t n, int64_t inner,
                     double* scratch) {
  const auto run = [&](auto* out, const auto* in) {
    typedef __typeof__(*out + 0) T;
    if (log)
      forward<T, true>(out, in, outer, n, inner, scratch);
    else
      forward<T, false>(out, in, outer, n, inner, scratch);
  };
  if (type == 4)
    run(static_cast<float*>(y), static_cast<const float*>(x));
  else
    run(static_cast<double*>(y), static_cast<const double*>(x));
}

void softmax_backward(int type, bool log, void* dx, const void* dy, const void* y, int64_t outer, int64_t n,
                      int64_t inner, double* scratch) {
  const auto run = [&](auto* out, const auto* d, const auto* in) {
    typedef __typeof__(*out + 0) T;
    if (log)
      backward<T, true>(out, d, in, outer, n, inner, scratch);
    else
      backward<T, false>(out, d, in, outer, n, inner, scratch);
  };
  if (type == 4)
    run(static_cast<float*>(dx), static_cast<const float*>(dy), static_cast<const float*>(y));
  else
    run(static_cast<double*>(dx), static_cast<const double*>(dy), static_cast<const double*>(y));
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
