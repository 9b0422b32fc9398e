// What the forward and the backward sweep share: rows and their steps, and products with weights. Included inside
// per-ISA sources only.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/simd_math.h"
#include "ops/matmul/gemm_driver.h"
#include "ops/norm/norm_vector.h"
#include "ops/rnn/rnn.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

inline void run_gemm(const GemmArgs<float>& g) { gemm_f32(g); }
inline void run_gemm(const GemmArgs<double>& g) { gemm_f64(g); }

template <class T>
constexpr int64_t kPanel = 2 * kLanes<T>;

/// Columns [0, n) of B (K rows) as panels of two vectors, one after the other.
template <class T>
void pack_weight(T* out, const T* B, int64_t b_row, int64_t b_col, int64_t K, int64_t n) {
  const int64_t panels = ceil_div(n, kPanel<T>);
  parallel_tasks(panels, [&](int64_t q) {
    const int64_t columns = min64(kPanel<T>, n - q * kPanel<T>);
    pack_panel(out + q * kPanel<T> * K, round_up(columns, kLanes<T>), B + q * kPanel<T> * b_col, b_row, b_col, K,
               columns);
  });
}

template <class T>
FASTNN_INLINE void copy_row(T* to, const T* from, int64_t n) {
  each_vector<T>(n, [&](int64_t j, int64_t k) { put(to + j, from != nullptr ? get(from + j, k) : Vec<T>{}, k); });
}

/// The right operand of a product, [K, n]: in panels, or in place where `panels` is null.
template <class T>
struct Weight {
  const T* panels;
  const T* data;
  int64_t b_row, b_col, K, n;
};

/// C = [C +] A B + bias for `rows` rows. The order of a sum is that of gemm.h.
template <class T>
void multiply(const Weight<T>& w, int64_t rows, const T* A, int64_t a_row, T* C, int64_t c_row, const T* bias = nullptr,
              bool add = false) {
  if (w.panels == nullptr) {
    GemmArgs<T> g;
    g.M = rows, g.N = w.n, g.K = w.K;
    g.A = A, g.a_row = a_row;
    g.B = w.data, g.b_row = w.b_row, g.b_col = w.b_col;
    g.C = C, g.c_row = c_row;
    g.bias = bias, g.accumulate = add;
    run_gemm(g);
    return;
  }
  constexpr int64_t L = kLanes<T>;
  const int64_t chunks = gemm_chunks(w.K), chunk = max64(1, ceil_div(w.K, chunks));
  const int64_t tiles = ceil_div(rows, kMaxRows);
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t k0 = c * chunk, kc = min64(chunk, w.K - k0);
    const bool adds = add || c > 0;
    TileEnd<T> end{adds, nullptr, Activation::none};
    for (int64_t n0 = 0; n0 < w.n; n0 += kPanel<T>) {
      const int64_t n = min64(kPanel<T>, w.n - n0), width = round_up(n, L);
      const T* const B = w.panels + n0 * w.K + k0 * width;
      if (bias != nullptr && c + 1 == chunks) end.bias = bias + n0;
      Fetch next(B + w.K * width, kc * width * int64_t(sizeof(T)), 1, 0, width * int64_t(sizeof(T)));
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t m = cut(rows, tiles, t), mr = cut(rows, tiles, t + 1) - m;
        // What the tile will add to is fetched while it multiplies, and by the last one the panel that follows.
        for (int64_t i = 0; adds && i < mr; ++i) {
          __builtin_prefetch(C + (m + i) * c_row + n0, 1);
          __builtin_prefetch(C + (m + i) * c_row + n0 + n - 1, 1);
        }
        end.fetch = t + 1 == tiles && kc > 0 ? &next : nullptr;
        tile_for<T, true>(static_cast<int>(mr), static_cast<int>(width / L))(
            kc, A + m * a_row + k0, a_row, 1, B, width, C + m * c_row + n0, c_row, static_cast<int>(n), end);
      }
    }
  }
}

// Units go in groups: the sums of one group, block beside block, are made by one product and turned into states while
// they are in the first-level cache. A row of sums is group after group, in it the blocks (w columns each). Where
// weights are not packed there is one group of all units.

template <class T>
int64_t group_of(const RnnSizes& z) {
  return z.packed ? kPanel<T> : max64(1, z.H);
}
/// Units [j0, j0 + w) of group q, and the column of their sums.
struct Group {
  int64_t j0, w, at;
};
template <class T>
Group group(const RnnSizes& z, int64_t q) {
  const int64_t unit = group_of<T>(z);
  return {q * unit, min64(unit, z.H - q * unit), q * unit * z.gates};
}

/// Blocks [g0, g1) of a weight [K, W].
template <class T>
struct Blocks {
  const T* panels;
  const T* data;
  int64_t K, g0, g1;
  /// The part of a group.
  Weight<T> of(const RnnSizes& z, const Group& g) const {
    const int64_t blocks = g1 - g0;
    return {panels != nullptr ? panels + g.j0 * blocks * K : nullptr, data + g0 * z.H + g.j0, z.W, 1, K, blocks * g.w};
  }
};

/// The panels of Blocks{out, w, K, g0, g1}.
template <class T>
void pack_blocks(T* out, const RnnSizes& z, const T* w, int64_t K, int64_t g0, int64_t g1) {
  const int64_t blocks = g1 - g0;
  parallel_tasks(ceil_div(z.H, kPanel<T>), [&](int64_t q) {
    const Group g = group<T>(z, q);
    T* to = out + g.j0 * blocks * K;
    const T* const from = w + g0 * z.H + g.j0;
    if (g.w == kPanel<T>) {
      for (int64_t b = 0; b < blocks; ++b, to += kPanel<T> * K)
        pack_panel(to, kPanel<T>, from + b * z.H, z.W, int64_t{1}, K, kPanel<T>);
      return;
    }
    for (int64_t n0 = 0; n0 < blocks * g.w; n0 += kPanel<T>) {  // the last units: blocks share panels
      const int64_t n = min64(kPanel<T>, blocks * g.w - n0), width = round_up(n, kLanes<T>);
      for (int64_t j = 0, run; j < width; j += run) {  // columns of one block that are in this panel
        const int64_t block = (n0 + j) / g.w, unit = (n0 + j) % g.w;
        run = j < n ? min64(g.w - unit, n - j) : width - j;
        for (int64_t k = 0; k < K; ++k)
          copy_row(to + k * width + j, j < n ? from + k * z.W + block * z.H + unit : nullptr, run);
      }
      to += K * width;
    }
  });
}

/// Blocks of a_h that meet h itself: all but n of gru_before, which meets r h.
inline int64_t blocks_of_h(const RnnSizes& z) {
  return z.cell == RnnCell::gru_before || z.cell == RnnCell::gru_after ? 2 : rnn_blocks(z.cell);
}

/// Columns before those of n where n goes a way of its own in backward.
inline int64_t columns_of_rz(const RnnSizes& z) {
  return z.cell == RnnCell::gru_after || z.cell == RnnCell::gru_before ? 2 * z.H : z.W;
}

struct Rows {
  const RnnSizes& z;
  const int64_t* lengths;
  int64_t d;
  int64_t length(int64_t n) const { return lengths == nullptr ? z.T : lengths[n]; }
  bool active(int64_t n, int64_t s) const { return s < length(n); }
  /// The time of a step; idle steps of a reversed row count on at the end.
  int64_t time(int64_t n, int64_t s) const { return d == 1 && active(n, s) ? length(n) - 1 - s : s; }
  /// Steps that rows [n0, n1) need.
  int64_t longest(int64_t n0, int64_t n1) const {
    int64_t most = 0;
    for (int64_t n = n0; n < n1; ++n) most = max64(most, length(n));
    return most;
  }
};

/// Runs of rows of a direction. No row sees another, so the bits do not depend on the cut, and it may follow the
/// number of threads.
inline int64_t count_runs(const RnnSizes& z) {
  constexpr int64_t kMost = 96, kLeast = 4;  // more rows would push the weights out of the caches
  const int64_t wanted = ceil_div(num_threads(), z.D);
  return max64(ceil_div(z.N, kMost), min64(wanted, ceil_div(z.N, kLeast)));
}

/// run(d, n0, n1) for the runs of all directions.
template <class F>
void each_run(const RnnSizes& z, int64_t runs, const F& run) {
  if (z.N == 0) return;
  if (!z.packed) {  // its products use the threads themselves
    for (int64_t d = 0; d < z.D; ++d) run(d, int64_t{0}, z.N);
    return;
  }
  parallel_tasks(z.D * runs, [&](int64_t t) { run(t / runs, cut(z.N, runs, t % runs), cut(z.N, runs, t % runs + 1)); });
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
