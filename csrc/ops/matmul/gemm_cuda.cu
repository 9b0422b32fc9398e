// The products of float and double; see gemm_tiles_cuda.h.
#include "ops/matmul/gemm_arguments_cuda.h"
#include "ops/matmul/gemm_tiles_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

template <class T>
void gemm(const GemmArgs<T>& args) {
  if (args.M <= 0 || args.N <= 0 || args.batch <= 0) return;
  const GemmArgs<T> g = joined(args);
  multiply(operand_a(g), operand_b(g), result_of(g), product_of(g, kGemmChunk));
}

}  // namespace

void gemm_f32(const GemmArgs<float>& args) { gemm(args); }
void gemm_f64(const GemmArgs<double>& args) { gemm(args); }

}  // namespace cuda
}  // namespace fastnn
