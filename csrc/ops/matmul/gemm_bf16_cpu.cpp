#include "ops/matmul/gemm.h"
#include "ops/matmul/gemm_bf16.h"

namespace fastnn {
namespace FASTNN_ISA {

void gemm_bf16(const GemmArgs<float>& args) {
#if defined(__AVX512F__)
  // A vector times a matrix is bound by memory: nothing to win there.
  if (bf16_dot_exists() && args.M > 1 && args.N > 1) return gemm(args, block_pairs);
#endif
  gemm_f32(args);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
