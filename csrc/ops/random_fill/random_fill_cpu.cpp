// Philox streams into memory. All loops but the generator's are plain C that the compiler vectorises; -ffp-contract=off
// keeps every product and sum rounded by itself, so the bits do not depend on the instruction set.
#include "kernels/parallel.h"
#include "kernels/simd_single.h"
#include "kernels/stream.h"
#include "ops/random_fill/distributions.h"
#include "ops/random_fill/random_fill.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Words drawn at a time: they stay in L1.
constexpr int64_t kWords = 1024;
/// Words a task draws; a multiple of kWords.
constexpr int64_t kGrain = 16 * kWords;

/// Vectors drawn side by side: one round waits for the one before, so a single vector would leave the units idle.
constexpr int kAbreast = kVecBytes == 64 ? 4 : 2;

/// words[4 b + k] = word k of block first + b. Whole groups of vectors are written, and kWords is a multiple of them. A
/// lane of 64 bits holds a word in its low half, which is all that the next round's products read; what the high half
/// holds is of no matter. `meanwhile(first, count)` is called for every group of words.
template <class F>
__attribute__((noinline)) void draw(uint32_t* words, const PhiloxState& s, int64_t first, int64_t blocks,
                                    const F& meanwhile) {
  constexpr int kBlocks = kVecBytes / 8;
  u64v key[20], lane;
  for (int r = 0; r < 10; ++r) {
    key[2 * r] = u64v{} + static_cast<uint32_t>(s.seed + static_cast<uint64_t>(r) * 0x9E3779B9u);
    key[2 * r + 1] = u64v{} + static_cast<uint32_t>((s.seed >> 32) + static_cast<uint64_t>(r) * 0xBB67AE85u);
  }
  for (int i = 0; i < kBlocks; ++i) lane[i] = static_cast<uint64_t>(first + i);
  const u64v m0 = u64v{} + 0xD2511F53u, m1 = u64v{} + 0xCD9E8D57u;
  for (int64_t b = 0; b < blocks; b += kAbreast * kBlocks) {
    meanwhile(4 * b, int64_t{4} * kAbreast * kBlocks);
    asm("" : "+m"(key));  // keys are read from memory: in registers they would push out what is computed
    u64v c0[kAbreast], c1[kAbreast], c2[kAbreast], c3[kAbreast];
#pragma GCC unroll 4
    for (int v = 0; v < kAbreast; ++v, lane += kBlocks)
      c0[v] = lane, c1[v] = lane >> 32, c2[v] = u64v{} + s.offset, c3[v] = c2[v] >> 32;
#pragma GCC unroll 10
    for (int r = 0; r < 10; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kAbreast; ++v) {
        const u64v p0 = multiply_low(c0[v], m0), p1 = multiply_low(c2[v], m1);
        c0[v] = high_half(p1) ^ c1[v] ^ key[2 * r];
        c2[v] = high_half(p0) ^ c3[v] ^ key[2 * r + 1];
        c1[v] = p1, c3[v] = p0;
      }
#pragma GCC unroll 4
    for (int v = 0; v < kAbreast; ++v)
      store_pairs(words + 4 * (b + v * kBlocks), (c0[v] & UINT32_MAX) | c1[v] << 32,
                  (c2[v] & UINT32_MAX) | c3[v] << 32);
  }
}

/// f(words, first, count): the words of elements [first, first + count), `per` words each; count is even but at the
/// end. `soon(first, count)` is called for the words of the chunk after, by and by while those of this one are drawn:
/// time to fetch what f will read and write.
template <class F, class Soon>
void each_chunk(int64_t n, int64_t per, const PhiloxState* state, const F& f, const Soon& soon) {
  const PhiloxState s = *state;
  parallel_range(n, kGrain / per, [&](int64_t begin, int64_t end) {
    alignas(64) uint32_t words[kWords];
    for (int64_t i = begin; i < end; i += kWords / per) {
      const int64_t count = end - i < kWords / per ? end - i : kWords / per;
      draw(words, s, i * per / 4, (count * per + 3) / 4,
           [&](int64_t at, int64_t group) FASTNN_LAMBDA_INLINE { soon(i * per + kWords + at, group); });
      f(words, i, count);
    }
    stream_fence();
  });
}
template <class F>
void each_chunk(int64_t n, int64_t per, const PhiloxState* state, const F& f) {
  each_chunk(n, per, state, f, [](int64_t, int64_t) {});
}

template <class T>
void uniform_run(T* __restrict y, const uint32_t* __restrict words, int64_t n, double low_, double high_) {
  const T low = static_cast<T>(low_), high = static_cast<T>(high_), width = static_cast<T>(high_ - low_);
  for (int64_t i = 0; i < n; ++i) {
    const T v = low + static_cast<T>(bits_of(words, i, T())) * Real<T>::unit * width;
    y[i] = v < high ? v : low;  // rounding may reach the open end
  }
}
template <class T>
void normal_run(T* __restrict y, const uint32_t* __restrict words, int64_t n, double mean_, double std_) {
  const T mean = static_cast<T>(mean_), std = static_cast<T>(std_);
  for (int64_t i = 0; i < n / 2; ++i) {
    const T r = __builtin_sqrt(T(-2) * log_unit<T>(bits_of(words, 2 * i, T()) + 1));
    T c, s;
    turn<T>(bits_of(words, 2 * i + 1, T()), c, s);
    y[2 * i] = mean + std * (r * c);
    y[2 * i + 1] = mean + std * (r * s);
  }
  if (n % 2) {
    const T r = __builtin_sqrt(T(-2) * log_unit<T>(bits_of(words, n - 1, T()) + 1));
    T c, s;
    turn<T>(bits_of(words, n, T()), c, s);  // drawn: blocks hold pairs
    y[n - 1] = mean + std * (r * c);
  }
}
template <class T>
void exponential_run(T* __restrict y, const uint32_t* __restrict words, int64_t n, double lambda_) {
  const T lambda = static_cast<T>(lambda_);
  for (int64_t i = 0; i < n; ++i) y[i] = -log_unit<T>(bits_of(words, i, T()) + 1) / lambda;
}
template <class T>
void bernoulli_run(T* __restrict y, const uint32_t* __restrict words, int64_t n, double p) {
  const uint64_t limit = threshold(p);
  const uint32_t last = static_cast<uint32_t>(limit - 1);
  if (limit == 0) {
    for (int64_t i = 0; i < n; ++i) y[i] = T(0);
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i] = words[i] <= last ? T(1) : T(0);
}

template <class T>
void real_fill(T* y, int64_t n, const PhiloxState* state, Distribution what, double a, double b) {
  each_chunk(n, sizeof(T) / 4, state, [&](const uint32_t* words, int64_t i, int64_t count) {
    if (what == Distribution::uniform) uniform_run(y + i, words, count, a, b);
    if (what == Distribution::normal) normal_run(y + i, words, count, a, b);
    if (what == Distribution::exponential) exponential_run(y + i, words, count, a);
  });
}
template <class T>
void bernoulli_fill(T* y, int64_t n, const PhiloxState* state, double p) {
  each_chunk(n, 1, state,
             [&](const uint32_t* words, int64_t i, int64_t count) { bernoulli_run(y + i, words, count, p); });
}
template <class T>
void integer_fill(T* y, int64_t n, const PhiloxState* state, int64_t low, uint64_t range) {
  each_chunk(n, 2, state, [&](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t k = 0; k < count; ++k) {
      const uint64_t r = static_cast<uint64_t>(static_cast<unsigned __int128>(word64(words, k)) * range >> 64);
      y[i + k] = static_cast<T>(static_cast<int64_t>(static_cast<uint64_t>(low) + r));
    }
  });
}
template <class T>
void dropout_run(T* y, const T* x, int64_t n, const PhiloxState* state, double p) {
  const uint64_t limit = threshold(p);
  const uint32_t last = static_cast<uint32_t>(limit - 1);
  const T scale = static_cast<T>(p < 1 ? 1 / (1 - p) : 0);
  const bool streams = past_cache(2 * n * static_cast<int64_t>(sizeof(T)));
  const auto drop = [&](const uint32_t* words, int64_t i, int64_t count) {
    if (limit == 0) {
      for (int64_t k = 0; k < count; ++k) y[i + k] = x[i + k];
      return;
    }
    alignas(64) T stage[kWords];
    T* const to = streams ? stage : y + i;
    for (int64_t k = 0; k < count; ++k) {
      const T v = x[i + k] * scale;
      to[k] = words[k] <= last ? T(0) : v;
    }
    if (streams) stream_copy(y + i, stage, count);
  };
  // The processor's own prefetching gives up between chunks, and each would begin by waiting for memory.
  each_chunk(n, 1, state, drop, [&](int64_t i, int64_t count) FASTNN_LAMBDA_INLINE {
    constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
    for (int64_t k = i; k < i + count && k < n; k += kLine) {
      __builtin_prefetch(x + k, 0, 2);
      if (!streams) __builtin_prefetch(y + k, 1, 2);
    }
  });
}

}  // namespace

void random_fill(void* y, int64_t n, Elem type, const PhiloxState* state, Distribution what, double a, double b) {
  if (what == Distribution::bernoulli) {
    switch (type) {
      case Elem::f32:
        return bernoulli_fill(static_cast<float*>(y), n, state, a);
      case Elem::f64:
        return bernoulli_fill(static_cast<double*>(y), n, state, a);
      case Elem::i64:
        return bernoulli_fill(static_cast<int64_t*>(y), n, state, a);
      case Elem::i32:
        return bernoulli_fill(static_cast<int32_t*>(y), n, state, a);
      default:
        return bernoulli_fill(static_cast<uint8_t*>(y), n, state, a);
    }
  }
  if (type == Elem::f32)
    real_fill(static_cast<float*>(y), n, state, what, a, b);
  else
    real_fill(static_cast<double*>(y), n, state, what, a, b);
}

void random_bernoulli(void* y, const void* p, int64_t n, Elem type, const PhiloxState* state) {
  each_chunk(n, 1, state, [&](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t k = i; k < i + count; ++k) {
      const double u = words[k - i] * 0x1p-32;
      if (type == Elem::f32)
        static_cast<float*>(y)[k] = u < static_cast<const float*>(p)[k];
      else
        static_cast<double*>(y)[k] = u < static_cast<const double*>(p)[k];
    }
  });
}

void random_integers(void* y, int64_t n, Elem type, const PhiloxState* state, int64_t low, uint64_t range) {
  switch (type) {
    case Elem::f32:
      return integer_fill(static_cast<float*>(y), n, state, low, range);
    case Elem::f64:
      return integer_fill(static_cast<double*>(y), n, state, low, range);
    case Elem::i64:
      return integer_fill(static_cast<int64_t*>(y), n, state, low, range);
    case Elem::i32:
      return integer_fill(static_cast<int32_t*>(y), n, state, low, range);
    default:
      return integer_fill(static_cast<uint8_t*>(y), n, state, low, range);
  }
}

void random_permutation(int64_t* y, int64_t n, const PhiloxState* state) {
  const PhiloxState s = *state;
  for (int64_t i = 0; i < n; ++i) y[i] = i;
  uint32_t words[kWords];
  const int64_t step = kWords / 2;
  for (int64_t first = 0; first < n; first += step) {
    const int64_t count = n - first < step ? n - first : step;
    draw(words, s, first / 2, (count + 1) / 2, [](int64_t, int64_t) {});
    for (int64_t k = 0; k < count; ++k) {
      const int64_t i = n - 1 - (first + k);
      const int64_t j =
          static_cast<int64_t>(static_cast<unsigned __int128>(word64(words, k)) * static_cast<uint64_t>(i + 1) >> 64);
      const int64_t v = y[i];
      y[i] = y[j];
      y[j] = v;
    }
  }
}

void random_dropout(void* y, const void* x, int64_t n, Elem type, const PhiloxState* state, double p) {
  if (type == Elem::f32)
    dropout_run(static_cast<float*>(y), static_cast<const float*>(x), n, state, p);
  else
    dropout_run(static_cast<double*>(y), static_cast<const double*>(x), n, state, p);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
