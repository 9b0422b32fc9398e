#pragma once
// Random tensors. Element i of a draw is a function of (seed, offset, i) alone, so it is the same on every instruction
// set, on any number of threads and after every resume. With block j = philox4x32(seed, (j, offset)) = (w0, w1, w2,
// w3):
//
//   32-bit draws (float32, bernoulli, dropout): element i takes word i % 4 of block i / 4.
//   64-bit draws (float64, integers):           element i takes words 2 (i % 2), 2 (i % 2) + 1 of block i / 2.
//
//   uniform      float32: 24 bits, float64: 53 bits, in [0, 1); then low + u (high - low)
//   normal       Box-Muller on neighbours: sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v) with u = 1 - uniform
//   exponential  -ln(u) / lambda
//   bernoulli    w < p 2^32
//   randint      low + floor(r (high - low) / 2^64) of a 64-bit r: the bias is below (high - low) / 2^64
//   randperm     Fisher-Yates from the top, the partner of place i by the 64-bit number i as in randint
//   dropout      y = x / (1 - p) where bernoulli(1 - p), else 0; dx from dy alike, the mask is drawn again
//
// ln, sin and cos are polynomials in plain multiplications and additions: a fused multiply-add would change bits
// between instruction sets.

#include "core/random.h"
#include "core/tensor.h"
#include "kernels/kernel.h"
#include "kernels/loop.h"

namespace fastnn {

enum class Distribution : int32_t { uniform, normal, exponential, bernoulli };

/// Fills x (floating; bernoulli: any dtype) in place; a and b are (low, high), (mean, std), (lambda, -) or (p, -).
Tensor random_(const char* op, const Tensor& x, Distribution what, double a, double b);
Tensor random(const char* op, const Dims& shape, DType dtype, Distribution what, double a, double b);
/// 1 with the probability that x says, else 0; dtype of x.
Tensor bernoulli(const Tensor& x);
/// Integers in [low, high).
Tensor randint(int64_t low, int64_t high, const Dims& shape, DType dtype);
/// The numbers 0 ... n - 1 in random order.
Tensor randperm(int64_t n, DType dtype);
/// Numbers that belong to examples, whatever batch they are in: float64 [n, count], uniform in [0, 1). Row k holds draw
/// `draw` (below 2^15) of example index[k] (int64 [n]) in epoch `epoch` (below 2^32): 64-bit words of the blocks b =
/// philox4x32(seed, (index, 2^63 + epoch 2^31 + draw 2^16 + b)), of which no other draw takes one.
Tensor example_uniform(uint64_t seed, int64_t epoch, int64_t draw, const Tensor& index, int64_t count);
/// While training, zeroes each element with probability p and scales the others by 1 / (1 - p).
Tensor dropout(const Tensor& x, double p, bool training);

FASTNN_KERNEL(random_fill, void* y, int64_t n, Elem type, const PhiloxState* state, Distribution what, double a,
              double b)
FASTNN_KERNEL(random_bernoulli, void* y, const void* p, int64_t n, Elem type, const PhiloxState* state)
FASTNN_KERNEL(random_integers, void* y, int64_t n, Elem type, const PhiloxState* state, int64_t low, uint64_t range)
FASTNN_KERNEL(random_permutation, int64_t* y, int64_t n, const PhiloxState* state)
FASTNN_KERNEL(random_dropout, void* y, const void* x, int64_t n, Elem type, const PhiloxState* state, double p)

}  // namespace fastnn
