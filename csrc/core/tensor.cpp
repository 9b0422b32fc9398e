#include "core/tensor.h"

#include <cmath>
#include <limits>

#include "autograd/node.h"
#include "core/pinned.h"
#include "runtime/allocator.h"
#include "runtime/launch.h"

namespace fastnn {

int64_t Scalar::to_int64() const {
  if (kind != floating) return i;
  if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || d != std::floor(d))
    throw ValueError(str("expected a whole number that fits int64, got ", d));
  return static_cast<int64_t>(d);
}

Ref<Storage> Storage::make(int64_t bytes) {
  if (capturing()) return detail::recorder->make_storage(bytes);
  auto* s = new Storage;
  Ref<Storage> ref(s);
  s->device = detail::device;
  s->data = s->device == kCpu ? allocate(bytes) : device_api().allocate(s->device, bytes);
  s->bytes = bytes;
  return ref;
}

Ref<Storage> Storage::wrap(void* data, int64_t bytes, void (*release)(void*), void* owner, bool writable,
                           DeviceIndex device) {
  auto* s = new Storage;
  s->data = data;
  s->bytes = bytes;
  s->release = release;
  s->owner = owner;
  s->writable = writable;
  s->device = device;
  return Ref<Storage>(s);
}

void Storage::destroy(Storage* s) {
  if (capturing() && s->recorded_by) detail::recorder->released(*s);
  if (s->release)
    s->release(s->owner);
  else if (s->device != kCpu)
    device_api().deallocate(s->device, s->data, s->bytes);
  else
    deallocate(s->data, s->bytes);
  delete s;
}

TensorImpl::~TensorImpl() = default;
void TensorImpl::destroy(TensorImpl* t) { delete t; }

namespace {

bool is_row_major(const Dims& shape, const Dims& strides, int64_t numel) {
  if (numel == 0) return true;
  int64_t step = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    if (shape[i] == 1) continue;
    if (strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

// Lowest and highest element offset that the window touches, relative to its own first element.
void extent(const Dims& shape, const Dims& strides, int64_t& low, int64_t& high) {
  low = high = 0;
  for (int i = 0; i < shape.size(); ++i) {
    const int64_t reach = checked_mul(shape[i] - 1, strides[i]);
    (reach < 0 ? low : high) = checked_add(reach < 0 ? low : high, reach);
  }
}

Tensor make(Ref<Storage> storage, int64_t offset, const Dims& shape, const Dims& strides, int64_t numel, DType dtype) {
  auto* t = new TensorImpl;
  t->storage = std::move(storage);
  t->offset = offset;
  t->shape = shape;
  t->strides = strides;
  t->numel = numel;
  t->dtype = dtype;
  t->contiguous = is_row_major(shape, strides, numel);
  return Tensor(Ref<TensorImpl>(t));
}

void release_pinned(void* p) { device_api().host_deallocate(p); }

}  // namespace

Tensor empty(const Dims& shape, DType dtype) {
  const int64_t n = numel_of(shape);
  const int64_t bytes = checked_mul(n, dtype_size(dtype));
  const Dims strides = contiguous_strides(shape);
  return make(Storage::make(bytes), 0, shape, strides, n, dtype);
}

Tensor from_blob(void* data, int64_t bytes, const Dims& shape, const Dims& strides, int64_t offset, DType dtype,
                 void (*release)(void*), void* owner, bool writable, DeviceIndex device) {
  return make(Storage::wrap(data, bytes, release, owner, writable, device), offset, shape, strides, numel_of(shape),
              dtype);
}

Tensor alias(const Tensor& x, const Dims& shape, const Dims& strides, int64_t offset) {
  const int64_t n = numel_of(shape);
  if (n > 0) {
    int64_t low, high;
    extent(shape, strides, low, high);
    const int64_t size = dtype_size(x.dtype());
    if (checked_add(offset, low) < 0 ||
        checked_mul(checked_add(checked_add(offset, high), 1), size) > x.impl()->storage->bytes)
      throw ValueError(str("view of shape ", shape, " with strides ", strides, " and offset ", offset,
                           " does not fit its memory of ", x.impl()->storage->bytes / size, " elements"));
  }
  return make(x.impl()->storage, offset, shape, strides, n, x.dtype());
}

Tensor Tensor::detach() const {
  return make(impl_->storage, impl_->offset, impl_->shape, impl_->strides, impl_->numel, impl_->dtype);
}

void Tensor::wrong_device() const {
  throw DeviceError(str("expected a tensor on ", device_name(current_device()), ", got one of shape ", shape(), " on ",
                        device_name(device()), "; move it with .to(device)"));
}

Tensor empty_pinned(const Dims& shape, DType dtype) {
  const int64_t bytes = checked_mul(numel_of(shape), dtype_size(dtype));
  void* p = device_api().host_allocate(bytes);
  return from_blob(p, bytes, shape, contiguous_strides(shape), 0, dtype, &release_pinned, p, true);
}
bool is_pinned(const Tensor& x) { return x.impl()->storage->release == &release_pinned; }

Tensor copy_to_device(const Tensor& x, DeviceIndex device, bool wait) {
  if (!x.is_contiguous())
    throw ValueError(
        str("copy_to_device: expected a row-major tensor, got shape ", x.shape(), " with strides ", x.strides()));
  const auto place = [](const Tensor& t) {
    const DeviceGuard here(t.device());
    return t.raw();
  };
  const void* from = place(x);
  const DeviceGuard there(device);
  const Tensor y = empty(x.shape(), x.dtype());
  if (x.numel() != 0)
    launch_host(&copy_bytes, x.device(), device, y.raw(), from, x.numel() * x.itemsize(), wait || !is_pinned(x));
  return y;
}

Scalar item(const Tensor& x) {
  refuse_in_capture("item: a tensor's value is read");
  if (x.numel() != 1) throw ValueError(str("item: expected a tensor with one element, got shape ", x.shape()));
  const DeviceGuard host(kCpu);
  const Tensor here = x.device() == kCpu ? x : copy_to_device(alias(x, {}, {}, x.impl()->offset), kCpu);
  const void* p = here.raw();
  switch (x.dtype()) {
    case DType::bool_:
      return Scalar(*static_cast<const uint8_t*>(p) != 0);
    case DType::uint8:
      return Scalar(static_cast<int64_t>(*static_cast<const uint8_t*>(p)));
    case DType::int32:
      return Scalar(static_cast<int64_t>(*static_cast<const int32_t*>(p)));
    case DType::int64:
      return Scalar(*static_cast<const int64_t*>(p));
    case DType::float32:
      return Scalar(static_cast<double>(*static_cast<const float*>(p)));
    case DType::float64:
      return Scalar(*static_cast<const double*>(p));
  }
  return Scalar();
}

bool has_internal_overlap(const Tensor& x) {
  if (x.is_contiguous() || x.numel() <= 1) return false;
  // Sorted by stride, every axis must step over all that the smaller ones reach. (Exact for all windows that views can
  // make without as_strided; conservative otherwise.)
  Dims shape, strides;
  for (int i = 0; i < x.shape().size(); ++i) {
    if (x.shape()[i] == 1) continue;
    const int64_t s = x.strides()[i] < 0 ? -x.strides()[i] : x.strides()[i];
    int at = 0;
    while (at < strides.size() && strides[at] < s) ++at;
    strides.insert(at, s);
    shape.insert(at, x.shape()[i]);
  }
  int64_t reach = 0;
  for (int i = 0; i < shape.size(); ++i) {
    if (strides[i] <= reach) return true;
    reach += (shape[i] - 1) * strides[i];
  }
  return false;
}

bool may_share_memory(const Tensor& a, const Tensor& b) {
  if (a.numel() == 0 || b.numel() == 0 || a.device() != b.device()) return false;
  auto range = [](const Tensor& t, const char*& first, const char*& last) {
    int64_t low, high;
    extent(t.shape(), t.strides(), low, high);
    first = t.address() + low * t.itemsize();
    last = t.address() + (high + 1) * t.itemsize();
  };
  const char *a0, *a1, *b0, *b1;
  range(a, a0, a1);
  range(b, b0, b1);
  return a0 < b1 && b0 < a1;
}

void check_writable(const char* op, const Tensor& x) {
  if (!x.impl()->storage->writable)
    throw ValueError(str(op,
                         ": the tensor shares read-only memory (of a NumPy array, say) and cannot be changed in place; "
                         "clone() it first"));
  if (has_internal_overlap(x))
    throw ValueError(str(op, ": elements of the tensor of shape ", x.shape(), " and strides ", x.strides(),
                         " share memory (expand?), so it cannot be changed in place; clone() it first"));
}

}  // namespace fastnn
