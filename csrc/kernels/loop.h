// Elementwise loops over N operands that share a shape: a POD descriptor made by the host, and the one driver that the
// kernels run it with. A kernel body sees only short contiguous runs in its own element type; whatever else an operand
// may be (broadcast, strided, negative strides, another dtype) is staged through a small buffer that stays in L1. So
// every function is compiled once per type, and its bits do not depend on the layout of its operands.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastnn {

constexpr int kLoopRank = 12;

/// Element types as kernels see them.
enum class Elem : int32_t { f32, f64, i64, i32, u8, b8 };

constexpr int64_t elem_size(Elem e) {
  return e == Elem::f32 || e == Elem::i32 ? 4 : e == Elem::f64 || e == Elem::i64 ? 8 : 1;
}

/// A number passed by value to a kernel; `f` and `i` hold the same value, each as exactly as its type can.
struct Number {
  double f;
  int64_t i;
};

/// N operands over one shape (row-major, dimensions merged where all operands allow). Strides in bytes.
template <int N>
struct Loop {
  int32_t rank;  // 0 only if n <= 1
  Elem type[N];
  int64_t n;  // elements in all
  int64_t shape[kLoopRank];
  int64_t stride[N][kLoopRank];
};

#ifndef FASTNN_ISA

/// Makes the descriptor: drops dimensions of size 1, orders the others by the strides of operand 0 (largest outermost)
/// and merges neighbours. `stride[k][d]` is in elements, 0 where operand k is broadcast.
template <int N>
inline Loop<N> make_loop(int rank, const int64_t* shape, const int64_t* const (&stride)[N], const Elem (&type)[N]) {
  Loop<N> l;
  l.n = 1;
  int r = 0;
  for (int k = 0; k < N; ++k) l.type[k] = type[k];
  for (int d = 0; d < rank; ++d) {
    l.n *= shape[d];
    if (shape[d] == 1) continue;
    int at = r;  // insertion sort: stable, and the usual row-major case moves nothing
    const auto size_of = [](int64_t s) { return s < 0 ? -s : s; };
    const int64_t key = size_of(stride[0][d] * elem_size(type[0]));
    if (key != 0)
      while (at > 0 && size_of(l.stride[0][at - 1]) < key && l.stride[0][at - 1] != 0) --at;
    for (int m = r; m > at; --m) {
      l.shape[m] = l.shape[m - 1];
      for (int k = 0; k < N; ++k) l.stride[k][m] = l.stride[k][m - 1];
    }
    l.shape[at] = shape[d];
    for (int k = 0; k < N; ++k) l.stride[k][at] = stride[k][d] * elem_size(type[k]);
    ++r;
  }
  int out = 0;
  for (int d = 1; d < r; ++d) {
    bool merge = true;
    for (int k = 0; k < N; ++k) merge = merge && l.stride[k][out] == l.stride[k][d] * l.shape[d];
    if (merge) {
      l.shape[out] *= l.shape[d];
    } else {
      ++out;
      l.shape[out] = l.shape[d];
    }
    for (int k = 0; k < N; ++k) l.stride[k][out] = l.stride[k][d];
  }
  l.rank = r == 0 ? 0 : out + 1;
  for (int d = l.rank; d < kLoopRank; ++d) {
    l.shape[d] = 1;
    for (int k = 0; k < N; ++k) l.stride[k][d] = 0;
  }
  return l;
}

/// The descriptor of n contiguous elements in every operand.
template <int N>
inline Loop<N> make_flat_loop(int64_t n, const Elem (&type)[N]) {
  const int64_t one = 1;
  const int64_t* stride[N];
  for (int k = 0; k < N; ++k) stride[k] = &one;
  return make_loop<N>(1, &n, *reinterpret_cast<const int64_t* const(*)[N]>(&stride), type);
}

#endif

}  // namespace fastnn
