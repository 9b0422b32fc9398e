#include "ops/pad/pad.h"

namespace fastnn {
namespace FASTNN_ISA {

void pad_positions(int64_t* out, int64_t n, int64_t before, int64_t total, PadBorder border) {
  for (int64_t k = 0; k < total; ++k) {
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

}  // namespace FASTNN_ISA
}  // namespace fastnn
