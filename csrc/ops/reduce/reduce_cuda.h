// The kernels of every reduction on a device, around a reducer R (a plain struct):
//   R::Elem, R::Local, R::State  element of x; what a thread knows of the elements that it added up; what is known of a
//                                part of the reduced elements
//   Local local(int64_t out)     of no elements of output `out`
//   void add(Local& a, Elem v, int64_t i)             v is reduced element i
//   State lift(const Local& a)
//   State identity()
//   void combine(State& s, const State& b)
//   void finish(int64_t out, const State& s)          writes output `out`
// Reducers of two inputs have R::Value for what fetch(x, offset) reads in place of an Elem, and go down columns only.
//
// The tree of a fold is fixed by the number of reduced elements and the layout: a thread adds up at most 64 elements,
// then threads are combined as a binary tree, then the parts of a long run in the same way. Runs are read 16 bytes a
// thread, columns a warp side by side.
#pragma once

#include "cuda/divide.h"
#include "cuda/pack.h"
#include "ops/reduce/reduce_kernels.h"

namespace fastnn {
namespace cuda {

/// Axes from the outermost to the innermost, with the strides of two operands.
struct ReduceAxes {
  int32_t rank;
  int64_t size[kMaxRank], x[kMaxRank], y[kMaxRank];
};
struct ReduceJob {
  ReduceAxes kept, red;
  int64_t outputs, n, y_start;
  int64_t chunk, chunks;  // n is cut into `chunks` runs of `chunk`
  int64_t width;          // columns: of the innermost kept axis
  bool packed;            // the reduced elements lie together
};

namespace {

constexpr int kReduceThreads = 256;
constexpr int64_t kRun = 8192;        // elements of a block in rows
constexpr int64_t kWarpRun = 1024;    // elements that are a warp's work
constexpr int64_t kColumnRun = 256;   // rows of a block in columns
constexpr int64_t kColumnMost = 512;  // rows that are not cut

struct Place {
  int64_t x, y;
};
__device__ inline Place place_of(const ReduceAxes& a, int64_t index) {
  Place p{0, 0};
  for (int i = a.rank - 1; i > 0; --i) {
    const Quotient q = divide(index, a.size[i]);
    p.x += q.rest * a.x[i];
    p.y += q.rest * a.y[i];
    index = q.quotient;
  }
  if (a.rank > 0) p.x += index * a.x[0], p.y += index * a.y[0];
  return p;
}
__device__ inline int64_t offset_of(const ReduceAxes& a, int64_t index) {
  if (a.rank == 1) return index * a.x[0];
  return place_of(a, index).x;
}

/// Reduced elements [first, last) of the output whose input starts at x, as far as they are those of this lane.
template <class R>
__device__ inline typename R::State fold_run(const R& r, const typename R::Elem* x, const ReduceJob& j, int64_t first,
                                             int64_t last, int lane, int lanes, int64_t out) {
  typedef typename R::Elem T;
  constexpr int V = kPack<T>;
  typename R::Local a = r.local(out);
  const int64_t step = static_cast<int64_t>(lanes) * V;
  int64_t i = first + static_cast<int64_t>(lane) * V;
  if constexpr (V > 1) {
    if (j.packed && aligned<V>(x)) {
#pragma unroll 4
      for (; i + V <= last; i += step) {
        const Pack<T, V> v = as_pack<T, V>(x + i);
#pragma unroll
        for (int k = 0; k < V; ++k) r.add(a, v.v[k], i + k);
      }
    } else if (j.packed) {
#pragma unroll 1
      for (; i + V <= last; i += step) {
#pragma unroll
        for (int k = 0; k < V; ++k) r.add(a, x[i + k], i + k);
      }
    }
  }
#pragma unroll 1
  for (; i < last; i += step)
#pragma unroll 1
    for (int k = 0; k < V && i + k < last; ++k) r.add(a, x[offset_of(j.red, i + k)], i + k);
  return r.lift(a);
}

/// `lanes` (a power of two, at most 32) threads for each output.
template <class R>
__global__ void reduce_lanes(R r, ReduceJob j, const typename R::Elem* x, int lanes) {
  const int lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const int64_t step = thread_count() / lanes, rounds = (j.outputs + step - 1) / step;
  int64_t o = thread_index() / lanes;
  for (int64_t k = 0; k < rounds; ++k, o += step) {
    typename R::State s = r.identity();
    int64_t out = 0;
    if (o < j.outputs) {
      const Place p = place_of(j.kept, o);
      out = j.y_start + p.y;
      s = fold_run(r, x + p.x, j, 0, j.n, lane, lanes, out);
    }
    for (int with = lanes / 2; with > 0; with /= 2) r.combine(s, shuffle_xor(s, with));
    if (lane == 0 && o < j.outputs) r.finish(out, s);
  }
}

/// A block for each run of `chunk` elements of an output; its state goes to part[output][chunk], or is finished.
template <class R>
__global__ void __launch_bounds__(kReduceThreads, 4)
    reduce_blocks(R r, ReduceJob j, const typename R::Elem* x, typename R::State* part) {
  typedef typename R::State State;
  __shared__ State cells[kReduceThreads / kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int64_t t = blockIdx.x; t < j.outputs * j.chunks; t += gridDim.x) {
    const Quotient q = divide(t, j.chunks);
    const Place p = place_of(j.kept, q.quotient);
    const int64_t out = j.y_start + p.y, first = q.rest * j.chunk;
    const int64_t last = first + j.chunk < j.n ? first + j.chunk : j.n;
    State s = fold_run(r, x + p.x, j, first, last, static_cast<int>(threadIdx.x), kReduceThreads, out);
    for (int with = kWarp / 2; with > 0; with /= 2) r.combine(s, shuffle_xor(s, with));
    if (lane == 0) cells[warp] = s;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 1; w < kReduceThreads / kWarp; ++w) r.combine(s, cells[w]);
      if (part)
        part[t] = s;
      else
        r.finish(out, s);
    }
    __syncthreads();
  }
}

/// Columns side by side, `across` (a power of two) of them and kReduceThreads / across rows in a block.
template <class R>
__global__ void __launch_bounds__(kReduceThreads, 4)
    reduce_columns(R r, ReduceJob j, const typename R::Elem* x, typename R::State* part, int across) {
  typedef typename R::State State;
  __shared__ State cells[kReduceThreads];
  const int column = static_cast<int>(threadIdx.x) & (across - 1), row = static_cast<int>(threadIdx.x) / across;
  const int down = kReduceThreads / across;
  const int64_t strips = (j.width + across - 1) / across, tiles = j.outputs / j.width * j.chunks * strips;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const Quotient strip = divide(t, strips), chunk = divide(strip.quotient, j.chunks);
    const int64_t at = strip.rest * across + column, first = chunk.rest * j.chunk;
    const int64_t last = first + j.chunk < j.n ? first + j.chunk : j.n;
    State s = r.identity();
    int64_t o = 0, out = 0;
    if (at < j.width) {
      o = chunk.quotient * j.width + at;
      const Place p = place_of(j.kept, o);
      out = j.y_start + p.y;
      typename R::Local a = r.local(out);
      const typename R::Elem* from = x + p.x;
      if (j.red.rank == 1) {
        const int64_t pitch = j.red.x[0];
#pragma unroll 4
        for (int64_t i = first + row; i < last; i += down) r.add(a, r.fetch(from, i * pitch), i);
      } else {
#pragma unroll 1
        for (int64_t i = first + row; i < last; i += down) r.add(a, r.fetch(from, offset_of(j.red, i)), i);
      }
      s = r.lift(a);
    }
    cells[threadIdx.x] = s;
    __syncthreads();
    for (int half = down / 2; half > 0; half /= 2) {
      if (row < half) r.combine(cells[threadIdx.x], cells[threadIdx.x + static_cast<unsigned>(half * across)]);
      __syncthreads();
    }
    if (row == 0 && at < j.width) {
      if (part)
        part[o * j.chunks + chunk.rest] = cells[threadIdx.x];
      else
        r.finish(out, cells[threadIdx.x]);
    }
    __syncthreads();
  }
}

/// The parts of a reduction as a reduction of its own.
template <class R>
struct Parts {
  typedef typename R::State Elem;
  typedef typename R::State Local;
  typedef typename R::State State;
  R r;
  __device__ Local local(int64_t) const { return r.identity(); }
  __device__ void add(Local& a, const Elem& v, int64_t) const { r.combine(a, v); }
  __device__ State lift(const Local& a) const { return a; }
  __device__ State identity() const { return r.identity(); }
  __device__ void combine(State& s, const State& b) const { r.combine(s, b); }
  __device__ void finish(int64_t out, const State& s) const { r.finish(out, s); }
};

inline unsigned blocks_for(int64_t tiles) { return static_cast<unsigned>(tiles < (1 << 20) ? tiles : 1 << 20); }

template <class R>
void reduce_parts(const R& r, const ReduceJob& job, const typename R::State* part) {
  ReduceJob j = job;
  j.red = ReduceAxes{};
  j.red.rank = 1;
  j.red.size[0] = j.n = j.chunk = job.chunks;
  j.red.x[0] = 1;
  j.chunks = 1;
  j.packed = false;
  int64_t step = job.chunks;
  for (int i = j.kept.rank - 1; i >= 0; --i) {
    j.kept.x[i] = step;
    step *= j.kept.size[i];
  }
  if (j.n > 8 * kWarp) {
    run(&reduce_blocks<Parts<R>>, blocks_for(j.outputs), kReduceThreads, 0, Parts<R>{r}, j, part, nullptr);
  } else {
    const int lanes = power_of_two(j.n, kWarp);
    run(&reduce_lanes<Parts<R>>, grid_for(j.outputs, kReduceThreads / lanes), kReduceThreads, 0, Parts<R>{r}, j, part,
        lanes);
  }
}

inline ReduceJob job_of(const ReduceLoop& loop) {
  ReduceJob j{};  // no word left over from the stack: arguments are compared and searched
  j.kept.rank = loop.kept_rank;
  j.red.rank = loop.red_rank;
  for (int i = 0; i < loop.kept_rank; ++i)
    j.kept.size[i] = loop.kept_size[i], j.kept.x[i] = loop.kept_x[i], j.kept.y[i] = loop.kept_y[i];
  for (int i = 0; i < loop.red_rank; ++i) j.red.size[i] = loop.red_size[i], j.red.x[i] = loop.red_x[i];
  j.outputs = loop.outputs;
  j.n = j.chunk = loop.n;
  j.y_start = loop.y_start;
  j.chunks = 1;
  return j;
}

template <class R>
void reduce_job_columns(const R& r, const typename R::Elem* x, ReduceJob j) {
  if (j.outputs == 0) return;
  j.width = j.kept.size[j.kept.rank - 1];
  // Few rows: more columns in a block, so that no thread is without work.
  int across = power_of_two(j.width, kReduceThreads);
  while (across > kWarp && kReduceThreads / across < j.n) across /= 2;
  if (j.n > kColumnMost) {
    j.chunk = kColumnRun;
    j.chunks = (j.n + kColumnRun - 1) / kColumnRun;
  }
  const int64_t tiles = j.outputs / j.width * j.chunks * ((j.width + across - 1) / across);
  const Scratch scratch(j.chunks > 1 ? j.outputs * j.chunks * static_cast<int64_t>(sizeof(typename R::State)) : 0);
  auto* part = j.chunks > 1 ? scratch.as<typename R::State>() : nullptr;
  run(&reduce_columns<R>, blocks_for(tiles), kReduceThreads, 0, r, j, x, part, across);
  if (part) reduce_parts(r, j, part);
}

template <class R>
void reduce_job_rows(const R& r, const typename R::Elem* x, ReduceJob j) {
  constexpr int64_t V = kPack<typename R::Elem>;
  j.packed = j.red.rank == 1 && j.red.x[0] == 1;
  if (j.n <= kWarpRun) {
    const int lanes = power_of_two((j.n + V - 1) / V, kWarp);
    run(&reduce_lanes<R>, grid_for(j.outputs, kReduceThreads / lanes), kReduceThreads, 0, r, j, x, lanes);
    return;
  }
  if (j.n > kRun) {
    j.chunk = kRun;
    j.chunks = (j.n + kRun - 1) / kRun;
  }
  const Scratch scratch(j.chunks > 1 ? j.outputs * j.chunks * static_cast<int64_t>(sizeof(typename R::State)) : 0);
  auto* part = j.chunks > 1 ? scratch.as<typename R::State>() : nullptr;
  run(&reduce_blocks<R>, blocks_for(j.outputs * j.chunks), kReduceThreads, 0, r, j, x, part);
  if (part) reduce_parts(r, j, part);
}

/// The columns of `outer` matrices of rows x cols elements; output o * cols + j.
inline ReduceJob columns_job(int64_t outer, int64_t rows, int64_t cols) {
  ReduceJob j{};
  j.kept.rank = 2;
  j.kept.size[0] = outer, j.kept.x[0] = rows * cols, j.kept.y[0] = cols;
  j.kept.size[1] = cols, j.kept.x[1] = 1, j.kept.y[1] = 1;
  j.red.rank = 1;
  j.red.size[0] = rows, j.red.x[0] = cols;
  j.outputs = outer * cols;
  j.n = j.chunk = rows;
  j.chunks = 1;
  return j;
}

/// The whole reduction of x.
template <class R>
void reduce_all(const R& r, const void* x, const ReduceLoop& loop) {
  if (loop.outputs == 0) return;
  const ReduceJob j = job_of(loop);
  const auto* from = static_cast<const typename R::Elem*>(x) + loop.x_start;
  if (loop.columns && loop.n > 0)
    reduce_job_columns(r, from, j);
  else
    reduce_job_rows(r, from, j);
}

/// What reducers of one input have in common.
template <class T>
struct OneInput {
  typedef T Elem;
  __device__ T fetch(const T* x, int64_t offset) const { return x[offset]; }
};

}  // namespace
}  // namespace cuda
}  // namespace fastnn
