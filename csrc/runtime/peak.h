#pragma once
// The roofs of this machine, measured: arithmetic peak of every instruction set it has, bandwidth of every level of
// memory, and the price of memory that the system hands out anew. Figures elsewhere are quoted against these.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/kernel.h"

namespace fastnn {

struct Peak {
  std::string kind;   ///< "fma f32", "bf16 dot", "read", "copy", "copy streaming", "fill", "first touch"
  std::string where;  ///< the instruction set, the level of memory, or the page size
  int threads;
  int64_t bytes;  ///< footprint of one thread; 0 for arithmetic
  double median;  ///< over the repeats, in `unit`, all threads together
  double best;    ///< a roof is what was reached at best: this is what percentages refer to
  std::string unit;
};

struct PeakOptions {
  double seconds = 8.0;      ///< about how long all of it may take (buffers to fill come on top)
  std::vector<int> threads;  ///< thread counts to measure; empty: 1 and every processor this process may use
  std::vector<std::pair<std::string, std::string>> only;  ///< kind and where of the roofs to measure; empty: all
};

/// Measures in a fixed order. Throws ValueError unless seconds > 0, every thread count is one of 1 to the number of
/// processors this process may use, and the machine has every roof of `only`.
std::vector<Peak> measure_peaks(const PeakOptions& options);

// `rounds` passes over registers; *flops receives how many floating-point operations that was, 0 where the ISA has
// none.
FASTNN_KERNEL(peak_fma, double* flops, int64_t rounds)
FASTNN_KERNEL(peak_bf16_dot, double* flops, int64_t rounds)
// `rounds` passes over n floats, n a multiple of 256, pointers aligned to 64 bytes.
FASTNN_KERNEL(peak_read, const float* x, int64_t n, int64_t rounds)
FASTNN_KERNEL(peak_copy, float* y, const float* x, int64_t n, int64_t rounds)
FASTNN_KERNEL(peak_copy_streaming, float* y, const float* x, int64_t n, int64_t rounds)
FASTNN_KERNEL(peak_fill, float* y, int64_t n, int64_t rounds)

}  // namespace fastnn
