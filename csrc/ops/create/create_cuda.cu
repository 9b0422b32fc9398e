#include "cuda/cuda.h"
#include "ops/create/create.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kBlock = 256;

template <class T>
__device__ inline T converted(int64_t v) {
  return static_cast<T>(v);
}
template <class T>
__device__ inline T converted(double v) {
  return static_cast<T>(v);
}
// Integers go through int64: a negative number as uint8 wraps instead of being undefined.
template <>
__device__ inline uint8_t converted<uint8_t>(double v) {
  return static_cast<uint8_t>(static_cast<int64_t>(v));
}
template <>
__device__ inline int32_t converted<int32_t>(double v) {
  return static_cast<int32_t>(static_cast<int64_t>(v));
}

/// a + i b, each rounded by itself as on the CPU.
__device__ inline double step_from(double a, int64_t i, double b) {
  return __dadd_rn(a, __dmul_rn(static_cast<double>(i), b));
}

struct IntegerRange {
  int64_t start, step;
  __device__ int64_t operator()(int64_t i) const {  // as unsigned: what overflows wraps
    return static_cast<int64_t>(static_cast<uint64_t>(start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(step));
  }
};
struct FloatingRange {
  double start, step;
  __device__ double operator()(int64_t i) const { return step_from(start, i, step); }
};
struct Linspace {
  int64_t n;
  double start, end, step;
  __device__ double operator()(int64_t i) const {
    return i < n / 2 ? step_from(start, i, step) : step_from(end, n - 1 - i, -step);
  }
};

template <class F, class T>
__global__ void __launch_bounds__(kBlock) fill_kernel(F f, T* y, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) y[i] = converted<T>(f(i));
}

template <class F>
void fill_by(const F& f, void* y, int type, int64_t n) {
  if (n <= 0) return;
  with_type(type, [&](auto tag) {
    typedef decltype(of(tag)) T;
    run(&fill_kernel<F, T>, grid_for(n, kBlock), kBlock, 0, f, static_cast<T*>(y), n);
  });
}

}  // namespace

void arange_integer(void* y, int type, int64_t n, int64_t start, int64_t step) {
  fill_by(IntegerRange{start, step}, y, type, n);
}

void arange_floating(void* y, int type, int64_t n, double start, double step) {
  fill_by(FloatingRange{start, step}, y, type, n);
}

void linspace_fill(void* y, int type, int64_t n, double start, double end, double step) {
  fill_by(Linspace{n, start, end, step}, y, type, n);
}

}  // namespace cuda
}  // namespace fastnn
