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

/// The right operand of a product, [K, n]: in panels, or in place where `panels` is null.
template <class T>
struct Weight {
  const T* panels;
  const T* data;
  int64_t b_row, b_col, K, n;
};

/// C = [C +] A B + bias for `rows` rows of each of `steps` steps. The order of a sum is that of gemm.h.
template <class T>
void multiply(const Weight<T>& w, int64_t steps, int64_t rows, const T* A, int64_t a_step, int64_t a_row, T* C,
              int64_t c_step, int64_t c_row, const T* bias = nullptr, bool add = false) {
  if (w.panels == nullptr) {
    GemmArgs<T> g;
    g.M = rows, g.N = w.n, g.K = w.K;
    g.A = A, g.a_row = a_row, g.a_batch = a_step;
    g.B = w.data, g.b_row = w.b_row, g.b_col = w.b_col;
    g.C = C, g.c_row = c_row, g.c_batch = c_step;
    g.bias = bias, g.accumulate = add, g.batch = steps;
    if (rows == 1) g.M = steps, g.a_row = a_step, g.c_row = c_step, g.batch = 1;
    run_gemm(g);
    return;
  }
  constexpr int64_t L = kLanes<T>;
  const int64_t chunks = gemm_chunks(w.K), chunk = max64(1, ceil_div(w.K, chunks));
  const int64_t tiles = ceil_div(rows, kMaxRows);
  for (int64_t c = 0; c < chunks; ++c) {
    const int64_t k0 = c * chunk, kc = min64(chunk, w.K - k0);
    TileEnd<T> end{add || c > 0, nullptr, Activation::none};
    for (int64_t n0 = 0; n0 < w.n; n0 += kPanel<T>) {
      const int64_t n = min64(kPanel<T>, w.n - n0), width = round_up(n, L);
      const T* const B = w.panels + n0 * w.K + k0 * width;
      if (bias != nullptr && c + 1 == chunks) end.bias = bias + n0;
      for (int64_t s = 0; s < steps; ++s)
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t m = cut(rows, tiles, t), mr = cut(rows, tiles, t + 1) - m;
          tile_for<T, false>(static_cast<int>(mr), static_cast<int>(width / L))(
              kc, A + s * a_step + m * a_row + k0, a_row, 1, B, width, C + s * c_step + m * c_row + n0, c_row,
              static_cast<int>(n), end);
        }
    }
  }
}

/// Columns of a_h that meet h itself: all but those of n in gru_before, which meet r h.
inline int64_t columns_of_h(const RnnSizes& z) { return z.cell == RnnCell::gru_before ? 2 * z.H : z.W; }

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

template <class T>
FASTNN_INLINE void copy_row(T* to, const T* from, int64_t n) {
  each_vector<T>(n, [&](int64_t j, int64_t k) { put(to + j, from != nullptr ? get(from + j, k) : Vec<T>{}, k); });
}

/// run(d, n0, n1) for runs of rows of all directions. No row sees another, so the bits do not depend on the cut, and
/// it may follow the number of threads.
template <class F>
void each_run(const RnnSizes& z, const F& run) {
  if (z.N == 0) return;
  if (!z.packed) {  // its products use the threads themselves
    for (int64_t d = 0; d < z.D; ++d) run(d, int64_t{0}, z.N);
    return;
  }
  constexpr int64_t kMost = 96, kLeast = 4;  // more rows would push the weights out of the caches
  const int64_t wanted = ceil_div(num_threads(), z.D);
  const int64_t runs = max64(ceil_div(z.N, kMost), min64(wanted, ceil_div(z.N, kLeast)));
  parallel_tasks(z.D * runs, [&](int64_t t) { run(t / runs, cut(z.N, runs, t % runs), cut(z.N, runs, t % runs + 1)); });
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
