#include "cuda/cuda.h"
#include "cuda/divide.h"
#include "cuda/order.h"
#include "cuda/pack.h"
#include "cuda/runs.h"
#include "ops/index/index.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256, kCheckThreads = 1024;

// --- checks -------------------------------------------------------------------------------------------------------

// One block for 65536 indices. T: what each of them does, returning whether it is out of range.
template <class F>
__global__ void __launch_bounds__(kCheckThreads) check_block(BadIndex* bad, const int64_t* index, int64_t n, F f) {
  __shared__ int64_t cells[kWarp];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kIndexGrain;
  const int64_t end = begin + kIndexGrain < n ? begin + kIndexGrain : n;
  int64_t first = INT64_MAX;
  for (int64_t b = begin + threadIdx.x; b < end; b += blockDim.x)
    if (f(b, index[b]) && b < first) first = b;
  first = block_reduce(first, Min(), static_cast<int64_t>(INT64_MAX), cells);
  if (threadIdx.x == 0) bad[blockIdx.x] = first == INT64_MAX ? BadIndex{0, 0} : BadIndex{1, index[first]};
}

struct ToOffset {
  int64_t *offsets, size, stride;
  bool accumulate;
  __device__ bool operator()(int64_t b, int64_t i) const {
    if (i < 0) i += size;
    const bool outside = i < 0 || i >= size;
    offsets[b] = (accumulate ? offsets[b] : 0) + (outside ? 0 : i * stride);
    return outside;
  }
};
struct Outside {
  int64_t low, high;
  __device__ bool operator()(int64_t, int64_t i) const { return i < low || i >= high; }
};

template <class F>
void check_all(BadIndex* bad, const int64_t* index, int64_t n, const F& f) {
  const int64_t blocks = (n + kIndexGrain - 1) / kIndexGrain;
  run(&check_block<F>, static_cast<unsigned>(blocks), kCheckThreads, 0, bad, index, n, f);
}

// --- reading and writing --------------------------------------------------------------------------------------------

int64_t count(const IndexLoop& loop, int group) {
  int64_t n = 1;
  for (int i = 0; i < loop.rank[group]; ++i) n *= loop.shape[group][i];
  return n;
}

// Elements of x and y of the flat position `at` in a group of axes, the last `skip` left out.
template <class I>
__device__ inline void locate(const IndexLoop& loop, int group, int skip, I at, int64_t& x, int64_t& y) {
  for (int i = loop.rank[group] - 1 - skip; i >= 0; --i) {
    const I size = static_cast<I>(loop.shape[group][i]);
    const I k = i == 0 ? at : at % size;
    if (i > 0) at /= size;
    x += static_cast<int64_t>(k) * loop.x_strides[group][i];
    y += static_cast<int64_t>(k) * loop.y_strides[group][i];
  }
}

// The same access in units of `unit` bytes: wider than an element where all runs are dense and aligned.
int in_units(IndexLoop& loop, const void* x, const void* y, int64_t itemsize) {
  const int last = loop.rank[1] - 1;
  if (last < 0 || loop.x_strides[1][last] != 1 || loop.y_strides[1][last] != 1) return static_cast<int>(itemsize);
  uint64_t all = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y);
  const auto add = [&](int64_t elements) { all |= static_cast<uint64_t>(elements * itemsize); };
  add(loop.y_step), add(loop.step), add(loop.shape[1][last]);
  for (int g = 0; g < 2; ++g)
    for (int i = 0; i < loop.rank[g]; ++i)
      if (g == 0 || i < last) add(loop.x_strides[g][i]), add(loop.y_strides[g][i]);
  const int unit = unit_of(all);
  if (unit <= itemsize) return static_cast<int>(itemsize);
  const auto scale = [&](int64_t& elements) { elements = elements * itemsize / unit; };
  scale(loop.y_step), scale(loop.shape[1][last]);
  for (int g = 0; g < 2; ++g)
    for (int i = 0; i < loop.rank[g]; ++i)
      if (g == 0 || i < last) scale(loop.x_strides[g][i]), scale(loop.y_strides[g][i]);
  return unit;
}

template <class I>
struct Access {
  IndexLoop loop;
  Divider<I> length, outer, n;  // of a run, runs, positions
  int64_t x_step, y_step;
  int itemsize, unit;

  explicit Access(const IndexLoop& l, int64_t item, int u) : loop(l), itemsize(static_cast<int>(item)), unit(u) {
    const int last = l.rank[1] - 1;
    const int64_t run = last < 0 ? 1 : l.shape[1][last];
    length = Divider<I>(run);
    outer = Divider<I>(count(l, 1) / (run ? run : 1));
    n = Divider<I>(l.n);
    x_step = last < 0 ? 1 : l.x_strides[1][last];
    y_step = last < 0 ? 1 : l.y_strides[1][last];
  }
};

// Winners, null: all positions are read, y = x. Else: x = y at the positions b = entries[k] (null: k) that are marked.
template <class U, class I, bool kWrite>
__global__ void move_elements(U* y, U* x, const int64_t* offsets, const uint8_t* stays, Access<I> a, I total) {
  for (int64_t e = thread_index(); e < static_cast<int64_t>(total); e += thread_count()) {
    I at = static_cast<I>(e);
    const int64_t i = split(at, a.length);
    const I q = split(at, a.outer);
    const int64_t b = split(at, a.n);
    if (kWrite && !stays[b]) continue;
    int64_t to_x = offsets[b] * a.itemsize / a.unit + i * a.x_step, to_y = b * a.loop.y_step + i * a.y_step;
    locate(a.loop, 0, 0, at, to_x, to_y);
    if (a.outer.d > 1) locate(a.loop, 1, 1, q, to_x, to_y);
    if (kWrite)
      x[to_x] = y[to_y];
    else
      y[to_y] = x[to_x];
  }
}

template <bool kWrite>
void move(void* y, void* x, const int64_t* offsets, const uint8_t* stays, int64_t itemsize, IndexLoop loop) {
  const int unit = in_units(loop, x, y, itemsize);
  const int64_t total = count(loop, 0) * loop.n * count(loop, 1);
  if (total == 0) return;
  with_unit(unit, [&](auto* tag) {
    using U = decltype(of(tag));
    with_index(total, [&](auto* index_tag) {
      using I = decltype(of(index_tag));
      run(&move_elements<U, I, kWrite>, grid_for(total, kThreads), kThreads, 0, static_cast<U*>(y), static_cast<U*>(x),
          offsets, stays, Access<I>(loop, itemsize, unit), static_cast<I>(total));
    });
  });
}

// --- several positions for one place --------------------------------------------------------------------------------

constexpr int64_t kFew = 32;  // positions that are compared with each other, without sorting

template <class K>
__global__ void fill_keys(K* keys, const int64_t* offsets, int64_t n, int64_t low, int64_t step) {
  for (int64_t b = thread_index(); b < n; b += thread_count()) keys[b] = static_cast<K>((offsets[b] - low) / step);
}
template <class K>
void order_places(Order<K>& order, const int64_t* offsets, const IndexLoop& loop) {
  run(&fill_keys<K>, grid_for(loop.n, kThreads), kThreads, 0, order.keys(), offsets, loop.n, loop.low, loop.step);
  order.sort(bits_of(static_cast<uint64_t>(loop.places - 1)));
}

// stays[b]: no later position has the same offset.
__global__ void mark_few(uint8_t* stays, const int64_t* offsets, int64_t n) {
  for (int64_t b = thread_index(); b < n; b += thread_count()) {
    bool last = true;
    for (int64_t later = b + 1; later < n; ++later) last = last && offsets[later] != offsets[b];
    stays[b] = last;
  }
}
template <class K>
__global__ void mark_last(uint8_t* stays, const K* keys, const int32_t* entries, int64_t n) {
  for (int64_t k = thread_index(); k < n; k += thread_count()) stays[entries[k]] = k + 1 == n || keys[k + 1] != keys[k];
}

// Positions one after another: a thread for every element that a position has.
template <class T>
__global__ void add_few(T* x, const T* y, const int64_t* offsets, IndexLoop loop, int64_t after, int64_t columns) {
  for (int64_t e = thread_index(); e < columns; e += thread_count()) {
    int64_t to = 0, from = 0;
    locate(loop, 0, 0, e / after, to, from);
    locate(loop, 1, 0, e % after, to, from);
    for (int64_t b = 0; b < loop.n; ++b) {
      T& sum = x[to + offsets[b]];
      sum = static_cast<T>(sum + y[from + b * loop.y_step]);
    }
  }
}

template <class T, class K>
struct AddSource {
  using Sum = T;
  struct Column {
    int64_t x, y;
  };
  T* x;
  const T* y;
  const K* keys;
  const int32_t* entries;
  IndexLoop loop;
  int64_t after;

  __device__ int64_t place(int64_t k) const { return static_cast<int64_t>(keys[k]); }
  __device__ Column column(int64_t q) const {
    Column c{loop.low, 0};
    locate(loop, 0, 0, q / after, c.x, c.y);
    locate(loop, 1, 0, q % after, c.x, c.y);
    return c;
  }
  __device__ T value(int64_t k, const Column& c) const { return y[c.y + entries[k] * loop.y_step]; }
  __device__ void put(int64_t at, const Column& c, T sum) const {
    T& to = x[c.x + at * loop.step];
    to = static_cast<T>(to + sum);
  }
};

// --- overwritten values ---------------------------------------------------------------------------------------------

__global__ void clear_owners(int64_t* owner, const int64_t* offsets, int64_t n) {
  for (int64_t b = thread_index(); b < n; b += thread_count()) owner[offsets[b]] = -1;
}
__global__ void claim_places(int64_t* owner, const int64_t* offsets, int64_t n) {
  for (int64_t b = thread_index(); b < n; b += thread_count())
    atomicMax(reinterpret_cast<long long*>(owner + offsets[b]), static_cast<long long>(b));
}
template <class U>
__global__ void drop_values(U* dv, const int64_t* owner, const int64_t* offsets, int64_t n, int64_t after,
                            int64_t total) {
  for (int64_t e = thread_index(); e < total; e += thread_count()) {
    const int64_t b = e / after % n;
    if (owner[offsets[b]] != b) dv[e] = U();
  }
}

// --- elements that are not zero -------------------------------------------------------------------------------------

constexpr int kTile = 2048, kTiles = kIndexGrain / kTile;  // elements of a block, blocks of a count
static_assert(kTiles == kWarp, "a warp sums the tiles of a count");

// Elements [begin, begin + 8) of a thread: how many are not zero.
template <class T>
__device__ inline int count_own(const T* x, int64_t begin, int64_t n) {
  int found = 0;
  for (int i = 0; i < kTile / kThreads; ++i) found += begin + i < n && x[begin + i] != 0;
  return found;
}

template <class T>
__global__ void count_tiles(int32_t* counts, const T* x, int64_t n) {
  __shared__ int cells[kWarp];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTile;
  int found = 0;
  for (int i = threadIdx.x; i < kTile; i += kThreads) found += begin + i < n && x[begin + i] != 0;
  found = block_reduce(found, Sum(), 0, cells);
  if (threadIdx.x == 0) counts[blockIdx.x] = found;
}

// Tiles of a count together.
__global__ void sum_tiles(int64_t* counts, const int32_t* tiles, int64_t blocks, int64_t all) {
  for (int64_t t = thread_index(); t < blocks; t += thread_count()) {
    int64_t sum = 0;
    for (int64_t i = t * kTiles; i < (t + 1) * kTiles && i < all; ++i) sum += tiles[i];
    counts[t] = sum;
  }
}

template <class T>
__global__ void fill_positions(int64_t* out, const int64_t* start, const int32_t* tiles, const T* x, int64_t n) {
  __shared__ int64_t first;
  __shared__ int cells[kThreads / kWarp];
  const int64_t tile = blockIdx.x, group = tile / kTiles;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  if (warp == 0) {
    const int before = warp_reduce(group * kTiles + lane < tile ? tiles[group * kTiles + lane] : 0, Sum());
    if (lane == 0) first = start[group] + before;
  }
  constexpr int own = kTile / kThreads;
  const int64_t begin = tile * kTile + threadIdx.x * own;
  const int found = count_own(x, begin, n);
  int upto = found;
  for (int by = 1; by < kWarp; by *= 2) {
    const int other = __shfl_up_sync(kFullWarp, upto, by);
    if (lane >= by) upto += other;
  }
  if (lane == kWarp - 1) cells[warp] = upto;
  __syncthreads();
  int64_t to = first + upto - found;
  for (int w = 0; w < warp; ++w) to += cells[w];
  for (int i = 0; i < own; ++i)
    if (begin + i < n && x[begin + i] != 0) out[to++] = begin + i;
}

template <class T>
void tile_counts(int32_t* tiles, const T* x, int64_t n) {
  run(&count_tiles<T>, static_cast<unsigned>((n + kTile - 1) / kTile), kThreads, 0, tiles, x, n);
}

__global__ void unravel(int64_t* out, const int64_t* position, int64_t n, int64_t inner, int64_t size) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) out[i] = position[i] / inner % size;
}

}  // namespace

void index_offsets(int64_t* offsets, BadIndex* bad, const int64_t* index, int64_t n, int64_t size, int64_t stride,
                   bool accumulate) {
  check_all(bad, index, n, ToOffset{offsets, size, stride, accumulate});
}

void index_check(BadIndex* bad, const int64_t* index, int64_t n, int64_t low, int64_t high) {
  check_all(bad, index, n, Outside{low, high});
}

void index_get(void* y, const void* x, const int64_t* offsets, int64_t itemsize, const IndexLoop& loop) {
  move<false>(y, const_cast<void*>(x), offsets, nullptr, itemsize, loop);
}

void index_set(void* x, const void* y, const int64_t* offsets, int64_t itemsize, const IndexLoop& loop) {
  if (loop.n == 0) return;
  const Scratch stays(loop.n);
  uint8_t* const flags = stays.as<uint8_t>();
  if (loop.n <= kFew) {
    run(&mark_few, 1, kWarp, 0, flags, offsets, loop.n);
  } else {
    with_key(static_cast<uint64_t>(loop.places - 1), [&](auto* tag) {
      using K = decltype(of(tag));
      Order<K> order(loop.n);
      order_places(order, offsets, loop);
      run(&mark_last<K>, grid_for(loop.n, kThreads), kThreads, 0, flags, order.keys(), order.entries(), loop.n);
    });
  }
  move<true>(const_cast<void*>(y), x, offsets, flags, itemsize, loop);
}

void index_accumulate(void* x, const void* y, const int64_t* offsets, int type, const IndexLoop& loop) {
  const int64_t after = count(loop, 1), columns = count(loop, 0) * after;
  if (columns * loop.n == 0) return;
  with_type(type, [&](auto* tag) {
    using T = decltype(of(tag));
    T* const to = static_cast<T*>(x);
    const T* const from = static_cast<const T*>(y);
    if (loop.n <= kFew)
      return run(&add_few<T>, grid_for(columns, kThreads), kThreads, 0, to, from, offsets, loop, after, columns);
    with_key(static_cast<uint64_t>(loop.places - 1), [&](auto* key_tag) {
      using K = decltype(of(key_tag));
      Order<K> order(loop.n);
      order_places(order, offsets, loop);
      sum_runs(AddSource<T, K>{to, from, order.keys(), order.entries(), loop, after}, loop.n, columns);
    });
  });
}

void index_drop_overwritten(void* dv, int64_t* owner, const int64_t* offsets, int64_t n, int64_t before,
                            int64_t after_bytes) {
  const int unit = unit_of(reinterpret_cast<uintptr_t>(dv) | static_cast<uint64_t>(after_bytes));
  const int64_t after = after_bytes / unit, total = before * n * after;
  if (total == 0) return;
  run(&clear_owners, grid_for(n, kThreads), kThreads, 0, owner, offsets, n);
  run(&claim_places, grid_for(n, kThreads), kThreads, 0, owner, offsets, n);
  with_unit(unit, [&](auto* tag) {
    using U = decltype(of(tag));
    run(&drop_values<U>, grid_for(total, kThreads), kThreads, 0, static_cast<U*>(dv), owner, offsets, n, after, total);
  });
}

void nonzero_count(int64_t* counts, const void* x, int type, int64_t n) {
  const int64_t all = (n + kTile - 1) / kTile, blocks = (n + kIndexGrain - 1) / kIndexGrain;
  const Scratch tiles(all * 4);
  with_type(type, [&](auto* tag) {
    using T = decltype(of(tag));
    tile_counts(tiles.as<int32_t>(), static_cast<const T*>(x), n);
  });
  run(&sum_tiles, grid_for(blocks, kThreads), kThreads, 0, counts, tiles.as<int32_t>(), blocks, all);
}

void nonzero_fill(int64_t* out, const int64_t* start, const void* x, int type, int64_t n) {
  const int64_t all = (n + kTile - 1) / kTile;
  const Scratch tiles(all * 4);
  with_type(type, [&](auto* tag) {
    using T = decltype(of(tag));
    tile_counts(tiles.as<int32_t>(), static_cast<const T*>(x), n);
    run(&fill_positions<T>, static_cast<unsigned>(all), kThreads, 0, out, start, tiles.as<int32_t>(),
        static_cast<const T*>(x), n);
  });
}

void unravel_axis(int64_t* out, const int64_t* position, int64_t n, int64_t inner, int64_t size) {
  run(&unravel, grid_for(n, kThreads), kThreads, 0, out, position, n, inner, size);
}

}  // namespace cuda
}  // namespace fastnn
