// Stores that go past the cache: a line that will not be read again soon is then not fetched before it is overwritten,
// which saves a third of the traffic of a copy. They pay only where the result is too large for the last cache.
// Included inside per-ISA sources only.
#pragma once

#include "kernels/simd.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Whether a kernel that reads and writes so many bytes in all should stream its result: a usual last-level cache, 32
/// MB, would not hold them. (Below, it is measured slower: the reader that comes next finds nothing in the cache.)
FASTNN_INLINE bool past_cache(int64_t bytes) { return bytes >= (int64_t{36} << 20); }
/// What the address of a streamed vector must be a multiple of. (Two halves of a line meet again before memory.)
constexpr int64_t kStreamAlign = kVecBytes < 32 ? kVecBytes : 32;

template <class T>
FASTNN_INLINE void stream(T* p, Vec<T> v) {
#if defined(__AVX2__)
  typedef float half __attribute__((vector_size(32)));
  half h[kVecBytes / 32];
  __builtin_memcpy(h, &v, sizeof(v));
  for (int i = 0; i < kVecBytes / 32; ++i) __builtin_ia32_movntps256(reinterpret_cast<float*>(p) + 8 * i, h[i]);
#elif defined(__x86_64__)
  typedef float quad __attribute__((vector_size(16)));
  __builtin_ia32_movntps(reinterpret_cast<float*>(p), (quad)v);
#else
  store(p, v);
#endif
}

/// One vector of a result: past the cache where `streams` (then p is a multiple of kStreamAlign).
template <class T>
FASTNN_INLINE void put_vector(T* p, Vec<T> v, bool streams) {
  if (streams)
    stream(p, v);
  else
    store(p, v);
}

/// How far ahead of its row a kernel that passes over rows several times fetches what comes next, where the next row is
/// `n` elements on: a row of a few KB ends before the processor's own prefetching has come up to speed, and each would
/// begin by waiting for memory. Long rows need no help: 0, the place itself.
template <class T>
FASTNN_INLINE int64_t row_ahead(int64_t n) {
  return n * static_cast<int64_t>(sizeof(T)) <= 32768 ? n : 0;
}

/// Elements before the first aligned one, at most n; n where no element is aligned.
template <class T>
FASTNN_INLINE int64_t stream_head(const T* p, int64_t n) {
  const int64_t past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(p) % kStreamAlign);
  if (past % static_cast<int64_t>(sizeof(T)) != 0) return n;
  const int64_t head = past == 0 ? 0 : (kStreamAlign - past) / static_cast<int64_t>(sizeof(T));
  return head < n ? head : n;
}

/// Makes a task's streamed stores visible to the threads that wait for the task: every task that streams ends with it.
FASTNN_INLINE void stream_fence() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

/// y[i] = f(i, lanes in use) for n elements, past the cache where `streams`. f gives a vector.
template <class T, class F>
FASTNN_INLINE void write_run(T* y, int64_t n, bool streams, const F& f) {
  constexpr int64_t W = kLanes<T>;
  int64_t i = 0;
  if (streams) {
    const int64_t head = stream_head(y, n);
    for (; i + W <= head; i += W) store(y + i, f(i, W));
    if (i < head) store_n(y + i, f(i, head - i), head - i), i = head;
    for (; i + W <= n; i += W) stream(y + i, f(i, W));
  } else {
    for (; i + W <= n; i += W) store(y + i, f(i, W));
  }
  if (i < n) store_n(y + i, f(i, n - i), n - i);
}

/// y = x, n elements, x usually a buffer in L1.
template <class T>
FASTNN_INLINE void stream_copy(T* y, const T* x, int64_t n) {
  constexpr int64_t W = kLanes<T>;
  write_run(y, n, true,
            [&](int64_t i, int64_t k) FASTNN_LAMBDA_INLINE { return k == W ? load(x + i) : load_n(x + i, k); });
}

/// y = value, n elements.
template <class T>
FASTNN_INLINE void stream_fill(T* y, T value, int64_t n) {
  write_run(y, n, true, [&](int64_t, int64_t) FASTNN_LAMBDA_INLINE { return Vec<T>{} + value; });
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
