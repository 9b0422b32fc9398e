#include <cstring>

#include "kernels/dispatch.h"
#include "kernels/parallel.h"
#include "ops/index/index.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

int64_t count(const IndexLoop& loop, int group) {
  int64_t n = 1;
  for (int i = 0; i < loop.rank[group]; ++i) n *= loop.shape[group][i];
  return n;
}

// Element offsets of the flat position `at` in a group of axes, the last `skip` axes left out.
void locate(const IndexLoop& loop, int group, int skip, int64_t at, int64_t& x, int64_t& y) {
  for (int i = loop.rank[group] - 1 - skip; i >= 0; --i) {
    const int64_t k = at % loop.shape[group][i];
    at /= loop.shape[group][i];
    x += k * loop.x_strides[group][i];
    y += k * loop.y_strides[group][i];
  }
}

// The last axis after the index block is the run; the other ones are `outer` positions.
struct Run {
  int64_t length, x_step, y_step, outer;
};
Run run_of(const IndexLoop& loop) {
  const int r = loop.rank[1];
  if (r == 0) return {1, 1, 1, 1};
  return {loop.shape[1][r - 1], loop.x_strides[1][r - 1], loop.y_strides[1][r - 1],
          loop.shape[1][r - 1] ? count(loop, 1) / loop.shape[1][r - 1] : 0};
}

// Writers walk the index block in order and share the rest out, so that equal indices never meet on two threads.
template <class T, class F>
void write_each(T* x, const T* y, const int64_t* offsets, const IndexLoop& loop, const F& put) {
  const Run run = run_of(loop);
  const int64_t rows = count(loop, 0), total = rows * loop.n * run.outer * run.length;
  if (total == 0) return;
  const int64_t block = total >= 32768 && rows < 16 && run.length > 64 ? 64 : run.length;
  const int64_t blocks = (run.length + block - 1) / block;
  const int64_t per_task = loop.n * run.outer * block, grain = per_task >= 16384 ? 1 : 16384 / per_task + 1;
  parallel_range(rows * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t first = t % blocks * block, last = first + block < run.length ? first + block : run.length;
      int64_t x0 = 0, y0 = 0;
      locate(loop, 0, 0, t / blocks, x0, y0);
      for (int64_t b = 0; b < loop.n; ++b) {
        for (int64_t q = 0; q < run.outer; ++q) {
          int64_t xq = x0 + offsets[b], yq = y0 + b * loop.y_step;
          if (run.outer > 1) locate(loop, 1, 1, q, xq, yq);
          T* to = x + xq + first * run.x_step;
          const T* from = y + yq + first * run.y_step;
          if (run.x_step == 1 && run.y_step == 1)
            for (int64_t i = 0; i < last - first; ++i) put(to[i], from[i]);
          else
            for (int64_t i = 0; i < last - first; ++i) put(to[i * run.x_step], from[i * run.y_step]);
        }
      }
    }
  });
}

}  // namespace

void index_offsets(int64_t* offsets, BadIndex* bad, const int64_t* index, int64_t n, int64_t size, int64_t stride,
                   bool accumulate) {
  parallel_range(n, kIndexGrain, [=](int64_t begin, int64_t end) {
    BadIndex first{0, 0};
    for (int64_t b = begin; b < end; ++b) {
      int64_t i = index[b];
      if (i < 0) i += size;
      if (i < 0 || i >= size) {
        if (!first.found) first = {1, index[b]};
        i = 0;
      }
      offsets[b] = (accumulate ? offsets[b] : 0) + i * stride;
    }
    bad[begin / kIndexGrain] = first;
  });
}

void index_check(BadIndex* bad, const int64_t* index, int64_t n, int64_t low, int64_t high) {
  parallel_range(n, kIndexGrain, [=](int64_t begin, int64_t end) {
    BadIndex first{0, 0};
    for (int64_t b = begin; b < end && !first.found; ++b)
      if (index[b] < low || index[b] >= high) first = {1, index[b]};
    bad[begin / kIndexGrain] = first;
  });
}

void index_get(void* y_raw, const void* x_raw, const int64_t* offsets, int64_t itemsize, const IndexLoop& loop) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    T* y = static_cast<T*>(y_raw);
    const T* x = static_cast<const T*>(x_raw);
    const Run run = run_of(loop);
    const int64_t per_row = run.outer * run.length, rows = count(loop, 0) * loop.n;
    if (rows == 0 || per_row == 0) return;
    // About 64 KB a task: reading rows at random places costs more than a task does.
    parallel_range(rows, 65536 / (per_row * itemsize) + 1, [&](int64_t begin, int64_t end) {
      while (begin < end) {
        const int64_t b0 = begin % loop.n, b1 = b0 + end - begin < loop.n ? b0 + end - begin : loop.n;
        int64_t x0 = 0, y0 = 0;
        locate(loop, 0, 0, begin / loop.n, x0, y0);
        if (per_row == 1) {
          for (int64_t b = b0; b < b1; ++b) y[y0 + b * loop.y_step] = x[x0 + offsets[b]];
        } else {
          for (int64_t b = b0; b < b1; ++b)
            for (int64_t q = 0; q < run.outer; ++q) {
              int64_t xq = x0 + offsets[b], yq = y0 + b * loop.y_step;
              if (run.outer > 1) locate(loop, 1, 1, q, xq, yq);
              if (run.x_step == 1 && run.y_step == 1)
                std::memcpy(y + yq, x + xq, run.length * sizeof(T));
              else
                for (int64_t i = 0; i < run.length; ++i) y[yq + i * run.y_step] = x[xq + i * run.x_step];
            }
        }
        begin += b1 - b0;
      }
    });
  });
}

void index_set(void* x, const void* y, const int64_t* offsets, int64_t itemsize, const IndexLoop& loop) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    write_each(static_cast<T*>(x), static_cast<const T*>(y), offsets, loop, [](T& to, T from) { to = from; });
  });
}

void index_accumulate(void* x, const void* y, const int64_t* offsets, int type, const IndexLoop& loop) {
  with_type(type, [&](auto* tag) {
    using T = decltype(of(tag));
    write_each(static_cast<T*>(x), static_cast<const T*>(y), offsets, loop,
               [](T& to, T from) { to = static_cast<T>(to + from); });
  });
}

void index_drop_overwritten(void* dv, int64_t* owner, const int64_t* offsets, int64_t n, int64_t before,
                            int64_t after_bytes) {
  for (int64_t b = 0; b < n; ++b) owner[offsets[b]] = b;
  for (int64_t b = 0; b < n; ++b)
    if (owner[offsets[b]] != b)
      for (int64_t p = 0; p < before; ++p)
        std::memset(static_cast<char*>(dv) + (p * n + b) * after_bytes, 0, after_bytes);
}

void nonzero_count(int64_t* counts, const void* x_raw, int type, int64_t n) {
  with_type(type, [&](auto* tag) {
    const auto* x = static_cast<decltype(tag)>(const_cast<void*>(x_raw));
    parallel_range(n, kIndexGrain, [=](int64_t begin, int64_t end) {
      int64_t found = 0;
      for (int64_t i = begin; i < end; ++i) found += x[i] != 0;
      counts[begin / kIndexGrain] = found;
    });
  });
}

void nonzero_fill(int64_t* out, const int64_t* start, const void* x_raw, int type, int64_t n) {
  with_type(type, [&](auto* tag) {
    const auto* x = static_cast<decltype(tag)>(const_cast<void*>(x_raw));
    parallel_range(n, kIndexGrain, [=](int64_t begin, int64_t end) {
      int64_t* to = out + start[begin / kIndexGrain];
      for (int64_t i = begin; i < end; ++i)
        if (x[i] != 0) *to++ = i;
    });
  });
}

void unravel_axis(int64_t* out, const int64_t* position, int64_t n, int64_t inner, int64_t size) {
  parallel_range(n, kIndexGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = position[i] / inner % size;
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
