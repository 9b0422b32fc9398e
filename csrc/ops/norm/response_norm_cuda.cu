#include "cuda/divide.h"
#include "ops/norm/response_norm.h"

namespace fastnn {
namespace cuda {
namespace {

/// d^-beta; AlexNet's 3/4 by square roots.
template <class T>
__device__ inline T power(T d, double beta) {
  if (beta == 0.75) return T(1) / (sqrt(d) * sqrt(sqrt(d)));
  if (beta == 0.5) return T(1) / sqrt(d);
  if (beta == 1) return T(1) / d;
  return pow(d, static_cast<T>(-beta));
}

/// The sum of f over the channels [c - before, c + after] that there are, from the left.
template <class T, class F>
__device__ inline T window_sum(int64_t c, int64_t before, int64_t after, int64_t channels, const F& f) {
  const int64_t first = c > before ? c - before : 0, last = c + after < channels ? c + after : channels - 1;
  T s = 0;
  for (int64_t j = first; j <= last; ++j) s += f(j);
  return s;
}
template <class T>
struct SquareOf {
  const T* row;
  __device__ T operator()(int64_t j) const { return row[j] * row[j]; }
};
template <class T>
struct ElementOf {
  const T* row;
  __device__ T operator()(int64_t j) const { return row[j]; }
};

template <class T>
__device__ inline T denominator(const T* row, int64_t c, const ResponseNorm& p) {
  const T s = window_sum<T>(c, p.before, p.after, p.c, SquareOf<T>{row});
  return s * static_cast<T>(p.scale) + static_cast<T>(p.k);
}

template <class T>
__global__ void response_forward(T* y, const T* x, ResponseNorm p) {
  for (int64_t i = thread_index(); i < p.rows * p.c; i += thread_count()) {
    const int64_t c = divide(i, p.c).rest;
    y[i] = x[i] * power(denominator(x + (i - c), c, p), p.beta);
  }
}

/// dx = dy d^-beta, and what the windows add up: dy x d^(-beta - 1).
template <class T>
__global__ void response_parts(T* dx, T* part, const T* dy, const T* x, ResponseNorm p) {
  for (int64_t i = thread_index(); i < p.rows * p.c; i += thread_count()) {
    const int64_t c = divide(i, p.c).rest;
    const T d = denominator(x + (i - c), c, p), scale = power(d, p.beta);
    dx[i] = dy[i] * scale;
    part[i] = dy[i] * x[i] * scale / d;
  }
}
template <class T>
__global__ void response_gradient(T* dx, const T* part, const T* x, ResponseNorm p) {
  const T slope = static_cast<T>(-2 * p.scale * p.beta);
  for (int64_t i = thread_index(); i < p.rows * p.c; i += thread_count()) {
    const int64_t c = divide(i, p.c).rest;
    // The windows that this channel is in start `after` before it.
    dx[i] += x[i] * window_sum<T>(c, p.after, p.before, p.c, ElementOf<T>{part + (i - c)}) * slope;
  }
}

}  // namespace

void response_norm_forward(int type, void* y, const void* x, const ResponseNorm& p, void*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    run(&response_forward<T>, grid_for(p.rows * p.c, 256), 256, 0, static_cast<T*>(y), static_cast<const T*>(x), p);
  });
}
void response_norm_backward(int type, void* dx, const void* dy, const void* x, const ResponseNorm& p, void*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    const int64_t n = p.rows * p.c;
    const Scratch scratch(n * static_cast<int64_t>(sizeof(T)));
    T* part = scratch.as<T>();
    run(&response_parts<T>, grid_for(n, 256), 256, 0, static_cast<T*>(dx), part, static_cast<const T*>(dy),
        static_cast<const T*>(x), p);
    run(&response_gradient<T>, grid_for(n, 256), 256, 0, static_cast<T*>(dx), part, static_cast<const T*>(x), p);
  });
}

}  // namespace cuda
}  // namespace fastnn
