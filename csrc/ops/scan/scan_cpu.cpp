#include "kernels/parallel.h"
#include "ops/scan/line.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int64_t kGrain = 32768;
constexpr int64_t kStrip = 512;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

template <bool kProduct, class A>
inline A next(A a, A x) {
  return kProduct ? a * x : a + x;
}

/// Elements [first, last) counted in the direction of the scan, from `a`; returns the last running value.
template <bool kProduct, bool kStore, class T, class A>
inline A run(T* y, const T* x, int64_t n, bool reverse, int64_t first, int64_t last, A a) {
  for (int64_t i = first; i < last; ++i) {
    const int64_t at = reverse ? n - 1 - i : i;
    a = next<kProduct>(a, static_cast<A>(x[at]));
    if (kStore) y[at] = static_cast<T>(a);
  }
  return a;
}

template <bool kProduct, class T>
void scan(T* y, const T* x, bool reverse, int64_t outer, int64_t n, int64_t inner, void* scratch) {
  typedef typename Running<T>::type A;
  const A none = kProduct ? 1 : 0;
  if (inner > 1) {
    const int64_t strips = inner / kStrip + (inner % kStrip != 0);
    parallel_range(outer * strips, kGrain / (n * smaller(inner, kStrip)), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t j = t % strips * kStrip, w = smaller(kStrip, inner - j), base = t / strips * n * inner + j;
        A a[kStrip];
        for (int64_t k = 0; k < w; ++k) a[k] = none;
        for (int64_t i = 0; i < n; ++i) {
          const int64_t at = base + (reverse ? n - 1 - i : i) * inner;
          for (int64_t k = 0; k < w; ++k) {
            a[k] = next<kProduct>(a[k], static_cast<A>(x[at + k]));
            y[at + k] = static_cast<T>(a[k]);
          }
        }
      }
    });
  } else if (n > kScanChunk) {
    const int64_t chunks = n / kScanChunk + (n % kScanChunk != 0);
    A* start = static_cast<A*>(scratch);
    parallel_tasks(outer * chunks, [&](int64_t t) {
      const int64_t first = t % chunks * kScanChunk, last = smaller(first + kScanChunk, n);
      start[t] = run<kProduct, false>(static_cast<T*>(nullptr), x + t / chunks * n, n, reverse, first, last, none);
    });
    for (int64_t o = 0; o < outer; ++o) {
      A a = none;
      for (int64_t c = 0; c < chunks; ++c) {
        const A total = start[o * chunks + c];
        start[o * chunks + c] = a;
        a = next<kProduct>(a, total);
      }
    }
    parallel_tasks(outer * chunks, [&](int64_t t) {
      const int64_t first = t % chunks * kScanChunk, last = smaller(first + kScanChunk, n), line = t / chunks * n;
      run<kProduct, true>(y + line, x + line, n, reverse, first, last, start[t]);
    });
  } else {
    parallel_range(outer, kGrain / n, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) run<kProduct, true>(y + o * n, x + o * n, n, reverse, 0, n, none);
    });
  }
}

template <class T>
void prod_backward(T* dx, const T* dy, const T* x, int64_t outer, int64_t n, int64_t inner) {
  parallel_range(outer * inner, kGrain / n, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t base = line / inner * n * inner + line % inner;
      prod_gradient(dx + base, dy + base, x + base, n, inner);
    }
  });
}

template <class T>
void lines(bool product, bool reverse, void* y, const void* x, int64_t outer, int64_t n, int64_t inner, void* scratch) {
  if (product)
    scan<true>(static_cast<T*>(y), static_cast<const T*>(x), reverse, outer, n, inner, scratch);
  else
    scan<false>(static_cast<T*>(y), static_cast<const T*>(x), reverse, outer, n, inner, scratch);
}

}  // namespace

void scan_lines(int type, bool product, bool reverse, void* y, const void* x, int64_t outer, int64_t n, int64_t inner,
                void* scratch) {
  if (type == 3)
    lines<int64_t>(product, reverse, y, x, outer, n, inner, scratch);
  else if (type == 4)
    lines<float>(product, reverse, y, x, outer, n, inner, scratch);
  else
    lines<double>(product, reverse, y, x, outer, n, inner, scratch);
}

void scan_prod_backward(int type, void* dx, const void* dy, const void* x, int64_t outer, int64_t n, int64_t inner) {
  if (type == 4)
    prod_backward(static_cast<float*>(dx), static_cast<const float*>(dy), static_cast<const float*>(x), outer, n,
                  inner);
  else
    prod_backward(static_cast<double*>(dx), static_cast<const double*>(dy), static_cast<const double*>(x), outer, n,
                  inner);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
