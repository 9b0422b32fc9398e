#include "ops/scan/scan.h"

#include "autograd/op.h"
#include "core/scratch.h"
#include "ops/elementwise/elementwise.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

struct Lines {
  int64_t outer = 1, n = 1, inner = 1;
  Lines(const Dims& shape, int64_t axis) {
    for (int i = 0; i < shape.size(); ++i) (i < axis ? outer : i == axis ? n : inner) *= shape[i];
  }
};

Tensor scan(bool product, bool reverse, const Tensor& source, int64_t axis) {
  const Tensor x = contiguous(source.is_floating() ? source.detach() : to(source.detach(), DType::int64));
  const Tensor y = empty_like(x);
  if (y.numel() == 0) return y;
  const Lines l(x.shape(), axis);
  Tensor scratch;
  if (l.inner == 1 && l.n > kScanChunk) {
    const int64_t chunks = l.n / kScanChunk + (l.n % kScanChunk != 0);
    scratch = cpu_scratch({checked_mul(l.outer, chunks)}, DType::float64);
  }
  launch(kernels::scan_lines, static_cast<int>(x.dtype()), product, reverse, y.raw(), x.raw(), l.outer, l.n, l.inner,
         scratch.defined() ? scratch.raw() : nullptr);
  return y;
}

struct CumSum {
  static constexpr const char* name = "cumsum";
  int64_t axis = 0;
  void check(const Tensor&, int64_t a) { axis = a; }
  Tensor forward(Saved&, const Tensor& x, int64_t) { return scan(false, false, x, axis); }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = scan(false, true, dy[0], axis); }
};

struct CumProd {
  static constexpr const char* name = "cumprod";
  int64_t axis = 0;
  void check(const Tensor&, int64_t a) { axis = a; }
  Tensor forward(Saved& saved, const Tensor& x, int64_t) {
    saved.keep(x);
    return scan(true, false, x, axis);
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor x = contiguous(saved[0]), d = contiguous(dy[0]);
    const Tensor g = empty_like(x);
    if (g.numel()) {
      const Lines l(x.shape(), axis);
      launch(kernels::scan_prod_backward, static_cast<int>(x.dtype()), g.raw(), d.raw(), x.raw(), l.outer, l.n,
             l.inner);
    }
    dx[0] = g;
  }
};

}  // namespace

Tensor cumsum(const Tensor& x, int64_t axis) { return apply<CumSum>(x, normalize_axis("cumsum", axis, x.dim())); }
Tensor cumprod(const Tensor& x, int64_t axis) { return apply<CumProd>(x, normalize_axis("cumprod", axis, x.dim())); }

}  // namespace fastnn
