// Softmax and cross-entropy: a warp a row where rows are short, a block a row where they are long. A row is read again
// from the cache for every sum that needs the one before.
#include "ops/losses/cross_entropy.h"
#include "ops/losses/reduction_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int64_t kShortRow = 1024, kLongRow = 16384;
constexpr int kWideBlock = 512;  // threads of a long row

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }

/// The threads that share a row: a warp, or the block.
template <bool Wide>
struct Group {
  __device__ static int64_t first() {
    return Wide ? blockIdx.x : static_cast<int64_t>(blockIdx.x) * (blockDim.x / kWarp) + threadIdx.x / kWarp;
  }
  __device__ static int64_t step() { return Wide ? gridDim.x : static_cast<int64_t>(gridDim.x) * (blockDim.x / kWarp); }
  __device__ static int64_t lane() { return Wide ? threadIdx.x : threadIdx.x % kWarp; }
  __device__ static int64_t lanes() { return Wide ? blockDim.x : kWarp; }
  template <class T, class Op>
  __device__ static T reduce(T v, Op op, T identity, double* cells) {
    if constexpr (Wide)
      return block_reduce(v, op, identity, reinterpret_cast<T*>(cells));
    else
      return warp_reduce(v, op);
  }
};

/// A label outside [0, cols) that no check has seen (in a replay of a graph) makes the loss NaN; its row has no
/// gradient.
__device__ inline bool skipped(const CrossEntropyArgs& a, int64_t r) {
  return a.label && (a.label[r] == a.ignore_index || a.label[r] < 0 || a.label[r] >= a.cols);
}

template <bool Wide, class T>
__device__ inline T log_sum_exp(const T* row, int64_t n, double* cells) {
  typedef Group<Wide> G;
  T top = -static_cast<T>(HUGE_VAL);
#pragma unroll 4
  for (int64_t c = G::lane(); c < n; c += G::lanes()) top = Max()(top, row[c]);
  top = G::reduce(top, Max(), -static_cast<T>(HUGE_VAL), cells);
  // All -inf: every exp below would be exp(nan). Then no class has probability and the sum is 0.
  const bool ordinary = top - top == 0;
  const T shift = ordinary ? top : T(0);
  T sum = 0;
#pragma unroll 4
  for (int64_t c = G::lane(); c < n; c += G::lanes()) sum += exponential(row[c] - shift);
  sum = G::reduce(sum, Sum(), T(0), cells);
  return ordinary ? top + logarithm(sum) : logarithm(sum);
}

template <bool Wide, class T>
__global__ void __launch_bounds__(kWideBlock, 1) forward_kernel(CrossEntropyArgs a, T* loss, T* lse, double* sums) {
  typedef Group<Wide> G;
  __shared__ double cells[kWarp];
  const T* w = static_cast<const T*>(a.weight);
  const double smooth = a.smoothing / static_cast<double>(a.cols);
  double loss_sum = 0, weight_sum = 0;
  for (int64_t r = G::first(); r < a.rows; r += G::step()) {
    const T* row = static_cast<const T*>(a.x) + r * a.cols;
    const T* prob = static_cast<const T*>(a.prob) + r * a.cols;
    if (skipped(a, r)) {
      if (G::lane() == 0) {
        const double cost = a.label[r] == a.ignore_index ? 0 : static_cast<double>(NAN);
        lse[r] = T(0);
        if (loss) loss[r] = static_cast<T>(cost);
        loss_sum += cost;
      }
      continue;
    }
    const T z = a.is_log ? T(0) : log_sum_exp<Wide>(row, a.cols, cells);
    const double zd = z;
    double value = 0;
    if (!a.label) {
      for (int64_t c = G::lane(); c < a.cols; c += G::lanes()) {
        const double t = (1 - a.smoothing) * prob[c] + smooth;
        // A class of probability 0 costs nothing, even where log p is -inf.
        if (t != 0) value += (w ? w[c] : 1) * t * (zd - row[c]);
      }
    } else if (smooth != 0) {
      for (int64_t c = G::lane(); c < a.cols; c += G::lanes()) value += smooth * (w ? w[c] : 1) * (zd - row[c]);
    }
    if (!a.label || smooth != 0) value = G::reduce(value, Sum(), 0.0, cells);
    if (G::lane() == 0) {
      double weight = 1;
      if (a.label) {
        const int64_t y = a.label[r];
        weight = w ? w[y] : 1;
        value += (1 - a.smoothing) * weight * (zd - row[y]);
      }
      lse[r] = z;
      if (loss) loss[r] = static_cast<T>(value);
      loss_sum += value;
      weight_sum += weight;
    }
  }
  loss_sum = block_reduce(loss_sum, Sum(), 0.0, cells);
  weight_sum = block_reduce(weight_sum, Sum(), 0.0, cells);
  if (threadIdx.x != 0) return;
  sums[2 * static_cast<int64_t>(blockIdx.x)] = loss_sum;
  sums[2 * static_cast<int64_t>(blockIdx.x) + 1] = weight_sum;
}

/// The sum of the weights of the classes: one block.
template <class T>
__global__ void __launch_bounds__(kLossBlock) weight_kernel(const T* w, int64_t cols, double* sum) {
  __shared__ double cells[kWarp];
  double v = 0;
  for (int64_t c = threadIdx.x; c < cols; c += kLossBlock) v += w[c];
  v = block_reduce(v, Sum(), 0.0, cells);
  if (threadIdx.x == 0) *sum = v;
}

// dx_c = g (p_c total - a_c), with p = exp(x - lse).
template <bool Wide, class T>
__global__ void __launch_bounds__(kWideBlock, 1)
    backward_kernel(CrossEntropyArgs a, T* dx, T* dt, const T* lse, const T* dy, int64_t dy_step, const double* scale,
                    const double* all_weights) {
  typedef Group<Wide> G;
  __shared__ double cells[kWarp];
  const T* w = static_cast<const T*>(a.weight);
  const double smooth = a.smoothing / static_cast<double>(a.cols), keep = 1 - a.smoothing;
  const double all = all_weights ? *all_weights : static_cast<double>(a.cols);
  for (int64_t r = G::first(); r < a.rows; r += G::step()) {
    const T* __restrict__ row = static_cast<const T*>(a.x) + r * a.cols;
    const T* __restrict__ prob = static_cast<const T*>(a.prob) + r * a.cols;
    T* __restrict__ out = dx + r * a.cols;
    if (skipped(a, r)) {
      if (dx)
        for (int64_t c = G::lane(); c < a.cols; c += G::lanes()) out[c] = T(0);
      continue;
    }
    const T z = lse[r];
    const double zd = z, g = *scale * dy[r * dy_step];
    if (dx) {
      const int64_t y = a.label ? a.label[r] : -1;
      double total = 0;
      if (a.label) {
        total = keep * (w ? w[y] : 1) + smooth * all;
      } else {
        for (int64_t c = G::lane(); c < a.cols; c += G::lanes()) total += (w ? w[c] : 1) * (keep * prob[c] + smooth);
        total = G::reduce(total, Sum(), 0.0, cells);
      }
      const T factor = static_cast<T>(g * total);
#pragma unroll 4
      for (int64_t c = G::lane(); c < a.cols; c += G::lanes()) {
        T v = a.is_log ? T(0) : exponential(row[c] - z) * factor;
        if (!a.label)
          v -= static_cast<T>(g * (w ? w[c] : 1) * (keep * prob[c] + smooth));
        else if (smooth != 0)
          v -= static_cast<T>(g * smooth * (w ? w[c] : 1));
        if (c == y) v -= static_cast<T>(g * keep * (w ? w[c] : 1));
        out[c] = v;
      }
    }
    if (dt)
      for (int64_t c = G::lane(); c < a.cols; c += G::lanes())
        dt[r * a.cols + c] = static_cast<T>(g * keep * (w ? w[c] : 1) * (zd - row[c]));
  }
}

bool wide(const CrossEntropyArgs& a) { return a.cols > kShortRow; }
int block_of(const CrossEntropyArgs& a) { return a.cols >= kLongRow ? kWideBlock : kLossBlock; }
unsigned grid_of(const CrossEntropyArgs& a) { return loss_blocks(a.rows, wide(a) ? 1 : kLossBlock / kWarp); }

template <class T>
void forward(const CrossEntropyArgs& a, const Reduced& reduced, T* loss, T* lse) {
  const unsigned blocks = grid_of(a);
  const Scratch scratch(static_cast<int64_t>(blocks) * 16);
  double* sums = scratch.as<double>();
  run(wide(a) ? &forward_kernel<true, T> : &forward_kernel<false, T>, blocks, block_of(a), 0, a, loss, lse, sums);
  finish<T>(reduced, sums, blocks, -1);
}

template <class T>
void backward(const CrossEntropyArgs& a, T* dx, T* dt, const T* lse, const T* dy, int64_t dy_step,
              const double* scale) {
  if (a.rows <= 0) return;
  const Scratch scratch(8);
  const bool sums = a.weight && a.smoothing != 0;
  if (sums) run(&weight_kernel<T>, 1, kLossBlock, 0, static_cast<const T*>(a.weight), a.cols, scratch.as<double>());
  run(wide(a) ? &backward_kernel<true, T> : &backward_kernel<false, T>, grid_of(a), block_of(a), 0, a, dx, dt, lse, dy,
      dy_step, scale, sums ? scratch.as<double>() : nullptr);
}

}  // namespace

void cross_entropy_forward(const CrossEntropyArgs& args, const Reduced& reduced, void* loss, void* lse, double*,
                           int64_t) {
  if (args.is_double)
    forward(args, reduced, static_cast<double*>(loss), static_cast<double*>(lse));
  else
    forward(args, reduced, static_cast<float*>(loss), static_cast<float*>(lse));
}

void cross_entropy_backward(const CrossEntropyArgs& args, void* dx, void* dt, const void* lse, const void* dy,
                            int64_t dy_step, const double* scale, int64_t) {
  if (args.is_double)
    backward(args, static_cast<double*>(dx), static_cast<double*>(dt), static_cast<const double*>(lse),
             static_cast<const double*>(dy), dy_step, scale);
  else
    backward(args, static_cast<float*>(dx), static_cast<float*>(dt), static_cast<const float*>(lse),
             static_cast<const float*>(dy), dy_step, scale);
}

}  // namespace cuda
}  // namespace fastnn
