#pragma once
// The kernels of reductions. `type` is a DType as an int; y is row-major over the kept axes; scratch holds
// loop.partials states of kReduceStateBytes.

#include "kernels/kernel.h"
#include "ops/reduce/reduce_loop.h"

namespace fastnn {

constexpr int64_t kReduceStateBytes = 24;

/// Reductions of float32 and float64 to the same type. `a` below is ReduceArgs::a.
enum class Fold : int32_t {
  sum,      // sum x / a  (a = 1: sum, a = n: mean)
  nansum,   // sum of x where x == x
  abs_sum,  // sum |x|
  square,   // sqrt(sum x^2)
  power,    // (sum |x|^a)^(1/a)
  nonzero,  // number of x != 0
  prod,     // product
  max,      // NaN if any is
  min,
  abs_max,
  abs_min,
};
struct ReduceArgs {
  Fold fold;
  double a;
};
FASTNN_KERNEL(reduce_sums, int type, void* y, const void* x, const ReduceArgs& args, const ReduceLoop& loop,
              void* scratch)
FASTNN_KERNEL(reduce_extrema, int type, void* y, const void* x, const ReduceArgs& args, const ReduceLoop& loop,
              void* scratch)
/// variance = sum (x - mean)^2 / max(0, n - correction), its root when `root`; mean too.
FASTNN_KERNEL(reduce_moments, int type, void* y, void* mean, const void* x, double correction, bool root,
              const ReduceLoop& loop, void* scratch)
/// y = log sum exp x, the exponentials taken from the largest of each block.
FASTNN_KERNEL(reduce_logsumexp, int type, void* y, const void* x, const ReduceLoop& loop, void* scratch)
/// The largest (smallest when `least`) and the index of its first place among the reduced elements; any dtype. Either
/// output may be null. The loop is an ordered one.
FASTNN_KERNEL(reduce_arg, int type, bool least, void* value, int64_t* index, const void* x, const ReduceLoop& loop,
              void* scratch)

/// Integers and bools. sum and prod in int64; any, all give bool; count int64 (these three for every dtype).
enum class IntFold : int32_t { sum, prod, any, all, count };
FASTNN_KERNEL(reduce_ints, IntFold fold, int type, void* y, const void* x, const ReduceLoop& loop, void* scratch)

/// y = number of x equal to ref (NaN equals NaN), ref one per output; with `absolute`, of |x|.
FASTNN_KERNEL(reduce_count_equal, int type, void* y, const void* x, const void* ref, bool absolute,
              const ReduceLoop& loop, void* scratch)
/// The product without its zeros, and the number of zeros, both in x's type.
FASTNN_KERNEL(reduce_prod_parts, int type, void* product, void* zeros, const void* x, const ReduceLoop& loop,
              void* scratch)

/// dx of a reduction from two numbers a, b per output:
enum class Spread : int32_t {
  centred,    // a (x - b)                          var, std: b the mean
  equal,      // x == b ? a : 0                     max, min: a = dy / ties
  equal_abs,  // |x| == b ? a sign(x) : 0           norm inf
  sign,       // a sign(x)                          norm 1
  scaled,     // a x                                norm 2: a = dy / y
  power,      // a sign(x) |x|^(p - 1)              norm p: a = dy / y^(p - 1)
  exponent,   // a exp(x - b)                       logsumexp: b = y
  quotient,   // x != 0 ? (b == 0 ? a / x : 0) : (b == 1 ? a : 0)   prod: a = dy times the non-zeros, b zeros
  number,     // x == x ? a : 0                     nansum
};
#define FASTNN_SPREAD(X) \
  X(centred)             \
  X(equal)               \
  X(equal_abs)           \
  X(sign)                \
  X(scaled)              \
  X(power)               \
  X(exponent)            \
  X(quotient)            \
  X(number)
/// Element strides of dx, x and the coefficients (a and b alike) over joined axes of x.
struct SpreadLoop {
  int32_t rank;
  int64_t total;
  int64_t size[kMaxRank], dx[kMaxRank], x[kMaxRank], c[kMaxRank];
};
FASTNN_KERNEL(reduce_spread, Spread kind, int type, void* dx, const void* x, const void* a, const void* b, double p,
              const SpreadLoop& loop)

/// dx[o, index[i], j] = dy[i], for output i = o * inner + j; `size` is the length of the reduced axis.
FASTNN_KERNEL(reduce_place, int type, void* dx, const void* dy, const int64_t* index, int64_t count, int64_t size,
              int64_t inner)

/// The coefficient a of one output each, from dy and what the forward left (y, and a second value s):
enum class Coefficient : int32_t {
  scale,       // dy s                 var: s = 2 / (n - correction), a number
  root_scale,  // y == 0 ? 0 : dy s / y   std: s = 1 / (n - correction)
  divide,      // dy / s               max, min, norm inf: s = ties
  root,        // y == 0 ? 0 : dy / y      norm 2
  power,       // y == 0 ? 0 : dy / y^(s)  norm p: s = p - 1, a number
  product,     // dy s                 prod: s = product of the non-zeros
};
FASTNN_KERNEL(reduce_coefficient, Coefficient kind, int type, void* a, const void* dy, const void* y, const void* s,
              double number, int64_t count)

}  // namespace fastnn
