#pragma once
// What the device's matrix products (gemm_tiles_cuda.h, gemm_tensor_cuda.h) know of their operands and result. A factor
// has rows (m of A, n of B) and terms (k of both); where an element is follows from what is known of its row and of its
// k, which a block works out once for every row and k of its tile. So one engine serves matrices of any strides and the
// windows of convolutions.

#include "cuda/cuda.h"
#include "ops/matmul/gemm.h"

namespace fastnn {
namespace cuda {

constexpr int64_t kOutside = INT64_MIN;

/// Element (row, k) at row * row_step + k * k_step.
template <class T>
struct StridedOperand {
  const T* data;
  int64_t row_step, k_step, batch_step;
  int64_t along_k;  // neighbouring threads take neighbouring k, else neighbouring rows
  int64_t wide;     // 16 bytes at a time: along k where along_k, else along the rows; none straddles a boundary

  using Row = int64_t;
  using Term = int64_t;
  __device__ Row row(int64_t i, int64_t z) const { return i * row_step + z * batch_step; }
  __device__ Term term(int64_t k, int64_t K) const { return k < K ? k * k_step : kOutside; }
  /// Null: a zero.
  __device__ const T* at(Row r, Term t) const { return t == kOutside ? nullptr : data + r + t; }
};

template <class T>
bool aligned16(const T* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

template <class T>
StridedOperand<T> strided_operand(const T* data, int64_t row_step, int64_t k_step, int64_t batch_step) {
  StridedOperand<T> o{data, row_step, k_step, batch_step, 0, 0};
  constexpr int64_t V = 16 / static_cast<int64_t>(sizeof(T));
  o.along_k = k_step == 1 && row_step != 1;
  const int64_t other = o.along_k ? row_step : k_step;
  o.wide = (k_step == 1 || row_step == 1) && aligned16(data) && other % V == 0 && batch_step % V == 0;
  return o;
}

/// C: row m of matrix z from row(m, z) on, columns col_step apart.
template <class T>
struct StridedResult {
  T* data;
  int64_t row_step, col_step, batch_step;
  int64_t wide;  // 16 bytes at a time

  __device__ int64_t row(int64_t m, int64_t z) const { return m * row_step + z * batch_step; }
};

template <class T>
StridedResult<T> strided_result(T* data, int64_t row_step, int64_t batch_step) {
  constexpr int64_t V = 16 / static_cast<int64_t>(sizeof(T));
  return {data, row_step, 1, batch_step, aligned16(data) && row_step % V == 0 && batch_step % V == 0};
}

/// The rest of a product: see GemmArgs. k is cut into chunks of `chunk` (a multiple of 64) whose sums are added from
/// left to right.
template <class T>
struct ProductArgs {
  int64_t M, N, K, batch;
  int64_t chunk;
  const T* bias;
  int64_t bias_step;  // of the batch
  Activation act;
  int32_t accumulate;

  __host__ __device__ int64_t chunks() const { return K <= chunk ? 1 : (K + chunk - 1) / chunk; }
};

/// An element of C from its sum.
template <class T>
__device__ inline T finished(const ProductArgs<T>& p, T v, const T* bias, int64_t n) {
  if (bias) v += bias[n];
  return p.act == Activation::relu && v < T{0} ? T{0} : v;
}

/// C from the partial sums [chunk][batch][M][N], in the order of the chunks.
template <class T, class Result>
__global__ void add_chunks(ProductArgs<T> p, Result result, const T* partial) {
  const int64_t matrix = p.M * p.N, total = p.batch * matrix, chunks = p.chunks();
  for (int64_t i = thread_index(); i < total; i += thread_count()) {
    const int64_t z = i / matrix, m = i % matrix / p.N, n = i % p.N;
    T* const c = result.data + result.row(m, z) + n * result.col_step;
    T sum = p.accumulate ? *c + partial[i] : partial[i];
    for (int64_t k = 1; k < chunks; ++k) sum += partial[k * total + i];
    *c = finished(p, sum, p.bias ? p.bias + z * p.bias_step : nullptr, n);
  }
}

/// How the work of a product is cut: blocks of C, and of each several runs of chunks where C alone has too few.
struct Cut {
  int64_t tiles_m, tiles_n, batch;
  int64_t splits;  // 1: each block adds its chunks to C itself, else all chunks go to partial sums

  __host__ __device__ int64_t blocks() const { return tiles_m * tiles_n * splits * batch; }
};

/// Partial sums may take this much memory.
constexpr int64_t kPartialBytes = int64_t{256} << 20;

template <class T>
Cut cut_product(const ProductArgs<T>& p, int64_t tile_m, int64_t tile_n, int64_t blocks_per_sm) {
  Cut cut{(p.M + tile_m - 1) / tile_m, (p.N + tile_n - 1) / tile_n, p.batch, 1};
  const int64_t chunks = p.chunks(), wanted = blocks_per_sm * sm_count(), have = cut.blocks();
  const double bytes = static_cast<double>(chunks) * static_cast<double>(p.batch) * static_cast<double>(p.M) *
                       static_cast<double>(p.N) * sizeof(T);
  if (have < wanted && bytes <= kPartialBytes) {
    cut.splits = (wanted + have - 1) / have;
    if (cut.splits > chunks) cut.splits = chunks;
  }
  return cut;
}

/// What a block has to do. Blocks that follow each other share rows of A and columns of B: they go down a stripe of
/// eight tiles before they go right.
struct Job {
  int64_t m, n, z;      // the tile and the matrix
  int64_t first, last;  // chunks
};
__device__ inline Job job_of(const Cut& cut, int64_t chunks, int64_t w) {
  const int64_t tiles = cut.tiles_m * cut.tiles_n, tile = w % tiles, rest = w / tiles;
  const int64_t split = rest % cut.splits;
  constexpr int64_t kStripe = 8;
  const int64_t stripe = tile / (kStripe * cut.tiles_n), in = tile % (kStripe * cut.tiles_n);
  const int64_t left = cut.tiles_m - stripe * kStripe, height = left < kStripe ? left : kStripe;
  return {stripe * kStripe + in % height, in / height, rest / cut.splits, split * chunks / cut.splits,
          (split + 1) * chunks / cut.splits};
}

/// Runs `start(cut, partial)` and, where it made partial sums, adds them.
template <class T, class Result, class Start>
void run_cut(const ProductArgs<T>& p, const Result& result, const Cut& cut, const Start& start) {
  if (cut.splits == 1) return start(cut, static_cast<T*>(nullptr));
  const int64_t total = p.batch * p.M * p.N;
  const Scratch partial(p.chunks() * total * static_cast<int64_t>(sizeof(T)));
  start(cut, partial.as<T>());
  run(&add_chunks<T, Result>, grid_for(total, 256), 256, 0, p, result, partial.as<T>());
}
inline unsigned grid_of(const Cut& cut) {
  const int64_t most = 1 << 30;
  return static_cast<unsigned>(cut.blocks() < most ? cut.blocks() : most);
}

}  // namespace cuda
}  // namespace fastnn
