#pragma once
// Products of float matrices on tensor cores (mma.sync): operands are rounded to bfloat16 or TF32 when registers take
// them from shared memory, sums are in float. A warp has WM x WN elements of C, in pieces of 16 x 8.

#include "cuda/tensor_core.h"
#include "ops/matmul/gemm_engine_cuda.h"

namespace fastnn {
namespace cuda {

/// k terms at a time; a word holds kPer of them. kPad: no two lanes of a fragment in one bank.
struct Bf16 {
  static constexpr int kTerms = 16, kPer = 2, kPad = 4;
  __device__ static uint32_t word(const float* x, int pitch) { return bf16_pair(x[0], x[pitch]); }
  __device__ static void multiply(float& d0, float& d1, float& d2, float& d3, const uint32_t (&a)[4],
                                  const uint32_t (&b)[2]) {
    multiply_bf16(d0, d1, d2, d3, a, b);
  }
};
struct Tf32 {
  static constexpr int kTerms = 8, kPer = 1, kPad = 8;
  __device__ static uint32_t word(const float* x, int) { return tf32_bits(x[0]); }
  __device__ static void multiply(float& d0, float& d1, float& d2, float& d3, const uint32_t (&a)[4],
                                  const uint32_t (&b)[2]) {
    multiply_tf32(d0, d1, d2, d3, a, b);
  }
};

template <class Rounding, int BM_, int BN_, int WM, int WN>
struct TensorTile {
  static constexpr int BM = BM_, BN = BN_, BK = 16, TM = WM / 8, TN = WN / 4;
  static constexpr int kAcross = BN / WN, kThreads = BM / WM * kAcross * kWarp;
  static constexpr int kBlocks = 2, kStages = 4, kTables = 8, kRun = 2, kPad = Rounding::kPad;

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ static int first_row() { return static_cast<int>(threadIdx.x) / kWarp / kAcross * WM; }
  __device__ static int first_column() { return static_cast<int>(threadIdx.x) / kWarp % kAcross * WN; }
  __device__ static int row(int i) { return first_row() + i * 8 + lane() / 4; }
  __device__ static int column(int j) { return first_column() + j / 2 * 8 + lane() % 4 * 2 + j % 2; }

  __device__ static void multiply(float (&sum)[TM][TN], const float* a, const float* b) {
    constexpr int kA = BM + kPad, kB = BN + kPad, kPer = Rounding::kPer, kHalf = 4 * kPer;
    a += lane() % 4 * kPer * kA + first_row() + lane() / 4;
    b += lane() % 4 * kPer * kB + first_column() + lane() / 4;
#pragma unroll
    for (int k = 0; k < BK; k += Rounding::kTerms) {
      uint32_t y[TN / 2][2];
#pragma unroll
      for (int j = 0; j < TN / 2; ++j)
#pragma unroll
        for (int h = 0; h < 2; ++h) y[j][h] = Rounding::word(b + (k + h * kHalf) * kB + j * 8, kB);
#pragma unroll
      for (int i = 0; i < TM; i += 2) {
        uint32_t x[4];
#pragma unroll
        for (int h = 0; h < 4; ++h) x[h] = Rounding::word(a + (k + h / 2 * kHalf) * kA + (i + h % 2) * 8, kA);
#pragma unroll
        for (int j = 0; j < TN; j += 2)
          Rounding::multiply(sum[i][j], sum[i][j + 1], sum[i + 1][j], sum[i + 1][j + 1], x, y[j / 2]);
      }
    }
  }
};

/// Chunks of the sums: longer than in registers, where C would be read and written too often for the speed of these.
constexpr int64_t kTensorChunk = 2048;

/// C = act(A B + bias): p of at least one element of C.
template <class Rounding, class A, class B, class Result>
void multiply_tensor(const A& a, const B& b, const Result& result, const ProductArgs<float>& p) {
  const int64_t blocks = (p.M + 127) / 128 * ((p.N + 127) / 128) * p.batch * p.chunks();
  if (p.M > 64 && p.N > 64 && blocks * 2 > sm_count())
    return run_tiles<float, TensorTile<Rounding, 128, 128, 64, 64>>(a, b, result, p);
  run_tiles<float, TensorTile<Rounding, 64, 64, 32, 32>>(a, b, result, p);
}

}  // namespace cuda
}  // namespace fastnn
