#include "ops/conv/conv_passes_cuda.h"
#include "ops/conv/conv_tensor_cuda.h"
#include "ops/matmul/gemm_tensor_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

template <class Rounding>
struct TensorCores {
  static constexpr int64_t kChunk = kTensorChunk;
  template <class A, class B, class Result>
  static void multiply(const A& a, const B& b, const Result& result, const ProductArgs<float>& p) {
    multiply_tensor<Rounding>(a, b, result, p);
  }
};

}  // namespace

void conv_forward_tensor(const ConvArgs<float>& g) {
  if (g.precision == MatmulPrecision::bf16) return conv_forward<TensorCores<Bf16>>(g);
  conv_forward<TensorCores<Tf32>>(g);
}
void conv_weight_gradient_tensor(const ConvArgs<float>& g, const float* dy, float* dw) {
  if (g.precision == MatmulPrecision::bf16) return conv_weight_products<TensorCores<Bf16>>(g, dy, dw);
  conv_weight_products<TensorCores<Tf32>>(g, dy, dw);
}

}  // namespace cuda
}  // namespace fastnn
