// Blocking and threads around the tile.
//
//   gemm      cuts C into a grid of tasks (and K, where C is small and K is long)
//   block     one task: columns in blocks whose panels of B stay in the second-level cache, chunks of K, row tiles,
//   panels tile      registers
//
// Operands are read in place as long as that is fast; what is packed, and when, is decided in `block`.
#pragma once

#include "kernels/parallel.h"
#include "ops/matmul/gemm_pack.h"
#include "ops/matmul/gemm_tile.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

inline int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/// Packed B (a block of columns) and packed A (a block of rows) together fill most of a 1 MB second-level cache.
constexpr int64_t kBlockBytesB = 512 << 10, kBlockBytesA = 192 << 10;

/// Part `i` of `n` items cut into `parts` runs whose lengths differ by one at most.
inline int64_t cut(int64_t n, int64_t parts, int64_t i) { return n / parts * i + min64(i, n % parts); }

/// A part of one product: rows [m0, m1), columns [n0, n1), chunks [c0, c1) of K, written to C with pitch c_row.
template <class T>
struct Part {
  int64_t m0, m1, n0, n1, c0, c1;
  T* C;  // element (m0, n0)
  int64_t c_row;
  bool add;     // the first chunk adds to C
  bool finish;  // the last chunk applies bias and activation
};

template <class T>
void block(const GemmArgs<T>& g, const T* A, const T* B, const Part<T>& p) {
  constexpr int64_t L = Vec<T>::L;
  const int64_t rows = p.m1 - p.m0, columns = p.n1 - p.n0;
  const int64_t chunk = ceil_div(g.K, gemm_chunks(g.K)), kc_max = max64(chunk, 1);
  const int64_t vecs = rows <= kWideRows ? kWideVecs : 2, width = vecs * L;
  const int64_t panels = ceil_div(columns, width);

  // B is packed when it is transposed, and in place otherwise unless enough row tiles read it again: a copy costs about
  // as much as one row of multiply-adds, and saves the TLB and cache misses of a long pitch.
  const bool pack_b = g.b_col != 1 || (rows >= (aliases<T>(g.b_row) ? 12 : 64) && kc_max >= 96);
  // A row-major is in place unless its rows evict each other; column-major likewise while a tile's lines stay in the
  // first-level cache.
  const bool alias_a = aliases<T>(g.a_col == 1 ? g.a_row : g.a_col);
  const bool copy_a = g.a_col == 1 && alias_a && panels >= 3 && rows > 4;
  const bool pack_a = g.a_col != 1 && panels >= 3 && (g.a_row != 1 || alias_a || kc_max > 192);
  const int64_t tile_rows = alias_a && !copy_a && !pack_a && kMaxRows > 8 ? 8 : kMaxRows;

  const int64_t block_panels =
      pack_b ? max64(1, min64(panels, kBlockBytesB / (kc_max * width * int64_t(sizeof(T))))) : panels;
  const int64_t column_blocks = ceil_div(panels, block_panels);
  const int64_t row_tiles = ceil_div(rows, min64(tile_rows, rows));
  const int64_t pitch_a = copy_a ? round_up(kc_max, 16) + 16 : kc_max;  // row to row, or k major with the tile's rows
  const int64_t block_tiles = max64(1, min64(row_tiles, kBlockBytesA / (pitch_a * tile_rows * int64_t(sizeof(T)))));

  const int64_t b_elements = pack_b            ? kc_max * width * ceil_div(panels, column_blocks)
                             : columns % width ? kc_max * width
                                               : 0;
  const int64_t b_bytes = round_up(b_elements * int64_t(sizeof(T)), 64) + 64;
  const int64_t a_elements = copy_a || pack_a ? (block_tiles * kMaxRows + 1) * pitch_a : 0;
  T* const packed_b =
      static_cast<T*>(detail::gemm_scratch(detail::GemmScratch::local, b_bytes + a_elements * int64_t(sizeof(T))));
  T* const packed_a = packed_b + b_bytes / int64_t(sizeof(T));

  for (int64_t cb = 0; cb < column_blocks; ++cb) {
    const int64_t panel0 = cut(panels, column_blocks, cb), panel1 = cut(panels, column_blocks, cb + 1);
    for (int64_t c = p.c0; c < p.c1; ++c) {
      const int64_t k0 = c * chunk, kc = min64(chunk, g.K - k0);
      const T* const Bk = B + k0 * g.b_row + p.n0 * g.b_col;
      for (int64_t q = pack_b ? panel0 : panel1 - 1; q < panel1; ++q) {
        const int64_t n = min64(width, columns - q * width), w = round_up(n, L);
        if (pack_b || n < w)
          pack_panel(packed_b + (pack_b ? (q - panel0) * kc * width : 0), w, Bk + q * width * g.b_col, g.b_row, g.b_col,
                     kc, n);
      }
      const bool last = c + 1 == p.c1;
      TileEnd<T> end{c > p.c0 || p.add, nullptr, last && p.finish ? g.act : Activation::none};
      const bool bias = last && p.finish && g.bias;

      for (int64_t t0 = 0; t0 < row_tiles; t0 += block_tiles) {
        const int64_t t1 = min64(t0 + block_tiles, row_tiles), first = cut(rows, row_tiles, t0);
        for (int64_t t = t0; t < t1; ++t) {
          const int64_t m = cut(rows, row_tiles, t), mr = cut(rows, row_tiles, t + 1) - m;
          const T* a = A + (p.m0 + m) * g.a_row + k0 * g.a_col;
          int64_t a_row = g.a_row, a_col = g.a_col;
          if (copy_a) {
            copy_rows(packed_a, pitch_a, a, a_row, kc, mr);
            a = packed_a, a_row = pitch_a;
          } else if (pack_a) {
            if (t == t0)
              for (int64_t s = t0; s < t1; ++s) {
                const int64_t ms = cut(rows, row_tiles, s), rs = cut(rows, row_tiles, s + 1) - ms;
                pack_rows(packed_a + (ms - first) * kc, A + (p.m0 + ms) * g.a_row + k0 * g.a_col, g.a_row, g.a_col, kc,
                          rs);
              }
            a = packed_a + (m - first) * kc, a_row = 1, a_col = mr;
          }
          for (int64_t q = panel0; q < panel1; ++q) {
            const int64_t n = min64(width, columns - q * width), w = round_up(n, L);
            const bool packed = pack_b || n < w;
            const T* b = packed ? packed_b + (pack_b ? (q - panel0) * kc * width : 0) : Bk + q * width;
            if (bias) end.bias = g.bias + p.n0 + q * width;
            tile_for<T>(static_cast<int>(mr), static_cast<int>(w / L))(kc, a, a_row, a_col, b, packed ? w : g.b_row,
                                                                       p.C + m * p.c_row + q * width, p.c_row,
                                                                       static_cast<int>(n), end);
          }
        }
      }
    }
  }
}

/// C (+)= the partial sums of chunks in ascending order, then bias and activation; rows [m0, m1).
template <class T>
void add_chunks(const GemmArgs<T>& g, T* C, const T* partial, int64_t count, int64_t m0, int64_t m1, bool finish) {
  for (int64_t m = m0; m < m1; ++m)
    for (int64_t n = 0; n < g.N; ++n) {
      T sum = C[m * g.c_row + n];
      for (int64_t c = 0; c < count; ++c) sum = sum + partial[(c * g.M + m) * g.N + n];
      if (finish && g.bias) sum = sum + g.bias[n];
      if (finish && g.act == Activation::relu) sum = sum < T{0} ? T{0} : sum;
      C[m * g.c_row + n] = sum;
    }
}

/// Below this many multiply-adds a fork costs more than it saves.
constexpr double kThreadWork = 1 << 19;
/// Partial sums of a split K may take this much memory; more chunks go in several rounds.
constexpr int64_t kSplitBytes = 16 << 20;

template <class T>
void gemm(const GemmArgs<T>& args) {
  GemmArgs<T> g = args;
  if (g.M <= 0 || g.N <= 0 || g.batch <= 0) return;
  if (g.K < 0) g.K = 0;
  // Matrices that share B and follow each other are one taller matrix.
  if (g.batch > 1 && g.b_batch == 0 && g.a_batch == g.M * g.a_row && g.c_batch == g.M * g.c_row) {
    g.M *= g.batch;
    g.batch = 1;
  }
  const int64_t chunks = gemm_chunks(g.K);
  const double work = static_cast<double>(g.M) * static_cast<double>(g.N) * static_cast<double>(max64(g.K, 1));
  const int64_t threads = work * static_cast<double>(g.batch) < kThreadWork ? 1 : num_threads();

  if (threads == 1) {
    for (int64_t z = 0; z < g.batch; ++z)
      block(g, g.A + z * g.a_batch, g.B + z * g.b_batch,
            Part<T>{0, g.M, 0, g.N, 0, chunks, g.C + z * g.c_batch, g.c_row, g.accumulate, true});
    return;
  }

  // The grid: columns first (their panels of B are then packed once), rows where columns do not suffice. The bits do
  // not depend on it, so it may follow the number of threads.
  constexpr int64_t L = Vec<T>::L;
  const int64_t strips_n = ceil_div(g.N, 2 * L), strips_m = ceil_div(g.M, 8);
  const int64_t wanted = max64(1, threads / g.batch);
  int64_t tn = 1, tm = 1;
  double best = 0;
  for (int64_t n = 1; n <= min64(wanted, strips_n); ++n) {
    const int64_t m = min64(wanted / n, strips_m);
    // Work of the largest task against the mean, and against reading operands twice.
    const double load = static_cast<double>(ceil_div(strips_n, n) * ceil_div(g.M, m));
    const double score = static_cast<double>(strips_n) * static_cast<double>(g.M) / load;
    if (score >= best * 1.001) best = score, tn = n, tm = m;
  }

  if (tm * tn * 2 <= wanted && chunks > 1) {
    // C is too small for all threads: the chunks of K in parallel, then their sum in the order of the definition.
    const int64_t bytes = g.M * g.N * int64_t(sizeof(T));
    const int64_t round = max64(1, min64(chunks - 1, kSplitBytes / bytes));
    T* const partial = static_cast<T*>(detail::gemm_scratch(detail::GemmScratch::shared, round * bytes));
    for (int64_t z = 0; z < g.batch; ++z) {
      const T *A = g.A + z * g.a_batch, *B = g.B + z * g.b_batch;
      T* const C = g.C + z * g.c_batch;
      for (int64_t done = 0; done < chunks;) {
        // The very first chunk of a round that starts the sum goes to C itself.
        const bool head = done == 0;
        const int64_t count = min64(round, chunks - done - head);
        parallel_tasks(count + head, [&](int64_t t) {
          const int64_t c = done + t;
          if (head && t == 0)
            block(g, A, B, Part<T>{0, g.M, 0, g.N, 0, 1, C, g.c_row, g.accumulate, false});
          else
            block(g, A, B, Part<T>{0, g.M, 0, g.N, c, c + 1, partial + (t - head) * g.M * g.N, g.N, false, false});
        });
        done += count + head;
        add_chunks(g, C, partial, count, 0, g.M, done == chunks);
      }
    }
    return;
  }

  parallel_tasks(g.batch * tm * tn, [&](int64_t t) {
    const int64_t z = t / (tm * tn), i = t / tn % tm, j = t % tn;
    const int64_t m0 = cut(g.M, tm, i), m1 = cut(g.M, tm, i + 1);
    const int64_t n0 = cut(strips_n, tn, j) * 2 * L, n1 = min64(cut(strips_n, tn, j + 1) * 2 * L, g.N);
    block(g, g.A + z * g.a_batch, g.B + z * g.b_batch,
          Part<T>{m0, m1, n0, n1, 0, chunks, g.C + z * g.c_batch + m0 * g.c_row + n0, g.c_row, g.accumulate, true});
  });
}

template <class T>
void gemm_naive(const GemmArgs<T>& g) {
  for (int64_t z = 0; z < g.batch; ++z)
    for (int64_t m = 0; m < g.M; ++m)
      for (int64_t n = 0; n < g.N; ++n) {
        T sum = T{0};
        for (int64_t k = 0; k < g.K; ++k)
          sum += g.A[z * g.a_batch + m * g.a_row + k * g.a_col] * g.B[z * g.b_batch + k * g.b_row + n * g.b_col];
        T* const c = g.C + z * g.c_batch + m * g.c_row + n;
        if (g.accumulate) sum = *c + sum;
        if (g.bias) sum += g.bias[n];
        *c = g.act == Activation::relu && sum < T{0} ? T{0} : sum;
      }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
