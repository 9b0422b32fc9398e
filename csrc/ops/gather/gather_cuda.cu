#include "cuda/cuda.h"
#include "cuda/divide.h"
#include "cuda/order.h"
#include "cuda/runs.h"
#include "ops/gather/gather.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

int64_t count(const GatherLoop& loop, int group) {
  int64_t n = 1;
  for (int i = 0; i < loop.rank[group]; ++i) n *= loop.shape[group][i];
  return n;
}

template <class I>
__device__ inline void locate(const GatherLoop& loop, int group, I at, int64_t& a, int64_t& b) {
  for (int i = loop.rank[group] - 1; i >= 0; --i) {
    const I size = static_cast<I>(loop.shape[group][i]);
    const I k = i == 0 ? at : at % size;
    if (i > 0) at /= size;
    a += static_cast<int64_t>(k) * loop.a[group][i];
    b += static_cast<int64_t>(k) * loop.b[group][i];
  }
}

/// One element of the index: its flat position, the wrapped index (-1 where it is out of range) and what it names.
struct Element {
  int64_t flat, before, i, after;
  int64_t a, b;  // elements; a only where i >= 0
};

/// The index as [before, n, after].
template <class I>
struct Along {
  GatherLoop loop;
  const int64_t* index;
  Divider<I> after, n;
  int64_t total;

  Along(const GatherLoop& l, const int64_t* at)
      : loop(l), index(at), after(count(l, 1)), n(l.n), total(count(l, 0) * l.n * count(l, 1)) {}

  __device__ Element at(int64_t flat) const {
    I rest = static_cast<I>(flat);
    const I q = split(rest, after), j = split(rest, n);
    Element e{flat, static_cast<int64_t>(rest), index[flat], static_cast<int64_t>(q), 0, j * loop.b_axis};
    locate(loop, 0, rest, e.a, e.b);
    locate(loop, 1, q, e.a, e.b);
    if (e.i < 0) e.i += loop.size;
    if (e.i >= loop.size || e.i < 0) e.i = -1;
    e.a += e.i * loop.a_axis;
    return e;
  }
};

template <class I, class F>
__global__ void for_elements(Along<I> along, F f) {
  for (int64_t e = thread_index(); e < along.total; e += thread_count()) f(along.at(e));
}
/// f for every element of the index, all at once.
template <class F>
void each_element(const int64_t* index, const GatherLoop& loop, const F& f) {
  const int64_t total = count(loop, 0) * loop.n * count(loop, 1);
  if (total == 0) return;
  with_index(total, [&](auto* tag) {
    using I = decltype(of(tag));
    run(&for_elements<I, F>, grid_for(total, kThreads), kThreads, 0, Along<I>(loop, index), f);
  });
}

template <class T>
struct Read {
  T* b;
  const T* a;
  __device__ void operator()(const Element& e) const { b[e.b] = e.i < 0 ? T(0) : a[e.a]; }
};
template <class T>
struct ReadOwned {
  T* b;
  const T* a;
  const int64_t* owner;
  __device__ void operator()(const Element& e) const { b[e.b] = e.i >= 0 && owner[e.a] == e.flat ? a[e.a] : T(0); }
};
struct Disown {
  int64_t* owner;
  __device__ void operator()(const Element& e) const {
    if (e.i >= 0) owner[e.a] = -1;
  }
};
struct Claim {
  int64_t* owner;
  __device__ void operator()(const Element& e) const {
    if (e.i >= 0) atomicMax(reinterpret_cast<long long*>(owner + e.a), static_cast<long long>(e.flat));
  }
};

// --- writing: many elements of the index may name one place ---------------------------------------------------------

template <class T, bool kAdd>
struct Write {
  T* a;
  const T* b;
  __device__ void operator()(int64_t to, int64_t from) const {
    a[to] = kAdd ? static_cast<T>(a[to] + b[from]) : b[from];
  }
};

// A thread for each place before and after the axis, along it in order.
template <class F>
__global__ void write_columns(GatherLoop loop, const int64_t* index, int64_t after, int64_t columns, F write) {
  for (int64_t t = thread_index(); t < columns; t += thread_count()) {
    const int64_t p = t / after, q = t % after;
    int64_t a = 0, b = 0;
    locate(loop, 0, p, a, b);
    locate(loop, 1, q, a, b);
    for (int64_t j = 0; j < loop.n; ++j) {
      int64_t i = index[(p * loop.n + j) * after + q];
      if (i < 0) i += loop.size;
      if (i >= 0 && i < loop.size) write(a + i * loop.a_axis, b + j * loop.b_axis);
    }
  }
}

// Keys are the places as [before, size, after]; behind them what names none.
template <class K>
struct Key {
  K* keys;
  int64_t size, after, places;
  __device__ void operator()(const Element& e) const {
    keys[e.flat] = static_cast<K>(e.i < 0 ? places : (e.before * size + e.i) * after + e.after);
  }
};

template <class T, class K>
struct SortedSource {
  using Sum = T;
  struct Column {};
  T* a;
  const T* b;
  const K* keys;
  const int32_t* entries;
  GatherLoop loop;
  int64_t after, places;

  __device__ int64_t place(int64_t k) const {
    const int64_t key = static_cast<int64_t>(keys[k]);
    return key < places ? key : -1;
  }
  __device__ Column column(int64_t) const { return {}; }
  __device__ T value(int64_t k, Column) const {
    const int64_t flat = entries[k], t = flat / after;
    int64_t unused = 0, from = t % loop.n * loop.b_axis;
    locate(loop, 0, t / loop.n, unused, from);
    locate(loop, 1, flat % after, unused, from);
    return b[from];
  }
  __device__ T& target(int64_t key) const {
    const int64_t t = key / after;
    int64_t to = t % loop.size * loop.a_axis, unused = 0;
    locate(loop, 0, t / loop.size, to, unused);
    locate(loop, 1, key % after, to, unused);
    return a[to];
  }
  __device__ void put(int64_t key, Column, T sum) const {
    T& to = target(key);
    to = static_cast<T>(to + sum);
  }
};

template <class Source>
__global__ void write_last(Source s, int64_t n) {
  for (int64_t k = thread_index(); k < n; k += thread_count()) {
    const int64_t place = s.place(k);
    if (place >= 0 && (k + 1 == n || s.place(k + 1) != place)) s.target(place) = s.value(k, s.column(0));
  }
}

// Columns that are enough to fill a device, or so short that nothing is gained by sorting.
constexpr int64_t kManyColumns = 8192, kShort = 32;

template <class T, bool kAdd>
void scatter(T* a, const T* b, const int64_t* index, const GatherLoop& loop) {
  const int64_t after = count(loop, 1), columns = count(loop, 0) * after, total = columns * loop.n;
  if (total == 0 || loop.size == 0) return;
  if (columns >= kManyColumns || loop.n <= kShort)
    return run(&write_columns<Write<T, kAdd>>, grid_for(columns, kThreads), kThreads, 0, loop, index, after, columns,
               Write<T, kAdd>{a, b});
  const int64_t places = columns * loop.size;
  with_key(static_cast<uint64_t>(places), [&](auto* tag) {
    using K = decltype(of(tag));
    Order<K> order(total);
    each_element(index, loop, Key<K>{order.keys(), loop.size, after, places});
    order.sort(bits_of(static_cast<uint64_t>(places)));
    const SortedSource<T, K> source{a, b, order.keys(), order.entries(), loop, after, places};
    if constexpr (kAdd)
      sum_runs(source, total, 1);
    else
      run(&write_last<SortedSource<T, K>>, grid_for(total, kThreads), kThreads, 0, source, total);
  });
}

// --- the others -----------------------------------------------------------------------------------------------------

template <class T>
__global__ void fill_chosen(T* y, const uint8_t* mask, const T* value, int64_t n, uint8_t wanted) {
  const T v = *value;
  for (int64_t i = thread_index(); i < n; i += thread_count())
    if (mask[i] == wanted) y[i] = v;
}

template <class T, class I>
__global__ void fill_one_hot(T* y, const int64_t* index, Divider<I> classes, int64_t total) {
  for (int64_t e = thread_index(); e < total; e += thread_count()) {
    I row = static_cast<I>(e);
    const I c = split(row, classes);
    y[e] = static_cast<T>(index[row] == static_cast<int64_t>(c));
  }
}

template <class T, class I>
__global__ void copy_triangle(T* y, const T* x, Divider<I> rows, Divider<I> cols, int64_t total, int64_t diagonal,
                              bool upper) {
  for (int64_t e = thread_index(); e < total; e += thread_count()) {
    I t = static_cast<I>(e);
    const int64_t col = split(t, cols), row = split(t, rows), cut = row + diagonal;
    y[e] = (upper ? col >= cut : col <= cut) ? x[e] : T(0);
  }
}

}  // namespace

void gather_along(void* b, const void* a, const int64_t* index, int64_t itemsize, const GatherLoop& loop) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    each_element(index, loop, Read<T>{static_cast<T*>(b), static_cast<const T*>(a)});
  });
}

void scatter_along(void* a, const void* b, const int64_t* index, int64_t itemsize, const GatherLoop& loop) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    scatter<T, false>(static_cast<T*>(a), static_cast<const T*>(b), index, loop);
  });
}

void scatter_add_along(void* a, const void* b, const int64_t* index, int type, const GatherLoop& loop) {
  with_type(type, [&](auto* tag) {
    using T = decltype(of(tag));
    scatter<T, true>(static_cast<T*>(a), static_cast<const T*>(b), index, loop);
  });
}

void scatter_owner(int64_t* owner, const int64_t* index, const GatherLoop& loop) {
  each_element(index, loop, Disown{owner});
  each_element(index, loop, Claim{owner});
}

void gather_owned(void* b, const void* a, const int64_t* owner, const int64_t* index, int64_t itemsize,
                  const GatherLoop& loop) {
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    each_element(index, loop, ReadOwned<T>{static_cast<T*>(b), static_cast<const T*>(a), owner});
  });
}

void fill_where(void* y, const uint8_t* mask, const void* value, int64_t itemsize, int64_t n, bool wanted) {
  if (n == 0) return;
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    run(&fill_chosen<T>, grid_for(n, kThreads), kThreads, 0, static_cast<T*>(y), mask, static_cast<const T*>(value), n,
        static_cast<uint8_t>(wanted));
  });
}

void one_hot_fill(void* y, int type, const int64_t* index, int64_t n, int64_t classes) {
  const int64_t total = n * classes;
  with_type(type, [&](auto* tag) {
    using T = decltype(of(tag));
    with_index(total, [&](auto* index_tag) {
      using I = decltype(of(index_tag));
      run(&fill_one_hot<T, I>, grid_for(total, kThreads), kThreads, 0, static_cast<T*>(y), index, Divider<I>(classes),
          total);
    });
  });
}

void triangle(void* y, const void* x, int64_t itemsize, int64_t batch, int64_t rows, int64_t cols, int64_t diagonal,
              bool upper) {
  const int64_t total = batch * rows * cols;
  with_size(itemsize, [&](auto* tag) {
    using T = decltype(of(tag));
    with_index(total, [&](auto* index_tag) {
      using I = decltype(of(index_tag));
      run(&copy_triangle<T, I>, grid_for(total, kThreads), kThreads, 0, static_cast<T*>(y), static_cast<const T*>(x),
          Divider<I>(rows), Divider<I>(cols), total, diagonal, upper);
    });
  });
}

}  // namespace cuda
}  // namespace fastnn
