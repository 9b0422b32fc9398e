// Sorting lines of items, each a key with its index: a line that fits is sorted in shared memory by a bitonic network,
// a longer one is cut into tiles that are sorted so and then merged. No two items are equal, so the order is the stable
// one.
#pragma once

#include "cuda/divide.h"

namespace fastnn {
namespace cuda {
namespace {

// --- keys: unsigned integers in the order of the elements, every NaN the largest ------------------------------------

__device__ inline uint32_t key_of(float x) {
  if (x != x) return UINT32_MAX;
  const uint32_t u = x == 0 ? 0 : __float_as_uint(x);
  return u >> 31 ? ~u : u | 0x80000000u;
}
__device__ inline uint64_t key_of(double x) {
  if (x != x) return UINT64_MAX;
  const uint64_t u = x == 0 ? 0 : static_cast<uint64_t>(__double_as_longlong(x));
  return u >> 63 ? ~u : u | UINT64_C(0x8000000000000000);
}
__device__ inline uint32_t key_of(uint8_t x) { return x; }
__device__ inline uint32_t key_of(int32_t x) { return static_cast<uint32_t>(x) ^ 0x80000000u; }
__device__ inline uint64_t key_of(int64_t x) { return static_cast<uint64_t>(x) ^ UINT64_C(0x8000000000000000); }

/// A 32-bit key and an index below 2^32 - 1 share one integer, which compares as the pair does.
struct Narrow {
  static constexpr int kTile = 4096, kEach = 4;  // items of a block: 32 KB; and of a thread
  uint64_t bits;
  static __device__ Narrow make(uint32_t key, int64_t i) {
    return {static_cast<uint64_t>(key) << 32 | static_cast<uint64_t>(i)};
  }
  static __device__ Narrow last() { return {UINT64_MAX}; }
  __device__ int64_t index() const { return static_cast<int64_t>(bits & UINT32_MAX); }
  __device__ bool operator<(const Narrow& o) const { return bits < o.bits; }
};
struct Wide {
  static constexpr int kTile = 2048, kEach = 4;
  uint64_t key;
  int64_t at;
  static __device__ Wide make(uint64_t key, int64_t i) { return {key, i}; }
  static __device__ Wide last() { return {UINT64_MAX, INT64_MAX}; }
  __device__ int64_t index() const { return at; }
  __device__ bool operator<(const Wide& o) const { return key < o.key || (key == o.key && at < o.at); }
};

// --- where items come from and go to --------------------------------------------------------------------------------

struct SortJob {
  int64_t n, inner, k, pick;
  bool descending, nan_wins;
};

/// Elements of row-major x [outer, n, inner], lines counted from `first`.
template <class T, class I>
struct FromElements {
  const T* x;
  SortJob job;
  int64_t first;
  __device__ I get(int64_t line, int64_t i) const {
    const Quotient q = divide(first + line, job.inner);
    const auto key = key_of(x[(q.quotient * job.n + i) * job.inner + q.rest]);
    return I::make(job.descending ? ~key : key, i);
  }
};
template <class I>
struct FromItems {
  const I* items;
  int64_t n;
  __device__ I get(int64_t line, int64_t i) const { return items[line * n + i]; }
};

/// The first k of every line, or the one at `pick`.
template <class T, class I>
struct ToResult {
  T* value;
  int64_t* index;
  const T* x;
  SortJob job;
  int64_t first;
  __device__ void put(int64_t line, int64_t, int64_t j, const I& item) const {
    if (job.pick >= 0 ? j != job.pick : j >= job.k) return;
    const Quotient q = divide(first + line, job.inner);
    const int64_t to = (q.quotient * job.k + (job.pick >= 0 ? 0 : j)) * job.inner + q.rest, at = item.index();
    index[to] = at;
    if (value) value[to] = x[(q.quotient * job.n + at) * job.inner + q.rest];
  }
};
/// The first `keep` of every tile, [line][tile][keep]; where the tiles are whole lines of n, [line][n].
template <class I>
struct ToItems {
  I* items;
  int64_t keep, pitch;
  __device__ void put(int64_t line, int64_t tile, int64_t j, const I& item) const {
    if (j < keep && tile * keep + j < pitch) items[line * pitch + tile * keep + j] = item;
  }
};

// --- kernels --------------------------------------------------------------------------------------------------------

/// Each tile of `size` (a power of two) items of lines of n in order; `together` tiles in a block.
template <class I, class From, class To>
__global__ void __launch_bounds__(I::kTile / I::kEach, 1)
    sort_tiles(From from, To to, int64_t lines, int64_t n, int64_t tiles, int size, int together, bool across) {
  FASTNN_SHARED(I, items);
  const int all = size * together, threads = static_cast<int>(blockDim.x);
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * together; first < lines * tiles;
       first += static_cast<int64_t>(gridDim.x) * together) {
    // Where lines lie across memory, neighbouring threads read neighbouring lines.
    for (int t = static_cast<int>(threadIdx.x); t < all; t += threads) {
      const int tile = across ? t % together : t / size, i = across ? t / together : t % size;
      const Quotient q = divide(first + tile, tiles);
      const int64_t at = q.rest * size + i;
      items[tile * size + i] = q.quotient < lines && at < n ? from.get(q.quotient, at) : I::last();
    }
    __syncthreads();
    for (int run = 2; run <= size; run *= 2)
      for (int step = run / 2; step > 0; step /= 2) {
        for (int t = static_cast<int>(threadIdx.x); t < all / 2; t += threads) {
          const int i = 2 * t - (t & (step - 1));
          const bool rising = (i & (size - 1) & run) == 0;
          const I a = items[i], b = items[i + step];
          if ((b < a) == rising) items[i] = b, items[i + step] = a;
        }
        __syncthreads();
      }
    for (int t = static_cast<int>(threadIdx.x); t < all; t += threads) {
      const int tile = across ? t % together : t / size, i = across ? t / together : t % size;
      const Quotient q = divide(first + tile, tiles);
      if (q.quotient < lines) to.put(q.quotient, q.rest, i, items[tile * size + i]);
    }
    __syncthreads();
  }
}

/// How many of the first d merged items of a and b come from a.
template <class I>
__device__ inline int64_t merge_split(const I* a, int64_t na, const I* b, int64_t nb, int64_t d) {
  int64_t low = d > nb ? d - nb : 0, high = d < na ? d : na;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (a[middle] < b[d - 1 - middle])
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

constexpr int kMergeThreads = 256;
/// Sorted runs of `length` items become runs twice as long; a block makes kTile / 2 items of the result.
template <class I>
__global__ void __launch_bounds__(kMergeThreads)
    merge_runs(I* out, const I* in, int64_t lines, int64_t n, int64_t length) {
  constexpr int kMade = I::kTile / 2, kEach = kMade / kMergeThreads;
  __shared__ I items[kMade];
  __shared__ int64_t splits[2];
  const int64_t tiles = (n + kMade - 1) / kMade;
  for (int64_t t = blockIdx.x; t < lines * tiles; t += gridDim.x) {
    const Quotient q = divide(t, tiles);
    const int64_t at = q.rest * kMade, base = at / (2 * length) * (2 * length), rest = n - base;
    const int64_t na = length < rest ? length : rest, nb = length < rest - na ? length : rest - na;
    const I *a = in + q.quotient * n + base, *b = a + na;
    const int64_t from = at - base, to = from + kMade < na + nb ? from + kMade : na + nb;
    if (threadIdx.x < 2) splits[threadIdx.x] = merge_split(a, na, b, nb, threadIdx.x == 0 ? from : to);
    __syncthreads();
    const int64_t a0 = splits[0], b0 = from - a0;
    const int ma = static_cast<int>(splits[1] - a0), made = static_cast<int>(to - from), mb = made - ma;
    for (int i = static_cast<int>(threadIdx.x); i < made; i += kMergeThreads)
      items[i] = i < ma ? a[a0 + i] : b[b0 + (i - ma)];
    __syncthreads();
    const int d = static_cast<int>(threadIdx.x) * kEach < made ? static_cast<int>(threadIdx.x) * kEach : made;
    int i = static_cast<int>(merge_split<I>(items, ma, items + ma, mb, d)), j = d - i;
    I mine[kEach];
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const bool left = i < ma && (j >= mb || items[i] < items[ma + j]);
      const int from_here = left ? i++ : ma + j++;
      mine[k] = from_here < made ? items[from_here] : I::last();
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kEach; ++k)
      if (d + k < made) items[d + k] = mine[k];
    __syncthreads();
    for (int k = static_cast<int>(threadIdx.x); k < made; k += kMergeThreads) out[q.quotient * n + at + k] = items[k];
    __syncthreads();
  }
}

/// Sorted lines to their results.
template <class I, class To>
__global__ void write_lines(To to, const I* items, int64_t lines, int64_t n, int64_t first, int64_t count) {
  for (int64_t t = thread_index(); t < lines * count; t += thread_count()) {
    const Quotient q = divide(t, count);
    to.put(q.quotient, 0, first + q.rest, items[q.quotient * n + first + q.rest]);
  }
}

}  // namespace
}  // namespace cuda
}  // namespace fastnn
