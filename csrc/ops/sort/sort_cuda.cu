#include "cuda/rows.h"
#include "ops/sort/sort.h"
#include "ops/sort/sort_items_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256, kWide = 1024;
// Items of the lines that are worked on at a time.
constexpr int64_t kBatch = int64_t{1} << 25;

inline unsigned blocks_for(int64_t tasks) { return static_cast<unsigned>(tasks < (1 << 20) ? tasks : 1 << 20); }

/// Sorts tiles of lines of n items each, as many tiles in a block as make 1024 items.
template <class I, class From, class To>
void tiles_in_order(const From& from, const To& to, int64_t lines, int64_t n, bool across) {
  const int size = power_of_two(n, I::kTile), together = size < 1024 ? 1024 / size : 1;
  const int64_t tiles = (n + size - 1) / size, items = static_cast<int64_t>(size) * together;
  run(&sort_tiles<I, From, To>, blocks_for((lines * tiles + together - 1) / together),
      static_cast<unsigned>(items / I::kEach), static_cast<size_t>(items) * sizeof(I), from, to, lines, n, tiles, size,
      together, across && tiles == 1);
}

/// Of every tile the first `want` go on, until what is left of a line is one tile.
template <class I, class From, class To>
void first_items(const From& from, const To& to, int64_t lines, int64_t n, int64_t want) {
  constexpr int64_t kTile = I::kTile;
  int64_t tiles = (n + kTile - 1) / kTile;
  const int64_t pitch = tiles * want, next = (pitch + kTile - 1) / kTile * want;
  const Scratch scratch(lines * (pitch + next) * static_cast<int64_t>(sizeof(I)));
  I *a = scratch.as<I>(), *b = a + lines * pitch;
  tiles_in_order<I>(from, ToItems<I>{a, want, pitch}, lines, n, false);
  for (n = pitch; n > kTile; n = tiles * want) {
    tiles = (n + kTile - 1) / kTile;
    tiles_in_order<I>(FromItems<I>{a, n}, ToItems<I>{b, want, tiles * want}, lines, n, false);
    std::swap(a, b);
  }
  tiles_in_order<I>(FromItems<I>{a, n}, to, lines, n, false);
}

template <class I, class From, class To>
void all_items(const From& from, const To& to, int64_t lines, int64_t n, const SortJob& job) {
  const Scratch scratch(2 * lines * n * static_cast<int64_t>(sizeof(I)));
  I *a = scratch.as<I>(), *b = a + lines * n;
  tiles_in_order<I>(from, ToItems<I>{a, I::kTile, n}, lines, n, false);
  constexpr int64_t kMade = I::kTile / 2;
  for (int64_t length = I::kTile; length < n; length *= 2) {
    run(&merge_runs<I>, blocks_for(lines * ((n + kMade - 1) / kMade)), kMergeThreads, 0, b, a, lines, n, length);
    std::swap(a, b);
  }
  const int64_t first = job.pick >= 0 ? job.pick : 0, count = job.pick >= 0 ? 1 : job.k;
  run(&write_lines<I, To>, grid_for(lines * count, kThreads), kThreads, 0, to, a, lines, n, first, count);
}

/// The first NaN of a line takes the place of what was picked.
template <class T, bool kBlock>
__global__ void __launch_bounds__(kBlock ? kWide : kThreads)
    nan_lines(T* value, int64_t* index, const T* x, SortJob job, int64_t lines, int lanes) {
  __shared__ long long cells[kWarp];
  const Team<kBlock> team(lanes);
  int64_t line = team.first;
  for (int64_t k = team.rounds(lines); k > 0; --k, line += team.step) {
    const bool live = line < lines;
    const Quotient q = divide(live ? line : 0, job.inner);
    const T* in = x + q.quotient * job.n * job.inner + q.rest;
    long long at = job.n;
    for (int64_t i = team.lane; live && i < job.n && at == job.n; i += team.lanes)
      if (in[i * job.inner] != in[i * job.inner]) at = i;
    // Min of two that are no NaN.
    at = team.reduce(at, Min(), static_cast<long long>(job.n), cells);
    if (!live || team.lane != 0 || at == job.n) continue;
    index[line] = at;
    if (value) value[line] = in[at * job.inner];
  }
}

template <class T, class I>
void sort_elements(T* value, int64_t* index, const T* x, int64_t lines, const SortJob& job) {
  const int64_t n = job.n, want = job.pick >= 0 ? job.pick + 1 : job.k;
  if (n <= I::kTile) {
    tiles_in_order<I>(FromElements<T, I>{x, job, 0}, ToResult<T, I>{value, index, x, job, 0}, lines, n, job.inner > 1);
  } else {
    const int64_t batch = kBatch / n > 1 ? kBatch / n : 1;
    for (int64_t first = 0; first < lines; first += batch) {
      const FromElements<T, I> from{x, job, first};
      const ToResult<T, I> to{value, index, x, job, first};
      const int64_t count = lines - first < batch ? lines - first : batch;
      if (want <= I::kTile / 4)
        first_items<I>(from, to, count, n, want);
      else
        all_items<I>(from, to, count, n, job);
    }
  }
  if (job.pick < 0 || !job.nan_wins || std::is_integral_v<T>) return;
  if (n <= 1024)
    run(&nan_lines<T, false>, grid_for(lines, kThreads / kWarp), kThreads, 0, value, index, x, job, lines, kWarp);
  else
    run(&nan_lines<T, true>, blocks_for(lines), kWide, 0, value, index, x, job, lines, kWide);
}

template <class T>
__global__ void fill_zero(T* x, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count()) x[i] = T(0);
}
template <class T>
__global__ void place(T* dx, const T* dy, const int64_t* index, int64_t total, int64_t k, int64_t n, int64_t inner) {
  for (int64_t t = thread_index(); t < total; t += thread_count()) {
    const Quotient q = divide(t, inner);
    const int64_t at = index[t];
    if (at >= 0 && at < n) dx[(divide(q.quotient, k).quotient * n + at) * inner + q.rest] = dy[t];
  }
}

}  // namespace

void sort_lines(int type, bool descending, void* value, int64_t* index, const void* x, int64_t outer, int64_t n,
                int64_t inner, int64_t k, int64_t pick, bool nan_wins, void*) {
  SortJob job{};
  job.n = n, job.inner = inner, job.k = k, job.pick = pick;
  job.descending = descending, job.nan_wins = nan_wins;
  const int64_t lines = outer * inner;
  // A bool is the byte that it is.
  with_type(type == 0 ? 1 : type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    if constexpr (!std::is_same_v<T, bool>) {
      T* v = static_cast<T*>(value);
      const T* in = static_cast<const T*>(x);
      if constexpr (sizeof(T) <= 4) {
        if (n < static_cast<int64_t>(UINT32_MAX)) return sort_elements<T, Narrow>(v, index, in, lines, job);
      }
      sort_elements<T, Wide>(v, index, in, lines, job);
    }
  });
}

void sort_place(int type, void* dx, const void* dy, const int64_t* index, int64_t outer, int64_t k, int64_t n,
                int64_t inner) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    const int64_t total = outer * n * inner, count = outer * k * inner;
    run(&fill_zero<T>, grid_for(total, kThreads), kThreads, 0, static_cast<T*>(dx), total);
    if (count > 0)
      run(&place<T>, grid_for(count, kThreads), kThreads, 0, static_cast<T*>(dx), static_cast<const T*>(dy), index,
          count, k, n, inner);
  });
}

}  // namespace cuda
}  // namespace fastnn
