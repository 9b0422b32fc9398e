// The convolutions of double; see conv_kernels.h for the contract, conv_engine.h for the loops, conv_tile.h for the
// registers.
#include "ops/conv/conv_depthwise.h"
#include "ops/conv/conv_scatter.h"

namespace fastnn {
namespace FASTNN_ISA {

void conv_forward_f64(const ConvArgs<double>& args, double* scratch) {
  args.depthwise() ? depthwise_forward(args, scratch) : conv_forward(args, scratch);
}

void conv_weight_gradient_f64(const ConvArgs<double>& args, const double* dy, double* dw, double* db, double* scratch) {
  args.depthwise() ? depthwise_weight_gradient(args, dy, dw, db, scratch)
                   : conv_weight_gradient(args, dy, dw, db, scratch);
}

void conv_scatter_f64(const ConvArgs<double>& args, double* x, const double* dy, double* scratch) {
  conv_scatter(args, x, dy, scratch);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
