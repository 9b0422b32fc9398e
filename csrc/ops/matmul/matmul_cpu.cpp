#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/matmul/matmul.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

template <class T>
void relu_gradient(T* dx, const T* dy, const T* y, int64_t n) {
  parallel_range(n, 1 << 15, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes<T>) {
      const int64_t lanes = end - i < kLanes<T> ? end - i : kLanes<T>;
      const Vec<T> v = load_n(y + i, lanes), d = load_n(dy + i, lanes);
      store_n(dx + i, v <= Vec<T>{} ? Vec<T>{} : d, lanes);
    }
  });
}

}  // namespace

void relu_gradient_f32(float* dx, const float* dy, const float* y, int64_t n) { relu_gradient(dx, dy, y, n); }
void relu_gradient_f64(double* dx, const double* dy, const double* y, int64_t n) { relu_gradient(dx, dy, y, n); }

}  // namespace FASTNN_ISA
}  // namespace fastnn
