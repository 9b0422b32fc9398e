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
#include "ops/matmul/gemm_row.h"
#include "ops/matmul/gemm_tile.h"
#include "ops/matmul/gemm_transposed.h"
#include "runtime/thread_scratch.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

inline int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/// Packed B (a block of columns) fills half of a 1 MB second-level cache, packed A (a block of rows, made once for all
/// columns) a part of the third.
constexpr int64_t kBlockBytesB = 512 << 10, kBlockBytesA = 8 << 20;
/// So much of A stays in that cache while panels of B pass by.
constexpr int64_t kRowBytes = 256 << 10;
/// So much of B is taken at a time then: long enough runs of C, and it is still there for the next row tile. What is
/// packed should not leave the first-level cache.
constexpr int64_t kGroupBytesB = 96 << 10, kPackBytesB = 32 << 10;
/// B spread over so much memory is not read in place again and again.
constexpr int64_t kSpanBytes = 512 << 10;
/// Operands and results of this size come from the third level of cache or from memory: they are fetched ahead.
constexpr int64_t kFarBytes = 1 << 20;

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

/// The blocking of one task, decided once: what is packed, and in what runs rows, columns and K are taken.
template <class T>
struct Plan {
  int64_t rows, columns, chunk;
  int64_t vecs, width, panels;  // a panel is the `width` columns of B that one tile covers
  int64_t row_tiles;
  bool by_panel;  // panels outside, rows inside (the rows of A stay in the second-level cache), or the other way round
  bool pack_b, b_rows;  // B is packed; its rows are contiguous
  bool far_b, far_c;    // B, C is not in the first two levels of cache
  bool copy_a, pack_a;  // rows one after the other, or k by k
  int64_t pitch_a;      // elements of one packed row of A
  int64_t pitch_b;      // elements of one packed panel of B

  Plan(const GemmArgs<T>& g, int64_t m, int64_t n) : rows(m), columns(n) {
    chunk = max64(1, ceil_div(g.K, gemm_chunks(g.K)));
    vecs = rows <= kWideRows ? kWideVecs : 2;
    width = vecs * kLanes<T>;
    panels = ceil_div(columns, width);
    by_panel = rows * chunk * int64_t(sizeof(T)) <= kRowBytes;
    // B with contiguous rows is read in place unless many row tiles come back to more of it than the caches and the TLB
    // hold, or to single cache lines that evict each other; then one copy (about the cost of five rows of
    // multiply-adds) is cheaper.
    const int64_t span = chunk * (g.b_row < 0 ? -g.b_row : g.b_row) * int64_t(sizeof(T));
    b_rows = g.b_col == 1;
    pack_b = !b_rows || (!by_panel && rows >= 128 && span >= kSpanBytes) ||
             (width * int64_t(sizeof(T)) <= 64 && rows >= 4 * kMaxRows && chunk >= 32 && aliases<T>(g.b_row));
    // A with contiguous rows is read in place unless its rows evict each other, with contiguous columns unless a tile's
    // column of cache lines is too long for the first-level cache.
    const bool evicts = g.a_col == 1 ? aliases<T>(g.a_row, kPageBytes) : aliases<T>(g.a_col);
    copy_a = g.a_col == 1 && evicts && panels >= 3 && rows > 4;
    if (!by_panel && copy_a && kThreeRows == 8) {  // eight lines of one set live side by side: no copy
      copy_a = false, vecs = 3, width = vecs * kLanes<T>, panels = ceil_div(columns, width);
    }
    pack_a = g.a_col != 1 && panels >= 3 && (g.a_row != 1 || evicts || chunk > 192);
    pitch_a = copy_a ? round_up(chunk, 16) + 16 : chunk;
    far_b = g.K * columns * int64_t(sizeof(T)) >= kFarBytes;
    far_c = rows * columns * int64_t(sizeof(T)) >= kFarBytes;
    pitch_b = (chunk + 1) * width;  // no two panels on the same sets of the caches
    const int64_t tile_rows = evicts && !copy_a && !pack_a && kMaxRows > 8 ? 8 : kMaxRows;
    row_tiles = ceil_div(rows, min64(tile_rows, rows));
  }
  int64_t row(int64_t t) const { return cut(rows, row_tiles, t); }
  /// Whether tile t of the rows can pack B, of contiguous rows, while it reads it (see kCopies).
  bool copies(int64_t t) const {
    const int64_t mr = row(t + 1) - row(t);
    return pack_b && b_rows && (vecs == 2 ? mr + 3 > kMaxRows : vecs == 3 && mr + 2 > kThreeRows && kThreeRows == 8);
  }
  int64_t panel_columns(int64_t q) const { return min64(width, columns - q * width); }
};

/// One task at one chunk of K: the operands from its first element on, and where its tiles go.
template <class T>
struct Slice {
  const Plan<T>& plan;
  const GemmArgs<T>& g;
  const T *A, *B;
  T* C;
  int64_t c_row, kc;
  const T* bias;
  TileEnd<T> end;

  bool packs(int64_t q) const { return plan.pack_b || plan.panel_columns(q) % kLanes<T> != 0; }
  /// Panel q of B packed to `out`.
  void pack(T* out, int64_t q) const {
    const int64_t n = plan.panel_columns(q);
    pack_panel(out, round_up(n, kLanes<T>), B + q * plan.width * g.b_col, g.b_row, g.b_col, kc, n);
  }
  /// Full panels [q0, q1) of B with contiguous rows, row by row: long runs are read, the panels written side by side.
  void pack_rows_of_b(T* out, int64_t q0, int64_t q1) const {
    const T* from = B + q0 * plan.width;
    const int64_t panel = plan.pitch_b;
    for (int64_t k = 0; k < kc; ++k, from += g.b_row, out += plan.width)
      for (int64_t q = 0; q < q1 - q0; ++q) {
        const T* const ahead = from + 6 * g.b_row + q * plan.width;
        __builtin_prefetch(ahead);
        __builtin_prefetch(ahead + 64 / sizeof(T));
        for (int64_t j = 0; j < plan.width; j += kLanes<T>) store(out + q * panel + j, load(from + q * plan.width + j));
      }
  }
  /// Panels [q0, q1) of B as they lie in memory.
  Fetch fetch_b(int64_t q0, int64_t q1) const {
    if (!plan.far_b) return {};
    const int64_t size = sizeof(T);
    const int64_t step = plan.width * size > 64 && (plan.row_tiles == 1 || q1 - q0 == 1) ? 128 : 64;
    const int64_t j = q0 * plan.width, n = min64(q1 * plan.width, plan.columns) - j;
    const T* const from = B + j * g.b_col;
    if (g.b_col == 1) return Fetch(from, n * size, kc, g.b_row * size, step);
    if (g.b_row == 1) return Fetch(from, kc * size, n, g.b_col * size, step);
    return {};
  }
  /// Row tile t of A (packed_a: packed from row tile t0 on, or null).
  Fetch fetch_a(int64_t t, const T* packed_a, int64_t t0) const {
    const int64_t size = sizeof(T), m = plan.row(t), mr = plan.row(t + 1) - m;
    if (packed_a) {
      const T* const from = packed_a + (m - plan.row(t0)) * plan.pitch_a;
      return Fetch(from, mr * plan.pitch_a * size, 1, 0, 64);
    }
    const T* const from = A + m * g.a_row;
    if (g.a_col == 1) return Fetch(from, kc * size, mr, g.a_row * size, 64);
    if (g.a_row == 1) return Fetch(from, mr * size, kc, g.a_col * size, 128);
    return {};
  }
  /// Panels [q0, q1) of C in the rows of tiles [t0, t1).
  Fetch fetch_c(int64_t t0, int64_t t1, int64_t q0, int64_t q1) const {
    if (!plan.far_c) return {};
    const int64_t size = sizeof(T), j = q0 * plan.width, n = min64(q1 * plan.width, plan.columns) - j;
    const int64_t m = plan.row(t0);
    return Fetch(C + m * c_row + j, n * size, plan.row(t1) - m, c_row * size, 64);
  }
  /// Row tiles [t0, t1) of A packed one after the other to `out`.
  void pack_rows_of(T* out, int64_t t0, int64_t t1) const {
    // Short runs of k, so that the cache lines of columns of A that two tiles share are read once.
    const int64_t run = g.a_row == 1 && !plan.copy_a ? 16 : kc;
    for (int64_t k = 0; k < kc; k += run)
      for (int64_t t = t0; t < t1; ++t) {
        const int64_t m = plan.row(t), mr = plan.row(t + 1) - m, count = min64(run, kc - k);
        const T* const a = A + m * g.a_row + k * g.a_col;
        T* const to = out + (m - plan.row(t0)) * plan.pitch_a;
        if (plan.copy_a)
          copy_rows(to, plan.pitch_a, a, g.a_row, count, mr);
        else if (g.a_row == 1)
          pack_columns_of<T, kMaxRows>(mr, to + k * mr, a, g.a_col, count);
        else
          pack_strided(to + k * mr, a, g.a_row, g.a_col, count, mr);
      }
  }
  /// Tile t of the rows (packed_a: packed from row tile t0 on, or null) with panel q (packed_b, or null).
  void run(int64_t t, const T* packed_a, int64_t t0, int64_t q, const T* packed_b) {
    const int64_t m = plan.row(t), mr = plan.row(t + 1) - m, n = plan.panel_columns(q);
    const int64_t w = round_up(n, kLanes<T>), n0 = q * plan.width;
    const T* a = A + m * g.a_row;
    int64_t a_row = g.a_row, a_col = g.a_col;
    if (packed_a) {
      a = packed_a + (m - plan.row(t0)) * plan.pitch_a;
      a_row = plan.copy_a ? plan.pitch_a : 1;
      a_col = plan.copy_a ? 1 : mr;
    }
    end.bias = bias ? bias + n0 : nullptr;
    tile_for<T, true>(static_cast<int>(mr), static_cast<int>(w / kLanes<T>))(
        kc, a, a_row, a_col, packed_b ? packed_b : B + n0, packed_b ? w : g.b_row, C + m * c_row + n0, c_row,
        static_cast<int>(n), end);
  }
};

/// One after the other, where there is something to fetch.
inline Fetch* in_turn(Fetch& first, Fetch& second) {
  if (!first.at) return second.at ? &second : nullptr;
  if (second.at) first.then = &second;
  return &first;
}

template <class T>
void block(const GemmArgs<T>& g, const T* A, const T* B, const Part<T>& p) {
  const Plan<T> plan(g, p.m1 - p.m0, p.n1 - p.n0);
  const int64_t size = sizeof(T);
  // A group of panels of B (packed where need be) meets a run of row tiles of A (likewise).
  const int64_t limit = !plan.by_panel ? kBlockBytesB : plan.b_rows ? kGroupBytesB : kPackBytesB;
  int64_t group = max64(1, min64(plan.panels, limit / (plan.chunk * plan.width * size)));
  if (!plan.by_panel && !plan.pack_b) group = plan.panels;
  group = ceil_div(plan.panels, ceil_div(plan.panels, group));
  const bool packs_a = plan.copy_a || plan.pack_a;
  int64_t run = plan.row_tiles;
  if (!plan.by_panel && packs_a) run = ceil_div(run, ceil_div(run * plan.pitch_a * kMaxRows * size, kBlockBytesA));

  const int64_t b_bytes = round_up((plan.pack_b ? group : 1) * plan.pitch_b * size, 64) + 64;
  const int64_t a_bytes = packs_a ? (run * kMaxRows + 1) * plan.pitch_a * size : 0;
  char* const scratch = static_cast<char*>(thread_scratch(ThreadScratch::local, b_bytes + a_bytes));
  T* const packed_b = reinterpret_cast<T*>(scratch);
  T* const packed_a = packs_a ? reinterpret_cast<T*>(scratch + b_bytes) : nullptr;

  const auto slice = [&](int64_t c) {
    const int64_t k0 = c * plan.chunk;
    const bool finish = p.finish && c + 1 == p.c1;
    const TileEnd<T> end{c > p.c0 || p.add, nullptr, finish ? g.act : Activation::none};
    return Slice<T>{plan, g,       A + p.m0 * g.a_row + k0 * g.a_col, B + p.n0 * g.b_col + k0 * g.b_row,
                    p.C,  p.c_row, min64(plan.chunk, g.K - k0),       finish && g.bias ? g.bias + p.n0 : nullptr,
                    end};
  };
  const auto at = [&](const Slice<T>& s, int64_t q, int64_t q0) -> T* {  // where panel q is packed
    return !s.packs(q) ? nullptr : plan.pack_b ? packed_b + (q - q0) * plan.pitch_b : packed_b;
  };
  const auto pack = [&](const Slice<T>& s, int64_t q0, int64_t q1) {
    int64_t q = q0;
    if (plan.pack_b && g.b_col == 1) {
      q = plan.panel_columns(q1 - 1) == plan.width ? q1 : q1 - 1;
      s.pack_rows_of_b(packed_b, q0, q);
    }
    for (; q < q1; ++q)
      if (s.packs(q)) s.pack(at(s, q, q0), q);
  };
  const auto tiles = [&](Slice<T>& s, int64_t q0, int64_t q1, int64_t t0, int64_t t1) {
    for (int64_t t = t0; t < t1; ++t)
      for (int64_t q = q0; q < q1; ++q) s.run(t, packed_a, t0, q, at(s, q, q0));
  };

  if (plan.by_panel) {
    for (int64_t c = p.c0; c < p.c1; ++c) {
      Slice<T> s = slice(c);
      if (packs_a) s.pack_rows_of(packed_a, 0, plan.row_tiles);
      for (int64_t q = 0; q < plan.panels; q += group) {
        const int64_t q1 = min64(q + group, plan.panels);
        pack(s, q, q1);
        // The panels that come next are fetched meanwhile.
        const int64_t q2 = min64(q1 + group, plan.panels);
        Fetch fetch, fetch_c;
        if (q1 < plan.panels)
          fetch = s.fetch_b(q1, q2), fetch_c = s.fetch_c(0, plan.row_tiles, q1, q2);
        else if (c + 1 < p.c1)
          fetch = slice(c + 1).fetch_b(0, group), fetch_c = s.fetch_c(0, plan.row_tiles, 0, group);
        s.end.fetch = in_turn(fetch, fetch_c);
        tiles(s, q, q1, 0, plan.row_tiles);
      }
    }
    return;
  }
  for (int64_t t = 0; t < plan.row_tiles; t += run) {
    const int64_t t1 = min64(t + run, plan.row_tiles);
    for (int64_t c = p.c0; c < p.c1; ++c) {
      Slice<T> s = slice(c);
      if (packs_a) s.pack_rows_of(packed_a, t, t1);
      for (int64_t q = 0; q < plan.panels; q += group) {
        const int64_t q1 = min64(q + group, plan.panels);
        int64_t i = t;
        if (plan.copies(t)) {  // the first row tile packs while it reads
          for (int64_t j = q; j < q1; ++j) {
            Fetch fetch = s.fetch_b(j + 1 < plan.panels ? j + 1 : j, min64(j + 2, plan.panels));
            const bool full = plan.panel_columns(j) == plan.width;
            T* const to = at(s, j, q);
            if (!full) s.pack(to, j);
            if (!fetch.at) fetch = Fetch(B, 1, 1, 0, 64);  // the tile that copies is the one that fetches
            s.end.fetch = &fetch, s.end.copy = full ? to : nullptr;
            s.run(i, packed_a, t, j, full ? nullptr : to);
          }
          s.end.copy = nullptr;
          ++i;
        } else {
          pack(s, q, q1);
        }
        for (; i < t1; ++i) {
          Fetch fetch, fetch_c;
          if (i + 1 < t1)
            fetch = s.fetch_a(i + 1, packed_a, t), fetch_c = s.fetch_c(i + 1, i + 2, q, q1);
          else if (q1 < plan.panels)
            fetch = s.fetch_a(t, packed_a, t), fetch_c = s.fetch_c(t, t + 1, q1, min64(q1 + group, plan.panels));
          s.end.fetch = in_turn(fetch, fetch_c);
          for (int64_t j = q; j < q1; ++j) s.run(i, packed_a, t, j, at(s, j, q));
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

/// `block_of` computes one Part; it is `block` or one of another precision.
template <class T, class Block>
void gemm(const GemmArgs<T>& args, const Block& block_of) {
  GemmArgs<T> g = args;
  if (g.M <= 0 || g.N <= 0 || g.batch <= 0) return;
  if (g.K < 0) g.K = 0;
  // Matrices that share B and follow each other are one taller matrix.
  if (g.batch > 1 && g.b_batch == 0 && g.a_batch == g.M * g.a_row && g.c_batch == g.M * g.c_row) {
    g.M *= g.batch;
    g.batch = 1;
  }
  if (better_transposed(g)) {
    // C^T = B^T A^T: the rows of B^T are contiguous and read in place, only the small A is transposed, and C.
    T* const sums = static_cast<T*>(thread_scratch(ThreadScratch::result, g.M * g.N * int64_t(sizeof(T))));
    gemm(transposed(g, sums), block_of);
    parallel_range(g.N, kTransposeRun, [&](int64_t n0, int64_t n1) { finish_transposed(g, sums, n0, n1); });
    return;
  }
  const int64_t chunks = gemm_chunks(g.K);
  const double work = static_cast<double>(g.M) * static_cast<double>(g.N) * static_cast<double>(max64(g.K, 1));
  const int64_t threads = work * static_cast<double>(g.batch) < kThreadWork ? 1 : num_threads();

  if (vector_product(g, threads)) return;
  if (threads == 1) {
    for (int64_t z = 0; z < g.batch; ++z)
      block_of(g, g.A + z * g.a_batch, g.B + z * g.b_batch,
               Part<T>{0, g.M, 0, g.N, 0, chunks, g.C + z * g.c_batch, g.c_row, g.accumulate, true});
    return;
  }

  // The grid. The bits do not depend on it, so it may follow the number of threads. A thread pays, in cycles and for
  // each k, a 16th of its elements of C, and for its rows of A and columns of B what reading or packing them costs.
  constexpr int64_t L = kLanes<T>;
  const int64_t strips_n = ceil_div(g.N, 2 * L), strips_m = ceil_div(g.M, 8);
  const int64_t wanted = max64(1, threads / g.batch);
  const double row_cost = g.a_col == 1 ? 0.1 : 0.2, column_cost = g.b_col == 1 ? 0.15 : 0.4;
  int64_t tn = 1, tm = 1;
  double best = 0;
  for (int64_t n = 1; n <= min64(wanted, strips_n); ++n) {
    const int64_t m = min64(wanted / n, strips_m);
    const double rows = static_cast<double>(ceil_div(g.M, m));
    const double columns = static_cast<double>(min64(ceil_div(strips_n, n) * 2 * L, g.N));
    const double cost = rows * columns / 16 + rows * row_cost + columns * column_cost;
    if (n == 1 || cost < best) best = cost, tn = n, tm = m;
  }

  if (tm * tn * 2 <= wanted && chunks > 1) {
    // C is too small for all threads: the chunks of K in parallel, then their sum in the order of the definition.
    const int64_t bytes = g.M * g.N * int64_t(sizeof(T));
    const int64_t round = max64(1, min64(chunks - 1, kSplitBytes / bytes));
    T* const partial = static_cast<T*>(thread_scratch(ThreadScratch::shared, round * bytes));
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
            block_of(g, A, B, Part<T>{0, g.M, 0, g.N, 0, 1, C, g.c_row, g.accumulate, false});
          else
            block_of(g, A, B, Part<T>{0, g.M, 0, g.N, c, c + 1, partial + (t - head) * g.M * g.N, g.N, false, false});
        });
        done += count + head;
        add_chunks(g, C, partial, count, 0, g.M, done == chunks);
      }
    }
    return;
  }

  // Small matrices go several to a task.
  const int64_t parts = tm * tn, per_task = parts > 1 ? 1 : max64(1, static_cast<int64_t>(kThreadWork / 4 / work));
  parallel_range(g.batch * parts, per_task, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      const int64_t z = t / parts, i = t / tn % tm, j = t % tn;
      const int64_t m0 = cut(g.M, tm, i), m1 = cut(g.M, tm, i + 1);
      const int64_t n0 = cut(strips_n, tn, j) * 2 * L, n1 = min64(cut(strips_n, tn, j + 1) * 2 * L, g.N);
      block_of(
          g, g.A + z * g.a_batch, g.B + z * g.b_batch,
          Part<T>{m0, m1, n0, n1, 0, chunks, g.C + z * g.c_batch + m0 * g.c_row + n0, g.c_row, g.accumulate, true});
    }
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
