#include "kernels/parallel.h"
#include "kernels/simd_math.h"
#include "kernels/stream.h"
#include "ops/embedding/embedding.h"
#include "ops/norm/norm_vector.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Elements that are worth a task.
constexpr int64_t kGrain = 16384;
// Rows that lie anywhere in memory are asked for this many rows ahead, as far as their first lines.
constexpr int64_t kAhead = 6, kAheadBytes = 1024;

template <class T>
FASTNN_INLINE void prefetch_row(const T* p, int64_t d) {
  const int64_t bytes = smaller(d * static_cast<int64_t>(sizeof(T)), kAheadBytes);
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(reinterpret_cast<const char*>(p) + i);
}

FASTNN_INLINE int64_t grain_of(int64_t d) { return d >= kGrain ? 1 : kGrain / (d > 0 ? d : 1); }

template <class T>
void gather_rows(T* y, const T* weight, const int64_t* ids, int64_t n, int64_t v, int64_t d) {
  const bool streams = n * d >= kGrain && past_cache((2 * n + v) * d * static_cast<int64_t>(sizeof(T)));
  parallel_range(n, grain_of(d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (i + kAhead < end) prefetch_row(weight + ids[i + kAhead] * d, d);
      const T* from = weight + ids[i] * d;
      if (streams)
        stream_copy(y + i * d, from, d);
      else
        each_vector<T>(d, [&](int64_t j, int64_t k) { put(y + i * d + j, get(from + j, k), k); });
    }
    if (streams) stream_fence();
  });
}

/// sum += factor * row.
template <class T>
FASTNN_INLINE void add_row(T* sum, const T* row, int64_t w, T factor, bool first) {
  const Vec<T> f = splat<Vec<T>>(double(factor));
  each_vector<T>(w, [&](int64_t j, int64_t k) {
    const Vec<T> v = get(row + j, k);
    put(sum + j, first ? v * f : fma(v, f, get(sum + j, k)), k);
  });
}

/// Columns whose sums stay in L1.
constexpr int64_t kColumns = 1024;

template <class T>
void gradient(T* dw, const T* dy, const EmbeddingGrad& how, int64_t v, int64_t d) {
  const bool streams = past_cache(v * d * static_cast<int64_t>(sizeof(T)));
  const T* scale = static_cast<const T*>(how.scale);
  const auto row_of = [&](int64_t i) { return how.bag != nullptr ? how.bag[i] : i; };
  parallel_range(v, grain_of(d), [&](int64_t begin, int64_t end) {
    T sum[kColumns];
    for (int64_t r = begin; r < end; ++r) {
      if (r + kAhead < end && how.head[r + kAhead] >= 0) prefetch_row(dy + row_of(how.head[r + kAhead]) * d, d);
      T* to = dw + r * d;
      const int64_t head = how.head[r];
      if (head < 0) {
        if (streams)
          stream_fill(to, T(0), d);
        else
          for (int64_t j = 0; j < d; ++j) to[j] = T(0);
        continue;
      }
      for (int64_t c = 0; c < d; c += kColumns) {
        const int64_t w = smaller(kColumns, d - c);
        const bool alone = how.next[head] < 0 && scale == nullptr && how.bag_scale == nullptr && how.arg == nullptr;
        const T* from = alone ? dy + row_of(head) * d + c : sum;
        for (int64_t i = head; i >= 0 && !alone; i = how.next[i]) {
          const T* row = dy + row_of(i) * d + c;
          if (how.next[i] >= 0) prefetch_row(dy + row_of(how.next[i]) * d + c, w);
          if (how.arg != nullptr) {
            const int64_t* arg = how.arg + row_of(i) * d + c;
            if (i == head)
              for (int64_t j = 0; j < w; ++j) sum[j] = T(0);
            for (int64_t j = 0; j < w; ++j) sum[j] += arg[j] == i ? row[j] : T(0);
          } else {
            T factor = scale != nullptr ? scale[i] : T(1);
            if (how.bag_scale != nullptr) factor = T(double(factor) * how.bag_scale[row_of(i)]);
            add_row(sum, row, w, factor, i == head);
          }
        }
        if (streams)
          stream_copy(to + c, from, w);
        else
          each_vector<T>(w, [&](int64_t j, int64_t k) { put(to + c + j, get(from + j, k), k); });
      }
    }
    if (streams) stream_fence();
  });
}

template <class T>
void renorm(T* weight, const int64_t* head, int64_t v, int64_t d, double max_norm, double p) {
  parallel_range(v, grain_of(d), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (head[r] < 0) continue;
      T* row = weight + r * d;
      double norm = 0;
      for (int64_t j = 0; j < d; ++j) {
        const double a = __builtin_fabs(double(row[j]));
        if (p == 2)
          norm += a * a;
        else if (p == 1)
          norm += a;
        else if (p > 1e300)
          norm = a > norm || a != a ? a : norm;
        else
          norm += ::pow(a, p);
      }
      if (p == 2)
        norm = __builtin_sqrt(norm);
      else if (p != 1 && p <= 1e300)
        norm = ::pow(norm, 1 / p);
      if (!(norm > max_norm)) continue;
      const double factor = max_norm / (norm + 1e-7);
      for (int64_t j = 0; j < d; ++j) row[j] = T(double(row[j]) * factor);
    }
  });
}

template <class T>
void bags_of(T* y, int64_t* arg, const T* weight, const T* scale, const double* bag_scale, const Bags& p) {
  const int64_t mean = p.bags > 0 ? p.n / p.bags + 1 : 1;
  parallel_range(p.bags, grain_of(p.d * mean), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      T* to = y + b * p.d;
      bool first = true;
      for (int64_t i = p.start[b]; i < p.start[b + 1]; ++i) {
        if (i + kAhead < p.n) prefetch_row(weight + p.ids[i + kAhead] * p.d, p.d);
        if (p.ids[i] == p.padding) continue;
        const T* row = weight + p.ids[i] * p.d;
        if (p.mode == BagMode::max) {
          int64_t* at = arg + b * p.d;
          for (int64_t j = 0; j < p.d; ++j)
            if (first || row[j] > to[j] || (row[j] != row[j] && to[j] == to[j])) to[j] = row[j], at[j] = i;
        } else {
          add_row(to, row, p.d, scale != nullptr ? scale[i] : T(1), first);
        }
        first = false;
      }
      if (first)
        for (int64_t j = 0; j < p.d; ++j) {
          to[j] = T(0);
          if (arg != nullptr) arg[b * p.d + j] = -1;
        }
      if (p.mode == BagMode::mean && !first)
        for (int64_t j = 0; j < p.d; ++j) to[j] = T(double(to[j]) * bag_scale[b]);
    }
  });
}

template <class T>
void scale_gradient(T* ds, const T* dy, const T* weight, const int64_t* bag, const Bags& p) {
  parallel_range(p.n, grain_of(p.d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T *a = dy + bag[i] * p.d, *b = weight + p.ids[i] * p.d;
      Vec<T> s = Vec<T>{};
      each_vector<T>(p.d, [&](int64_t j, int64_t k) { s = fma(get(a + j, k), get(b + j, k), s); });
      ds[i] = p.ids[i] == p.padding ? T(0) : hsum(s);
    }
  });
}

}  // namespace

void embedding_gather(int type, void* y, const void* weight, const int64_t* ids, int64_t n, int64_t v, int64_t d) {
  with_float(type, [&](auto* tag) { gather_rows(as(tag, y), as(tag, weight), ids, n, v, d); });
}

void embedding_lists(int64_t* head, int64_t* next, const int64_t* ids, int64_t n, int64_t v, int64_t padding) {
  parallel_range(v, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) head[r] = -1;
  });
  // From the back, so that the lists run forwards.
  for (int64_t i = n - 1; i >= 0; --i) {
    const int64_t id = ids[i];
    if (id == padding) continue;
    next[i] = head[id];
    head[id] = i;
  }
}

void embedding_renorm(int type, void* weight, const int64_t* head, int64_t v, int64_t d, double max_norm,
                      double norm_type) {
  with_float(type, [&](auto* tag) { renorm(as(tag, weight), head, v, d, max_norm, norm_type); });
}

void embedding_backward(int type, void* dweight, const void* dy, const EmbeddingGrad& how, int64_t v, int64_t d) {
  with_float(type, [&](auto* tag) { gradient(as(tag, dweight), as(tag, dy), how, v, d); });
}

void bag_starts(int64_t* start, const int64_t* offsets, int64_t given, int64_t bags, int64_t length, int64_t n) {
  for (int64_t b = 0; b < bags; ++b) start[b] = offsets != nullptr ? offsets[b] : b * length;
  start[bags] = offsets != nullptr && given > bags ? offsets[bags] : n;
}

void bag_members(int64_t* bag, double* bag_scale, const Bags& p) {
  for (int64_t i = 0; i < p.n; ++i) bag[i] = 0;  // entries past the last bag belong to none; they are never used
  parallel_range(p.bags, kGrain / 16, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      int64_t count = 0;
      for (int64_t i = p.start[b]; i < p.start[b + 1]; ++i) {
        bag[i] = b;
        count += p.ids[i] != p.padding;
      }
      bag_scale[b] = p.mode == BagMode::mean && count > 0 ? 1 / double(count) : 1;
    }
  });
}

void bag_forward(int type, void* y, int64_t* arg, const void* weight, const void* scale, const double* bag_scale,
                 const Bags& bags) {
  with_float(type, [&](auto* tag) { bags_of(as(tag, y), arg, as(tag, weight), as(tag, scale), bag_scale, bags); });
}

void bag_scale_backward(int type, void* dscale, const void* dy, const void* weight, const int64_t* bag,
                        const Bags& bags) {
  with_float(type, [&](auto* tag) { scale_gradient(as(tag, dscale), as(tag, dy), as(tag, weight), bag, bags); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
