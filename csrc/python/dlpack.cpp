// DLPack, both ways, versioned (1.x) and legacy capsules. The structures follow the specification's ABI.

#include "ops/elementwise/elementwise.h"
#include "python/tensor_type.h"

namespace fastnn {
namespace {

constexpr int32_t kDLCpu = 1, kDLCuda = 2;
constexpr uint64_t kReadOnly = 1, kCopied = 2;

struct DLDevice {
  int32_t type, id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* owner;
  void (*deleter)(DLManagedTensor*);
};
struct DLManagedTensorVersioned {
  uint32_t major, minor;
  void* owner;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};

// code 0: int, 1: unsigned, 2: float, 6: bool.
constexpr DLDataType kTypes[kDTypes] = {{6, 8, 1}, {1, 8, 1}, {0, 32, 1}, {0, 64, 1}, {2, 32, 1}, {2, 64, 1}};

// What an exported capsule owns: a share of the memory, and the sizes that the DLTensor points to.
template <class Managed>
struct Export {
  Managed managed;
  Tensor source;
  Dims shape, strides;
};

template <class Managed>
void delete_export(Managed* m) {
  delete static_cast<Export<Managed>*>(m->owner);
}

template <class Managed>
Managed* export_tensor(const Tensor& x) {
  auto* e = new Export<Managed>{};
  e->source = x.detach();
  e->shape = x.shape();
  e->strides = x.strides();
  DLTensor& t = e->managed.tensor;
  t.data = x.raw();
  t.device = {kDLCpu, 0};
  t.ndim = static_cast<int32_t>(x.dim());
  t.dtype = kTypes[static_cast<int>(x.dtype())];
  t.shape = e->shape.begin();
  t.strides = e->strides.begin();
  t.byte_offset = 0;
  e->managed.owner = e;
  e->managed.deleter = delete_export<Managed>;
  return &e->managed;
}

// A capsule that nobody consumed still owns its tensor; a consumed one has another name.
template <class Managed>
void destroy_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
  if (m && m->deleter) m->deleter(m);
}

py::object to_dlpack(const Tensor& self, const py::object& stream, const py::object& max_version,
                     const py::object& dl_device, const py::object& copy) {
  refuse_in_capture("__dlpack__: a tensor's memory is handed out");
  if (self.device() != kCpu)
    throw py::buffer_error("__dlpack__: the tensor is on " + device_name(self.device()) + "; use .cpu() first");
  const DeviceGuard host(kCpu);
  if (!stream.is_none()) throw py::buffer_error("__dlpack__: a CPU tensor takes no stream");
  if (self.requires_grad()) throw py::buffer_error("__dlpack__: the tensor requires grad; use detach() first");
  if (!dl_device.is_none()) {
    const auto want = dl_device.cast<std::pair<int64_t, int64_t>>();
    if (want.first != kDLCpu || want.second != 0)
      throw py::buffer_error("__dlpack__: only the CPU, device (1, 0), can be exported to");
  }
  const bool copied = !copy.is_none() && copy.cast<bool>();
  const Tensor x = copied ? clone(self) : self;
  const bool read_only = !x.impl()->storage->writable;
  const bool versioned = !max_version.is_none() && max_version.cast<std::pair<int64_t, int64_t>>().first >= 1;
  if (versioned) {
    auto* m = export_tensor<DLManagedTensorVersioned>(x);
    m->major = 1;
    m->minor = 0;
    m->flags = (read_only ? kReadOnly : 0) | (copied ? kCopied : 0);
    return py::reinterpret_steal<py::object>(PyCapsule_New(m, "dltensor_versioned", [](PyObject* c) {
      destroy_capsule<DLManagedTensorVersioned>(c, "dltensor_versioned");
    }));
  }
  if (read_only)
    throw py::buffer_error("__dlpack__: a read-only tensor needs a consumer of DLPack 1.0; clone() it first");
  auto* m = export_tensor<DLManagedTensor>(x);
  return py::reinterpret_steal<py::object>(
      PyCapsule_New(m, "dltensor", [](PyObject* c) { destroy_capsule<DLManagedTensor>(c, "dltensor"); }));
}

template <class Managed>
void release_import(void* owner) {
  auto* m = static_cast<Managed*>(owner);
  if (m->deleter) m->deleter(m);
}

Tensor import_tensor(const DLTensor& t, bool read_only, void (*release)(void*), void* owner) {
  if (t.device.type != kDLCpu) throw py::buffer_error("from_dlpack: only CPU memory can be shared");
  int type = -1;
  for (int i = 0; i < kDTypes; ++i)
    if (t.dtype.code == kTypes[i].code && t.dtype.bits == kTypes[i].bits && t.dtype.lanes == 1) type = i;
  if (type < 0)
    throw py::buffer_error(str("from_dlpack: no dtype for code ", int{t.dtype.code}, ", ", int{t.dtype.bits}, " bits, ",
                               t.dtype.lanes, " lanes"));
  if (t.ndim < 0 || (t.ndim > 0 && !t.shape)) throw py::buffer_error("from_dlpack: the tensor has no valid shape");
  Dims shape, strides;
  for (int i = 0; i < t.ndim; ++i) shape.push_back(t.shape[i]);
  const int64_t n = numel_of(shape), size = dtype_size(static_cast<DType>(type));
  strides = contiguous_strides(shape);
  int64_t low = 0, high = 0;
  for (int i = 0; i < t.ndim && t.strides; ++i) strides[i] = t.strides[i];
  for (int i = 0; i < t.ndim && n > 0; ++i) {
    const int64_t reach = checked_mul(shape[i] - 1, strides[i]);
    (reach < 0 ? low : high) = checked_add(reach < 0 ? low : high, reach);
  }
  char* first = static_cast<char*>(t.data) + t.byte_offset;
  if (n > 0 && !t.data) throw py::buffer_error("from_dlpack: the tensor has no memory");
  if (reinterpret_cast<uintptr_t>(first) % static_cast<uintptr_t>(size) != 0)
    throw py::buffer_error("from_dlpack: the memory is not aligned to its item size");
  const int64_t bytes = n == 0 ? 0 : checked_mul(high - low + 1, size);
  return from_blob(first + low * size, bytes, shape, strides, -low, static_cast<DType>(type), release, owner,
                   !read_only);
}

template <class Managed>
Tensor consume(const py::object& capsule, const char* name, const char* used) {
  auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), name));
  bool read_only = false;
  if constexpr (std::is_same_v<Managed, DLManagedTensorVersioned>) {
    if (m->major != 1)
      throw py::buffer_error(str("from_dlpack: DLPack version ", m->major, " is not understood, only 1.x"));
    read_only = m->flags & kReadOnly;
  }
  Tensor x = import_tensor(m->tensor, read_only, release_import<Managed>, m);
  // From here on the tensor gives the memory back, not the capsule.
  PyCapsule_SetName(capsule.ptr(), used);
  PyCapsule_SetDestructor(capsule.ptr(), nullptr);
  return x;
}

Tensor from_dlpack(const py::object& source, bool copy) {
  py::object capsule = source;
  if (!PyCapsule_CheckExact(source.ptr())) {
    if (!py::hasattr(source, "__dlpack__"))
      throw TypeError(str("from_dlpack: expected an object with __dlpack__, got ", Py_TYPE(source.ptr())->tp_name));
    try {
      capsule = source.attr("__dlpack__")("max_version"_a = py::make_tuple(1, 0));
    } catch (py::error_already_set& e) {
      if (!e.matches(PyExc_TypeError)) throw;
      capsule = source.attr("__dlpack__")();  // a producer from before DLPack 1.0
    }
  }
  Tensor x;
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned"))
    x = consume<DLManagedTensorVersioned>(capsule, "dltensor_versioned", "used_dltensor_versioned");
  else if (PyCapsule_IsValid(capsule.ptr(), "dltensor"))
    x = consume<DLManagedTensor>(capsule, "dltensor", "used_dltensor");
  else
    throw ValueError("from_dlpack: the capsule is not a DLPack tensor, or it was consumed before");
  return copy ? clone(x) : x;
}

}  // namespace

void bind_dlpack(Binder& b) {
  b.python_method("__dlpack__", &to_dlpack, py::kw_only(), "stream"_a = py::none(), "max_version"_a = py::none(),
                  "dl_device"_a = py::none(), "copy"_a = py::none(),
                  "The memory as a DLPack capsule; nothing is copied unless `copy` is True.");
  b.python_method(
      "__dlpack_device__",
      [](const Tensor& x) {
        return x.device() == kCpu ? py::make_tuple(kDLCpu, 0) : py::make_tuple(kDLCuda, x.device());
      },
      "(1, 0): the CPU; (2, i): CUDA device i.");
  b.python_function("from_dlpack", &from_dlpack, "x"_a, py::kw_only(), "copy"_a = false,
                    "A tensor on the memory of an object with ``__dlpack__`` (or of a DLPack capsule).");
}

}  // namespace fastnn
