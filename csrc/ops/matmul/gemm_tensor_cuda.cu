// The products of float with rounded operands; see gemm_tensor_cuda.h.
#include "ops/matmul/gemm_arguments_cuda.h"
#include "ops/matmul/gemm_tensor_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

template <class Rounding>
void gemm(const GemmArgs<float>& args) {
  if (args.M <= 0 || args.N <= 0 || args.batch <= 0) return;
  // A vector times a matrix is bound by memory: nothing to win there.
  if (args.M == 1 || args.N == 1) return gemm_f32(args);
  const GemmArgs<float> g = joined(args);
  multiply_tensor<Rounding>(operand_a(g), operand_b(g), result_of(g), product_of(g, kTensorChunk));
}

}  // namespace

void gemm_bf16(const GemmArgs<float>& args) { gemm<Bf16>(args); }
void gemm_tf32(const GemmArgs<float>& args) { gemm<Tf32>(args); }

}  // namespace cuda
}  // namespace fastnn
