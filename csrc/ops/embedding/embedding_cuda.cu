#include "core/device.h"
#include "cuda/cuda.h"
#include "cuda/divide.h"
#include "cuda/order.h"
#include "cuda/pack.h"
#include "cuda/runs.h"
#include "ops/embedding/embedding.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// What a row that no check has seen holds where there is none: bits that are NaN in both floating types.
template <class U>
__device__ inline U nothing() {
  U u;
  memset(static_cast<void*>(&u), 0xff, sizeof u);
  return u;
}

template <class U, class I>
__global__ void gather_rows(U* y, const U* weight, const int64_t* ids, int64_t total, int64_t v, Divider<I> row) {
  for (int64_t e = thread_index(); e < total; e += thread_count()) {
    I i = static_cast<I>(e);
    const int64_t j = split(i, row), id = ids[i];
    y[e] = id >= 0 && id < v ? weight[id * row.d + j] : nothing<U>();
  }
}

// --- entries by row -------------------------------------------------------------------------------------------------

constexpr int64_t kMostRows = INT32_MAX;

// Behind all rows: what belongs to none.
__global__ void fill_keys(uint32_t* keys, const int64_t* ids, int64_t n, int64_t v, int64_t padding) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) {
    const int64_t id = ids[i];
    keys[i] = static_cast<uint32_t>(id < 0 || id >= v || id == padding ? v : id);
  }
}
__global__ void clear_heads(int64_t* head, int64_t v) {
  for (int64_t r = thread_index(); r < v; r += thread_count()) head[r] = -1;
}
__global__ void link_entries(int64_t* head, int64_t* next, const uint32_t* keys, const int32_t* entries, int64_t n,
                             int64_t v) {
  for (int64_t k = thread_index(); k < n; k += thread_count()) {
    const uint32_t id = keys[k];
    const bool used = id < v;
    next[k] = used ? static_cast<int64_t>(id) << 32 | static_cast<int64_t>(entries[k]) : -1;
    if (used && (k == 0 || keys[k - 1] != id)) head[id] = k;
  }
}

template <class P>
struct RowSource {
  using Sum = P;
  using T = typename PackTraits<P>::Type;
  static constexpr int kSize = PackTraits<P>::size;
  using Column = int64_t;
  T* dweight;
  const T* dy;
  EmbeddingGrad how;
  int64_t d;

  __device__ int64_t place(int64_t k) const { return how.next[k] >> 32; }
  __device__ Column column(int64_t q) const { return q * kSize; }
  __device__ P value(int64_t k, Column c) const {
    const int64_t packed = how.next[k];
    if (packed < 0) return pack_of<T, kSize>(T(0));
    const int64_t i = packed & UINT32_MAX, row = how.bag ? how.bag[i] : i;
    P v = as_pack<T, kSize>(dy + row * d + c);
    if (how.arg) {
#pragma unroll
      for (int j = 0; j < kSize; ++j)
        if (how.arg[row * d + c + j] != i) v[j] = T(0);
      return v;
    }
    if (!how.scale && !how.bag_scale) return v;
    T factor = how.scale ? static_cast<const T*>(how.scale)[i] : T(1);
    if (how.bag_scale) factor = static_cast<T>(static_cast<double>(factor) * how.bag_scale[row]);
    return v * factor;
  }
  __device__ void put(int64_t row, Column c, const P& sum) const { as_pack<T, kSize>(dweight + row * d + c) = sum; }
};

template <class U>
__global__ void fill_zeros(U* y, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) y[i] = U();
}

// --- norms ----------------------------------------------------------------------------------------------------------

// A warp a row.
template <class T>
__global__ void renorm_rows(T* weight, const int64_t* head, int64_t v, int64_t d, double most, double p) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t r = thread_index() / kWarp; r < v; r += thread_count() / kWarp) {
    if (head[r] < 0) continue;
    T* const row = weight + r * d;
    const bool largest = p > 1e300;
    double norm = 0;
    for (int64_t j = lane; j < d; j += kWarp) {
      const double a = fabs(static_cast<double>(row[j]));
      if (largest)
        norm = Max()(norm, a);
      else
        norm += p == 2 ? a * a : p == 1 ? a : pow(a, p);
    }
    norm = largest ? warp_reduce(norm, Max()) : warp_reduce(norm, Sum());
    if (p == 2)
      norm = sqrt(norm);
    else if (p != 1 && !largest)
      norm = pow(norm, 1 / p);
    if (!(norm > most)) continue;
    const double factor = most / (norm + 1e-7);
    for (int64_t j = lane; j < d; j += kWarp) row[j] = static_cast<T>(static_cast<double>(row[j]) * factor);
  }
}

// --- bags -----------------------------------------------------------------------------------------------------------

__global__ void find_starts(int64_t* start, const int64_t* offsets, int64_t given, int64_t bags, int64_t length,
                            int64_t n) {
  for (int64_t b = thread_index(); b <= bags; b += thread_count()) {
    const int64_t at = b == bags ? (offsets && given > bags ? offsets[bags] : n) : offsets ? offsets[b] : b * length;
    start[b] = at < 0 ? 0 : at < n ? at : n;
  }
}

__global__ void fill_bags(int64_t* bag, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) bag[i] = 0;
}
// A warp a bag.
__global__ void find_members(int64_t* bag, double* bag_scale, Bags p) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t b = thread_index() / kWarp; b < p.bags; b += thread_count() / kWarp) {
    int64_t count = 0;
    for (int64_t i = p.start[b] + lane; i < p.start[b + 1]; i += kWarp) {
      bag[i] = b;
      count += p.ids[i] != p.padding;
    }
    count = warp_reduce(count, Sum());
    if (lane == 0) bag_scale[b] = p.mode == BagMode::mean && count > 0 ? 1 / static_cast<double>(count) : 1;
  }
}

// A thread for some columns of a bag.
template <class P>
__global__ void sum_bags(typename PackTraits<P>::Type* y, int64_t* arg, const typename PackTraits<P>::Type* weight,
                         const typename PackTraits<P>::Type* scale, const double* bag_scale, Bags p) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const int64_t columns = p.d / kSize;
  for (int64_t e = thread_index(); e < p.bags * columns; e += thread_count()) {
    const int64_t b = e / columns, c = e % columns * kSize;
    P sum = pack_of<T, kSize>(T(0));
    int64_t at[kSize];
#pragma unroll
    for (int j = 0; j < kSize; ++j) at[j] = -1;
    bool first = true;
    for (int64_t i = p.start[b]; i < p.start[b + 1]; ++i) {
      const int64_t id = p.ids[i];
      if (id == p.padding || id < 0 || id >= p.v) continue;
      const P row = as_pack<T, kSize>(weight + id * p.d + c);
      if (p.mode == BagMode::max) {
#pragma unroll
        for (int j = 0; j < kSize; ++j)
          if (first || row[j] > sum[j] || (row[j] != row[j] && sum[j] == sum[j])) sum[j] = row[j], at[j] = i;
      } else {
        const P scaled = row * (scale ? scale[i] : T(1));
        sum = first ? scaled : sum + scaled;
      }
      first = false;
    }
    if (p.mode == BagMode::mean && !first)
#pragma unroll
      for (int j = 0; j < kSize; ++j) sum[j] = static_cast<T>(static_cast<double>(sum[j]) * bag_scale[b]);
    as_pack<T, kSize>(y + b * p.d + c) = sum;
    if (arg)
#pragma unroll
      for (int j = 0; j < kSize; ++j) arg[b * p.d + c + j] = at[j];
  }
}

// A warp an entry.
template <class T>
__global__ void dot_entries(T* ds, const T* dy, const T* weight, const int64_t* bag, Bags p) {
  const int lane = threadIdx.x % kWarp;
  for (int64_t i = thread_index() / kWarp; i < p.n; i += thread_count() / kWarp) {
    const int64_t id = p.ids[i];
    T sum = 0;
    if (p.bags > 0 && id != p.padding && id >= 0 && id < p.v)
      for (int64_t j = lane; j < p.d; j += kWarp) sum += dy[bag[i] * p.d + j] * weight[id * p.d + j];
    sum = warp_reduce(sum, Sum());
    if (lane == 0) ds[i] = sum;
  }
}

}  // namespace

void embedding_gather(int type, void* y, const void* weight, const int64_t* ids, int64_t n, int64_t v, int64_t d) {
  const int64_t bytes = d * (type == 4 ? 4 : 8);
  const int unit =
      unit_of(reinterpret_cast<uintptr_t>(y) | reinterpret_cast<uintptr_t>(weight) | static_cast<uint64_t>(bytes));
  const int64_t row = bytes / unit, total = n * row;
  if (total == 0) return;
  with_unit(unit, [&](auto* tag) {
    using U = decltype(of(tag));
    with_index(total, [&](auto* index_tag) {
      using I = decltype(of(index_tag));
      run(&gather_rows<U, I>, grid_for(total, kThreads), kThreads, 0, static_cast<U*>(y), static_cast<const U*>(weight),
          ids, total, v, Divider<I>(row));
    });
  });
}

void embedding_lists(int64_t* head, int64_t* next, const int64_t* ids, int64_t n, int64_t v, int64_t padding) {
  if (v > kMostRows) throw DeviceError(str("cuda: a table of ", v, " rows is too large, at most ", kMostRows));
  run(&clear_heads, grid_for(v, kThreads), kThreads, 0, head, v);
  if (n == 0) return;
  Order<uint32_t> order(n);
  run(&fill_keys, grid_for(n, kThreads), kThreads, 0, order.keys(), ids, n, v, padding);
  order.sort(bits_of(static_cast<uint64_t>(v)));
  run(&link_entries, grid_for(n, kThreads), kThreads, 0, head, next, order.keys(), order.entries(), n, v);
}

void embedding_renorm(int type, void* weight, const int64_t* head, int64_t v, int64_t d, double max_norm,
                      double norm_type) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    run(&renorm_rows<T>, grid_for(v, kThreads / kWarp), kThreads, 0, static_cast<T*>(weight), head, v, d, max_norm,
        norm_type);
  });
}

void embedding_backward(int type, void* dweight, const void* dy, const EmbeddingGrad& how, int64_t v, int64_t d) {
  if (v * d == 0) return;
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    T* const to = static_cast<T*>(dweight);
    const T* const from = static_cast<const T*>(dy);
    with_pack<T>(pack_size(d, to, from), [&](auto* pack_tag) {
      using P = decltype(of(pack_tag));
      const int64_t columns = d / PackTraits<P>::size;
      run(&fill_zeros<P>, grid_for(v * columns, kThreads), kThreads, 0, reinterpret_cast<P*>(to), v * columns);
      sum_runs(RowSource<P>{to, from, how, d}, how.n, columns);
    });
  });
}

void bag_starts(int64_t* start, const int64_t* offsets, int64_t given, int64_t bags, int64_t length, int64_t n) {
  run(&find_starts, grid_for(bags + 1, kThreads), kThreads, 0, start, offsets, given, bags, length, n);
}

void bag_members(int64_t* bag, double* bag_scale, const Bags& p) {
  // Entries past the last bag belong to none; they are never used.
  run(&fill_bags, grid_for(p.n, kThreads), kThreads, 0, bag, p.n);
  run(&find_members, grid_for(p.bags, kThreads / kWarp), kThreads, 0, bag, bag_scale, p);
}

void bag_forward(int type, void* y, int64_t* arg, const void* weight, const void* scale, const double* bag_scale,
                 const Bags& p) {
  if (p.bags * p.d == 0) return;
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    T* const to = static_cast<T*>(y);
    const T* const from = static_cast<const T*>(weight);
    with_pack<T>(pack_size(p.d, to, from), [&](auto* pack_tag) {
      using P = decltype(of(pack_tag));
      run(&sum_bags<P>, grid_for(p.bags * (p.d / PackTraits<P>::size), kThreads), kThreads, 0, to, arg, from,
          static_cast<const T*>(scale), bag_scale, p);
    });
  });
}

void bag_scale_backward(int type, void* dscale, const void* dy, const void* weight, const int64_t* bag, const Bags& p) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    run(&dot_entries<T>, grid_for(p.n, kThreads / kWarp), kThreads, 0, static_cast<T*>(dscale),
        static_cast<const T*>(dy), static_cast<const T*>(weight), bag, p);
  });
}

}  // namespace cuda
}  // namespace fastnn
