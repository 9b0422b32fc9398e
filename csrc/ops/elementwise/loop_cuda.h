#pragma once
// The driver of kernels/loop.h on a device. A function F is plain data with
//   arity                operands that it reads (at least 1)
//   In, Out              their type, and that of the result
//   mask                 the operand that is a bool, -1 for none
//   Out operator()(const In* x) const
// and is compiled twice: for runs of several elements, moved as one word of up to 16 bytes, and for single ones.
// Operands of another type are converted into working memory first, so no function is compiled once per pair of types.

#include <optional>
#include <type_traits>

#include "cuda/divide.h"
#include "cuda/pack.h"
#include "ops/elementwise/kernels.h"

namespace fastnn {
namespace cuda {

/// What a kernel gets of a Loop: N operands (the result first), null ones replaced by numbers.
template <int N, class T>
struct LoopArgs {
  int64_t n;
  int64_t rank;  // at least 1
  char* base[N];
  T number[N];
  int64_t shape[kLoopRank];
  int64_t stride[N][kLoopRank];  // in bytes
};

template <class F, int K>
constexpr bool is_mask() {
  return F::mask == K - 1;
}

/// Elements `at` of the loop on, Run of them: the value of operand K, its place given in bytes.
template <class F, int K, int Run, int N>
__device__ inline Pack<typename F::In, Run> read_operand(const LoopArgs<N, typename F::In>& a, int64_t at) {
  typedef typename F::In T;
  Pack<T, Run> x;
  if (a.base[K] == nullptr) {
#pragma unroll
    for (int e = 0; e < Run; ++e) x.v[e] = a.number[K];
    return x;
  }
  const char* p = a.base[K] + at;
  const bool runs = Run == 1 || a.stride[K][a.rank - 1] != 0;
  if constexpr (is_mask<F, K>()) {
    Pack<uint8_t, Run> m;
    if (runs) {
      m = load_pack<uint8_t, Run>(p);
    } else {
      const uint8_t one = *reinterpret_cast<const uint8_t*>(p);
#pragma unroll
      for (int e = 0; e < Run; ++e) m.v[e] = one;
    }
#pragma unroll
    for (int e = 0; e < Run; ++e) x.v[e] = m.v[e] != 0;
  } else if (runs) {
    x = load_pack<T, Run>(p);
  } else {
    const T one = *reinterpret_cast<const T*>(p);
#pragma unroll
    for (int e = 0; e < Run; ++e) x.v[e] = one;
  }
  return x;
}

template <class F, int Run, int N, int... K>
__device__ inline void loop_step(const F& f, const LoopArgs<N, typename F::In>& a, int64_t pos,
                                 std::integer_sequence<int, K...>) {
  int64_t at[N];
  const int inner = static_cast<int>(a.rank) - 1;
  if (inner == 0) {
#pragma unroll
    for (int k = 0; k < N; ++k) at[k] = pos * a.stride[k][0];
  } else {
    int64_t coordinate = split(pos, a.shape[inner]);
#pragma unroll
    for (int k = 0; k < N; ++k) at[k] = coordinate * a.stride[k][inner];
    for (int d = inner - 1; d > 0; --d) {
      coordinate = split(pos, a.shape[d]);
#pragma unroll
      for (int k = 0; k < N; ++k) at[k] += coordinate * a.stride[k][d];
    }
#pragma unroll
    for (int k = 0; k < N; ++k) at[k] += pos * a.stride[k][0];
  }
  const Pack<typename F::In, Run> x[] = {read_operand<F, K + 1, Run>(a, at[K + 1])...};
  Pack<typename F::Out, Run> y;
#pragma unroll
  for (int e = 0; e < Run; ++e) {
    const typename F::In in[] = {x[K].v[e]...};
    y.v[e] = f(in);
  }
  store_pack(a.base[0] + at[0], y);
}

constexpr int kLoopBlock = 256;

template <class F, int Run>
__global__ void __launch_bounds__(kLoopBlock) loop_kernel(F f, LoopArgs<F::arity + 1, typename F::In> a) {
  const std::make_integer_sequence<int, F::arity> operands{};
  const int64_t step = thread_count();
  for (int64_t i = thread_index(); i < a.n / Run; i += step) loop_step<F, Run>(f, a, i * Run, operands);
  if constexpr (Run > 1)
    for (int64_t i = a.n / Run * Run + thread_index(); i < a.n; i += step) loop_step<F, 1>(f, a, i, operands);
}

/// Whether all operands can be moved in runs: along the last dimension each is contiguous or one element, runs do not
/// cross rows, and all runs are aligned.
template <int N, class T>
bool loop_runs(const LoopArgs<N, T>& a, const int64_t (&size)[N], int run) {
  const int inner = static_cast<int>(a.rank) - 1;
  if (inner > 0 && a.shape[inner] % run != 0) return false;
  for (int k = 0; k < N; ++k) {
    if (a.base[k] == nullptr || (k > 0 && a.stride[k][inner] == 0)) continue;
    const int64_t bytes = size[k] * run;
    if (a.stride[k][inner] != size[k] || reinterpret_cast<uintptr_t>(a.base[k]) % static_cast<uintptr_t>(bytes) != 0)
      return false;
    for (int d = 0; d < inner; ++d)
      if (a.stride[k][d] % bytes != 0) return false;
  }
  return true;
}

/// y = f(operands), all of the types that F names; `number[k]` stands for operand k where that is null.
template <class F, int N>
void start_loop(const F& f, const Loop<N>& l, void* const (&base)[N], const typename F::In (&number)[N]) {
  static_assert(N == F::arity + 1, "");
  typedef typename F::In In;
  typedef typename F::Out Out;
  LoopArgs<N, In> a;
  std::memset(static_cast<void*>(&a), 0, sizeof a);
  a.n = l.n;
  a.rank = l.rank < 1 ? 1 : l.rank;
  int64_t size[N];
  for (int k = 0; k < N; ++k) {
    size[k] = k == 0 ? sizeof(Out) : k - 1 == F::mask ? 1 : sizeof(In);
    a.base[k] = static_cast<char*>(base[k]);
    a.number[k] = number[k];
    for (int d = 0; d < a.rank; ++d) {
      a.shape[d] = l.rank < 1 ? 1 : l.shape[d];
      a.stride[k][d] = l.n == 1 ? size[k] : l.stride[k][d];
    }
  }
  constexpr int run = 16 / (sizeof(In) > sizeof(Out) ? sizeof(In) : sizeof(Out));
  if (loop_runs(a, size, run))
    cuda::run(&loop_kernel<F, run>, grid_for(l.n / run, kLoopBlock), kLoopBlock, 0, f, a);
  else
    cuda::run(&loop_kernel<F, 1>, grid_for(l.n, kLoopBlock), kLoopBlock, 0, f, a);
}

/// Operand k in row-major memory of its own, as it will be once converted: only along the dimensions that it has.
template <int N>
Loop<2> staging_loop(const Loop<N>& l, int k, Elem to, Elem from) {
  Loop<2> s;
  std::memset(&s, 0, sizeof s);
  s.type[0] = to;
  s.type[1] = from;
  s.n = 1;
  for (int d = 0; d < l.rank; ++d) {
    if (l.stride[k][d] == 0) continue;
    s.shape[s.rank] = l.shape[d];
    s.stride[1][s.rank++] = l.stride[k][d];
    s.n *= l.shape[d];
  }
  int64_t step = elem_size(to);
  for (int d = s.rank - 1; d >= 0; step *= s.shape[d--]) s.stride[0][d] = step;
  return s;
}

inline Loop<2> swapped(Loop<2> l) {
  std::swap(l.type[0], l.type[1]);
  for (int d = 0; d < kLoopRank; ++d) std::swap(l.stride[0][d], l.stride[1][d]);
  return l;
}

/// y = f(operands), computed in the types `want`; an operand of another type is converted on the way.
template <class F, int N>
void run_loop(const F& f, Loop<N> l, const void* const (&operand)[N], const Elem (&want)[N],
              const typename F::In (&number)[N]) {
  if (l.n <= 0) return;
  void* base[N];
  std::optional<Scratch> staged[N];
  Loop<2> copies[N];
  for (int k = 0; k < N; ++k) {
    base[k] = const_cast<void*>(operand[k]);
    if (base[k] == nullptr || l.type[k] == want[k]) continue;
    copies[k] = staging_loop(l, k, want[k], l.type[k]);
    staged[k].emplace(copies[k].n * elem_size(want[k]));
    base[k] = staged[k]->template as<char>();
    if (k > 0) cuda::copy(base[k], operand[k], copies[k]);
    for (int d = 0, s = 0; d < l.rank; ++d)
      if (l.stride[k][d] != 0) l.stride[k][d] = copies[k].stride[0][s++];
  }
  start_loop(f, l, base, number);
  if (staged[0]) cuda::copy(const_cast<void*>(operand[0]), base[0], swapped(copies[0]));
}

/// The number in a type, as the CPU's kernels convert it: floats are rounded, integers saturate.
template <class T>
T number_as(const Number& v) {
  if (std::is_floating_point<T>::value) return static_cast<T>(v.f);
  const int64_t low = sizeof(T) == 8 ? INT64_MIN : sizeof(T) == 4 ? INT32_MIN : 0;
  const int64_t high = sizeof(T) == 8 ? INT64_MAX : sizeof(T) == 4 ? INT32_MAX : 255;
  return static_cast<T>(v.i < low ? low : v.i > high ? high : v.i);
}

}  // namespace cuda
}  // namespace fastnn
