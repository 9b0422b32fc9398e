#include "ops/reduce/reduce_detail.h"

#include "ops/elementwise/elementwise.h"
#include "ops/view/view.h"

namespace fastnn {

Tensor fold(Fold kind, double a, const Tensor& x, const Dims& axes, bool keepdim) {
  const DeviceGuard here(x.device());
  Tensor y = empty(reduced_shape(x.shape(), axes, keepdim), x.dtype());
  if (y.numel() == 0) return y;
  const ReduceLoop loop = reduce_loop(x, axes, false);
  const ReduceScratch scratch(loop);
  const auto& kernel = kind >= Fold::max ? kernels::reduce_extrema : kernels::reduce_sums;
  launch(kernel, type_of(x), y.raw(), x.raw(), ReduceArgs{kind, a}, loop, scratch.get());
  return y;
}

Tensor fold_ints(IntFold kind, const Tensor& x, const Dims& axes, bool keepdim) {
  const DeviceGuard here(x.device());
  const bool logical = kind == IntFold::any || kind == IntFold::all;
  Tensor y = empty(reduced_shape(x.shape(), axes, keepdim), logical ? DType::bool_ : DType::int64);
  if (y.numel() == 0) return y;
  const ReduceLoop loop = reduce_loop(x, axes, false);
  const ReduceScratch scratch(loop);
  launch(kernels::reduce_ints, kind, type_of(x), y.raw(), x.raw(), loop, scratch.get());
  return y;
}

Tensor spread(Spread kind, const Tensor& x, const Tensor& a, const Tensor& b, const Dims& axes, double p) {
  Tensor dx = empty_like(x);
  if (dx.numel() == 0) return dx;
  SpreadLoop loop{};
  loop.total = x.numel();
  // From the last axis to the first: an axis continues the one before it when all three operands do.
  int64_t step = 1;
  int next = axes.size() - 1;
  int64_t size[kMaxRank], sdx[kMaxRank], sx[kMaxRank], sc[kMaxRank];
  int rank = 0;
  for (int i = static_cast<int>(x.dim()) - 1; i >= 0; --i) {
    const bool reduced = next >= 0 && axes[next] == i;
    if (reduced) --next;
    const int64_t n = x.shape()[i], c = reduced ? 0 : step;
    if (!reduced) step *= n;
    if (n == 1) continue;
    const int64_t d = dx.strides()[i], s = x.strides()[i];
    if (rank && d == sdx[rank - 1] * size[rank - 1] && s == sx[rank - 1] * size[rank - 1] &&
        c == sc[rank - 1] * size[rank - 1]) {
      size[rank - 1] *= n;
      continue;
    }
    size[rank] = n, sdx[rank] = d, sx[rank] = s, sc[rank++] = c;
  }
  if (rank == 0) size[0] = sdx[0] = sx[0] = 1, sc[0] = 0, rank = 1;
  loop.rank = rank;
  for (int i = 0; i < rank; ++i) {
    const int from = rank - 1 - i;
    loop.size[i] = size[from], loop.dx[i] = sdx[from], loop.x[i] = sx[from], loop.c[i] = sc[from];
  }
  const Tensor ca = contiguous(a), cb = b.defined() ? contiguous(b) : ca;
  launch(kernels::reduce_spread, kind, type_of(x), dx.raw(), x.raw(), ca.raw(), cb.raw(), p, loop);
  return dx;
}

Tensor coefficient(Coefficient kind, const Tensor& dy, const Tensor& y, const Tensor& s, double number) {
  const Tensor d = contiguous(dy);
  Tensor a = empty_like(d);
  launch(kernels::reduce_coefficient, kind, type_of(d), a.raw(), d.raw(), y.defined() ? y.raw() : nullptr,
         s.defined() ? s.raw() : nullptr, number, d.numel());
  return a;
}

Tensor broadcast_gradient(const Tensor& dy, const Dims& shape, const Dims& axes) {
  Dims kept = shape;
  for (int64_t a : axes) kept[a] = 1;
  return expand(reshape(dy, kept), shape);
}

}  // namespace fastnn
