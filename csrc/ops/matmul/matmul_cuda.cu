#include "cuda/cuda.h"
#include "ops/matmul/matmul.h"

namespace fastnn {
namespace cuda {
namespace {

template <class T>
__global__ void relu_gradients(T* dx, const T* dy, const T* y, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) dx[i] = y[i] <= T{0} ? T{0} : dy[i];
}

template <class T>
void relu_gradient(T* dx, const T* dy, const T* y, int64_t n) {
  if (n > 0) run(&relu_gradients<T>, grid_for(n, 256), 256, 0, dx, dy, y, n);
}

}  // namespace

void relu_gradient_f32(float* dx, const float* dy, const float* y, int64_t n) { relu_gradient(dx, dy, y, n); }
void relu_gradient_f64(double* dx, const double* dy, const double* y, int64_t n) { relu_gradient(dx, dy, y, n); }

}  // namespace cuda
}  // namespace fastnn
