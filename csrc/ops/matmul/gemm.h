#pragma once
// C = act(A B + bias), or C = act(C + A B + bias) with `accumulate`, for a batch of matrices given as raw pointers.
//
//   C[z][m][n] = act( [C[z][m][n]] + sum_k A[z][m][k] * B[z][k][n] + bias[n] )      m < M, n < N, k < K, z < batch
//
// Element (m, k) of A is A[m * a_row + k * a_col], and likewise for B and C; all strides count elements and may be zero
// or negative on the operands. A transposition is a swap of the two strides, no data moves for it.
//
// Order of the sum (it decides the bits): k is cut into chunks by gemm_chunks(K), which looks at K alone; each chunk is
// one chain of fused multiply-adds from zero in ascending k (the baseline ISA multiplies, then adds), and the chunks
// are added from left to right. So an element of C depends on its row of A, its column of B and nothing else: not on M,
// N, the strides, the batch around it or the number of threads.
//
// Reads nothing past the elements named above; C is only read when `accumulate` is set. C must not overlap A, B or
// bias.

#include "kernels/kernel.h"

namespace fastnn {

/// How float products are computed: with the operands as they are, rounded to bfloat16 (8 significant bits), or, on a
/// device, rounded to TF32 (11 significant bits); sums are in float.
enum class MatmulPrecision : int { float32, bf16, tf32 };

/// Applied to a finished element of C.
enum class Activation : int { none, relu };

template <class T>
struct GemmArgs {
  int64_t M = 0, N = 0, K = 0;
  const T* A = nullptr;
  int64_t a_row = 0, a_col = 1;
  const T* B = nullptr;
  int64_t b_row = 0, b_col = 1;
  T* C = nullptr;
  int64_t c_row = 0;        // columns of C are contiguous
  const T* bias = nullptr;  // length N, or null
  Activation act = Activation::none;
  bool accumulate = false;
  int64_t batch = 1;
  int64_t a_batch = 0, b_batch = 0, c_batch = 0;  // zero on A or B shares that matrix; C needs its own for each
};

/// The longest chain of multiply-adds. Long enough to make writing C between chunks cheap, short enough that a panel of
/// B stays in the second-level cache, and that rounding errors of long sums stay small.
constexpr int64_t kGemmChunk = 640;

/// K is summed in this many chunks of ceil(K / chunks) terms (the last may be shorter).
constexpr int64_t gemm_chunks(int64_t K) { return K <= kGemmChunk ? 1 : (K + kGemmChunk - 1) / kGemmChunk; }

FASTNN_KERNEL(gemm_f32, const GemmArgs<float>& args)
FASTNN_KERNEL(gemm_f64, const GemmArgs<double>& args)
/// The float product with operands rounded to bfloat16 and products summed in float, at twice the speed; see
/// gemm_bf16.h. Where the processor has no such instruction, and for vectors, this is gemm_f32.
FASTNN_KERNEL(gemm_bf16, const GemmArgs<float>& args)
/// The float product with operands rounded to TF32 on the tensor cores of a device; on the CPU this is gemm_f32.
FASTNN_KERNEL(gemm_tf32, const GemmArgs<float>& args)
/// The three loops as one would write them on paper, summed in ascending k: the oracle the fast one is tested against.
FASTNN_CPU_KERNEL(gemm_naive_f32, const GemmArgs<float>& args)
FASTNN_CPU_KERNEL(gemm_naive_f64, const GemmArgs<double>& args)

}  // namespace fastnn
