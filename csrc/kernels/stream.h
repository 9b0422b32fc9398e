// Stores that go past the cache: a line that will not be read again soon is then not fetched before it is overwritten,
// which saves a third of the traffic of a copy. They pay only where the result is too large for the last cache.
// Included inside per-ISA sources only.
#pragma once

#include "kernels/simd.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Results from this many bytes on are streamed: half of a usual last-level cache, with the input in the other half.
constexpr int64_t kStreamBytes = int64_t{8} << 20;
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

/// y = x, n elements, x usually a buffer in L1.
template <class T>
FASTNN_INLINE void stream_copy(T* y, const T* x, int64_t n) {
  constexpr int64_t W = kLanes<T>;
  int64_t i = stream_head(y, n);
  for (int64_t k = 0; k < i; k += W) store_n(y + k, load_n(x + k, i - k < W ? i - k : W), i - k < W ? i - k : W);
  for (; i + W <= n; i += W) stream(y + i, load(x + i));
  if (i < n) store_n(y + i, load_n(x + i, n - i), n - i);
}

/// y = value, n elements.
template <class T>
FASTNN_INLINE void stream_fill(T* y, T value, int64_t n) {
  constexpr int64_t W = kLanes<T>;
  const Vec<T> v = Vec<T>{} + value;
  int64_t i = stream_head(y, n);
  for (int64_t k = 0; k < i; ++k) y[k] = value;
  for (; i + W <= n; i += W) stream(y + i, v);
  for (; i < n; ++i) y[i] = value;
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
