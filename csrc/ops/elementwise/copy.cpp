#include <cmath>
#include <cstring>

#include "autograd/op.h"
#include "core/pinned.h"
#include "ops/elementwise/operands.h"
#include "ops/reduce/reduce.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void write_scalar(void* p, DType dtype, Scalar v) {
  switch (dtype) {
    case DType::bool_:
      *static_cast<bool*>(p) = v.kind == Scalar::floating ? v.d != 0 : v.i != 0;
      break;
    case DType::uint8:
      *static_cast<uint8_t*>(p) = static_cast<uint8_t>(v.to_int64());
      break;
    case DType::int32:
      *static_cast<int32_t*>(p) = static_cast<int32_t>(v.to_int64());
      break;
    case DType::int64:
      *static_cast<int64_t*>(p) = v.to_int64();
      break;
    case DType::float32:
      *static_cast<float*>(p) = static_cast<float>(v.d);
      break;
    case DType::float64:
      *static_cast<double*>(p) = v.d;
      break;
  }
}

// What an overwritten value gets.
Tensor zeros_of(const Tensor& dy) {
  const Tensor z = empty_like(dy);
  fill_into(z, Scalar(0.0));
  return z;
}

struct To {
  static constexpr const char* name = "to";
  DType from;
  void check(const Tensor& x, DType) { from = x.dtype(); }
  Tensor forward(Saved&, const Tensor& x, DType t) {
    Tensor y = empty(x.shape(), t);
    copy_into(y, x);
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = to(dy[0], from); }
};

struct ToDevice {
  static constexpr const char* name = "to";
  DeviceIndex from;
  void check(const Tensor& x, DeviceIndex device, bool) {
    check_device(device);
    from = x.device();
  }
  Tensor forward(Saved&, const Tensor& x, DeviceIndex device, bool wait) {
    return copy_to_device(contiguous(x.detach()), device, wait);
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    dx[0] = copy_to_device(contiguous(dy[0]), from);
  }
};

struct Clone {
  static constexpr const char* name = "clone";
  void check(const Tensor&) {}
  Tensor forward(Saved&, const Tensor& x) {
    Tensor y = empty_like(x);
    copy_into(y, x);
    return y;
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = dy[0]; }
};

// The new value of x in x.copy_(src): src as x's shape and dtype.
struct Copy {
  static constexpr const char* name = "copy_";
  static constexpr bool across_devices = true;
  Dims shape;
  DType dtype;
  DeviceIndex from;
  void check(const Tensor& src, const Tensor& x) {
    if (broadcast_shapes(name, x.shape(), src.shape()) != x.shape())
      throw ValueError(str("copy_: shape ", src.shape(), " does not broadcast to ", x.shape()));
    shape = src.shape();
    dtype = src.dtype();
    from = src.device();
  }
  Tensor forward(Saved&, const Tensor& src, const Tensor& x) {
    copy_into(x, apart_from(x, src));
    return x.detach();
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) {
    if (dx.needs(0)) dx[0] = to_device(reduce_gradient(dy[0], shape, dtype), from);
    if (dx.needs(1)) dx[1] = zeros_of(dy[0]);
  }
};

}  // namespace

Tensor scalar_tensor(Scalar v, DType dtype) {
  Tensor t = empty({}, dtype);
  if (current_device() == kCpu)
    launch_host(&write_scalar, t.raw(), dtype, v);
  else
    fill_into(t, v);
  return t;
}

void copy_into(const Tensor& dst, const Tensor& src) {
  if (broadcast_shapes("copy", dst.shape(), src.shape()) != dst.shape())
    throw ValueError(str("copy: shape ", src.shape(), " does not broadcast to ", dst.shape()));
  if (dst.numel() == 0) return;
  const DeviceGuard here(dst.device());
  if (src.device() != dst.device()) {
    const DeviceGuard there(src.device());
    const Tensor dense = src.is_contiguous() ? src : clone(src.detach());
    return copy_into(dst, copy_to_device(dense, dst.device()));
  }
  launch(kernels::copy, dst.raw(), src.raw(), loop_over<2>(dst.shape(), {&dst, &src}));
}

void fill_into(const Tensor& dst, Scalar value) {
  if (dst.numel() == 0) return;
  const DeviceGuard here(dst.device());
  launch(kernels::fill, dst.raw(), loop_over<1>(dst.shape(), {&dst}), number_of(value));
}

void add_into(const Tensor& dst, const Tensor& src) {
  if (!same_device(dst, src)) detail::throw_apart("add_into", dst.device(), src);
  if (dst.numel() == 0) return;
  const DeviceGuard here(dst.device());
  launch(kernels::binary_forward, dst.raw(), dst.raw(), src.raw(), loop_over<3>(dst.shape(), {&dst, &dst, &src}),
         BinaryOp::add, elem_of(dst.dtype()), Number{0, 0});
}

bool has_nan(const Tensor& x) {
  if (!x.is_floating() || x.numel() == 0) return false;
  NoGrad guard;
  const Tensor nan = on_cpu(predicate(PredicateOp::isnan, x));
  const DeviceGuard host(kCpu);
  return std::memchr(nan.raw(), 1, static_cast<size_t>(nan.numel())) != nullptr;
}

Tensor clone(const Tensor& x) { return apply<Clone>(x); }
Tensor contiguous(const Tensor& x) { return x.is_contiguous() ? x : apply<Clone>(x); }
Tensor to(const Tensor& x, DType t) { return x.dtype() == t ? x : apply<To>(x, t); }

Tensor to_device(const Tensor& x, DeviceIndex device, bool wait) {
  return x.device() == device ? x : apply<ToDevice>(x, device, wait);
}
Tensor on_cpu(const Tensor& x) { return x.device() == kCpu ? x : to_device(x.detach(), kCpu); }

Tensor pin_memory(const Tensor& x) {
  check_device(0);
  if (x.device() != kCpu)
    throw DeviceError(str("pin_memory: expected a CPU tensor, got one on ", device_name(x.device())));
  const DeviceGuard host(kCpu);
  const Tensor y = empty_pinned(x.shape(), x.dtype());
  copy_into(y, x.detach());
  return y;
}

Tensor private_copy(const Tensor& x) {
  const Tensor c = contiguous(x.detach());
  return c.address() == x.address() ? clone(c) : c;
}

Tensor copy_(const Tensor& x, const Tensor& src) {
  // Onto itself nothing happens; only the check for a leaf below still holds.
  const auto& meta = x.impl()->meta;
  const Tensor& root = meta && meta->base.defined() ? meta->base : x;
  const bool leaf = grad_enabled() && root.is_leaf() && root.impl()->requires_grad;
  if (src.impl() == x.impl() && !leaf) return x;
  begin_inplace("copy_", x);
  const Tensor y = apply<Copy>(src, x);
  end_inplace(x, y);
  return x;
}

Tensor joined(const char* op, DeviceIndex device, const Tensor& x) {
  if (!x.defined() || x.device() == device) return x;
  if (x.device() == kCpu && x.dim() == 0) return to_device(x, device);
  detail::throw_apart(op, device, x);
}

void join_devices(const char* op, std::initializer_list<Tensor*> operands) {
  DeviceIndex device = kCpu;
  for (const Tensor* x : operands) {
    if (!x->defined() || (x->device() == kCpu && x->dim() == 0)) continue;
    device = x->device();
    break;
  }
  for (Tensor* x : operands) *x = joined(op, device, *x);
}

void check_inplace_type(const char* op, const Tensor& x, DType result) {
  const auto kind = [](DType t) { return is_floating(t) ? 2 : t == DType::bool_ ? 0 : 1; };
  if (kind(result) > kind(x.dtype()))
    throw TypeError(str(op, ": the result is ", result, " and cannot be written into a ", x.dtype(), " tensor"));
}

Tensor reduce_gradient(const Tensor& d, const Dims& shape, DType dtype) { return to(sum_to(d, shape), dtype); }

}  // namespace fastnn
