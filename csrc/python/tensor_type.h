#pragma once
// The Python type of a tensor, written by hand: its operators cost a tenth of a microsecond less than generated ones.

#include "python/bind.h"

namespace fastnn {

/// Makes the type fastnn.Tensor and adds it to the module.
py::object make_tensor_type(py::module_& m);
void bind_dtypes(py::module_& m);
void explain_calls(Binder& b);  // the messages of calls that fit no signature; after all others
void bind_exchange(Binder& b);  // NumPy and the buffer protocol
void bind_dlpack(Binder& b);
void bind_autograd(Binder& b);
void bind_runtime(Binder& b);  // threads, instruction sets, memory, random state
void bind_devices(Binder& b);  // after the operations: Tensor.to(dtype) comes before Tensor.to(device)
void bind_capture(Binder& b);  // recorded steps

// The buffer slots of the type.
int tensor_getbuffer(PyObject* o, Py_buffer* view, int flags);
void tensor_releasebuffer(PyObject* o, Py_buffer* view);

}  // namespace fastnn
