#pragma once
// What a tensor is: a typed, strided window on reference-counted memory, plus its place in the gradient graph.

#include <functional>
#include <memory>

#include "core/device.h"
#include "core/dims.h"
#include "core/dtype.h"
#include "core/recording.h"
#include "core/ref.h"

namespace fastnn {

class Tensor;
struct Node;

/// Memory shared by a tensor and its views. `version` counts in-place changes, for the check in backward.
struct Storage : RefCounted<Storage> {
  void* data = nullptr;
  int64_t bytes = 0;
  std::atomic<uint32_t> version{0};
  bool writable = true;
  DeviceIndex device = kCpu;
  // Foreign memory (NumPy, DLPack) is given back through this; null means allocate/deallocate.
  void (*release)(void* owner) = nullptr;
  void* owner = nullptr;
  uint32_t recorded_by = 0, recorded_index = 0;  // of a captured step: which one, and which of its buffers

  static Ref<Storage> make(int64_t bytes);
  static Ref<Storage> wrap(void* data, int64_t bytes, void (*release)(void*), void* owner, bool writable,
                           DeviceIndex device = kCpu);
  static void destroy(Storage* s);
};

struct AutogradMeta;

struct TensorImpl : RefCounted<TensorImpl> {
  Ref<Storage> storage;
  int64_t offset = 0;  // in elements
  int64_t numel = 0;
  DType dtype = DType::float32;
  bool requires_grad = false;
  bool contiguous = true;
  bool wrapped_number = false;  // made from a Python number: weak in type promotion
  Dims shape, strides;
  Ref<Node> grad_fn;
  uint32_t grad_slot = 0;  // which output of grad_fn this is
  std::unique_ptr<AutogradMeta> meta;
  void* pyobj = nullptr;  // the Python object of this tensor while it lives (borrowed)

  ~TensorImpl();
  static void destroy(TensorImpl* t);
};

class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Ref<TensorImpl> impl) : impl_(std::move(impl)) {}

  bool defined() const { return static_cast<bool>(impl_); }
  TensorImpl* impl() const { return impl_.get(); }
  const Ref<TensorImpl>& ref() const { return impl_; }

  const Dims& shape() const { return impl_->shape; }
  const Dims& strides() const { return impl_->strides; }
  int64_t dim() const { return impl_->shape.size(); }
  int64_t numel() const { return impl_->numel; }
  DType dtype() const { return impl_->dtype; }
  int64_t itemsize() const { return dtype_size(impl_->dtype); }
  bool is_contiguous() const { return impl_->contiguous; }
  bool is_floating() const { return fastnn::is_floating(impl_->dtype); }
  /// Size along `axis`, which may be negative.
  int64_t size(int64_t axis) const { return impl_->shape[normalize_axis("size", axis, dim())]; }

  DeviceIndex device() const { return impl_->storage->device; }

  /// The first element, for the current device; DeviceError when the memory is that of another.
  void* raw() const {
    if (capturing()) detail::recorder->hold(*impl_->storage);
    if (__builtin_expect(impl_->storage->device != detail::device, 0)) wrong_device();
    return address();
  }
  /// The same as a number to compare, not to reach through: of any device.
  char* address() const { return static_cast<char*>(impl_->storage->data) + impl_->offset * dtype_size(impl_->dtype); }
  /// First element as T*; TypeError when the dtype is another.
  template <class T>
  T* data() const {
    if (dtype_of<T>::value != impl_->dtype)
      throw TypeError(str("expected a ", dtype_name(dtype_of<T>::value), " tensor, got ", dtype()));
    return static_cast<T*>(raw());
  }
  uint32_t version() const { return impl_->storage->version.load(std::memory_order_relaxed); }

  bool requires_grad() const { return impl_ && (impl_->requires_grad || impl_->grad_fn); }
  bool is_leaf() const { return !impl_->grad_fn; }
  /// A view without history on the same memory.
  Tensor detach() const;

 private:
  [[noreturn]] void wrong_device() const;
  Ref<TensorImpl> impl_;
};

/// Uninitialised, row-major.
Tensor empty(const Dims& shape, DType dtype = DType::float32);
/// The same shape and dtype as x, row-major.
inline Tensor empty_like(const Tensor& x) { return empty(x.shape(), x.dtype()); }
/// A tensor on foreign memory, given back by release(owner). Strides in elements; extents must already be checked.
Tensor from_blob(void* data, int64_t bytes, const Dims& shape, const Dims& strides, int64_t offset, DType dtype,
                 void (*release)(void*), void* owner, bool writable, DeviceIndex device = kCpu);
/// Another window on the storage of x, without history; strides in elements, offset absolute. Bounds-checked.
Tensor alias(const Tensor& x, const Dims& shape, const Dims& strides, int64_t offset);
/// A copy without history of row-major x in the memory of another device (or the same). Where `wait` is false, one from
/// page-locked memory goes on behind the program: that memory must stay as it is until the device has come so far.
Tensor copy_to_device(const Tensor& x, DeviceIndex device, bool wait = true);
/// The only element as a number; ValueError unless numel() == 1.
Scalar item(const Tensor& x);

/// True when two elements share memory (expand, as_strided): such a tensor cannot be written to.
bool has_internal_overlap(const Tensor& x);
/// True when the two may share an element (address ranges meet).
bool may_share_memory(const Tensor& a, const Tensor& b);
/// Throws unless x may be written in place by `op`: writable memory, no internal overlap.
void check_writable(const char* op, const Tensor& x);

}  // namespace fastnn
