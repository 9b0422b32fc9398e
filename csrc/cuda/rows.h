#pragma once
// Rows that are read once and kept in registers: what softmax and row_norm share. A row belongs to a team, `lanes` (a
// power of two) threads of a warp or a whole block, and thread l of it holds packs l, l + lanes, ... of the row.

#include "cuda/divide.h"
#include "cuda/pack.h"

namespace fastnn {
namespace cuda {

template <class T, int K>
struct RowPart {
  static constexpr int V = kPack<T>;
  Pack<T, V> pack[K];

  __device__ T& operator[](int i) { return pack[i / V].v[i % V]; }
  __device__ const T& operator[](int i) const { return pack[i / V].v[i % V]; }
  static constexpr int size = K * V;
  /// The element of the row that this thread's element i is.
  static __device__ int place(int i, int lane, int lanes) { return (i / V * lanes + lane) * V + i % V; }

  /// Pack k of the row, `fill` past its end. `whole`: the row is aligned.
  static __device__ Pack<T, V> get(const T* row, int n, int k, int lane, int lanes, bool whole, T fill) {
    const int at = (k * lanes + lane) * V;
    if (whole && at + V <= n) return as_pack<T, V>(row + at);
    Pack<T, V> p;
#pragma unroll
    for (int e = 0; e < V; ++e) p.v[e] = at + e < n ? row[at + e] : fill;
    return p;
  }
  __device__ void load(const T* row, int n, int lane, int lanes, T fill) {
    const bool whole = aligned<V>(row);
#pragma unroll
    for (int k = 0; k < K; ++k) pack[k] = get(row, n, k, lane, lanes, whole, fill);
  }
  __device__ void store(T* row, int n, int lane, int lanes) const {
    const bool whole = aligned<V>(row);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int at = (k * lanes + lane) * V;
      if (whole && at + V <= n) {
        as_pack<T, V>(row + at) = pack[k];
      } else {
#pragma unroll
        for (int e = 0; e < V; ++e)
          if (at + e < n) row[at + e] = pack[k].v[e];
      }
    }
  }
};

/// The threads that share a row, and where they are in the grid.
template <bool kBlock>
struct Team {
  int lane, lanes;
  int64_t first, step;

  __device__ explicit Team(int n) {
    lanes = kBlock ? static_cast<int>(blockDim.x) : n;
    lane = static_cast<int>(threadIdx.x) & (lanes - 1);
    first = thread_index() / lanes;
    step = thread_count() / lanes;
  }
  /// Every thread goes through as many rows, those past the end too: shuffles need whole warps.
  __device__ int64_t rounds(int64_t rows) const { return (rows + step - 1) / step; }
  /// The same bits in all threads of the team; `cells` for 32 values where it is a block.
  template <class V, class Op>
  __device__ V reduce(V v, Op op, V identity, V* cells) const {
    if constexpr (kBlock) {
      return block_reduce(v, op, identity, cells);
    } else {
      for (int with = lanes / 2; with > 0; with /= 2) v = op(v, __shfl_xor_sync(kFullWarp, v, with));
      return v;
    }
  }
};

constexpr int kTeamThreads = 256;  // of a block of several teams
constexpr int kTeamMost = 512;     // of a block that is one team
/// For the kernels of teams: registers for what they hold.
#define FASTNN_TEAM_BOUNDS(block) __launch_bounds__((block) ? kTeamMost : kTeamThreads, 1)

/// How a row of n elements is shared out with at most kMost packs a thread, where it can be at all: f(K, lanes, whether
/// the team is a block) with K as an integral_constant.
template <class T, int kMost, class F>
bool with_team(int64_t n, const F& f) {
  constexpr int64_t V = kPack<T>;
  const int64_t packs = (n + V - 1) / V;
  if (packs > kTeamMost * kMost) return false;
  if (packs > 8 * kWarp || packs > kMost * kWarp) {
    f(std::integral_constant<int, kMost>(), power_of_two((packs + kMost - 1) / kMost, kTeamMost), std::true_type());
  } else if (packs <= kWarp) {
    f(std::integral_constant<int, 1>(), power_of_two(packs, kWarp), std::false_type());
  } else if (packs <= 2 * kWarp) {
    f(std::integral_constant<int, 2>(), kWarp, std::false_type());
  } else if constexpr (kMost >= 4) {
    if (packs <= 4 * kWarp)
      f(std::integral_constant<int, 4>(), kWarp, std::false_type());
    else if constexpr (kMost >= 8)
      f(std::integral_constant<int, 8>(), kWarp, std::false_type());
  }
  return true;
}
/// Blocks and their threads for teams of `lanes` threads.
struct TeamGrid {
  unsigned grid, block;
};
inline TeamGrid team_grid(int64_t rows, int lanes, bool block) {
  if (block) return {static_cast<unsigned>(rows < (1 << 20) ? rows : 1 << 20), static_cast<unsigned>(lanes)};
  return {grid_for(rows, kTeamThreads / lanes), static_cast<unsigned>(kTeamThreads)};
}

/// Columns of a block that reads a matrix across, each with block / across rows at a time: wide blocks where there are
/// few rows.
inline int block_across(int64_t columns, int64_t rows, int threads) {
  int across = power_of_two(columns, threads);
  while (across > kWarp && threads / across < rows) across /= 2;
  return across;
}

}  // namespace cuda
}  // namespace fastnn
