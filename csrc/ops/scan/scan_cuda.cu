#include "cuda/divide.h"
#include "ops/scan/line.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kChunk = 8192;      // elements of a line that one block works on
constexpr int64_t kColumnRows = 256;  // rows of a column that one thread works on
constexpr int64_t kOneThread = 64;    // lines up to this long are a thread's work in the gradient

struct Product {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a * b;
  }
};

/// What comes before this thread among the threads of its block under op, and the whole; `cells`: 32 values.
template <class A, class Op>
__device__ inline A block_scan(A v, Op op, A none, A* cells, A* whole) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  for (int by = 1; by < kWarp; by *= 2) {
    const A before = __shfl_up_sync(kFullWarp, v, by);
    if (lane >= by) v = op(before, v);
  }
  const A shifted = __shfl_up_sync(kFullWarp, v, 1);
  if (lane == kWarp - 1) cells[warp] = v;
  __syncthreads();
  A before = none, all = none;
  for (int w = 0; w < warps; ++w) {
    if (w == warp) before = all;
    all = op(all, cells[w]);
  }
  __syncthreads();
  *whole = all;
  return lane == 0 ? before : op(before, shifted);
}

/// Lines of memory: elements [chunk * kChunk, ...) counted in the direction of the scan, from start[line][chunk] (null:
/// from nothing). y null: only the total, to totals[line][chunk].
template <class T, class Op>
__global__ void __launch_bounds__(kThreads)
    scan_chunks(T* y, const T* x, const typename Running<T>::type* start, typename Running<T>::type* totals,
                typename Running<T>::type none, bool reverse, int64_t lines, int64_t n, int64_t chunks) {
  typedef typename Running<T>::type A;
  constexpr int kEach = 4;
  __shared__ A cells[kWarp];
  for (int64_t t = blockIdx.x; t < lines * chunks; t += gridDim.x) {
    const Quotient q = divide(t, chunks);
    const T* in = x + q.quotient * n;
    T* out = y + q.quotient * n;
    const int64_t first = q.rest * kChunk, last = first + kChunk < n ? first + kChunk : n;
    A carry = start ? start[t] : none;
    for (int64_t tile = first; tile < last; tile += kThreads * kEach) {
      A v[kEach], own = none, whole;
#pragma unroll
      for (int k = 0; k < kEach; ++k) {
        const int64_t i = tile + static_cast<int64_t>(threadIdx.x) * kEach + k;
        v[k] = i < last ? static_cast<A>(in[reverse ? n - 1 - i : i]) : none;
        own = Op()(own, v[k]);
      }
      A a = Op()(carry, block_scan(own, Op(), none, cells, &whole));
      carry = Op()(carry, whole);
      if (!y) continue;
#pragma unroll
      for (int k = 0; k < kEach; ++k) {
        const int64_t i = tile + static_cast<int64_t>(threadIdx.x) * kEach + k;
        a = Op()(a, v[k]);
        if (i < last) out[reverse ? n - 1 - i : i] = static_cast<T>(a);
      }
    }
    if (totals && threadIdx.x == 0) totals[t] = carry;
  }
}

/// Short lines of memory: a warp for each.
template <class T, class Op>
__global__ void __launch_bounds__(kThreads)
    scan_short(T* y, const T* x, typename Running<T>::type none, bool reverse, int64_t lines, int64_t n) {
  typedef typename Running<T>::type A;
  const int lane = threadIdx.x % kWarp;
  for (int64_t line = thread_index() / kWarp; line < lines; line += thread_count() / kWarp) {
    A carry = none;
    for (int64_t tile = 0; tile < n; tile += kWarp) {
      const int64_t i = tile + lane, at = line * n + (reverse ? n - 1 - i : i);
      A v = i < n ? static_cast<A>(x[at]) : none;
      for (int by = 1; by < kWarp; by *= 2) {
        const A before = __shfl_up_sync(kFullWarp, v, by);
        if (lane >= by) v = Op()(before, v);
      }
      v = Op()(carry, v);
      if (i < n) y[at] = static_cast<T>(v);
      carry = __shfl_sync(kFullWarp, v, kWarp - 1);
    }
  }
}

/// Lines across memory: a thread for each run of kColumnRows rows of a column, else as scan_chunks; totals and start
/// are [outer][chunk][inner].
template <class T, class Op>
__global__ void scan_columns(T* y, const T* x, const typename Running<T>::type* start,
                             typename Running<T>::type* totals, typename Running<T>::type none, bool reverse,
                             int64_t outer, int64_t n, int64_t inner, int64_t chunks) {
  typedef typename Running<T>::type A;
  const int64_t rows = chunks > 1 ? kColumnRows : n;
  for (int64_t t = thread_index(); t < outer * chunks * inner; t += thread_count()) {
    const Quotient column = divide(t, inner), chunk = divide(column.quotient, chunks);
    const int64_t first = chunk.rest * rows, last = first + rows < n ? first + rows : n;
    const int64_t base = chunk.quotient * n * inner + column.rest;
    A a = start ? start[t] : none;
#pragma unroll 4
    for (int64_t i = first; i < last; ++i) {
      const int64_t at = base + (reverse ? n - 1 - i : i) * inner;
      a = Op()(a, static_cast<A>(x[at]));
      if (y) y[at] = static_cast<T>(a);
    }
    if (totals) totals[t] = a;
  }
}

/// Where every chunk starts, from the totals of the chunks; both [outer][chunks][inner], a block for each line.
template <class A, class Op>
__global__ void __launch_bounds__(kThreads)
    scan_totals(A* start, const A* totals, A none, int64_t lines, int64_t chunks, int64_t inner) {
  __shared__ A cells[kWarp];
  for (int64_t line = blockIdx.x; line < lines; line += gridDim.x) {
    const Quotient q = divide(line, inner);
    const int64_t base = q.quotient * chunks * inner + q.rest;
    A carry = none;
    for (int64_t tile = 0; tile < chunks; tile += kThreads) {
      const int64_t c = tile + threadIdx.x;
      A whole;
      const A v = c < chunks ? totals[base + c * inner] : none;
      const A before = block_scan(v, Op(), none, cells, &whole);
      if (c < chunks) start[base + c * inner] = Op()(carry, before);
      carry = Op()(carry, whole);
    }
  }
}

inline unsigned blocks_for(int64_t tasks) { return static_cast<unsigned>(tasks < (1 << 20) ? tasks : 1 << 20); }

template <class Op, class T>
void scan(T* y, const T* x, bool reverse, int64_t outer, int64_t n, int64_t inner) {
  typedef typename Running<T>::type A;
  const A none = std::is_same_v<Op, Product> ? 1 : 0, *whole = nullptr;
  A* no_totals = nullptr;
  T* no_result = nullptr;
  const int64_t lines = outer * inner;
  if (inner > 1) {
    const int64_t chunks = n > 4 * kColumnRows ? (n + kColumnRows - 1) / kColumnRows : 1, tasks = lines * chunks;
    if (chunks == 1)
      return run(&scan_columns<T, Op>, grid_for(tasks, kThreads), kThreads, 0, y, x, whole, no_totals, none, reverse,
                 outer, n, inner, chunks);
    const Scratch scratch(2 * tasks * static_cast<int64_t>(sizeof(A)));
    A *totals = scratch.as<A>(), *start = totals + tasks;
    run(&scan_columns<T, Op>, grid_for(tasks, kThreads), kThreads, 0, no_result, x, whole, totals, none, reverse, outer,
        n, inner, chunks);
    run(&scan_totals<A, Op>, blocks_for(lines), kThreads, 0, start, totals, none, lines, chunks, inner);
    run(&scan_columns<T, Op>, grid_for(tasks, kThreads), kThreads, 0, y, x, start, no_totals, none, reverse, outer, n,
        inner, chunks);
    return;
  }
  if (n <= kThreads * 2)
    return run(&scan_short<T, Op>, grid_for(lines, kThreads / kWarp), kThreads, 0, y, x, none, reverse, lines, n);
  const int64_t chunks = (n + kChunk - 1) / kChunk, tasks = lines * chunks;
  if (chunks == 1)
    return run(&scan_chunks<T, Op>, blocks_for(tasks), kThreads, 0, y, x, whole, no_totals, none, reverse, lines, n,
               chunks);
  const Scratch scratch(2 * tasks * static_cast<int64_t>(sizeof(A)));
  A *totals = scratch.as<A>(), *start = totals + tasks;
  run(&scan_chunks<T, Op>, blocks_for(tasks), kThreads, 0, no_result, x, whole, totals, none, reverse, lines, n,
      chunks);
  run(&scan_totals<A, Op>, blocks_for(lines), kThreads, 0, start, totals, none, lines, chunks, inner);
  run(&scan_chunks<T, Op>, blocks_for(tasks), kThreads, 0, y, x, start, no_totals, none, reverse, lines, n, chunks);
}

// --- the gradient of cumprod --------------------------------------------------------------------------------------

/// A thread for each line: short ones, and those across memory.
template <class T>
__global__ void prod_gradients(T* dx, const T* dy, const T* x, int64_t outer, int64_t n, int64_t inner) {
  for (int64_t line = thread_index(); line < outer * inner; line += thread_count()) {
    const Quotient q = divide(line, inner);
    const int64_t base = q.quotient * n * inner + q.rest;
    prod_gradient(dx + base, dy + base, x + base, n, inner);
  }
}

struct Smaller {
  __device__ long long operator()(long long a, long long b) const { return a < b ? a : b; }
};

/// The first zero of the line in [from, n), else n; in all threads of the block.
template <class T>
__device__ inline int64_t first_zero(const T* x, int64_t from, int64_t n, int64_t inner, long long* cells) {
  for (int64_t tile = from; tile < n; tile += kThreads) {
    const int64_t i = tile + threadIdx.x;
    const long long own = i < n && x[i * inner] == T(0) ? i : n;
    const long long at = block_reduce(own, Smaller(), static_cast<long long>(n), cells);
    if (at < n) return at;
  }
  return n;
}

/// A block for each line; a and b as in prod_gradient().
template <class T>
__global__ void __launch_bounds__(kThreads)
    prod_gradient_long(T* dx, const T* dy, const T* x, int64_t lines, int64_t n, int64_t inner) {
  __shared__ double cells[kWarp];
  __shared__ long long places[kWarp];
  for (int64_t line = blockIdx.x; line < lines; line += gridDim.x) {
    const Quotient q = divide(line, inner);
    const int64_t base = q.quotient * n * inner + q.rest;
    const T *v = x + base, *d = dy + base;
    T* out = dx + base;
    const int64_t a = first_zero(v, 0, n, inner, places);
    double product = 1, whole;
    for (int64_t tile = 0; tile < a; tile += kThreads) {
      const int64_t i = tile + threadIdx.x;
      const double own = i < a ? static_cast<double>(v[i * inner]) : 1.0;
      const double before = product * block_scan(own, Product(), 1.0, cells, &whole);
      if (i < a) out[i * inner] = static_cast<T>(before * own * d[i * inner]);
      product *= whole;
    }
    double carry = 0;  // of what lies behind the tile
    for (int64_t tile = (a + kThreads - 1) / kThreads * kThreads - kThreads; tile >= 0; tile -= kThreads) {
      const int64_t i = tile + kThreads - 1 - static_cast<int64_t>(threadIdx.x);  // written by another thread:
      __syncthreads();
      const double own = i < a ? static_cast<double>(out[i * inner]) : 0.0;
      const double before = carry + block_scan(own, Sum(), 0.0, cells, &whole);
      if (i < a) out[i * inner] = static_cast<T>((before + own) / v[i * inner]);
      carry += whole;
    }
    if (a == n) continue;
    const int64_t b = first_zero(v, a + 1, n, inner, places);
    double sum = threadIdx.x == 0 ? product * d[a * inner] : 0.0;
    for (int64_t tile = a + 1; tile < b && product != 0; tile += kThreads) {
      const int64_t i = tile + threadIdx.x;
      const double own = i < b ? static_cast<double>(v[i * inner]) : 1.0;
      const double upto = product * block_scan(own, Product(), 1.0, cells, &whole) * own;
      if (i < b && upto != 0) sum += upto * d[i * inner];
      product *= whole;
    }
    sum = block_reduce(sum, Sum(), 0.0, cells);
    for (int64_t i = a + threadIdx.x; i < n; i += kThreads) out[i * inner] = i == a ? static_cast<T>(sum) : T(0);
  }
}

}  // namespace

void scan_lines(int type, bool product, bool reverse, void* y, const void* x, int64_t outer, int64_t n, int64_t inner,
                void*) {
  const auto lines = [&](auto* tag) {
    typedef decltype(of(tag)) T;
    if (product)
      scan<Product>(static_cast<T*>(y), static_cast<const T*>(x), reverse, outer, n, inner);
    else
      scan<Sum>(static_cast<T*>(y), static_cast<const T*>(x), reverse, outer, n, inner);
  };
  if (type == 3)
    lines(static_cast<int64_t*>(nullptr));
  else
    with_float(type, lines);
}

void scan_prod_backward(int type, void* dx, const void* dy, const void* x, int64_t outer, int64_t n, int64_t inner) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    const int64_t lines = outer * inner;
    T* out = static_cast<T*>(dx);
    const T *d = static_cast<const T*>(dy), *v = static_cast<const T*>(x);
    if (n <= kOneThread || (inner >= kWarp && lines >= 64 * kThreads))
      run(&prod_gradients<T>, grid_for(lines, kThreads), kThreads, 0, out, d, v, outer, n, inner);
    else
      run(&prod_gradient_long<T>, blocks_for(lines), kThreads, 0, out, d, v, lines, n, inner);
  });
}

}  // namespace cuda
}  // namespace fastnn
