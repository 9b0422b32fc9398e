#include "core/dims.h"

namespace fastnn {

int64_t numel_of(const Dims& shape) {
  int64_t n = 1;
  bool zero = false;
  for (int64_t s : shape) {
    if (s < 0) throw ValueError(str("a size cannot be negative, got shape ", shape));
    if (s == 0)
      zero = true;
    else
      n = checked_mul(n, s);
  }
  return zero ? 0 : n;
}

Dims contiguous_strides(const Dims& shape) {
  Dims strides = shape;
  int64_t step = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    strides[i] = step;
    step = checked_mul(step, shape[i] > 1 ? shape[i] : 1);
  }
  return strides;
}

int64_t normalize_axis(const char* op, int64_t axis, int64_t rank) {
  // A 0-d tensor takes axis 0 and -1, as in PyTorch: it behaves as one element along either.
  const int64_t bound = rank > 0 ? rank : 1;
  if (axis < -bound || axis >= bound)
    throw IndexError(str(op, ": axis out of range: expected one in [", -bound, ", ", bound - 1, "], got ", axis));
  return axis < 0 ? axis + bound : axis;
}

Dims normalize_axes(const char* op, const Dims& axes, int64_t rank) {
  bool chosen[kMaxRank] = {};
  for (int64_t a : axes) {
    const int64_t i = normalize_axis(op, a, rank);
    if (chosen[i]) throw ValueError(str(op, ": axis ", a, " appears twice in ", axes));
    chosen[i] = true;
  }
  Dims out;
  for (int64_t i = 0; i < rank; ++i)
    if (axes.empty() || chosen[i]) out.push_back(i);
  return out;
}

Dims broadcast_shapes(const char* op, const Dims& a, const Dims& b) {
  const int n = a.size() > b.size() ? a.size() : b.size();
  Dims out(n, 1);
  for (int i = 0; i < n; ++i) {
    const int ia = a.size() - n + i, ib = b.size() - n + i;
    const int64_t sa = ia >= 0 ? a[ia] : 1, sb = ib >= 0 ? b[ib] : 1;
    if (sa != sb && sa != 1 && sb != 1)
      throw ValueError(str(op, ": shapes ", a, " and ", b, " do not broadcast (", sa, " against ", sb, ")"));
    out[i] = sa == 1 ? sb : sa;
  }
  return out;
}

}  // namespace fastnn
