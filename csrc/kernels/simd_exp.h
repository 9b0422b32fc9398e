// e^x where x <= 0 is known: softmax and its relatives, which subtract the largest element first. Half the work of
// exp(). Included inside per-ISA sources only.
#pragma once

#include "kernels/simd_math.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// e^x for x <= 1 or -inf, not NaN: within 2.3 ulp near 0 and 5 ulp near -86 (ln 2 is one constant
/// where products are fused), and 0 below e^-86.5 = 2.7e-38 (so it has no denormals).
FASTNN_INLINE f32v exp_below(f32v x) {
  const f32v t = fma(x, splat<f32v>(1.44269504), splat<f32v>(kRoundMagic)), n = t - kRoundMagic;
#if defined(__FMA__) || defined(__aarch64__)
  const f32v r = fma(n, splat<f32v>(-0.693147181), x);  // the product is exact here: one constant is enough
#else
  const f32v r = fma(n, splat<f32v>(-kLn2Lo), fma(n, splat<f32v>(-kLn2Hi), x));
#endif
  const f32v p = poly(r, {1.0f, 1.0f, 4.999923031e-01f, 1.666711539e-01f, 4.189033170e-02f, 8.312501369e-03f});
  // The low bits of t are n: added to the exponent of p.
  const f32v y = (f32v)((u32v)p + ((u32v)t << 23));
  return x < -86.5f ? f32v{} : y;
}
FASTNN_INLINE f64v exp_below(f64v x) { return exp(x); }

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
