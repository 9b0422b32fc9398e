#include "cuda/rows.h"
#include "ops/norm/row_norm.h"
#include "ops/reduce/reduce_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kLongThreads = 512;  // of a row that registers do not hold

/// Mean and scale of a row, from its first mean m and the sums of x - m and of
/// its square.
struct RowStats {
  double delta, scale;
  __device__ RowStats(bool center, double sum, double squares, double count, double eps) {
    delta = center ? sum / count : 0;  // what the rounding of m left
    const double var = squares / count - delta * delta;
    scale = 1 / sqrt((var < 0 ? 0 : var) + eps);
  }
};

template <class T, int K, bool kBlock>
__global__ void FASTNN_TEAM_BOUNDS(kBlock) row_norm_rows(bool center, T* y, double* stats, const T* x, const T* weight,
                                                         const T* bias, int64_t rows, int n, double eps, int lanes) {
  typedef RowPart<T, K> Row;
  __shared__ T cells[kWarp];
  const Team<kBlock> team(lanes);
  const bool weight_whole = aligned<Row::V>(weight), bias_whole = aligned<Row::V>(bias);
  int64_t row = team.first;
  for (int64_t k = team.rounds(rows); k > 0; --k, row += team.step) {
    Row v;
    const bool live = row < rows;
    v.load(x + (live ? row : 0) * n, live ? n : 0, team.lane, team.lanes, T(0));
    T m = 0;
    if (center) {
#pragma unroll
      for (int i = 0; i < v.size; ++i) m += v[i];
      m = team.reduce(m, Sum(), T(0), cells) / static_cast<T>(n);
    }
    T sum = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < v.size; ++i) {
      v[i] = Row::place(i, team.lane, team.lanes) < n ? v[i] - m : T(0);
      sum += v[i];
      squares += v[i] * v[i];
    }
    if (center) sum = team.reduce(sum, Sum(), T(0), cells);
    squares = team.reduce(squares, Sum(), T(0), cells);
    const RowStats s(center, sum, squares, n, eps);
    const T scale = static_cast<T>(s.scale), shift = static_cast<T>(-s.delta * s.scale);
#pragma unroll
    for (int q = 0; q < K; ++q) {
      Pack<T, Row::V> w, b;
      if (weight) w = Row::get(weight, n, q, team.lane, team.lanes, weight_whole, T(1));
      if (bias) b = Row::get(bias, n, q, team.lane, team.lanes, bias_whole, T(0));
#pragma unroll
      for (int e = 0; e < Row::V; ++e) {
        T h = v.pack[q].v[e] * scale + shift;
        if (weight) h *= w.v[e];
        if (bias) h += b.v[e];
        v.pack[q].v[e] = h;
      }
    }
    if (!live) continue;
    v.store(y + row * n, n, team.lane, team.lanes);
    if (team.lane == 0) stats[2 * row] = static_cast<double>(m) + s.delta, stats[2 * row + 1] = s.scale;
  }
}

/// The same for rows of any length, read once for each sum and once for the
/// result.
template <class T>
__global__ void __launch_bounds__(kLongThreads, 1)
    row_norm_long(bool center, T* y, double* stats, const T* x, const T* weight, const T* bias, int64_t rows, int64_t n,
                  double eps) {
  __shared__ double cells[kWarp];
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* in = x + row * n;
    double sum = 0, squares = 0;
    if (center) {
#pragma unroll 4
      for (int64_t i = threadIdx.x; i < n; i += kLongThreads) sum += in[i];
      sum = block_reduce(sum, Sum(), 0.0, cells);
    }
    const T m = static_cast<T>(sum / static_cast<double>(n));
    sum = 0;
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < n; i += kLongThreads) {
      const double d = in[i] - m;
      sum += d;
      squares += d * d;
    }
    if (center) sum = block_reduce(sum, Sum(), 0.0, cells);
    squares = block_reduce(squares, Sum(), 0.0, cells);
    const RowStats s(center, sum, squares, static_cast<double>(n), eps);
    const T scale = static_cast<T>(s.scale), shift = static_cast<T>(-s.delta * s.scale);
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < n; i += kLongThreads) {
      T h = (in[i] - m) * scale + shift;
      if (weight) h *= weight[i];
      if (bias) h += bias[i];
      y[row * n + i] = h;
    }
    if (threadIdx.x == 0) stats[2 * row] = static_cast<double>(m) + s.delta, stats[2 * row + 1] = s.scale;
  }
}

/// xhat = (x - m) r + c of a row, in the element type.
template <class T>
struct Centred {
  T m, r, c;
};
template <class T>
__device__ inline Centred<T> centred(const double* stats, int64_t row) {
  const double mean = stats[2 * row], scale = stats[2 * row + 1];
  const T m = static_cast<T>(mean);
  return {m, static_cast<T>(scale), static_cast<T>(-(mean - static_cast<double>(m)) * scale)};
}

/// dx (null: not wanted), and with kParams what the block has of the gradients
/// of weight and bias: part[block][2][n].
template <class T, int K, bool kBlock, bool kParams>
__global__ void FASTNN_TEAM_BOUNDS(kBlock)
    row_gradient_rows(bool center, T* dx, T* part, const T* dy, const T* x, const double* stats, const T* weight,
                      int64_t rows, int n, int lanes) {
  typedef RowPart<T, K> Row;
  __shared__ T cells[kWarp];
  const Team<kBlock> team(lanes);
  const bool whole = aligned<Row::V>(weight);
  Row dw, db;
  if (kParams) {
#pragma unroll
    for (int i = 0; i < dw.size; ++i) dw[i] = db[i] = T(0);
  }
  int64_t row = team.first;
  for (int64_t k = team.rounds(rows); k > 0; --k, row += team.step) {
    Row g, h;
    const bool live = row < rows;
    const int64_t at = live ? row : 0;
    g.load(dy + at * n, live ? n : 0, team.lane, team.lanes,
           T(0));  // 0 past the end, so its products are
    h.load(x + at * n, live ? n : 0, team.lane, team.lanes, T(0));
    const Centred<T> s = centred<T>(stats, at);
    T a = 0, b = 0;
#pragma unroll
    for (int q = 0; q < K; ++q) {
      Pack<T, Row::V> w;
      if (weight) w = Row::get(weight, n, q, team.lane, team.lanes, whole, T(0));
#pragma unroll
      for (int e = 0; e < Row::V; ++e) {
        T &gi = g.pack[q].v[e], &hi = h.pack[q].v[e];
        hi = (hi - s.m) * s.r + s.c;
        if (kParams) {
          dw.pack[q].v[e] += gi * hi;
          db.pack[q].v[e] += gi;
        }
        if (weight) gi *= w.v[e];
        a += gi;
        b += gi * hi;
      }
    }
    if (!dx) continue;
    a = center ? team.reduce(a, Sum(), T(0), cells) / static_cast<T>(n) : T(0);
    b = team.reduce(b, Sum(), T(0), cells) / static_cast<T>(n);
#pragma unroll
    for (int i = 0; i < g.size; ++i) g[i] = s.r * (g[i] - a - h[i] * b);
    if (live) g.store(dx + at * n, n, team.lane, team.lanes);
  }
  if constexpr (kParams) {
    T* to = part + static_cast<int64_t>(blockIdx.x) * 2 * n;
    if constexpr (kBlock) {
      dw.store(to, n, team.lane, team.lanes);
      db.store(to + n, n, team.lane, team.lanes);
    } else {
      // The teams of the block one after the other.
      FASTNN_SHARED(T, sums);
      for (int i = static_cast<int>(threadIdx.x); i < 2 * n; i += kTeamThreads) sums[i] = T(0);
      for (int t = 0; t < kTeamThreads / lanes; ++t) {
        __syncthreads();
        if (static_cast<int>(threadIdx.x) / lanes != t) continue;
#pragma unroll
        for (int i = 0; i < dw.size; ++i) {
          const int j = Row::place(i, team.lane, team.lanes);
          if (j < n) sums[j] += dw[i], sums[n + j] += db[i];
        }
      }
      __syncthreads();
      for (int i = static_cast<int>(threadIdx.x); i < 2 * n; i += kTeamThreads) to[i] = sums[i];
    }
  }
}

/// The parts of the blocks, added down the columns of [blocks][2 n].
template <class T>
struct PartSums : OneInput<T> {
  typedef T Local;
  typedef double State;
  T *dweight, *dbias;
  int64_t n;

  __device__ Local local(int64_t) const { return T(0); }
  __device__ void add(Local& s, T v, int64_t) const { s += v; }
  __device__ State lift(Local s) const { return s; }
  __device__ State identity() const { return 0; }
  __device__ void combine(State& s, State b) const { s += b; }
  __device__ void finish(int64_t out, State s) const {
    T* to = out < n ? dweight : dbias;
    if (to) to[out < n ? out : out - n] = static_cast<T>(s);
  }
};

template <class T>
__global__ void __launch_bounds__(kLongThreads, 1)
    row_gradient_long(bool center, T* dx, const T* dy, const T* x, const double* stats, const T* weight, int64_t rows,
                      int64_t n) {
  __shared__ double cells[kWarp];
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const Centred<T> s = centred<T>(stats, row);
    const T *d = dy + row * n, *in = x + row * n;
    double a = 0, b = 0;
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < n; i += kLongThreads) {
      const T g = weight ? d[i] * weight[i] : d[i], h = (in[i] - s.m) * s.r + s.c;
      a += g;
      b += g * h;
    }
    a = block_reduce(a, Sum(), 0.0, cells);
    b = block_reduce(b, Sum(), 0.0, cells);
    const T mean = center ? static_cast<T>(a / static_cast<double>(n)) : T(0);
    const T slope = static_cast<T>(b / static_cast<double>(n));
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < n; i += kLongThreads) {
      const T g = weight ? d[i] * weight[i] : d[i], h = (in[i] - s.m) * s.r + s.c;
      dx[row * n + i] = s.r * (g - mean - h * slope);
    }
  }
}

template <class T>
__global__ void centre_rows(Centred<T>* out, const double* stats, int64_t rows) {
  for (int64_t i = thread_index(); i < rows; i += thread_count()) out[i] = centred<T>(stats, i);
}

/// The gradients of weight and bias of long rows: sums down the columns of dy
/// and x.
template <class T>
struct RowParameters {
  typedef T Elem;
  struct Value {
    T dy, x;
  };
  struct Local {
    T dw, db;
  };
  struct State {
    double dw, db;
  };
  const T* other;  // x where the columns are those of dy
  const T* dy;
  const Centred<T>* rows;
  T *dweight, *dbias;

  __device__ Value fetch(const T* p, int64_t offset) const { return {p[offset], other[p - dy + offset]}; }
  __device__ Local local(int64_t) const { return {T(0), T(0)}; }
  __device__ void add(Local& s, const Value& v, int64_t row) const {
    const Centred<T> c = rows[row];
    s.dw += v.dy * ((v.x - c.m) * c.r + c.c);
    s.db += v.dy;
  }
  __device__ State lift(const Local& s) const { return {static_cast<double>(s.dw), static_cast<double>(s.db)}; }
  __device__ State identity() const { return {0, 0}; }
  __device__ void combine(State& s, const State& b) const { s.dw += b.dw, s.db += b.db; }
  __device__ void finish(int64_t out, const State& s) const {
    if (dweight) dweight[out] = static_cast<T>(s.dw);
    if (dbias) dbias[out] = static_cast<T>(s.db);
  }
};

inline unsigned blocks_of_rows(int64_t rows) { return static_cast<unsigned>(rows < (1 << 20) ? rows : 1 << 20); }

template <class T>
void forward(bool center, T* y, double* stats, const T* x, const T* weight, const T* bias, int64_t rows, int64_t cols,
             double eps) {
  const bool held = with_team<T, 8>(cols, [&](auto packs, int lanes, auto block) {
    constexpr int K = decltype(packs)::value;
    constexpr bool kBlock = decltype(block)::value;
    const TeamGrid g = team_grid(rows, lanes, kBlock);
    run(&row_norm_rows<T, K, kBlock>, g.grid, g.block, 0, center, y, stats, x, weight, bias, rows,
        static_cast<int>(cols), eps, lanes);
  });
  if (!held)
    run(&row_norm_long<T>, blocks_of_rows(rows), kLongThreads, 0, center, y, stats, x, weight, bias, rows, cols, eps);
}

/// Blocks whose parts of the parameters' gradients are added: so many that none
/// adds up more than 128 rows a team, whatever the device.
inline int64_t part_blocks(int64_t rows, int64_t teams) {
  const int64_t all = (rows + teams - 1) / teams, few = (rows + 128 * teams - 1) / (128 * teams);
  return few > 256 ? few : all < 256 ? all : 256;
}

template <class T>
void backward(bool center, T* dx, T* dweight, T* dbias, const T* dy, const T* x, const double* stats, const T* weight,
              int64_t rows, int64_t cols) {
  constexpr int kHeld = sizeof(T) == 4 ? 4 : 2;  // four arrays in registers
  const auto teams = [&](auto packs, int lanes, auto block) {
    constexpr int K = decltype(packs)::value;
    constexpr bool kBlock = decltype(block)::value;
    const TeamGrid g = team_grid(rows, lanes, kBlock);
    const int n = static_cast<int>(cols);
    T* none = nullptr;
    if (!dweight) {
      run(&row_gradient_rows<T, K, kBlock, false>, g.grid, g.block, 0, center, dx, none, dy, x, stats, weight, rows, n,
          lanes);
      return;
    }
    const int64_t blocks = part_blocks(rows, kBlock ? 1 : kTeamThreads / lanes);
    const size_t shared = kBlock ? 0 : 2 * static_cast<size_t>(n) * sizeof(T);
    const Scratch scratch(blocks * 2 * cols * static_cast<int64_t>(sizeof(T)));
    T* part = scratch.as<T>();
    run(&row_gradient_rows<T, K, kBlock, true>, static_cast<unsigned>(blocks), g.block, shared, center, dx, part, dy, x,
        stats, weight, rows, n, lanes);
    PartSums<T> r;
    r.dweight = dweight, r.dbias = dbias, r.n = cols;
    reduce_job_columns(r, part, columns_job(1, blocks, 2 * cols));
  };
  if (rows > 0 && with_team<T, kHeld>(cols, teams)) return;
  if (dx && rows > 0)
    run(&row_gradient_long<T>, blocks_of_rows(rows), kLongThreads, 0, center, dx, dy, x, stats, weight, rows, cols);
  if (!dweight) return;
  const Scratch scratch(rows * static_cast<int64_t>(sizeof(Centred<T>)));
  auto* centres = scratch.as<Centred<T>>();
  run(&centre_rows<T>, grid_for(rows, 256), 256, 0, centres, stats, rows);
  reduce_job_columns(RowParameters<T>{x, dy, centres, dweight, dbias}, dy, columns_job(1, rows, cols));
}

}  // namespace

void row_norm_forward(int type, bool center, void* y, double* stats, const void* x, const void* weight,
                      const void* bias, int64_t rows, int64_t cols, double eps) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    forward(center, static_cast<T*>(y), stats, static_cast<const T*>(x), static_cast<const T*>(weight),
            static_cast<const T*>(bias), rows, cols, eps);
  });
}
void row_norm_backward(int type, bool center, void* dx, void* dweight, void* dbias, void*, const void* dy,
                       const void* x, const double* stats, const void* weight, int64_t rows, int64_t cols) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    backward(center, static_cast<T*>(dx), static_cast<T*>(dweight), static_cast<T*>(dbias), static_cast<const T*>(dy),
             static_cast<const T*>(x), stats, static_cast<const T*>(weight), rows, cols);
  });
}

}  // namespace cuda
}  // namespace fastnn
