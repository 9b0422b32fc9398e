#pragma once
// Which cells a window covers and which windows cover a cell, for the kernels of the CPU and of CUDA devices.

#include "core/host_device.h"
#include "ops/pool/pool.h"

namespace fastnn {
namespace {

/// First cell of window o (it may lie before x), and one past its last.
FASTNN_HOST_DEVICE inline int64_t window_begin(const PoolAxis& a, bool adaptive, int64_t o) {
  return adaptive ? o * a.in / a.out : o * a.stride - a.pad;
}
FASTNN_HOST_DEVICE inline int64_t window_end(const PoolAxis& a, bool adaptive, int64_t o) {
  return adaptive ? ((o + 1) * a.in + a.out - 1) / a.out : o * a.stride - a.pad + (a.kernel - 1) * a.dilation + 1;
}

/// The cells of a window that lie inside x: `count` of them from `first` on, the first being number `cell`. `whole`:
/// cells of the window including padding.
struct Span {
  int64_t first, count, cell, whole;
};
FASTNN_HOST_DEVICE inline Span span_of(const PoolAxis& a, bool adaptive, int64_t o) {
  Span s;
  const int64_t begin = window_begin(a, adaptive, o);
  if (adaptive) {
    s.first = begin, s.cell = 0;
    s.count = s.whole = window_end(a, true, o) - begin;
    return s;
  }
  s.cell = begin < 0 ? (-begin + a.dilation - 1) / a.dilation : 0;
  const int64_t last = begin + (a.kernel - 1) * a.dilation;
  const int64_t stop = last < a.in ? a.kernel : a.in > begin ? (a.in - begin + a.dilation - 1) / a.dilation : 0;
  s.count = stop > s.cell ? stop - s.cell : 0;
  s.first = begin + s.cell * a.dilation;
  const int64_t limit = a.in + a.pad_end;  // a window that leaves the padding behind x counts up to there
  s.whole = (last < limit ? last + 1 : limit) - begin;
  return s;
}

/// Windows [low, high] that may cover cell i of an axis.
struct Covering {
  int64_t low, high;
  FASTNN_HOST_DEVICE Covering(const PoolAxis& a, bool adaptive, int64_t i) {
    if (adaptive) {
      low = high = a.out ? i * a.out / a.in : 0;
    } else {
      const int64_t reach = i + a.pad - (a.kernel - 1) * a.dilation;
      low = reach > 0 ? (reach + a.stride - 1) / a.stride : 0;
      high = (i + a.pad) / a.stride;
    }
    if (high >= a.out) high = a.out - 1;
    while (adaptive && high + 1 < a.out && window_begin(a, true, high + 1) <= i) ++high;
  }
};
/// Number of cell i in window o, -1 where dilation steps over it.
FASTNN_HOST_DEVICE inline int64_t cell_of(const PoolAxis& a, bool adaptive, int64_t o, int64_t i) {
  const int64_t t = i - window_begin(a, adaptive, o);
  if (a.dilation == 1) return t;
  return t % a.dilation == 0 ? t / a.dilation : -1;
}

/// Cells that a sum is divided by. A product of doubles, because windows may be mostly padding and very wide.
FASTNN_HOST_DEVICE inline double divisor_of(const Span& d, const Span& h, const Span& w, int64_t divisor,
                                            bool include_pad) {
  if (divisor) return static_cast<double>(divisor);
  if (include_pad) return static_cast<double>(d.whole) * static_cast<double>(h.whole) * static_cast<double>(w.whole);
  return static_cast<double>(d.count) * static_cast<double>(h.count) * static_cast<double>(w.count);
}

}  // namespace
}  // namespace fastnn
