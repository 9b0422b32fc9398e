#include "ops/softmax/softmax.h"

#include "autograd/op.h"
#include "core/scratch.h"
#include "ops/elementwise/elementwise.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

// x as [outer, n, inner] around one axis.
struct Lines {
  int64_t outer = 1, n = 1, inner = 1;
  Lines(const Dims& shape, int64_t axis) {
    for (int i = 0; i < shape.size(); ++i) (i < axis ? outer : i == axis ? n : inner) *= shape[i];
  }
  /// Scratch for lines that are worked on in chunks; undefined where they are not.
  Tensor scratch() const {
    if (inner != 1 || n <= kSoftmaxChunk) return Tensor();
    const int64_t chunks = n / kSoftmaxChunk + (n % kSoftmaxChunk != 0);
    return cpu_scratch({checked_mul(outer, 2 * chunks)}, DType::float64);
  }
};

template <bool kLog>
struct Softmax {
  static constexpr const char* name = kLog ? "log_softmax" : "softmax";
  int64_t axis = 0;
  void check(const Tensor& x, int64_t a) {
    if (!x.is_floating()) throw TypeError(str(name, ": expected a float32 or float64 tensor, got ", x.dtype()));
    axis = a;
  }
  Tensor forward(Saved& saved, const Tensor& x, int64_t) {
    const Tensor c = contiguous(x.detach());
    const Tensor y = empty_like(c);
    if (y.numel()) {
      const Lines l(x.shape(), axis);
      const Tensor scratch = l.scratch();
      launch(kernels::softmax_forward, static_cast<int>(x.dtype()), kLog, y.raw(), c.raw(), l.outer, l.n, l.inner,
             scratch.defined() ? scratch.data<double>() : nullptr);
    }
    saved.keep(y);
    return y;
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &y = saved[0], d = contiguous(dy[0]);
    const Tensor g = empty_like(y);
    if (g.numel()) {
      const Lines l(y.shape(), axis);
      const Tensor scratch = l.scratch();
      launch(kernels::softmax_backward, static_cast<int>(y.dtype()), kLog, g.raw(), d.raw(), y.raw(), l.outer, l.n,
             l.inner, scratch.defined() ? scratch.data<double>() : nullptr);
    }
    dx[0] = g;
  }
};

}  // namespace

Tensor softmax(const Tensor& x, int64_t axis) {
  return apply<Softmax<false>>(x, normalize_axis("softmax", axis, x.dim()));
}
Tensor log_softmax(const Tensor& x, int64_t axis) {
  return apply<Softmax<true>>(x, normalize_axis("log_softmax", axis, x.dim()));
}
Tensor softmin(const Tensor& x, int64_t axis) {
  if (!x.is_floating()) throw TypeError(str("softmin: expected a float32 or float64 tensor, got ", x.dtype()));
  const DeviceGuard here(x.device());
  return softmax(mul(x, scalar_tensor(Scalar(-1.0), x.dtype())), axis);
}

}  // namespace fastnn
