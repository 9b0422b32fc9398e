#include "ops/warp/warp.h"
#include "python/bind.h"

namespace fastnn {

// fastnn.vision.ops holds the public function.
void bind_warp(Binder& b) {
  b.function("_affine_warp", &affine_warp, "x"_a, "matrix"_a, "height"_a, "width"_a, "mode"_a, "border"_a, "fill"_a,
             "Images seen through affine maps.");
}

}  // namespace fastnn
