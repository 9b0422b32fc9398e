// What the sweeps over a sequence share on a device: who is active when, the shape of kernels over rows and units,
// products with weights. Steps are in order, [T, N, pitch]; a product takes all rows of a step, or of a block of steps
// where no step needs the one before, and one kernel turns its sums into gates and states. Rows that are idle take part
// in products and are left alone by everything else.
#pragma once

#include "cuda/cuda.h"
#include "ops/matmul/gemm.h"
#include "ops/rnn/rnn.h"

namespace fastnn {
namespace cuda {
namespace {

/// Rows of a direction and their steps. Lengths come from a tensor, so they are cut to the sequence.
struct Rows {
  const int64_t* lengths;
  int64_t N, T, d;
  __device__ int64_t length(int64_t n) const {
    if (lengths == nullptr) return T;
    const int64_t l = lengths[n];
    return l < 0 ? 0 : l > T ? T : l;
  }
  __device__ bool active(int64_t n, int64_t s) const { return s < length(n); }
  /// The time of a step; idle steps of a reversed row count on at the end.
  __device__ int64_t time(int64_t n, int64_t s) const {
    const int64_t l = length(n);
    return d == 1 && s < l ? l - 1 - s : s;
  }
};

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ inline double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
__device__ inline float tanh_of(float x) { return tanhf(x); }
__device__ inline double tanh_of(double x) { return tanh(x); }
template <class T>
__device__ inline T slope(T s) {
  return s * (1 - s);
}
template <class T>
__device__ inline T tanh_slope(T t) {
  return 1 - t * t;
}

// Functors have no padding, in which the emulator would take what the stack held for an address.

/// f(row, column) for all of [rows, columns]: neighbouring threads have neighbouring columns.
template <class F>
__global__ void each_cell(int64_t rows, int64_t columns, F f) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t r = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; r < rows;
       r += static_cast<int64_t>(gridDim.y) * blockDim.y)
    for (int64_t j = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; j < columns; j += step) f(r, j);
}
template <class F>
void run_cells(int64_t rows, int64_t columns, const F& f) {
  if (rows == 0 || columns == 0) return;
  const unsigned wide = columns <= 32 ? 32 : columns <= 64 ? 64 : 128, high = 128 / wide;
  const int64_t across = (columns + wide - 1) / wide, down = (rows + high - 1) / high;
  const auto cut = [](int64_t n) { return static_cast<unsigned>(n < 32768 ? n : 32768); };
  run(&each_cell<F>, dim3(cut(across), cut(down)), dim3(wide, high), 0, rows, columns, f);
}

inline void run_gemm(const GemmArgs<float>& g) { gemm_f32(g); }
inline void run_gemm(const GemmArgs<double>& g) { gemm_f64(g); }

/// C = [C +] A B + bias: A [M, K] and C [M, n] with rows a_row and c_row apart, B with these strides.
template <class T>
void multiply(int64_t M, int64_t n, int64_t K, const T* A, int64_t a_row, const T* B, int64_t b_row, int64_t b_col,
              T* C, int64_t c_row, bool add, const T* bias = nullptr) {
  if (M == 0 || n == 0) return;
  GemmArgs<T> g;
  g.M = M, g.N = n, g.K = K;
  g.A = A, g.a_row = a_row;
  g.B = B, g.b_row = b_row, g.b_col = b_col;
  g.C = C, g.c_row = c_row;
  g.bias = bias, g.accumulate = add;
  run_gemm(g);
}

template <class T>
T* at(void* base, int64_t offset) {
  return base != nullptr ? static_cast<T*>(base) + offset : nullptr;
}
template <class T>
const T* at(const void* base, int64_t offset) {
  return base != nullptr ? static_cast<const T*>(base) + offset : nullptr;
}

/// Rows of x in the order of steps [s0, ...), 0 where a row is idle: rows are (step, n).
template <class T>
struct TakeRows {
  Rows rows;
  T* to;
  int64_t to_row;
  const T* x;
  int64_t x_row, s0;
  const T* bias;  // added, or null
  __device__ void operator()(int64_t r, int64_t j) const {
    const int64_t n = r % rows.N, s = s0 + r / rows.N;
    T v = rows.active(n, s) ? x[(n * rows.T + rows.time(n, s)) * x_row + j] : T(0);
    if (bias != nullptr) v += bias[j];
    to[r * to_row + j] = v;
  }
};

/// `columns` of each row, from wherever to wherever; zeros where there is no source.
template <class T>
struct CopyRows {
  T* to;
  int64_t to_row;
  const T* from;
  int64_t from_row;
  __device__ void operator()(int64_t r, int64_t j) const {
    to[r * to_row + j] = from != nullptr ? from[r * from_row + j] : T(0);
  }
};

}  // namespace
}  // namespace cuda
}  // namespace fastnn
