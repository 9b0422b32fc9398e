#include "ops/norm/row_norm.h"

#include "autograd/op.h"
#include "core/scratch.h"
#include "ops/elementwise/elementwise.h"
#include "ops/norm/norm.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void* pointer(const Tensor& x) { return x.defined() ? x.raw() : nullptr; }
Tensor dense(const Tensor& x) { return x.defined() ? contiguous(x.detach()) : x; }

struct RowNorm {
  const char* name = "layer_norm";
  bool center = true;
  int64_t rows = 1, cols = 1;
  Dims shape;

  void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const Dims& last, bool centered, double eps) {
    center = centered;
    name = center ? "layer_norm" : "rms_norm";
    shape = last;
    if (!x.is_floating()) throw TypeError(str(name, ": expected float32 or float64, got ", x.dtype()));
    const int64_t lead = x.dim() - shape.size();
    bool fits = shape.size() > 0 && lead >= 0;
    for (int i = 0; fits && i < shape.size(); ++i) fits = x.shape()[lead + i] == shape[i];
    if (!fits)
      throw ValueError(
          str(name, ": normalized_shape ", shape, " must be the last sizes of x, which has shape ", x.shape()));
    for (int i = 0; i < x.dim(); ++i) (i < lead ? rows : cols) *= x.shape()[i];
    for (const Tensor* t : {&weight, &bias})
      if (t->defined() && (t->shape() != shape || t->dtype() != x.dtype()))
        throw ValueError(str(name, ": ", t == &weight ? "weight" : "bias", " expects shape ", shape, " and dtype ",
                             x.dtype(), ", got ", t->shape(), " and ", t->dtype()));
    if (!(eps >= 0)) throw ValueError(str(name, ": expected eps >= 0, got ", eps));
  }

  Tensor forward(Saved& saved, const Tensor& x, const Tensor& weight, const Tensor& bias, const Dims&, bool,
                 double eps) {
    const Tensor xs = dense(x), w = dense(weight), b = dense(bias), y = empty(x.shape(), x.dtype());
    const Tensor stats = empty({cols > 0 ? rows : 0, 2}, DType::float64);
    if (y.numel() > 0)
      launch(kernels::row_norm_forward, static_cast<int>(x.dtype()), center, y.raw(), stats.data<double>(), xs.raw(),
             pointer(w), pointer(b), rows, cols, eps);
    saved.keep(x);
    saved.keep(weight);
    saved.keep(stats);
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor x = dense(saved[0]), w = dense(saved[1]), g = dense(dy[0]), &stats = saved[2];
    const bool params = dx.needs(1) || dx.needs(2);
    if (dx.needs(0)) dx[0] = empty(x.shape(), x.dtype());
    const Tensor dweight = params ? empty(shape, x.dtype()) : Tensor();
    const Tensor dbias = params ? empty(shape, x.dtype()) : Tensor();
    const Tensor part = params ? cpu_scratch({row_norm_blocks(rows), 2, cols}, x.dtype()) : Tensor();
    if (cols > 0)
      launch(kernels::row_norm_backward, static_cast<int>(x.dtype()), center, pointer(dx[0]), pointer(dweight),
             pointer(dbias), pointer(part), g.raw(), x.raw(), stats.data<double>(), pointer(w), rows, cols);
    if (dx.needs(1)) dx[1] = dweight;
    if (dx.needs(2)) dx[2] = dbias;
  }
};

}  // namespace

Tensor layer_norm(const Tensor& x, const Dims& shape, const Tensor& weight, const Tensor& bias, double eps) {
  return apply<RowNorm>(x, weight, bias, shape, true, eps);
}

Tensor rms_norm(const Tensor& x, const Dims& shape, const Tensor& weight, double eps) {
  if (eps < 0) eps = x.dtype() == DType::float64 ? 0x1p-52 : 0x1p-23;
  return apply<RowNorm>(x, weight, Tensor(), shape, false, eps);
}

}  // namespace fastnn
