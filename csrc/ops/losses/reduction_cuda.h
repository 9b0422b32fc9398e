#pragma once
// The last step of a loss on a device: what finish_reduction() of reduction.h does on the CPU.

#include "cuda/cuda.h"
#include "ops/losses/reduction.h"

namespace fastnn {
namespace cuda {

constexpr int kLossBlock = 256;

/// Blocks of a loss over n numbers or rows, `per_block` at a time: by the shape alone, so that a sum has the same bits
/// on every device; as many as the largest runs at once.
inline unsigned loss_blocks(int64_t n, int64_t per_block) {
  const int64_t wanted = (n + per_block - 1) / per_block;
  return static_cast<unsigned>(wanted < 1 ? 1 : wanted < 2048 ? wanted : 2048);
}

/// Pairs (loss, count) of `blocks` blocks, in the order of the blocks; a `known` count >= 0 stands for theirs.
template <class T>
__global__ void __launch_bounds__(kLossBlock)
    finish_kernel(Reduction how, T* out, double* scale, const double* sums, int64_t blocks, int64_t known) {
  __shared__ double cells[kWarp];
  double total = 0, count = 0;
  for (int64_t b = threadIdx.x; b < blocks; b += kLossBlock) {
    total += sums[2 * b];
    count += sums[2 * b + 1];
  }
  total = block_reduce(total, Sum(), 0.0, cells);
  count = block_reduce(count, Sum(), 0.0, cells);
  if (threadIdx.x != 0) return;
  if (known >= 0) count = static_cast<double>(known);
  const bool mean = how == Reduction::mean;
  if (how != Reduction::none) *out = static_cast<T>(mean ? total / count : total);
  *scale = mean ? 1 / count : 1;
}

template <class T>
void finish(const Reduced& reduced, const double* sums, int64_t blocks, int64_t known) {
  run(&finish_kernel<T>, 1, kLossBlock, 0, reduced.how, static_cast<T*>(reduced.out), reduced.scale, sums, blocks,
      known);
}

}  // namespace cuda
}  // namespace fastnn
