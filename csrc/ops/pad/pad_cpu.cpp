#include "ops/pad/border.h"

namespace fastnn {
namespace FASTNN_ISA {

void pad_positions(int64_t* out, int64_t n, int64_t before, int64_t total, PadBorder border) {
  for (int64_t k = 0; k < total; ++k) out[k] = element_at(k - before, n, border);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
