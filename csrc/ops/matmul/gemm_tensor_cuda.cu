// The products of float with rounded operands; see gemm_tensor_cuda.h.
#include "ops/matmul/gemm_arguments_cuda.h"
#include "ops/matmul/gemm_tensor_cuda.h"
#include "ops/matmul/gemm_wgmma_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

template <class Rounding>
void gemm(const GemmArgs<float>& args, void (*on_hopper)(const GemmArgs<float>&)) {
  if (args.M <= 0 || args.N <= 0 || args.batch <= 0) return;
  // A vector times a matrix is bound by memory: nothing to win there.
  if (args.M == 1 || args.N == 1) return gemm_f32(args);
  const GemmArgs<float> g = joined(args);
  if (wgmma_takes(g)) return on_hopper(g);
  multiply_tensor<Rounding>(operand_a(g), operand_b(g), result_of(g), product_of(g, kTensorChunk));
}

}  // namespace

void gemm_bf16(const GemmArgs<float>& args) { gemm<Bf16>(args, gemm_wgmma_bf16); }
void gemm_tf32(const GemmArgs<float>& args) { gemm<Tf32>(args, gemm_wgmma_tf32); }

}  // namespace cuda
}  // namespace fastnn
