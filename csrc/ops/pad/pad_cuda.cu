#include "cuda/cuda.h"
#include "ops/pad/pad.h"

namespace fastnn {
namespace cuda {
namespace {

__global__ void fill_positions(int64_t* out, int64_t n, int64_t before, int64_t total, PadBorder border) {
  for (int64_t k = thread_index(); k < total; k += thread_count()) {
    int64_t i = k - before;
    if (border == PadBorder::replicate)
      i = i < 0 ? 0 : i >= n ? n - 1 : i;
    else if (border == PadBorder::circular)
      i = i < 0 ? i + n : i >= n ? i - n : i;
    else
      i = i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
    out[k] = i;
  }
}

}  // namespace

void pad_positions(int64_t* out, int64_t n, int64_t before, int64_t total, PadBorder border) {
  run(&fill_positions, grid_for(total, 256), 256, 0, out, n, before, total, border);
}

}  // namespace cuda
}  // namespace fastnn
