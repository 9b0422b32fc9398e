// The buffer protocol: the tensor's memory as memoryview, bytes and NumPy see it.

#include "python/tensor_type.h"

namespace fastnn {
namespace {

bool is_column_major(const Tensor& x) {
  int64_t step = 1;
  for (int i = 0; i < x.dim() && x.numel() > 0; ++i) {
    if (x.shape()[i] != 1 && x.strides()[i] != step) return false;
    step *= x.shape()[i];
  }
  return true;
}

}  // namespace

int tensor_getbuffer(PyObject* o, Py_buffer* view, int flags) {
  const Tensor& x = unwrap(o);
  view->obj = nullptr;
  if (capturing()) {
    PyErr_SetString(capture_error(), "buffer: a tensor's values are read inside a captured step");
    return -1;
  }
  if (x.requires_grad()) {
    PyErr_SetString(PyExc_BufferError, "a tensor that requires grad has no buffer; use detach() first");
    return -1;
  }
  if (x.device() != kCpu) {
    PyErr_SetString(PyExc_BufferError, "the tensor is on a device; use cpu() first");
    return -1;
  }
  const DeviceGuard host(kCpu);
  const bool writable = x.impl()->storage->writable && !has_internal_overlap(x);
  if ((flags & PyBUF_WRITABLE) && !writable) {
    PyErr_SetString(PyExc_BufferError, "the tensor is read-only");
    return -1;
  }
  const auto asks = [flags](int what) { return (flags & what) == what; };
  const bool column_major = is_column_major(x);
  const bool fits = asks(PyBUF_ANY_CONTIGUOUS) ? x.is_contiguous() || column_major
                    : asks(PyBUF_F_CONTIGUOUS) ? column_major
                    : asks(PyBUF_C_CONTIGUOUS) ? x.is_contiguous()
                                               : asks(PyBUF_STRIDES) || x.is_contiguous();
  if (!fits) {
    PyErr_SetString(PyExc_BufferError, "the tensor is not contiguous");
    return -1;
  }
  static const char* formats[kDTypes] = {"?", "B", "i", "q", "f", "d"};
  auto* sizes = static_cast<Py_ssize_t*>(PyMem_Malloc(sizeof(Py_ssize_t) * 2 * kMaxRank));
  if (!sizes) {
    PyErr_NoMemory();
    return -1;
  }
  for (int i = 0; i < x.dim(); ++i) {
    sizes[i] = x.shape()[i];
    sizes[kMaxRank + i] = x.strides()[i] * x.itemsize();
  }
  view->buf = x.raw();
  view->len = x.numel() * x.itemsize();
  view->itemsize = x.itemsize();
  view->readonly = !writable;
  view->format = (flags & PyBUF_FORMAT) ? const_cast<char*>(formats[static_cast<int>(x.dtype())]) : nullptr;
  view->ndim = static_cast<int>(x.dim());
  view->shape = (flags & PyBUF_ND) ? sizes : nullptr;
  view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? sizes + kMaxRank : nullptr;
  view->suboffsets = nullptr;
  view->internal = sizes;
  Py_INCREF(o);
  view->obj = o;
  return 0;
}

void tensor_releasebuffer(PyObject*, Py_buffer* view) { PyMem_Free(view->internal); }

}  // namespace fastnn
