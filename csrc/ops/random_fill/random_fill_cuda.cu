// Philox streams on a device. A thread draws one block and writes the elements that it holds; nothing depends on how
// many threads there are. Compiled without fused multiply-adds: the numbers have the bits of the CPU's.
#include "cuda/pack.h"
#include "ops/random_fill/distributions.h"
#include "ops/random_fill/random_fill.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kBlock = 256;

__device__ inline float root(float x) { return sqrtf(x); }
__device__ inline double root(double x) { return sqrt(x); }

/// floor(a b / 2^64).
__device__ inline uint64_t multiply_high(uint64_t a, uint64_t b) {
#ifdef __CUDA_ARCH__
  return __umul64hi(a, b);
#else
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
#endif
}

// What a block of words is made into: `count` numbers y[0], y[1], ... of the elements `first` on.
template <class T>
struct Uniform {
  static constexpr int count = 16 / sizeof(T);
  typedef T Out;
  T low, high, width;
  __device__ void operator()(const uint32_t* words, int64_t, int, T* y) const {
#pragma unroll
    for (int i = 0; i < count; ++i) {
      const T v = low + static_cast<T>(bits_of(words, i, T())) * Real<T>::unit * width;
      y[i] = v < high ? v : low;  // rounding may reach the open end
    }
  }
};
template <class T>
struct Normal {
  static constexpr int count = 16 / sizeof(T);
  typedef T Out;
  T mean, std;
  __device__ void operator()(const uint32_t* words, int64_t, int, T* y) const {
#pragma unroll
    for (int i = 0; i < count; i += 2) {
      const T r = root(T(-2) * log_unit<T>(bits_of(words, i, T()) + 1));
      T c, s;
      turn<T>(bits_of(words, i + 1, T()), c, s);
      y[i] = mean + std * (r * c);
      y[i + 1] = mean + std * (r * s);
    }
  }
};
template <class T>
struct Exponential {
  static constexpr int count = 16 / sizeof(T);
  typedef T Out;
  T lambda;
  __device__ void operator()(const uint32_t* words, int64_t, int, T* y) const {
#pragma unroll
    for (int i = 0; i < count; ++i) y[i] = -log_unit<T>(bits_of(words, i, T()) + 1) / lambda;
  }
};
template <class T>
struct Bernoulli {
  static constexpr int count = 4;
  typedef T Out;
  uint64_t limit;
  __device__ void operator()(const uint32_t* words, int64_t, int, T* y) const {
#pragma unroll
    for (int i = 0; i < count; ++i) y[i] = words[i] < limit ? T(1) : T(0);
  }
};
/// With a probability for each element.
template <class T>
struct BernoulliEach {
  static constexpr int count = 4;
  typedef T Out;
  const T* p;
  __device__ void operator()(const uint32_t* words, int64_t first, int n, T* y) const {
#pragma unroll
    for (int i = 0; i < count; ++i)
      if (i < n) y[i] = words[i] * 0x1p-32 < p[first + i] ? T(1) : T(0);
  }
};
template <class T>
struct Integers {
  static constexpr int count = 2;
  typedef T Out;
  int64_t low;
  uint64_t range;
  __device__ void operator()(const uint32_t* words, int64_t, int, T* y) const {
#pragma unroll
    for (int i = 0; i < count; ++i)
      y[i] = static_cast<T>(static_cast<int64_t>(static_cast<uint64_t>(low) + multiply_high(word64(words, i), range)));
  }
};
template <class T>
struct Dropout {
  static constexpr int count = 4;
  typedef T Out;
  const T* x;
  uint64_t limit;
  double scale;
  int64_t whole;
  __device__ void operator()(const uint32_t* words, int64_t first, int n, T* y) const {
    __align__(16) T v[count];
    if (whole && n == count) {
#pragma unroll
      for (int i = 0; i < count; i += kPack<T>) as_pack<T, kPack<T>>(v + i) = as_pack<T, kPack<T>>(x + first + i);
    } else {
#pragma unroll
      for (int i = 0; i < count; ++i) v[i] = i < n ? x[first + i] : T(0);
    }
#pragma unroll
    for (int i = 0; i < count; ++i) y[i] = words[i] < limit ? T(0) : limit == 0 ? v[i] : v[i] * static_cast<T>(scale);
  }
};

/// Elements of a block of words that are stored as one.
template <class F>
constexpr int kStored = F::count < kPack<typename F::Out> ? F::count : kPack<typename F::Out>;

template <class F>
__global__ void __launch_bounds__(kBlock)
    draw_kernel(F f, typename F::Out* y, int64_t n, DeviceRandom random, bool whole) {
  typedef typename F::Out T;
  constexpr int V = kStored<F>;
  const PhiloxState s = random.get();
  const int64_t blocks = (n + F::count - 1) / F::count;
  for (int64_t b = thread_index(); b < blocks; b += thread_count()) {
    uint32_t words[4];
    philox4x32(s.seed, static_cast<uint64_t>(b), s.offset, words);
    const int64_t first = b * F::count;
    const int here = n - first < F::count ? static_cast<int>(n - first) : F::count;
    __align__(16) T v[F::count];
    f(words, first, here, v);
    if (whole && here == F::count) {
#pragma unroll
      for (int i = 0; i < F::count; i += V) as_pack<T, V>(y + first + i) = as_pack<T, V>(v + i);
    } else {
#pragma unroll
      for (int i = 0; i < F::count; ++i)
        if (i < here) y[first + i] = v[i];
    }
  }
}

template <class F>
void draw(const F& f, void* y, int64_t n, const PhiloxState* state) {
  if (n <= 0) return;
  auto* const out = static_cast<typename F::Out*>(y);
  run(&draw_kernel<F>, grid_for((n + F::count - 1) / F::count, kBlock), kBlock, 0, f, out, n, device_random(state),
      aligned<kStored<F>>(out));
}

/// f(null pointer to the element type).
template <class F>
void with_elem(Elem type, const F& f) {
  switch (type) {
    case Elem::f32:
      return f(static_cast<float*>(nullptr));
    case Elem::f64:
      return f(static_cast<double*>(nullptr));
    case Elem::i64:
      return f(static_cast<int64_t*>(nullptr));
    case Elem::i32:
      return f(static_cast<int32_t*>(nullptr));
    default:
      return f(static_cast<uint8_t*>(nullptr));
  }
}

// --- permutation --------------------------------------------------------------------------------------------------
// Fisher-Yates swaps places i = n - 1, n - 2, ... with a partner j(i) <= i. Swaps of places that no swap still to come
// before them touches can be done side by side, so in rounds each swap waiting claims its two places, the earliest
// claim holds, and who holds both swaps: the result is that of one swap after the other.

constexpr int kPermuteBlock = 1024;

__global__ void __launch_bounds__(kPermuteBlock)
    permutation_kernel(int64_t* y, unsigned long long* claim, int64_t* partner, int64_t* waiting, int64_t* next,
                       int64_t n, DeviceRandom random) {
  __shared__ unsigned long long left;
  const PhiloxState s = random.get();
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    const int64_t k = n - 1 - i;  // place i is the k-th to be swapped
    uint32_t words[4];
    philox4x32(s.seed, static_cast<uint64_t>(k / 2), s.offset, words);
    partner[i] = static_cast<int64_t>(multiply_high(word64(words, k % 2), static_cast<uint64_t>(i + 1)));
    y[i] = i;
    claim[i] = 0;
    waiting[i] = i;
  }
  int64_t count = n;
  while (count > 0) {
    __syncthreads();
    if (threadIdx.x == 0) left = 0;
    for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
      const int64_t i = waiting[k];
      atomicMax(claim + i, static_cast<unsigned long long>(i + 1));
      atomicMax(claim + partner[i], static_cast<unsigned long long>(i + 1));
    }
    __syncthreads();
    for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
      const int64_t i = waiting[k], j = partner[i];
      const auto mine = static_cast<unsigned long long>(i + 1);
      if (claim[i] == mine && claim[j] == mine) {
        const int64_t v = y[i];
        y[i] = y[j];
        y[j] = v;
      } else {
        next[atomicAdd(&left, 1ull)] = i;
      }
    }
    __syncthreads();
    for (int64_t k = threadIdx.x; k < count; k += blockDim.x) {
      const int64_t i = waiting[k];
      claim[i] = 0;
      claim[partner[i]] = 0;
    }
    count = static_cast<int64_t>(left);
    int64_t* const done = waiting;
    waiting = next;
    next = done;
    __syncthreads();
  }
}

}  // namespace

void random_fill(void* y, int64_t n, Elem type, const PhiloxState* state, Distribution what, double a, double b) {
  if (what == Distribution::bernoulli)
    return with_elem(type, [&](auto tag) { draw(Bernoulli<decltype(of(tag))>{threshold(a)}, y, n, state); });
  with_float(type, [&](auto tag) {
    typedef decltype(of(tag)) T;
    if (what == Distribution::uniform)
      draw(Uniform<T>{static_cast<T>(a), static_cast<T>(b), static_cast<T>(b - a)}, y, n, state);
    else if (what == Distribution::normal)
      draw(Normal<T>{static_cast<T>(a), static_cast<T>(b)}, y, n, state);
    else
      draw(Exponential<T>{static_cast<T>(a)}, y, n, state);
  });
}

void random_bernoulli(void* y, const void* p, int64_t n, Elem type, const PhiloxState* state) {
  with_float(type, [&](auto tag) {
    typedef decltype(of(tag)) T;
    draw(BernoulliEach<T>{static_cast<const T*>(p)}, y, n, state);
  });
}

void random_integers(void* y, int64_t n, Elem type, const PhiloxState* state, int64_t low, uint64_t range) {
  with_elem(type, [&](auto tag) { draw(Integers<decltype(of(tag))>{low, range}, y, n, state); });
}

void random_permutation(int64_t* y, int64_t n, const PhiloxState* state) {
  if (n <= 0) return;
  const Scratch scratch(4 * 8 * n);
  run(&permutation_kernel, 1, kPermuteBlock, 0, y, scratch.as<unsigned long long>(), scratch.as<int64_t>(8 * n),
      scratch.as<int64_t>(16 * n), scratch.as<int64_t>(24 * n), n, device_random(state));
}

void random_dropout(void* y, const void* x, int64_t n, Elem type, const PhiloxState* state, double p) {
  with_float(type, [&](auto tag) {
    typedef decltype(of(tag)) T;
    const T* from = static_cast<const T*>(x);
    draw(Dropout<T>{from, threshold(p), p < 1 ? 1 / (1 - p) : 0, aligned<kPack<T>>(from)}, y, n, state);
  });
}

}  // namespace cuda
}  // namespace fastnn
