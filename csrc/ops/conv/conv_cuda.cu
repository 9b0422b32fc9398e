// The convolutions of float and double; see conv_kernels.h for the contract, conv_operands_cuda.h for the windows.
#include "ops/conv/conv_depthwise_cuda.h"
#include "ops/conv/conv_passes_cuda.h"
#include "ops/conv/conv_tensor_cuda.h"
#include "ops/matmul/gemm_tiles_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

struct Registers {
  static constexpr int64_t kChunk = kGemmChunk;
  template <class T, class A, class B, class Result>
  static void multiply(const A& a, const B& b, const Result& result, const ProductArgs<T>& p) {
    cuda::multiply(a, b, result, p);
  }
};

template <class T>
void forward(const ConvArgs<T>& g) {
  if (!g.depthwise()) {
    if constexpr (sizeof(T) == 4)
      if (g.precision != MatmulPrecision::float32) return conv_forward_tensor(g);
    return conv_forward<Registers>(g);
  }
  if (g.pixels() > 0) run(&depthwise_forward<T>, grid_for(g.pixels() * g.groups, 256), 256, 0, depthwise_of(g));
}

/// partial[part][f] = the sums of dy over a part of the pixels; a block has 32 columns and 32 pixels side by side.
template <class T>
__global__ void __launch_bounds__(kWarp* kWarp)
    column_sums(const T* dy, int64_t pixels, int64_t columns, int64_t parts, T* partial) {
  __shared__ T cells[kWarp][kWarp + 1];
  const int lane = static_cast<int>(threadIdx.x), row = static_cast<int>(threadIdx.y);
  const int64_t strips = (columns + kWarp - 1) / kWarp;
  for (int64_t w = blockIdx.x; w < strips * parts; w += gridDim.x) {
    const int64_t f = w % strips * kWarp + lane, part = w / strips, end = (part + 1) * pixels / parts;
    T sum = T{0};
    if (f < columns)
      for (int64_t p = part * pixels / parts + row; p < end; p += kWarp) sum += dy[p * columns + f];
    __syncthreads();
    cells[row][lane] = sum;
    __syncthreads();
    const T whole = warp_reduce(cells[lane][row], Sum());
    const int64_t column = w % strips * kWarp + row;
    if (lane == 0 && column < columns) partial[part * columns + column] = whole;
  }
}

template <class T>
void weight_products(const ConvArgs<T>& g, const T* dy, T* dw) {
  if (g.depthwise()) return depthwise_weight_gradient(g, dy, dw);
  if constexpr (sizeof(T) == 4)
    if (g.precision != MatmulPrecision::float32) return conv_weight_gradient_tensor(g, dy, dw);
  conv_weight_products<Registers>(g, dy, dw);
}

template <class T>
void weight_gradient(const ConvArgs<T>& g, const T* dy, T* dw, T* db) {
  weight_products(g, dy, dw);
  const int64_t columns = g.groups * g.F, strips = (columns + kWarp - 1) / kWarp;
  if (!db || columns == 0) return;
  int64_t parts = g.pixels() / 2048;
  parts = parts < 1 ? 1 : parts > 128 ? 128 : parts;
  const Scratch partial(parts * columns * static_cast<int64_t>(sizeof(T)));
  const dim3 block(kWarp, kWarp);
  run(&column_sums<T>, grid_for(strips * parts, 1), block, 0, dy, g.pixels(), columns, parts, partial.as<T>());
  run(&column_sums<T>, grid_for(strips, 1), block, 0, partial.as<T>(), parts, columns, int64_t{1}, db);
}

}  // namespace

void conv_forward_f32(const ConvArgs<float>& args, float*) { forward(args); }
void conv_forward_f64(const ConvArgs<double>& args, double*) { forward(args); }
void conv_weight_gradient_f32(const ConvArgs<float>& args, const float* dy, float* dw, float* db, float*) {
  weight_gradient(args, dy, dw, db);
}
void conv_weight_gradient_f64(const ConvArgs<double>& args, const double* dy, double* dw, double* db, double*) {
  weight_gradient(args, dy, dw, db);
}

}  // namespace cuda
}  // namespace fastnn
