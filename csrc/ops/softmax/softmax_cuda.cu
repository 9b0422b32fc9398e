#include "cuda/rows.h"
#include "ops/softmax/softmax.h"

namespace fastnn {
namespace cuda {
namespace {

// Elements of a line too long for a block's registers that one block works on.
constexpr int kChunkThreads = 256, kChunkPacks = 8;
template <class T>
constexpr int64_t kChunk = kChunkThreads* kChunkPacks* kPack<T>;

template <class T>
__device__ inline T lowest() {
  return static_cast<T>(-HUGE_VAL);
}

/// y from what a thread holds of a line, its largest element and the sum of exp(x - max).
template <bool kLog, class Part, class T>
__device__ inline void finish_part(Part& v, T m, T sum) {
  const T by = kLog ? log(sum) : T(1) / sum;
#pragma unroll
  for (int i = 0; i < Part::size; ++i) v[i] = kLog ? (v[i] - m) - by : exp(v[i] - m) * by;
}

// Past the end of a line are elements -inf, which add nothing; a line where they do (all -inf) is NaN anyway.
template <class T, bool kLog, int K, bool kBlock>
__global__ void FASTNN_TEAM_BOUNDS(kBlock) softmax_rows(T* y, const T* x, int64_t rows, int n, int lanes) {
  __shared__ T cells[kWarp];
  const Team<kBlock> team(lanes);
  int64_t row = team.first;
  for (int64_t k = team.rounds(rows); k > 0; --k, row += team.step) {
    RowPart<T, K> v;
    const bool live = row < rows;
    v.load(x + (live ? row : 0) * n, live ? n : 0, team.lane, team.lanes, lowest<T>());
    T m = lowest<T>();
#pragma unroll
    for (int i = 0; i < v.size; ++i) m = Max()(m, v[i]);
    m = team.reduce(m, Max(), lowest<T>(), cells);
    T sum = 0;
#pragma unroll
    for (int i = 0; i < v.size; ++i) {
      const T e = exp(v[i] - m);
      if (!kLog) v[i] = e;
      sum += e;
    }
    sum = team.reduce(sum, Sum(), T(0), cells);
    const T by = kLog ? log(sum) : T(1) / sum;
#pragma unroll
    for (int i = 0; i < v.size; ++i) v[i] = kLog ? (v[i] - m) - by : v[i] * by;
    if (live) v.store(y + row * n, n, team.lane, team.lanes);
  }
}

struct Part {
  double max, sum;  // of exp(x - max)
};

/// The largest element of a chunk and its sum of exponentials; a chunk of -inf only adds nothing.
template <class T>
__global__ void __launch_bounds__(kChunkThreads, 2)
    chunk_parts(Part* part, const T* x, int64_t n, int64_t chunks, int64_t tasks) {
  __shared__ T cells[kWarp];
  for (int64_t t = blockIdx.x; t < tasks; t += gridDim.x) {
    const Quotient q = divide(t, chunks);
    const int64_t first = q.rest * kChunk<T>;
    const int count = static_cast<int>(n - first < kChunk<T> ? n - first : kChunk<T>);
    RowPart<T, kChunkPacks> v;
    v.load(x + q.quotient * n + first, count, threadIdx.x, kChunkThreads, lowest<T>());
    T m = lowest<T>(), sum = 0;
#pragma unroll
    for (int i = 0; i < v.size; ++i) m = Max()(m, v[i]);
    m = block_reduce(m, Max(), lowest<T>(), cells);
    if (m != lowest<T>()) {
#pragma unroll
      for (int i = 0; i < v.size; ++i) sum += exp(v[i] - m);
    }
    sum = block_reduce(sum, Sum(), T(0), cells);
    if (threadIdx.x == 0) part[t] = {static_cast<double>(m), static_cast<double>(sum)};
  }
}

template <class T, bool kLog>
__global__ void __launch_bounds__(kChunkThreads, 2)
    chunk_results(T* y, const T* x, const Part* part, int64_t n, int64_t chunks, int64_t tasks) {
  __shared__ double cells[kWarp];
  for (int64_t t = blockIdx.x; t < tasks; t += gridDim.x) {
    const Quotient q = divide(t, chunks);
    const Part* p = part + q.quotient * chunks;
    double m = lowest<double>(), sum = 0;
    for (int64_t c = threadIdx.x; c < chunks; c += kChunkThreads) m = Max()(m, p[c].max);
    m = block_reduce(m, Max(), lowest<double>(), cells);
    for (int64_t c = threadIdx.x; c < chunks; c += kChunkThreads)
      if (p[c].sum != 0) sum += p[c].sum * exp(p[c].max - m);
    sum = block_reduce(sum, Sum(), 0.0, cells);
    const int64_t first = q.rest * kChunk<T>;
    const int count = static_cast<int>(n - first < kChunk<T> ? n - first : kChunk<T>);
    RowPart<T, kChunkPacks> v;
    v.load(x + q.quotient * n + first, count, threadIdx.x, kChunkThreads, T(0));
    finish_part<kLog>(v, static_cast<T>(m), static_cast<T>(sum));
    v.store(y + q.quotient * n + first, count, threadIdx.x, kChunkThreads);
  }
}

// --- lines across memory ------------------------------------------------------------------------------------------

/// Where a thread of a block is among [outer, n, inner]: its column of a strip, and the rows it takes.
struct Columns {
  int64_t outer, n, inner;
  int across;
};
constexpr int kColumnThreads = 512;
// down x across threads; the sums of a column in all of them.
template <class T, class Op>
__device__ inline T column_reduce(T v, Op op, T* cells, int across) {
  const int row = static_cast<int>(threadIdx.x) / across;
  cells[threadIdx.x] = v;
  __syncthreads();
  for (int half = kColumnThreads / across / 2; half > 0; half /= 2) {
    if (row < half)
      cells[threadIdx.x] = op(cells[threadIdx.x], cells[threadIdx.x + static_cast<unsigned>(half * across)]);
    __syncthreads();
  }
  v = cells[threadIdx.x & static_cast<unsigned>(across - 1)];
  __syncthreads();
  return v;
}

template <class T, bool kLog>
__global__ void __launch_bounds__(kColumnThreads, 1) softmax_columns(T* y, const T* x, Columns c) {
  __shared__ T cells[kColumnThreads];
  const int column = static_cast<int>(threadIdx.x) & (c.across - 1), row = static_cast<int>(threadIdx.x) / c.across;
  const int64_t down = kColumnThreads / c.across, strips = (c.inner + c.across - 1) / c.across;
  for (int64_t t = blockIdx.x; t < c.outer * strips; t += gridDim.x) {
    const Quotient q = divide(t, strips);
    const int64_t j = q.rest * c.across + column, n = j < c.inner ? c.n : 0;
    const T* in = x + q.quotient * c.n * c.inner + j;
    T m = lowest<T>(), sum = 0;
#pragma unroll 4
    for (int64_t i = row; i < n; i += down) {
      const T v = in[i * c.inner];
      if (v > m) {
        sum = sum * exp(m - v) + (T(1) + (v - v));  // NaN for +inf
        m = v;
      } else if (v != lowest<T>()) {
        sum += exp(v - m);
      }
    }
    const T own = m;
    m = column_reduce(m, Max(), cells, c.across);
    sum = sum == T(0) ? sum : sum * exp(own - m);
    sum = column_reduce(sum, Sum(), cells, c.across);
    const T by = kLog ? log(sum) : T(1) / sum;
    T* out = y + q.quotient * c.n * c.inner + j;
#pragma unroll 4
    for (int64_t i = row; i < n; i += down) {
      const T v = in[i * c.inner];
      out[i * c.inner] = kLog ? (v - m) - by : exp(v - m) * by;
    }
  }
}

// --- gradients ----------------------------------------------------------------------------------------------------

template <bool kLog, class T>
__device__ inline T gradient(T dy, T y, T dot) {
  return kLog ? dy - exp(y) * dot : y * (dy - dot);
}

template <class T, bool kLog, int K, bool kBlock>
__global__ void FASTNN_TEAM_BOUNDS(kBlock)
    gradient_rows(T* dx, const T* dy, const T* y, int64_t rows, int n, int lanes) {
  __shared__ T cells[kWarp];
  const Team<kBlock> team(lanes);
  int64_t row = team.first;
  for (int64_t k = team.rounds(rows); k > 0; --k, row += team.step) {
    RowPart<T, K> d, v;
    const bool live = row < rows;
    const int64_t at = (live ? row : 0) * n;
    d.load(dy + at, live ? n : 0, team.lane, team.lanes, T(0));
    v.load(y + at, live ? n : 0, team.lane, team.lanes, T(0));
    T dot = 0;
#pragma unroll
    for (int i = 0; i < d.size; ++i) dot += kLog ? d[i] : d[i] * v[i];
    dot = team.reduce(dot, Sum(), T(0), cells);
#pragma unroll
    for (int i = 0; i < d.size; ++i) d[i] = gradient<kLog>(d[i], v[i], dot);
    if (live) d.store(dx + at, n, team.lane, team.lanes);
  }
}

template <class T, bool kLog>
__global__ void __launch_bounds__(kChunkThreads, 2)
    chunk_dots(double* part, const T* dy, const T* y, int64_t n, int64_t chunks, int64_t tasks) {
  __shared__ double cells[kWarp];
  for (int64_t t = blockIdx.x; t < tasks; t += gridDim.x) {
    const Quotient q = divide(t, chunks);
    const int64_t first = q.rest * kChunk<T>, last = first + kChunk<T> < n ? first + kChunk<T> : n;
    const T *d = dy + q.quotient * n, *v = y + q.quotient * n;
    T dot = 0;
#pragma unroll 4
    for (int64_t i = first + threadIdx.x; i < last; i += kChunkThreads) dot += kLog ? d[i] : d[i] * v[i];
    const double sum = block_reduce(static_cast<double>(dot), Sum(), 0.0, cells);
    if (threadIdx.x == 0) part[t] = sum;
  }
}

template <class T, bool kLog>
__global__ void __launch_bounds__(kChunkThreads, 2)
    chunk_gradients(T* dx, const T* dy, const T* y, const double* part, int64_t n, int64_t chunks, int64_t tasks) {
  __shared__ double cells[kWarp];
  for (int64_t t = blockIdx.x; t < tasks; t += gridDim.x) {
    const Quotient q = divide(t, chunks);
    double sum = 0;
    for (int64_t c = threadIdx.x; c < chunks; c += kChunkThreads) sum += part[q.quotient * chunks + c];
    const T dot = static_cast<T>(block_reduce(sum, Sum(), 0.0, cells));
    const int64_t first = q.rest * kChunk<T>, last = first + kChunk<T> < n ? first + kChunk<T> : n;
    const int64_t line = q.quotient * n;
#pragma unroll 4
    for (int64_t i = line + first + threadIdx.x; i < line + last; i += kChunkThreads)
      dx[i] = gradient<kLog>(dy[i], y[i], dot);
  }
}

template <class T, bool kLog>
__global__ void __launch_bounds__(kColumnThreads, 1) gradient_columns(T* dx, const T* dy, const T* y, Columns c) {
  __shared__ T cells[kColumnThreads];
  const int column = static_cast<int>(threadIdx.x) & (c.across - 1), row = static_cast<int>(threadIdx.x) / c.across;
  const int64_t down = kColumnThreads / c.across, strips = (c.inner + c.across - 1) / c.across;
  for (int64_t t = blockIdx.x; t < c.outer * strips; t += gridDim.x) {
    const Quotient q = divide(t, strips);
    const int64_t j = q.rest * c.across + column, n = j < c.inner ? c.n : 0;
    const int64_t base = q.quotient * c.n * c.inner + j;
    T dot = 0;
#pragma unroll 4
    for (int64_t i = row; i < n; i += down) {
      const int64_t at = base + i * c.inner;
      dot += kLog ? dy[at] : dy[at] * y[at];
    }
    dot = column_reduce(dot, Sum(), cells, c.across);
#pragma unroll 4
    for (int64_t i = row; i < n; i += down) {
      const int64_t at = base + i * c.inner;
      dx[at] = gradient<kLog>(dy[at], y[at], dot);
    }
  }
}

// --- launchers ----------------------------------------------------------------------------------------------------

inline unsigned blocks_for(int64_t tasks) { return static_cast<unsigned>(tasks < (1 << 20) ? tasks : 1 << 20); }
Columns columns_of(int64_t outer, int64_t n, int64_t inner) {
  return {outer, n, inner, block_across(inner, n, kColumnThreads)};
}
unsigned column_blocks(const Columns& c) { return blocks_for(c.outer * ((c.inner + c.across - 1) / c.across)); }

template <class T, bool kLog>
void forward(T* y, const T* x, int64_t outer, int64_t n, int64_t inner) {
  if (inner > 1) {
    const Columns c = columns_of(outer, n, inner);
    return run(&softmax_columns<T, kLog>, column_blocks(c), kColumnThreads, 0, y, x, c);
  }
  const bool short_lines = with_team<T, 8>(n, [&](auto packs, int lanes, auto block) {
    constexpr int K = decltype(packs)::value;
    constexpr bool kBlock = decltype(block)::value;
    const TeamGrid g = team_grid(outer, lanes, kBlock);
    run(&softmax_rows<T, kLog, K, kBlock>, g.grid, g.block, 0, y, x, outer, static_cast<int>(n), lanes);
  });
  if (short_lines) return;
  const int64_t chunks = (n + kChunk<T> - 1) / kChunk<T>, tasks = outer * chunks;
  const Scratch scratch(tasks * static_cast<int64_t>(sizeof(Part)));
  Part* part = scratch.as<Part>();
  run(&chunk_parts<T>, blocks_for(tasks), kChunkThreads, 0, part, x, n, chunks, tasks);
  run(&chunk_results<T, kLog>, blocks_for(tasks), kChunkThreads, 0, y, x, part, n, chunks, tasks);
}

template <class T, bool kLog>
void backward(T* dx, const T* dy, const T* y, int64_t outer, int64_t n, int64_t inner) {
  if (inner > 1) {
    const Columns c = columns_of(outer, n, inner);
    return run(&gradient_columns<T, kLog>, column_blocks(c), kColumnThreads, 0, dx, dy, y, c);
  }
  // Two arrays in registers: half as many elements.
  const bool short_lines = with_team<T, 4>(n, [&](auto packs, int lanes, auto block) {
    constexpr int K = decltype(packs)::value;
    constexpr bool kBlock = decltype(block)::value;
    const TeamGrid g = team_grid(outer, lanes, kBlock);
    run(&gradient_rows<T, kLog, K, kBlock>, g.grid, g.block, 0, dx, dy, y, outer, static_cast<int>(n), lanes);
  });
  if (short_lines) return;
  const int64_t chunks = (n + kChunk<T> - 1) / kChunk<T>, tasks = outer * chunks;
  const Scratch scratch(tasks * static_cast<int64_t>(sizeof(double)));
  double* part = scratch.as<double>();
  run(&chunk_dots<T, kLog>, blocks_for(tasks), kChunkThreads, 0, part, dy, y, n, chunks, tasks);
  run(&chunk_gradients<T, kLog>, blocks_for(tasks), kChunkThreads, 0, dx, dy, y, part, n, chunks, tasks);
}

}  // namespace

void softmax_forward(int type, bool log, void* y, const void* x, int64_t outer, int64_t n, int64_t inner, double*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    (log ? &forward<T, true> : &forward<T, false>)(static_cast<T*>(y), static_cast<const T*>(x), outer, n, inner);
  });
}
void softmax_backward(int type, bool log, void* dx, const void* dy, const void* y, int64_t outer, int64_t n,
                      int64_t inner, double*) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    (log ? &backward<T, true> : &backward<T, false>)(static_cast<T*>(dx), static_cast<const T*>(dy),
                                                     static_cast<const T*>(y), outer, n, inner);
  });
}

}  // namespace cuda
}  // namespace fastnn
