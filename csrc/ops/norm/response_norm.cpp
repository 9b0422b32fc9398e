#include "ops/norm/response_norm.h"

#include "autograd/op.h"
#include "core/scratch.h"
#include "ops/elementwise/elementwise.h"
#include "ops/norm/norm.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

struct LocalResponseNorm {
  static constexpr const char* name = "local_response_norm";
  ResponseNorm shape{};

  void check(const Tensor& x, int64_t size, double alpha, double beta, double k) {
    if (!x.is_floating()) throw TypeError(str(name, ": expected float32 or float64, got ", x.dtype()));
    if (x.dim() < 2) throw ValueError(str(name, ": expected an input [N, ..., C], got shape ", x.shape()));
    if (size < 1) throw ValueError(str(name, ": expected size >= 1, got ", size));
    const int64_t c = x.shape().back(), before = size / 2, after = (size - 1) / 2;
    // Channels outside are zeros, so a window need not reach further than to all channels.
    shape = {
        c > 0 ? x.numel() / c : 0, c, before < c ? before : c, after < c ? after : c, alpha / double(size), beta, k};
  }

  Tensor scratch(DType type) const {
    return shape.before + shape.after > kResponseHalo ? cpu_scratch({response_norm_scratch(shape)}, type) : Tensor();
  }

  Tensor forward(Saved& saved, const Tensor& x, int64_t, double, double, double) {
    const Tensor c = contiguous(x.detach()), y = empty(x.shape(), x.dtype()), s = scratch(x.dtype());
    if (y.numel() > 0)
      launch(kernels::response_norm_forward, static_cast<int>(x.dtype()), y.raw(), c.raw(), shape,
             s.defined() ? s.raw() : nullptr);
    saved.keep(x);
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor x = contiguous(saved[0]), g = contiguous(dy[0]), s = scratch(x.dtype());
    dx[0] = empty(x.shape(), x.dtype());
    if (x.numel() > 0)
      launch(kernels::response_norm_backward, static_cast<int>(x.dtype()), dx[0].raw(), g.raw(), x.raw(), shape,
             s.defined() ? s.raw() : nullptr);
  }
};

}  // namespace

Tensor local_response_norm(const Tensor& x, int64_t size, double alpha, double beta, double k) {
  return apply<LocalResponseNorm>(x, size, alpha, beta, k);
}

}  // namespace fastnn
