#pragma once
// Float products with rounded operands on Hopper's own instructions; see gemm_wgmma_cuda.cu.

#include "ops/matmul/gemm.h"

namespace fastnn {
namespace cuda {

/// Chunks of the sums, as in gemm_tensor_cuda.h: C is to be read and written seldom.
constexpr int64_t kWgmmaChunk = 4096;

/// Whether the device has them and the product is worth packing its operands for.
bool wgmma_takes(const GemmArgs<float>& g);
void gemm_wgmma_bf16(const GemmArgs<float>& g);
void gemm_wgmma_tf32(const GemmArgs<float>& g);

}  // namespace cuda
}  // namespace fastnn
