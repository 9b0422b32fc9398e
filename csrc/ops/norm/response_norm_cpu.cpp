#include "kernels/parallel.h"
#include "kernels/simd_math.h"
#include "ops/norm/norm_vector.h"
#include "ops/norm/response_norm.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int64_t kGrain = 8192;
// Channels done at a time, and what a buffer holds of them with the neighbours on both sides, twice in backward.
constexpr int64_t kChunk = 512, kBuffer = kChunk + 2 * kResponseHalo;

/// d^-beta; AlexNet's 3/4 by square roots.
template <class V>
FASTNN_INLINE V power(V d, double beta) {
  if (beta == 0.75) return splat<V>(1.0) / (sqrt(d) * sqrt(sqrt(d)));
  if (beta == 0.5) return splat<V>(1.0) / sqrt(d);
  if (beta == 1) return splat<V>(1.0) / d;
  return pow(d, splat<V>(-beta));
}

/// out[i] = in[i] + ... + in[i + size - 1] for i in [0, n), from the left. Buffers are padded to whole vectors.
template <class T>
void window_sums(T* out, const T* in, int64_t n, int64_t size) {
  each_vector<T>(n, [&](int64_t i, int64_t k) {
    Vec<T> s = get(in + i, k);
    for (int64_t j = 1; j < size; ++j) s += get(in + i + j, k);
    put(out + i, s, k);
  });
}

/// buffer[i] = f(i), i counted from `first`, where that is a channel, else 0: channels [first, last).
template <class T, class F>
void fill(T* buffer, int64_t first, int64_t last, int64_t c, const F& f) {
  const int64_t a = first < 0 ? 0 : first, b = smaller(last, c);
  for (int64_t i = first; i < a; ++i) buffer[i - first] = T(0);
  for (int64_t i = b > a ? b : a; i < last; ++i) buffer[i - first] = T(0);
  if (b > a) each_vector<T>(b - a, [&](int64_t j, int64_t k) { put(buffer + (a - first) + j, f(a + j, k), k); });
}

/// d of channels [first, last): squares of their neighbourhood, summed.
template <class T>
void denominators(T* d, T* squares, const T* x, int64_t first, int64_t last, const ResponseNorm& p) {
  fill(squares, first - p.before, last + p.after, p.c, [&](int64_t i, int64_t k) {
    const Vec<T> v = get(x + i, k);
    return v * v;
  });
  window_sums(d, squares, last - first, p.before + p.after + 1);
  each_vector<T>(last - first, [&](int64_t i, int64_t k) {
    put(d + i, fma(get(d + i, k), splat<Vec<T>>(p.scale), splat<Vec<T>>(p.k)), k);
  });
}

template <class T>
struct Buffers {
  T *a, *b, *c;
};

/// f(row, first channel, last channel, buffers): chunks of rows on the buffers of a task, or, where windows are wider
/// than those, row by row on scratch.
template <class T, class F>
void each_chunk(const ResponseNorm& p, T* scratch, const F& f) {
  if (scratch != nullptr) {
    const int64_t length = response_norm_scratch(p) / 3;
    for (int64_t r = 0; r < p.rows; ++r)
      f(r, int64_t{0}, p.c, Buffers<T>{scratch, scratch + length, scratch + 2 * length});
    return;
  }
  parallel_range(p.rows, kGrain / (p.c > 0 ? p.c : 1), [&](int64_t begin, int64_t end) {
    T a[kBuffer], b[kBuffer], c[kBuffer];
    for (int64_t r = begin; r < end; ++r)
      for (int64_t i = 0; i < p.c; i += kChunk) f(r, i, smaller(i + kChunk, p.c), Buffers<T>{a, b, c});
  });
}

template <class T>
void forward(T* y, const T* x, const ResponseNorm& p, T* scratch) {
  each_chunk<T>(p, scratch, [&](int64_t r, int64_t first, int64_t last, const Buffers<T>& own) {
    const T* row = x + r * p.c;
    denominators(own.b, own.a, row, first, last, p);
    each_vector<T>(last - first, [&](int64_t i, int64_t k) {
      put(y + r * p.c + first + i, get(row + first + i, k) * power(get(own.b + i, k), p.beta), k);
    });
  });
}

template <class T>
void backward(T* dx, const T* dy, const T* x, const ResponseNorm& p, T* scratch) {
  typedef Vec<T> V;
  each_chunk<T>(p, scratch, [&](int64_t r, int64_t first, int64_t last, const Buffers<T>& own) {
    const T *row = x + r * p.c, *g = dy + r * p.c;
    // Channels in whose windows these are: from first - after to last + before.
    const int64_t from = first - p.after, to = last + p.before;
    denominators(own.b, own.a, row, from, to, p);
    fill(own.a, from, to, p.c, [&](int64_t i, int64_t k) {
      const V d = get(own.b + (i - from), k);
      return get(g + i, k) * get(row + i, k) * power(d, p.beta) / d;
    });
    window_sums(own.c, own.a, last - first, p.before + p.after + 1);
    const V slope = splat<V>(-2 * p.scale * p.beta);
    each_vector<T>(last - first, [&](int64_t i, int64_t k) {
      const V own_part = get(g + first + i, k) * power(get(own.b + p.after + i, k), p.beta);
      put(dx + r * p.c + first + i, fma(get(row + first + i, k) * get(own.c + i, k), slope, own_part), k);
    });
  });
}

}  // namespace

void response_norm_forward(int type, void* y, const void* x, const ResponseNorm& p, void* scratch) {
  with_float(type, [&](auto* tag) { forward(as(tag, y), as(tag, x), p, as(tag, scratch)); });
}
void response_norm_backward(int type, void* dx, const void* dy, const void* x, const ResponseNorm& p, void* scratch) {
  with_float(type, [&](auto* tag) { backward(as(tag, dx), as(tag, dy), as(tag, x), p, as(tag, scratch)); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
