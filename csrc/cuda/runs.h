#pragma once
// Sums of entries that go to the same place, in a fixed order: of the entries in the order of their places, `length`
// neighbours are added up one after another by one thread for each column, and then what they have of one place. No
// atomics; the order depends on the places alone.

#include <cstdint>

#include "cuda/cuda.h"

namespace fastnn {
namespace cuda {

/// Source: plain data with
///   Sum                              the type of the sums
///   int64_t place(k)                 of the k-th entry, rising with k; negative: left out
///   Column column(q)                 what is known of a column before its entries are
///   Sum value(k, column)             safe to call for entries that are left out
///   void put(place, column, sum)     once for every place and column
template <class Source>
__global__ void sum_chunks(Source source, int64_t n, int64_t length, int64_t columns, typename Source::Sum* head,
                           typename Source::Sum* tail) {
  using Sum = typename Source::Sum;
  constexpr int kAtOnce = 4;
  const int64_t chunks = (n + length - 1) / length;
  for (int64_t t = thread_index(); t < chunks * columns; t += thread_count()) {
    const int64_t chunk = t / columns, begin = chunk * length, end = begin + length < n ? begin + length : n;
    const auto column = source.column(t - chunk * columns);
    int64_t place = source.place(begin);
    bool began_before = begin > 0 && source.place(begin - 1) == place;
    Sum sum = source.value(begin, column);
    for (int64_t k = begin + 1; k < end; k += kAtOnce) {
      int64_t places[kAtOnce];
      Sum values[kAtOnce];
      const int count = end - k < kAtOnce ? static_cast<int>(end - k) : kAtOnce;
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
        if (i < count) places[i] = source.place(k + i), values[i] = source.value(k + i, column);
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (i >= count) continue;
        if (places[i] == place) {
          sum = static_cast<Sum>(sum + values[i]);
          continue;
        }
        if (began_before)
          head[t] = sum;
        else if (place >= 0)
          source.put(place, column, sum);
        place = places[i], sum = values[i], began_before = false;
      }
    }
    if (began_before)
      head[t] = sum;
    else if (end < n && source.place(end) == place)
      tail[t] = sum;
    else if (place >= 0)
      source.put(place, column, sum);
  }
}

/// The sums of places whose entries lie in several chunks.
template <class Source>
__global__ void join_chunks(Source source, int64_t n, int64_t length, int64_t columns, const typename Source::Sum* head,
                            const typename Source::Sum* tail) {
  using Sum = typename Source::Sum;
  const int64_t chunks = (n + length - 1) / length;
  for (int64_t t = thread_index(); t < (chunks - 1) * columns; t += thread_count()) {
    const int64_t chunk = t / columns, begin = chunk * length, end = begin + length;
    const int64_t place = source.place(end);
    if (place < 0 || source.place(end - 1) != place) continue;
    if (begin > 0 && source.place(begin - 1) == place) continue;  // began in a chunk before
    Sum sum = tail[t];
    for (int64_t c = chunk + 1; c < chunks && source.place(c * length) == place; ++c)
      sum = static_cast<Sum>(sum + head[t + (c - chunk) * columns]);
    source.put(place, source.column(t - chunk * columns), sum);
  }
}

template <class Source>
void sum_runs(const Source& source, int64_t n, int64_t columns) {
  using Sum = typename Source::Sum;
  if (n == 0 || columns == 0) return;
  const int64_t length = n <= 65536 ? 32 : 256, chunks = (n + length - 1) / length;
  const int64_t bytes = (chunks * columns * static_cast<int64_t>(sizeof(Sum)) + 255) / 256 * 256;
  const Scratch parts(chunks > 1 ? 2 * bytes : 1);
  Sum *const head = parts.as<Sum>(), *const tail = parts.as<Sum>(chunks > 1 ? bytes : 0);
  run(&sum_chunks<Source>, grid_for(chunks * columns, 256), 256, 0, source, n, length, columns, head, tail);
  if (chunks > 1)
    run(&join_chunks<Source>, grid_for((chunks - 1) * columns, 256), 256, 0, source, n, length, columns, head, tail);
}

}  // namespace cuda
}  // namespace fastnn
