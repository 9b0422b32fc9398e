#include "python/pattern.h"

#include <cstring>

namespace fastnn {
namespace {

/// Equal so that nothing computed from one can differ from the other: 1 is not True, 0.0 is not -0.0, NaN is NaN.
int same_constant(PyObject* a, PyObject* b) {
  if (a == b) return 1;
  if (Py_TYPE(a) != Py_TYPE(b)) return 0;
  if (PyFloat_CheckExact(a)) {
    const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
    return std::memcmp(&x, &y, sizeof x) == 0;
  }
  return PyObject_RichCompareBool(a, b, Py_EQ);
}

}  // namespace

Pattern Pattern::from(const py::handle& form) {
  Pattern p;
  if (PyType_Check(form.ptr())) return p;
  const py::tuple parts = py::reinterpret_borrow<py::tuple>(form);
  const py::handle head = parts[0];
  if (!PyType_Check(head.ptr())) {
    p.kind_ = constant;
    p.object_ = py::handle(parts[1]).ptr();
    return p;
  }
  p.object_ = head.ptr();
  auto* type = reinterpret_cast<PyTypeObject*>(head.ptr());
  p.kind_ = PyType_IsSubtype(type, &PyDict_Type) ? dict : PyType_IsSubtype(type, &PyList_Type) ? list : tuple;
  p.named_ = p.kind_ == tuple && py::hasattr(head, "_fields");
  for (size_t i = 1; i < parts.size(); ++i) {
    if (p.kind_ == dict) {
      const py::tuple entry = py::reinterpret_borrow<py::tuple>(parts[i]);
      p.keys_.push_back(py::handle(entry[0]).ptr());
      p.items_.push_back(from(entry[1]));
    } else {
      p.items_.push_back(from(parts[i]));
    }
  }
  return p;
}

int Pattern::match(PyObject* value, std::vector<Tensor>& tensors) const {
  switch (kind_) {
    case tensor:
      if (!is_tensor(value)) return 0;
      tensors.push_back(unwrap(value));
      return 1;
    case constant:
      return is_tensor(value) ? 0 : same_constant(value, object_);
    case tuple:
    case list: {
      if (reinterpret_cast<PyObject*>(Py_TYPE(value)) != object_) return 0;
      if (PySequence_Fast_GET_SIZE(value) != static_cast<Py_ssize_t>(items_.size())) return 0;
      for (size_t i = 0; i < items_.size(); ++i) {
        if (PySequence_Fast_GET_SIZE(value) <= static_cast<Py_ssize_t>(i)) return 0;  // __eq__ of a constant shrank it
        const int same = items_[i].match(PySequence_Fast_GET_ITEM(value, i), tensors);
        if (same != 1) return same;
      }
      return 1;
    }
    case dict: {
      if (reinterpret_cast<PyObject*>(Py_TYPE(value)) != object_) return 0;
      if (PyDict_GET_SIZE(value) != static_cast<Py_ssize_t>(items_.size())) return 0;
      for (size_t i = 0; i < items_.size(); ++i) {
        PyObject* item = PyDict_GetItemWithError(value, keys_[i]);
        if (!item) return PyErr_Occurred() ? -1 : 0;
        const int same = items_[i].match(item, tensors);
        if (same != 1) return same;
      }
      return 1;
    }
  }
  return 0;
}

PyObject* Pattern::build(const Tensor*& next) const {
  switch (kind_) {
    case tensor:
      return wrap(*next++);
    case constant:
      Py_INCREF(object_);
      return object_;
    case dict: {
      PyObject* out = PyDict_New();
      for (size_t i = 0; out && i < items_.size(); ++i) {
        PyObject* item = items_[i].build(next);
        if (!item || PyDict_SetItem(out, keys_[i], item) < 0) Py_CLEAR(out);
        Py_XDECREF(item);
      }
      return out;
    }
    case list: {
      PyObject* out = PyList_New(static_cast<Py_ssize_t>(items_.size()));
      for (size_t i = 0; out && i < items_.size(); ++i) {
        PyObject* item = items_[i].build(next);
        if (item)
          PyList_SET_ITEM(out, i, item);
        else
          Py_CLEAR(out);
      }
      return out;
    }
    case tuple: {
      PyObject* out = PyTuple_New(static_cast<Py_ssize_t>(items_.size()));
      for (size_t i = 0; out && i < items_.size(); ++i) {
        PyObject* item = items_[i].build(next);
        if (item)
          PyTuple_SET_ITEM(out, i, item);
        else
          Py_CLEAR(out);
      }
      if (!out || object_ == reinterpret_cast<PyObject*>(&PyTuple_Type)) return out;
      PyObject* made = named_ ? PyObject_CallObject(object_, out) : PyObject_CallOneArg(object_, out);
      Py_DECREF(out);
      return made;
    }
  }
  return nullptr;
}

}  // namespace fastnn
