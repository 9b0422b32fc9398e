#include "cuda/cuda.h"
#include "ops/pad/border.h"

namespace fastnn {
namespace cuda {
namespace {

__global__ void fill_positions(int64_t* out, int64_t n, int64_t before, int64_t total, PadBorder border) {
  for (int64_t k = thread_index(); k < total; k += thread_count()) out[k] = element_at(k - before, n, border);
}

}  // namespace

void pad_positions(int64_t* out, int64_t n, int64_t before, int64_t total, PadBorder border) {
  run(&fill_positions, grid_for(total, 256), 256, 0, out, n, before, total, border);
}

}  // namespace cuda
}  // namespace fastnn
