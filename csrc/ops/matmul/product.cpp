#include "ops/matmul/product.h"

#include <algorithm>
#include <atomic>

#include "runtime/launch.h"

namespace fastnn {
namespace {

std::atomic<MatmulPrecision> float_precision{MatmulPrecision::float32};

/// One batch axis: its length and how far A, B and C move along it. C does not move along an axis that is summed.
struct Axis {
  int64_t n, a, b, c;
};

struct Axes {
  Axis axis[kMaxRank];
  int count = 0;

  void erase(int at) {
    for (int i = at; i + 1 < count; ++i) axis[i] = axis[i + 1];
    --count;
  }
};

int64_t stride_at(const Matrices& x, int from_right) {
  const int i = x.batch.size() - 1 - from_right;
  return i < 0 || x.batch[i] == 1 ? 0 : x.batch_strides[i];
}

int64_t size_at(const Matrices& x, int from_right) {
  const int i = x.batch.size() - 1 - from_right;
  return i < 0 ? 1 : x.batch[i];
}

/// Axes that continue the rows of A and C, or (summed ones) the terms of the sum, become part of M or K; neighbours
/// that lie evenly in all three operands become one axis. What is left is the batch.
template <class T>
void fold(Axes& axes, GemmArgs<T>& g) {
  for (int i = axes.count - 1; i >= 0;) {
    const Axis x = axes.axis[i];
    if (x.n == 1) {
      axes.erase(i);
    } else if (x.c == 0 && ((x.a == g.K * g.a_col && x.b == g.K * g.b_row) || g.K == 1)) {
      if (g.K == 1) g.a_col = x.a, g.b_row = x.b;
      g.K = checked_mul(g.K, x.n);
      axes.erase(i);
    } else if (x.c != 0 && x.b == 0 && ((x.a == g.M * g.a_row && x.c == g.M * g.c_row) || g.M == 1)) {
      if (g.M == 1) g.a_row = x.a, g.c_row = x.c;
      g.M = checked_mul(g.M, x.n);
      axes.erase(i);
    } else if (i + 1 < axes.count && x.a == axes.axis[i + 1].n * axes.axis[i + 1].a &&
               x.b == axes.axis[i + 1].n * axes.axis[i + 1].b && x.c == axes.axis[i + 1].n * axes.axis[i + 1].c &&
               (x.c == 0) == (axes.axis[i + 1].c == 0)) {
      axes.axis[i + 1].n *= x.n;
      axes.erase(i);
    } else {
      --i;
      continue;
    }
    i = axes.count - 1;  // one fold may make another possible
  }
}

template <class T>
void run(const Kernel<void(const GemmArgs<T>&)>& gemm, Axes axes, GemmArgs<T> g) {
  const T* const bias = g.bias;
  const Activation act = g.act;
  for (int i = 0; i < axes.count; ++i)
    if (axes.axis[i].n == 0) {  // an empty sum (C itself is not empty)
      g.K = 0;
      axes.axis[i].n = 1;
    }
  fold(axes, g);

  // The longest axis of C is the kernel's batch, the others are loops here: first those of C, inside them the sums.
  int best = -1;
  for (int i = 0; i < axes.count; ++i)
    if (axes.axis[i].c != 0 && (best < 0 || axes.axis[i].n > axes.axis[best].n)) best = i;
  if (best >= 0) {
    const Axis x = axes.axis[best];
    g.batch = x.n, g.a_batch = x.a, g.b_batch = x.b, g.c_batch = x.c;
    axes.erase(best);
  }
  std::stable_partition(axes.axis, axes.axis + axes.count, [](const Axis& x) { return x.c != 0; });

  int64_t at[kMaxRank] = {};
  for (;;) {
    bool first = true, last = true;
    for (int i = 0; i < axes.count; ++i)
      if (axes.axis[i].c == 0) first = first && at[i] == 0, last = last && at[i] + 1 == axes.axis[i].n;
    g.accumulate = !first;
    g.bias = last ? bias : nullptr;
    g.act = last ? act : Activation::none;
    launch(gemm, g);
    int i = axes.count - 1;
    for (; i >= 0; --i) {
      const Axis& x = axes.axis[i];
      g.A += x.a, g.B += x.b, g.C += x.c;
      if (++at[i] < x.n) break;
      g.A -= x.n * x.a, g.B -= x.n * x.b, g.C -= x.n * x.c;
      at[i] = 0;
    }
    if (i < 0) return;
  }
}

template <class T>
GemmArgs<T> args_of(const Matrices& c, const Matrices& a, const Matrices& b, const void* bias, Activation act) {
  GemmArgs<T> g;
  g.M = c.rows, g.N = c.cols, g.K = a.cols;
  g.A = static_cast<const T*>(a.data), g.a_row = a.row_stride, g.a_col = a.col_stride;
  g.B = static_cast<const T*>(b.data), g.b_row = b.row_stride, g.b_col = b.col_stride;
  g.C = static_cast<T*>(c.data), g.c_row = c.row_stride;
  g.bias = static_cast<const T*>(bias);
  g.act = act;
  return g;
}

}  // namespace

MatmulPrecision matmul_precision() { return float_precision.load(std::memory_order_relaxed); }
void set_matmul_precision(MatmulPrecision precision) { float_precision.store(precision, std::memory_order_relaxed); }

Matrices Matrices::transposed() const {
  Matrices t = *this;
  std::swap(t.rows, t.cols);
  std::swap(t.row_stride, t.col_stride);
  return t;
}

Matrices matrices_of(const Tensor& x, VectorAs vector) {
  Matrices m;
  m.data = x.raw();
  m.dtype = x.dtype();
  const int rank = static_cast<int>(x.dim());
  if (rank == 1) {
    const bool row = vector == VectorAs::row;
    m.rows = row ? 1 : x.shape()[0], m.row_stride = row ? x.shape()[0] : x.strides()[0];
    m.cols = row ? x.shape()[0] : 1, m.col_stride = row ? x.strides()[0] : 1;
    return m;
  }
  m.rows = x.shape()[rank - 2], m.row_stride = x.strides()[rank - 2];
  m.cols = x.shape()[rank - 1], m.col_stride = x.strides()[rank - 1];
  for (int i = 0; i < rank - 2; ++i) {
    m.batch.push_back(x.shape()[i]);
    m.batch_strides.push_back(x.strides()[i]);
  }
  return m;
}

void product(const Matrices& c, const Matrices& a, const Matrices& b, const void* bias, Activation act) {
  if (c.rows == 0 || c.cols == 0) return;
  for (int64_t n : c.batch)
    if (n == 0) return;
  Axes axes;
  axes.count = std::max({a.batch.size(), b.batch.size(), c.batch.size()});
  for (int i = 0; i < axes.count; ++i) {
    const int r = axes.count - 1 - i;
    int64_t n = size_at(c, r);
    if (n == 1) n = size_at(a, r) == 1 ? size_at(b, r) : size_at(a, r);
    axes.axis[i] = {n, stride_at(a, r), stride_at(b, r), stride_at(c, r)};
  }
  if (c.dtype == DType::float32) {
    const MatmulPrecision precision = matmul_precision();
    run(precision == MatmulPrecision::bf16   ? kernels::gemm_bf16
        : precision == MatmulPrecision::tf32 ? kernels::gemm_tf32
                                             : kernels::gemm_f32,
        axes, args_of<float>(c, a, b, bias, act));
  } else {
    run(kernels::gemm_f64, axes, args_of<double>(c, a, b, bias, act));
  }
}

}  // namespace fastnn
