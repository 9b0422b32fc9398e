#pragma once
// x[key] and x[key] = value: what a Python key means.

#include "python/bind.h"

namespace fastnn {

PyObject* tensor_getitem(PyObject* self, PyObject* key);
int tensor_setitem(PyObject* self, PyObject* key, PyObject* value);

}  // namespace fastnn
