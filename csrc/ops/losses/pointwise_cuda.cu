#include "cuda/pack.h"
#include "ops/elementwise/formulas_cuda.h"
#include "ops/losses/pointwise.h"
#include "ops/losses/reduction_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

#include "ops/losses/pointwise_formulas.h"  // into this namespace

/// Elements i on of an operand, 1 where there is none. kWhole: at once, as their address allows.
template <class T, int Run, bool kWhole = true>
__device__ inline Pack<T, Run> read(const void* p, int64_t i) {
  if (kWhole && p) return load_pack<T, Run>(static_cast<const char*>(p) + i * static_cast<int64_t>(sizeof(T)));
  Pack<T, Run> one;
  if (p) {
#pragma unroll
    for (int e = 0; e < Run; ++e) one.v[e] = static_cast<const T*>(p)[i + e];
    return one;
  }
#pragma unroll
  for (int e = 0; e < Run; ++e) one.v[e] = T(1);
  return one;
}
template <class T, int Run>
__device__ inline void write(T* p, int64_t i, const Pack<T, Run>& v) {
  store_pack(reinterpret_cast<char*>(p + i), v);
}

template <class Loss, class T, int Run, bool kWhole>
__device__ inline void forward_step(const PointwiseArgs& a, T* y, int64_t i, double& total, double& count) {
  const Pack<T, Run> x = read<T, Run, kWhole>(a.x, i), t = read<T, Run, kWhole>(a.t, i),
                     w = read<T, Run, kWhole>(a.w, i), m = read<T, Run, kWhole>(a.m, i),
                     q = read<T, Run, kWhole>(a.q, i);
  const T p = static_cast<T>(a.p);
  Pack<T, Run> v;
#pragma unroll
  for (int e = 0; e < Run; ++e) {
    v.v[e] = masked<T>(Loss::template value<T>(x.v[e], t.v[e], p, q.v[e]) * w.v[e], m.v[e]);
    total += v.v[e];
    count += a.count_weights ? m.v[e] * w.v[e] : m.v[e];
  }
  if (!y) return;
  if constexpr (kWhole) {
    write(y, i, v);
  } else {
#pragma unroll
    for (int e = 0; e < Run; ++e) y[i + e] = v.v[e];
  }
}

/// Which thread adds up what depends on the number of elements alone, not on where they lie.
template <class Loss, class T, int Run, bool kWhole>
__global__ void __launch_bounds__(kLossBlock) forward_kernel(PointwiseArgs a, T* y, double* sums) {
  __shared__ double cells[kWarp];
  double total = 0, count = 0;
  for (int64_t i = thread_index(); i < a.n / Run; i += thread_count())
    forward_step<Loss, T, Run, kWhole>(a, y, i * Run, total, count);
  if constexpr (Run > 1)
    for (int64_t i = a.n / Run * Run + thread_index(); i < a.n; i += thread_count())
      forward_step<Loss, T, 1, true>(a, y, i, total, count);
  total = block_reduce(total, Sum(), 0.0, cells);
  count = block_reduce(count, Sum(), 0.0, cells);
  if (threadIdx.x != 0) return;
  sums[2 * static_cast<int64_t>(blockIdx.x)] = total;
  sums[2 * static_cast<int64_t>(blockIdx.x) + 1] = count;
}

template <class Loss, class T, int Run>
__device__ inline void backward_step(const PointwiseArgs& a, T* dx, T* dt, const T* dy, int64_t dy_step, T scale,
                                     int64_t i) {
  const Pack<T, Run> x = read<T, Run>(a.x, i), t = read<T, Run>(a.t, i), w = read<T, Run>(a.w, i),
                     m = read<T, Run>(a.m, i), q = read<T, Run>(a.q, i);
  Pack<T, Run> g;
  if (dy_step) {
    g = read<T, Run>(dy, i);
  } else {
#pragma unroll
    for (int e = 0; e < Run; ++e) g.v[e] = dy[0];
  }
  const T p = static_cast<T>(a.p);
  Pack<T, Run> by_x, by_t;
#pragma unroll
  for (int e = 0; e < Run; ++e) {
    const T k = g.v[e] * scale * w.v[e];
    by_x.v[e] = masked<T>(k * Loss::template dx<T>(x.v[e], t.v[e], p, q.v[e]), m.v[e]);
    by_t.v[e] = masked<T>(k * Loss::template dt<T>(x.v[e], t.v[e], p, q.v[e]), m.v[e]);
  }
  if (dx) write(dx, i, by_x);
  if (dt) write(dt, i, by_t);
}

template <class Loss, class T, int Run>
__global__ void __launch_bounds__(kLossBlock)
    backward_kernel(PointwiseArgs a, T* dx, T* dt, const T* dy, int64_t dy_step, const double* scale) {
  const T s = static_cast<T>(*scale);
  for (int64_t i = thread_index(); i < a.n / Run; i += thread_count())
    backward_step<Loss, T, Run>(a, dx, dt, dy, dy_step, s, i * Run);
  if constexpr (Run > 1)
    for (int64_t i = a.n / Run * Run + thread_index(); i < a.n; i += thread_count())
      backward_step<Loss, T, 1>(a, dx, dt, dy, dy_step, s, i);
}

template <class T>
bool all_aligned(std::initializer_list<const void*> pointers) {
  for (const void* p : pointers)
    if (!aligned<kPack<T>>(static_cast<const T*>(p))) return false;
  return true;
}

template <class Loss, class T>
void forward(const PointwiseArgs& a, const Reduced& reduced, T* y) {
  constexpr int run = kPack<T>;
  const bool packs = all_aligned<T>({a.x, a.t, a.w, a.m, a.q, y});
  const unsigned blocks = loss_blocks(a.n / run, kLossBlock);
  const Scratch scratch(static_cast<int64_t>(blocks) * 16);
  double* sums = scratch.as<double>();
  cuda::run(packs ? &forward_kernel<Loss, T, run, true> : &forward_kernel<Loss, T, run, false>, blocks, kLossBlock, 0,
            a, y, sums);
  finish<T>(reduced, sums, blocks, a.m || a.count_weights ? -1 : a.n);
}

template <class Loss, class T>
void backward(const PointwiseArgs& a, T* dx, T* dt, const T* dy, int64_t dy_step, const double* scale) {
  if (a.n <= 0) return;
  constexpr int run = kPack<T>;
  const bool packs = all_aligned<T>({a.x, a.t, a.w, a.m, a.q, dx, dt, dy_step ? dy : nullptr});
  cuda::run(packs ? &backward_kernel<Loss, T, run> : &backward_kernel<Loss, T, 1>,
            grid_for(packs ? a.n / run : a.n, kLossBlock), kLossBlock, 0, a, dx, dt, dy, dy_step, scale);
}

}  // namespace

void pointwise_loss_forward(const PointwiseArgs& args, const Reduced& reduced, void* y, double*, int64_t) {
  with_loss(args.loss, [&](auto loss) {
    if (args.is_double)
      forward<decltype(loss)>(args, reduced, static_cast<double*>(y));
    else
      forward<decltype(loss)>(args, reduced, static_cast<float*>(y));
  });
}

void pointwise_loss_backward(const PointwiseArgs& args, void* dx, void* dt, const void* dy, int64_t dy_step,
                             const double* scale, int64_t) {
  with_loss(args.loss, [&](auto loss) {
    if (args.is_double)
      backward<decltype(loss)>(args, static_cast<double*>(dx), static_cast<double*>(dt), static_cast<const double*>(dy),
                               dy_step, scale);
    else
      backward<decltype(loss)>(args, static_cast<float*>(dx), static_cast<float*>(dt), static_cast<const float*>(dy),
                               dy_step, scale);
  });
}

}  // namespace cuda
}  // namespace fastnn
