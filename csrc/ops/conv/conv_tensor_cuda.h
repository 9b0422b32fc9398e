#pragma once
// Convolutions on tensor cores, the operands rounded as args.precision says (bf16 or tf32).

#include "ops/conv/conv_kernels.h"

namespace fastnn {
namespace cuda {

void conv_forward_tensor(const ConvArgs<float>& args);
void conv_weight_gradient_tensor(const ConvArgs<float>& args, const float* dy, float* dw);

}  // namespace cuda
}  // namespace fastnn
