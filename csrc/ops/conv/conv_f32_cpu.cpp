// The convolutions of float; see conv_kernels.h for the contract, conv_engine.h for the loops, conv_tile.h for the
// registers.
#include "ops/conv/conv_depthwise.h"
#include "ops/conv/conv_planes.h"
#include "ops/conv/conv_scatter.h"
#include "ops/conv/conv_widen.h"
#include "ops/conv/conv_winograd_gradient.h"

namespace fastnn {
namespace FASTNN_ISA {

void conv_forward_f32(const ConvArgs<float>& args, float* scratch) {
  if (args.depthwise())
    depthwise_forward(args, scratch);
  else if (conv_winograds(args))
    winograd_forward(args, scratch);
  else if (conv_by_planes(args, false))
    planes_forward(args, scratch);
  else if (const int64_t P = conv_widening(args); P > 1)
    widened_forward(args, P, scratch);
  else
    conv_forward(args, scratch);
}

void conv_weight_gradient_f32(const ConvArgs<float>& args, const float* dy, float* dw, float* db, float* scratch) {
  if (args.depthwise())
    depthwise_weight_gradient(args, dy, dw, db, scratch);
  else if (conv_winograds_gradient(args))
    winograd_weight_gradient(args, dy, dw, db, scratch);
  else if (conv_by_planes(args, true))
    planes_weight_gradient(args, dy, dw, db, scratch);
  else if (const int64_t P = conv_widening(args); P > 1)
    widened_weight_gradient(args, P, dy, dw, db, scratch);
  else
    conv_weight_gradient(args, dy, dw, db, scratch);
}

void conv_scatter_f32(const ConvArgs<float>& args, float* x, const float* dy, float* scratch) {
  conv_scatter(args, x, dy, scratch);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
