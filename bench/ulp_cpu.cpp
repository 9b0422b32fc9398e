// What the sweep of ulp.cpp cannot reach through an operation; compiled once per instruction set.
#include "kernels/simd_exp.h"

namespace fastnn {
namespace FASTNN_ISA {

void sweep_exp_below(float* y, const float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes<float>) store(y + i, exp_below(load(x + i)));
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
