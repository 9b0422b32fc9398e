#include <string.h>

#include "kernels/parallel.h"
#include "ops/sort/sort.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Up to here insertion beats the radix passes with their 256 counters.
constexpr int64_t kInsertion = 48;
// Sorting costs some ten additions an element, so threads pay early.
constexpr int64_t kGrain = 4096;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// --- keys: unsigned integers in the order of the elements, every NaN the largest
// --------------------------------------

inline uint32_t key_of(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, 4);
  if (x != x) return UINT32_MAX;
  if (x == 0) u = 0;
  return u >> 31 ? ~u : u | 0x80000000u;
}
inline uint64_t key_of(double x) {
  uint64_t u;
  __builtin_memcpy(&u, &x, 8);
  if (x != x) return UINT64_MAX;
  if (x == 0) u = 0;
  return u >> 63 ? ~u : u | UINT64_C(0x8000000000000000);
}
inline uint32_t key_of(uint8_t x) { return x; }
inline uint32_t key_of(int32_t x) { return static_cast<uint32_t>(x) ^ 0x80000000u; }
inline uint64_t key_of(int64_t x) { return static_cast<uint64_t>(x) ^ UINT64_C(0x8000000000000000); }

inline bool is_nan(float x) { return x != x; }
inline bool is_nan(double x) { return x != x; }
template <class T>
inline bool is_nan(T) {
  return false;
}

// A key with its index. A 32-bit key and an index below 2^32 share one integer, which compares as the pair does.
struct Narrow {
  static constexpr int kDigits = 4;
  uint64_t bits;
  Narrow() = default;
  Narrow(uint32_t key, int64_t i) : bits(static_cast<uint64_t>(key) << 32 | static_cast<uint64_t>(i)) {}
  int64_t index() const { return static_cast<int64_t>(bits & UINT32_MAX); }
  int digit(int d) const { return static_cast<int>(bits >> (32 + 8 * d) & 255); }
  bool operator<(const Narrow& o) const { return bits < o.bits; }
};
struct Wide {
  static constexpr int kDigits = 8;
  uint64_t key;
  int64_t at;
  Wide() = default;
  Wide(uint64_t k, int64_t i) : key(k), at(i) {}
  int64_t index() const { return at; }
  int digit(int d) const { return static_cast<int>(key >> (8 * d) & 255); }
  bool operator<(const Wide& o) const { return key < o.key || (key == o.key && at < o.at); }
};

// --- sorting items
// ----------------------------------------------------------------------------------------------------

template <class I>
void insertion_sort(I* a, int64_t n) {
  for (int64_t i = 1; i < n; ++i) {
    const I v = a[i];
    int64_t j = i;
    for (; j > 0 && v < a[j - 1]; --j) a[j] = a[j - 1];
    a[j] = v;
  }
}

/// Sorts a[0..n) by key, stably; b is as large. Returns the buffer that holds the result.
template <class I>
I* sort_items(I* a, I* b, int64_t n) {
  if (n <= kInsertion) {
    insertion_sort(a, n);
    return a;
  }
  int64_t count[I::kDigits][256];
  memset(count, 0, sizeof(count));
  for (int64_t i = 0; i < n; ++i)
    for (int d = 0; d < I::kDigits; ++d) ++count[d][a[i].digit(d)];
  for (int d = 0; d < I::kDigits; ++d) {
    if (count[d][a[0].digit(d)] == n) continue;  // every key has the same digit here
    int64_t at = 0;
    for (int v = 0; v < 256; ++v) {
      const int64_t c = count[d][v];
      count[d][v] = at;
      at += c;
    }
    for (int64_t i = 0; i < n; ++i) b[count[d][a[i].digit(d)]++] = a[i];
    I* t = a;
    a = b;
    b = t;
  }
  return a;
}

/// Moves h[i] down until no child is larger.
template <class I>
void sift_down(I* h, int64_t i, int64_t n) {
  const I v = h[i];
  for (;;) {
    int64_t c = 2 * i + 1;
    if (c >= n) break;
    if (c + 1 < n && h[c] < h[c + 1]) ++c;
    if (!(v < h[c])) break;
    h[i] = h[c];
    i = c;
  }
  h[i] = v;
}

template <class T, class I>
inline I item(const T* x, int64_t i, int64_t step, bool descending) {
  const auto key = key_of(x[i * step]);
  return I(descending ? ~key : key, i);
}

/// The first k items of the line in order, in a or b.
template <class T, class I>
I* first_items(I* a, I* b, const T* x, int64_t n, int64_t step, int64_t k, bool descending) {
  // A heap of the k first so far, the last of them on top: most elements fail one comparison.
  if (k <= n / 8) {
    for (int64_t i = 0; i < k; ++i) a[i] = item<T, I>(x, i, step, descending);
    for (int64_t i = k / 2; i-- > 0;) sift_down(a, i, k);
    for (int64_t i = k; i < n && k > 0; ++i) {
      const I v = item<T, I>(x, i, step, descending);
      if (v < a[0]) {
        a[0] = v;
        sift_down(a, 0, k);
      }
    }
    // The radix sort keeps the order of equal keys, and a heap has lost it: a large heap is emptied in order instead.
    if (k > kInsertion) {
      for (int64_t last = k - 1; last > 0; --last) {
        const I top = a[0];
        a[0] = a[last];
        a[last] = top;
        sift_down(a, 0, last);
      }
      return a;
    }
    return sort_items(a, b, k);
  }
  for (int64_t i = 0; i < n; ++i) a[i] = item<T, I>(x, i, step, descending);
  return sort_items(a, b, n);
}

struct Job {
  int64_t n, inner, k, pick;
  bool descending, nan_wins;
};

template <class T, class I>
void sort_line(I* a, I* b, T* value, int64_t* index, const T* x, int64_t line, const Job& job) {
  const int64_t o = line / job.inner, i = line % job.inner, step = job.inner;
  const T* in = x + o * job.n * step + i;
  const int64_t out = o * job.k * step + i;
  if (job.pick >= 0) {
    const I* s = first_items(a, b, in, job.n, step, job.pick + 1, job.descending);
    int64_t at = s[job.pick].index();
    if (job.nan_wins)
      for (int64_t j = 0; j < job.n; ++j)
        if (is_nan(in[j * step])) {
          at = j;
          break;
        }
    index[out] = at;
    if (value) value[out] = in[at * step];
    return;
  }
  const I* s = first_items(a, b, in, job.n, step, job.k, job.descending);
  for (int64_t j = 0; j < job.k; ++j) {
    const int64_t at = s[j].index();
    index[out + j * step] = at;
    if (value) value[out + j * step] = in[at * step];
  }
}

template <class T, class I>
void sort_all(T* value, int64_t* index, const T* x, int64_t lines, const Job& job, void* scratch) {
  if (job.n <= kSortShort) {
    parallel_range(lines, kGrain / job.n, [&](int64_t begin, int64_t end) {
      I a[kSortShort], b[kSortShort];
      for (int64_t l = begin; l < end; ++l) sort_line(a, b, value, index, x, l, job);
    });
    return;
  }
  const int64_t tasks = smaller(lines, kSortTasks);
  parallel_tasks(tasks, [&](int64_t t) {
    I* a = reinterpret_cast<I*>(static_cast<char*>(scratch) + t * job.n * kSortBytes);
    for (int64_t l = t; l < lines; l += tasks) sort_line(a, a + job.n, value, index, x, l, job);
  });
}

template <class T>
void sort_type(void* value, int64_t* index, const void* x, int64_t lines, const Job& job, void* scratch) {
  T* v = static_cast<T*>(value);
  const T* in = static_cast<const T*>(x);
  if (sizeof(T) <= 4 && job.n <= static_cast<int64_t>(UINT32_MAX))
    sort_all<T, Narrow>(v, index, in, lines, job, scratch);
  else
    sort_all<T, Wide>(v, index, in, lines, job, scratch);
}

template <class T>
void place(T* dx, const T* dy, const int64_t* index, int64_t outer, int64_t k, int64_t n, int64_t inner) {
  const int64_t columns = n * inner;
  parallel_range(outer, kGrain / columns, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      T* to = dx + o * columns;
      for (int64_t i = 0; i < columns; ++i) to[i] = T(0);
      for (int64_t j = 0; j < k; ++j)
        for (int64_t i = 0; i < inner; ++i) {
          const int64_t at = (o * k + j) * inner + i;
          to[index[at] * inner + i] = dy[at];
        }
    }
  });
}

}  // namespace

void sort_lines(int type, bool descending, void* value, int64_t* index, const void* x, int64_t outer, int64_t n,
                int64_t inner, int64_t k, int64_t pick, bool nan_wins, void* scratch) {
  const Job job{n, inner, k, pick, descending, nan_wins};
  const int64_t lines = outer * inner;
  switch (type) {
    case 0:
    case 1:
      return sort_type<uint8_t>(value, index, x, lines, job, scratch);
    case 2:
      return sort_type<int32_t>(value, index, x, lines, job, scratch);
    case 3:
      return sort_type<int64_t>(value, index, x, lines, job, scratch);
    case 4:
      return sort_type<float>(value, index, x, lines, job, scratch);
    default:
      return sort_type<double>(value, index, x, lines, job, scratch);
  }
}

void sort_place(int type, void* dx, const void* dy, const int64_t* index, int64_t outer, int64_t k, int64_t n,
                int64_t inner) {
  if (type == 4)
    place(static_cast<float*>(dx), static_cast<const float*>(dy), index, outer, k, n, inner);
  else
    place(static_cast<double*>(dx), static_cast<const double*>(dy), index, outer, k, n, inner);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
