#pragma once
// Products by fused multiply-adds in registers, for float and double. A thread has TM x TN elements of C; a chunk is
// one chain of multiply-adds in ascending k, so the choice among tiles never changes a bit.

#include "ops/matmul/gemm_engine_cuda.h"

namespace fastnn {
namespace cuda {

/// Element i of thread t's COUNT ones among those of `threads` threads: runs of 16 bytes, so that neighbours read
/// neighbouring runs.
template <class T, int COUNT>
__device__ constexpr int place(int i, int t, int threads) {
  constexpr int kWide = 16 / static_cast<int>(sizeof(T)), V = COUNT < kWide ? COUNT : kWide;
  return i / V * (threads * V) + t * V + i % V;
}
template <class T, int COUNT>
__device__ inline void take(T (&out)[COUNT], const T* row, int t, int threads) {
  constexpr int V = 16 / static_cast<int>(sizeof(T));
  if constexpr (COUNT % V == 0) {
#pragma unroll
    for (int i = 0; i < COUNT; i += V) {
      const auto v = *reinterpret_cast<const RunOf<T, V>*>(row + place<T, COUNT>(i, t, threads));
#pragma unroll
      for (int j = 0; j < V; ++j) out[i + j] = v.at[j];
    }
  } else {
#pragma unroll
    for (int i = 0; i < COUNT; ++i) out[i] = row[place<T, COUNT>(i, t, threads)];
  }
}

__device__ inline float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double multiply_add(double a, double b, double c) { return fma(a, b, c); }

template <class T, int BM_, int BN_, int TM_, int TN_>
struct Tile {
  static constexpr int BM = BM_, BN = BN_, TM = TM_, TN = TN_, BK = 16;
  static constexpr int kAcross = BN / TN, kDown = BM / TM, kThreads = kAcross * kDown;
  static constexpr int kBlocks = sizeof(T) == 4 ? 2 : 1, kStages = 3, kTables = 4;
  static constexpr int kWide = 16 / static_cast<int>(sizeof(T)), kPad = kWide;
  static constexpr int kRun = TN % kWide == 0 ? kWide : 1;
  static_assert(kAcross % 8 == 0 && kDown % 4 == 0, "a warp is 8 threads across, 4 down");

  __device__ static int across() {
    const int thread = static_cast<int>(threadIdx.x);
    return thread / kWarp % (kAcross / 8) * 8 + thread % 8;
  }
  __device__ static int down() {
    const int thread = static_cast<int>(threadIdx.x);
    return thread / kWarp / (kAcross / 8) * 4 + thread % kWarp / 8;
  }
  __device__ static int row(int i) { return place<T, TM>(i, down(), kDown); }
  __device__ static int column(int j) { return place<T, TN>(j, across(), kAcross); }

  __device__ static void multiply(T (&sum)[TM][TN], const T* a, const T* b) {
#pragma unroll 2  // more take more registers than there are
    for (int k = 0; k < BK; ++k) {
      T x[TM], y[TN];
      take(x, a + k * (BM + kPad), down(), kDown);
      take(y, b + k * (BN + kPad), across(), kAcross);
#pragma unroll
      for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) sum[i][j] = multiply_add(x[i], y[j], sum[i][j]);
    }
  }
};

/// C = act(A B + bias): p of at least one element of C.
template <class T, class A, class B, class Result>
void multiply(const A& a, const B& b, const Result& result, const ProductArgs<T>& p) {
  if (p.N <= 8) return run_tiles<T, Tile<T, 128, 8, 4, 1>>(a, b, result, p);
  if (p.M <= 8) return run_tiles<T, Tile<T, 8, 128, 1, 4>>(a, b, result, p);
  if constexpr (sizeof(T) == 4) {
    using Large = Tile<T, 128, 128, 8, 8>;
    // Half a device full of large tiles is better than a full one of small ones, which load twice as much.
    const int64_t blocks = (p.M + 127) / 128 * ((p.N + 127) / 128) * p.batch * p.chunks();
    if (p.M > 64 && p.N > 64 && blocks * 2 > sm_count()) return run_tiles<T, Large>(a, b, result, p);
  }
  run_tiles<T, Tile<T, 64, 64, 4, 4>>(a, b, result, p);
}

}  // namespace cuda
}  // namespace fastnn
