// Large products of float with rounded operands on Hopper (wgmma). The operands are rounded once, into tiles of 128
// rows of 128 bytes that lie in device memory as wgmma wants them in shared memory; then a warp of each block copies
// tiles, one bulk copy each, while two warpgroups multiply those that are there, 64 x 128 of C each.
#include "cuda/wgmma.h"
#include "ops/matmul/gemm_arguments_cuda.h"
#include "ops/matmul/gemm_engine_cuda.h"
#include "ops/matmul/gemm_tensor_cuda.h"
#include "ops/matmul/gemm_wgmma_cuda.h"

namespace fastnn {
namespace cuda {

constexpr int kGroup = 128, kConsumers = 2;

/// How store_chunk() finds the elements of a thread.
struct WgmmaTile {
  static constexpr int BM = 128, BN = 128, TM = 2, TN = 32, kRun = 2;
  static constexpr int kThreads = kConsumers * kGroup + kWarp, kStages = 6;
  __device__ static int row(int i) {
    const int thread = static_cast<int>(threadIdx.x);
    return thread / kWarp * 16 + thread % kWarp / 4 + 8 * i;
  }
  __device__ static int column(int j) { return j / 2 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + j % 2; }
};

namespace {

constexpr int kRows = 128, kRowBytes = 128, kTileBytes = kRows * kRowBytes;

/// Rounded operands: 16 bytes of them from floats, terms in a row of a tile, the instruction over 32 bytes.
struct PackedBf16 {
  static constexpr int kTerms = 64;
  __device__ static uint4 pack(const float (&x)[8]) {
    return make_uint4(bf16_pair(x[0], x[1]), bf16_pair(x[2], x[3]), bf16_pair(x[4], x[5]), bf16_pair(x[6], x[7]));
  }
#ifdef FASTNN_WGMMA
  __device__ static void multiply(float (&d)[2][32], uint64_t a, uint64_t b, int add) { wgmma_bf16(d, a, b, add); }
#endif
};
struct PackedTf32 {
  static constexpr int kTerms = 32;
  __device__ static uint4 pack(const float (&x)[4]) {
    return make_uint4(tf32_bits(x[0]), tf32_bits(x[1]), tf32_bits(x[2]), tf32_bits(x[3]));
  }
#ifdef FASTNN_WGMMA
  __device__ static void multiply(float (&d)[2][32], uint64_t a, uint64_t b, int add) { wgmma_tf32(d, a, b, add); }
#endif
};

/// Tiles [batch][rows / 128][K / kTerms], zeros past the ends; a thread makes 16 bytes.
template <class Packed>
__global__ void pack_tiles(StridedOperand<float> x, int64_t rows, int64_t K, int64_t batch, uint4* to) {
  constexpr int kPieces = kRowBytes / 16, kPer = Packed::kTerms / kPieces;
  const int64_t tiles_r = (rows + kRows - 1) / kRows, tiles_k = (K + Packed::kTerms - 1) / Packed::kTerms;
  const int64_t total = batch * tiles_r * tiles_k * kRows * kPieces;
  for (int64_t i = thread_index(); i < total; i += thread_count()) {
    const int in = static_cast<int>(i % (kRows * kPieces));
    const int64_t tile = i / (kRows * kPieces), z = tile / (tiles_r * tiles_k), rest = tile % (tiles_r * tiles_k);
    const int r = x.along_k ? in / kPieces : in % kRows, piece = x.along_k ? in % kPieces : in / kRows;
    const int64_t row = rest / tiles_k * kRows + r, k0 = rest % tiles_k * Packed::kTerms + piece * kPer;
    float v[kPer];
    const float* const from = x.data + x.row(row, z);
#pragma unroll
    for (int j = 0; j < kPer; ++j) v[j] = row < rows && k0 + j < K ? from[(k0 + j) * x.k_step] : 0.0f;
    to[tile * (kRows * kPieces) + r * kPieces + (piece ^ (r % 8))] = Packed::pack(v);
  }
}

struct WgmmaShared {
  unsigned char tiles[WgmmaTile::kStages][2][kTileBytes];
  uint64_t full[WgmmaTile::kStages], free[WgmmaTile::kStages];
  int64_t rows_c[WgmmaTile::BM];
  Job job;
};
/// Shared memory starts 128-byte aligned, tiles want 1024.
constexpr size_t kWgmmaBytes = sizeof(WgmmaShared) + 1024;

template <class Packed, class Result>
__global__ void __launch_bounds__(WgmmaTile::kThreads, 1)
    gemm_wgmma(const unsigned char* a, const unsigned char* b, int64_t a_batch, int64_t b_batch, Result result,
               ProductArgs<float> p, Cut cut, float* partial) {
#ifdef FASTNN_WGMMA
  FASTNN_SHARED(unsigned char, bytes);
  auto* const shared = reinterpret_cast<WgmmaShared*>(bytes + (1024 - shared_address(bytes) % 1024) % 1024);
  constexpr int kStages = WgmmaTile::kStages;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  // From lane 0, so that the compiler knows it to be one number in a warp: it makes instructions of a warpgroup that
  // threads may reach on different ways wait for each other.
  const int group = __shfl_sync(kFullWarp, thread / kGroup, 0);
  const bool producer = group == kConsumers;
  if (thread == 0) {
    for (int s = 0; s < kStages; ++s) barrier_init(&shared->full[s], 1), barrier_init(&shared->free[s], kConsumers);
    barriers_made();
  }
  const int64_t tiles_k = (p.K + Packed::kTerms - 1) / Packed::kTerms, per_chunk = p.chunk / Packed::kTerms;
  int stage = 0, parity = 0;  // of the next slice, all jobs of this block counted
  for (int64_t w = blockIdx.x; w < cut.blocks(); w += gridDim.x) {
    __syncthreads();
    const Job job = job_of(cut, p.chunks(), w);
    const int64_t begin = job.first * per_chunk;
    const int slices = static_cast<int>(min(job.last * per_chunk, tiles_k) - begin);
    for (int i = thread; i < WgmmaTile::BM; i += WgmmaTile::kThreads) {
      const int64_t m = min(job.m * WgmmaTile::BM + i, p.M - 1);
      shared->rows_c[i] = partial ? (job.z * p.M + m) * p.N : result.row(m, job.z);
    }
    if (thread == 0) shared->job = job;
    __syncthreads();
    if (producer) {
      if (warp * kWarp == thread) {
        const unsigned char* from_a = a + job.z * a_batch + (job.m * tiles_k + begin) * kTileBytes;
        const unsigned char* from_b = b + job.z * b_batch + (job.n * tiles_k + begin) * kTileBytes;
        for (int s = 0; s < slices; ++s, from_a += kTileBytes, from_b += kTileBytes) {
          barrier_wait(&shared->free[stage], parity ^ 1);
          barrier_expect(&shared->full[stage], 2 * kTileBytes);
          bulk_copy(shared->tiles[stage][0], from_a, kTileBytes, &shared->full[stage]);
          bulk_copy(shared->tiles[stage][1], from_b, kTileBytes, &shared->full[stage]);
          if (++stage == kStages) stage = 0, parity ^= 1;
        }
      }
    } else {
      float sum[2][32];
      int64_t chunk = job.first;
      for (int left = slices; left > 0; ++chunk) {
        const int count = left < per_chunk ? left : static_cast<int>(per_chunk);
        left -= count;
        int before = 0;  // the stage of the slice before
        for (int s = 0; s < count; ++s) {
          barrier_wait(&shared->full[stage], parity);
          const uint64_t x = operand_descriptor(shared->tiles[stage][0] + group * 64 * kRowBytes);
          const uint64_t y = operand_descriptor(shared->tiles[stage][1]);
          wgmma_begin();
#pragma unroll
          for (int k = 0; k < kRowBytes / 32; ++k) Packed::multiply(sum, x + 2 * k, y + 2 * k, s > 0 || k > 0);
          wgmma_commit();
          wgmma_wait<1>();  // the slice before this one is done: its place is free
          if (s > 0 && thread % kGroup == 0) barrier_arrive(&shared->free[before]);
          before = stage;
          if (++stage == kStages) stage = 0, parity ^= 1;
        }
        wgmma_wait<0>();
        wgmma_made(sum);
        if (thread % kGroup == 0) barrier_arrive(&shared->free[before]);
        store_chunk<float, WgmmaTile>(sum, p, result, shared->rows_c, partial, shared->job, chunk);
      }
    }
  }
#endif
}

template <class Packed>
void multiply_packed(const GemmArgs<float>& g) {
  const ProductArgs<float> p = product_of(g, kWgmmaChunk);
  const auto tiles_of = [&](int64_t rows) {
    return (rows + kRows - 1) / kRows * ((g.K + Packed::kTerms - 1) / Packed::kTerms);
  };
  const int64_t batch_a = g.a_batch == 0 ? 1 : g.batch, batch_b = g.b_batch == 0 ? 1 : g.batch;
  const int64_t bytes_a = tiles_of(g.M) * kTileBytes, bytes_b = tiles_of(g.N) * kTileBytes;
  const Scratch packed(batch_a * bytes_a + batch_b * bytes_b);
  auto* const a = packed.as<unsigned char>();
  auto* const b = packed.as<unsigned char>(batch_a * bytes_a);
  run(&pack_tiles<Packed>, grid_for(batch_a * bytes_a / 16, 256), 256, 0, operand_a(g), g.M, g.K, batch_a,
      reinterpret_cast<uint4*>(a));
  run(&pack_tiles<Packed>, grid_for(batch_b * bytes_b / 16, 256), 256, 0, operand_b(g), g.N, g.K, batch_b,
      reinterpret_cast<uint4*>(b));
  const StridedResult<float> result = result_of(g);
  run_cut(p, result, cut_product(p, WgmmaTile::BM, WgmmaTile::BN, 1), [&](const Cut& cut, float* partial) {
    run(&gemm_wgmma<Packed, StridedResult<float>>, grid_of(cut), WgmmaTile::kThreads, kWgmmaBytes, a, b,
        batch_a == 1 ? 0 : bytes_a, batch_b == 1 ? 0 : bytes_b, result, p, cut, partial);
  });
}

}  // namespace

bool wgmma_takes(const GemmArgs<float>& g) {
#ifdef FASTNN_NO_WGMMA
  (void)g;
  return false;
#else
  return compute_capability() == 90 && g.M >= 128 && g.N >= 128 && g.K >= 256;
#endif
}
void gemm_wgmma_bf16(const GemmArgs<float>& g) { multiply_packed<PackedBf16>(g); }
void gemm_wgmma_tf32(const GemmArgs<float>& g) { multiply_packed<PackedTf32>(g); }

}  // namespace cuda
}  // namespace fastnn
