#include "core/device.h"
#include "cuda/order.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp, kDigits = 256;
constexpr int kRounds = 8;                 // entries a thread takes
constexpr int kTile = kThreads * kRounds;  // and a block
constexpr int kSegment = kTile / kWarps;   // and a warp, in order

// counts[digit][tile]: entries of the tile with that digit.
template <class K>
__global__ void count_digits(uint32_t* counts, const K* keys, int64_t n, int64_t tiles, int shift) {
  __shared__ uint32_t found[kDigits];
  for (int d = threadIdx.x; d < kDigits; d += blockDim.x) found[d] = 0;
  __syncthreads();
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTile;
  for (int i = threadIdx.x; i < kTile; i += kThreads)
    if (begin + i < n) atomicAdd(&found[static_cast<int>(keys[begin + i] >> shift) & (kDigits - 1)], 1u);
  __syncthreads();
  for (int d = threadIdx.x; d < kDigits; d += blockDim.x) counts[d * tiles + blockIdx.x] = found[d];
}

// The sum of what the threads before this one have; `all` becomes the sum over the block.
__device__ uint32_t sum_before(uint32_t v, uint32_t* cells, uint32_t& all) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  uint32_t upto = v;
  for (int by = 1; by < kWarp; by *= 2) {
    const uint32_t other = __shfl_up_sync(kFullWarp, upto, by);
    if (lane >= by) upto += other;
  }
  if (lane == kWarp - 1) cells[warp] = upto;
  __syncthreads();
  uint32_t before = 0;
  all = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += cells[w];
    all += cells[w];
  }
  __syncthreads();
  return before + upto - v;
}

// One block a digit: counts become the numbers before them in their row.
__global__ void sum_rows(uint32_t* counts, uint32_t* totals, int64_t tiles) {
  __shared__ uint32_t cells[kWarps];
  uint32_t* const row = counts + blockIdx.x * tiles;
  uint32_t sum = 0;
  for (int64_t begin = 0; begin < tiles; begin += kThreads) {
    const int64_t t = begin + threadIdx.x;
    uint32_t all;
    const uint32_t before = sum_before(t < tiles ? row[t] : 0, cells, all);
    if (t < tiles) row[t] = sum + before;
    sum += all;
  }
  if (threadIdx.x == 0) totals[blockIdx.x] = sum;
}

template <class K>
__global__ void move_entries(K* keys_to, int32_t* entries_to, const K* keys, const int32_t* entries,
                             const uint32_t* counts, const uint32_t* totals, int64_t n, int64_t tiles, int shift,
                             bool first) {
  __shared__ uint32_t base[kDigits], cells[kWarps];
  __shared__ uint32_t found[kWarps][kDigits];  // by a warp so far; then: by the warps before it
  const int thread = threadIdx.x, lane = thread % kWarp, warp = thread / kWarp;
  uint32_t all;
  base[thread] = sum_before(totals[thread], cells, all) + counts[thread * tiles + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) found[w][thread] = 0;
  __syncthreads();

  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kTile + warp * kSegment;
  K key[kRounds];
  uint32_t rank[kRounds];
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int64_t i = begin + r * kWarp + lane;
    const bool valid = i < n;
    key[r] = valid ? keys[i] : K(0);
    const unsigned digit = static_cast<unsigned>(key[r] >> shift) & (kDigits - 1);
    unsigned same = __ballot_sync(kFullWarp, valid);  // the lanes with this digit
#pragma unroll
    for (int bit = 0; bit < 8; ++bit) {
      const unsigned set = __ballot_sync(kFullWarp, digit >> bit & 1);
      same &= digit >> bit & 1 ? set : ~set;
    }
    rank[r] = valid ? found[warp][digit] + static_cast<uint32_t>(__popc(same & ((1u << lane) - 1))) : 0;
    __syncwarp();
    if (valid && (same & ((1u << lane) - 1)) == 0) found[warp][digit] += static_cast<uint32_t>(__popc(same));
    __syncwarp();
  }
  __syncthreads();
  uint32_t before = 0;
  for (int w = 0; w < kWarps; ++w) {
    const uint32_t here = found[w][thread];
    found[w][thread] = before;
    before += here;
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int64_t i = begin + r * kWarp + lane;
    if (i >= n) break;
    const unsigned digit = static_cast<unsigned>(key[r] >> shift) & (kDigits - 1);
    const uint32_t to = base[digit] + found[warp][digit] + rank[r];
    keys_to[to] = key[r];
    entries_to[to] = first ? static_cast<int32_t>(i) : entries[i];
  }
}

__global__ void number_entries(int32_t* entries, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) entries[i] = static_cast<int32_t>(i);
}

int64_t checked(int64_t n) {
  if (n > INT32_MAX - kTile)
    throw DeviceError(str("cuda: ", n, " indices in one call are too many to be put in order; split the call"));
  return n;
}
int64_t rounded(int64_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

template <class K>
Order<K>::Order(int64_t n)
    : n_(checked(n)),
      tiles_((n + kTile - 1) / kTile),
      scratch_(2 * rounded(n * static_cast<int64_t>(sizeof(K))) + 2 * rounded(n * 4) + rounded(tiles_ * kDigits * 4) +
               kDigits * 4) {
  int64_t at = 0;
  for (int i = 0; i < 2; ++i) keys_[i] = scratch_.as<K>(at), at += rounded(n * static_cast<int64_t>(sizeof(K)));
  for (int i = 0; i < 2; ++i) entries_[i] = scratch_.as<int32_t>(at), at += rounded(n * 4);
  counts_ = scratch_.as<uint32_t>(at);
  totals_ = scratch_.as<uint32_t>(at + rounded(tiles_ * kDigits * 4));
}

template <class K>
void Order<K>::sort(int bits) {
  if (n_ == 0) return;
  const unsigned grid = static_cast<unsigned>(tiles_);
  if (bits <= 0) return run(&number_entries, grid_for(n_, kThreads), kThreads, 0, entries_[now_], n_);
  for (int shift = 0; shift < bits; shift += 8) {
    run(&count_digits<K>, grid, kThreads, 0, counts_, keys_[now_], n_, tiles_, shift);
    run(&sum_rows, kDigits, kThreads, 0, counts_, totals_, tiles_);
    run(&move_entries<K>, grid, kThreads, 0, keys_[1 - now_], entries_[1 - now_], keys_[now_], entries_[now_], counts_,
        totals_, n_, tiles_, shift, shift == 0);
    now_ = 1 - now_;
  }
}

template class Order<uint32_t>;
template class Order<uint64_t>;

}  // namespace cuda
}  // namespace fastnn
