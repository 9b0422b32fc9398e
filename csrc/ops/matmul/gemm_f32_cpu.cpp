// The float GEMM; see gemm.h for the contract, gemm_driver.h for the blocking, gemm_tile.h for the registers.
#include "ops/matmul/gemm_driver.h"

namespace fastnn {
namespace FASTNN_ISA {

void gemm_f32(const GemmArgs<float>& args) { gemm(args, block<float>); }
void gemm_tf32(const GemmArgs<float>& args) { gemm_f32(args); }
void gemm_naive_f32(const GemmArgs<float>& args) { gemm_naive(args); }

}  // namespace FASTNN_ISA
}  // namespace fastnn
