// The functions of the gates. Included inside per-ISA sources only.
//
// A cell needs several of them at once and is bound by their arithmetic, so float32 has versions of its own: arguments
// are cut where the result no longer changes by 2e-19, exponentials end in 1 + e^-a (sigmoid) or e^2a - 1 and e^2a + 1
// (tanh), and two that are wanted together share a division, 1 / (p q). Errors are below 2e-7 (tanh: 2e-7 of its
// value).
#pragma once

#include "kernels/simd_math.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// n = round(x / ln 2) and p = e^r - 1 of the rest r.
struct ExpParts {
  f32v n, p;
};
FASTNN_INLINE ExpParts exp_parts(f32v x) {
  const f32v n = fma(x, splat<f32v>(1.44269504), splat<f32v>(kRoundMagic)) - kRoundMagic;
  const f32v r = fma(n, splat<f32v>(-0.693147181), x);
  return {n, fma(r * r, exp_tail(r), r)};
}
/// 1 + e^-x.
FASTNN_INLINE f32v sigmoid_divisor(f32v x) {
  const ExpParts e = exp_parts(-clip(x, -43.0f, 43.0f));
  const f32v s = pow2(e.n);
  return fma(s, e.p, s + 1.0f);
}
/// e^2x - 1.
FASTNN_INLINE f32v tanh_dividend(f32v x) {
  const ExpParts e = exp_parts(clip(x + x, -20.0f, 20.0f));
  const f32v s = pow2(e.n);
  return fma(s, e.p, s - 1.0f);
}

FASTNN_INLINE f32v cell_tanh(f32v x) {
  const f32v t = tanh_dividend(x);
  return t / (t + 2.0f);
}
FASTNN_INLINE f32v cell_sigmoid(f32v x) { return splat<f32v>(1.0) / sigmoid_divisor(x); }
/// a = sigmoid(a), b = sigmoid(b).
FASTNN_INLINE void cell_sigmoids(f32v& a, f32v& b) {
  const f32v p = sigmoid_divisor(a), q = sigmoid_divisor(b), both = splat<f32v>(1.0) / (p * q);
  a = q * both, b = p * both;
}
/// a = sigmoid(a), and the product with tanh(b).
FASTNN_INLINE f32v cell_sigmoid_tanh(f32v& a, f32v b) {
  const f32v p = sigmoid_divisor(a), t = tanh_dividend(b), q = t + 2.0f, both = splat<f32v>(1.0) / (p * q);
  a = q * both;
  return t * both;
}

FASTNN_INLINE f64v cell_tanh(f64v x) { return tanh(x); }
FASTNN_INLINE f64v cell_sigmoid(f64v x) { return sigmoid(x); }
FASTNN_INLINE void cell_sigmoids(f64v& a, f64v& b) { a = sigmoid(a), b = sigmoid(b); }
FASTNN_INLINE f64v cell_sigmoid_tanh(f64v& a, f64v b) {
  a = sigmoid(a);
  return a * tanh(b);
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
