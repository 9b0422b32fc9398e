// Python objects to and from dtypes, numbers and memory.

#include <pybind11/numpy.h>

#include "ops/elementwise/elementwise.h"
#include "python/bind.h"
#include "python/device_py.h"
#include "python/tensor_type.h"

namespace fastnn {
namespace {

struct PyDType {
  DType t;
};

PyObject* dtype_objects[kDTypes] = {};

DType dtype_from_name(const std::string& name, bool& found) {
  found = true;
  for (int i = 0; i < kDTypes; ++i)
    if (name == dtype_name(static_cast<DType>(i))) return static_cast<DType>(i);
  found = false;
  return DType::float32;
}

const char* numpy_name(DType t) { return dtype_name(t); }

// The tensor dtype that holds all values of a NumPy dtype; float64 means "as the caller chooses".
bool numpy_target(const py::dtype& d, DType& out) {
  const std::string name = py::str(d.attr("name"));
  bool found;
  out = dtype_from_name(name, found);
  if (found) return true;
  if (name == "float16")
    out = DType::float32;
  else if (name == "int8" || name == "int16" || name == "uint16")
    out = DType::int32;
  else if (name == "uint32" || name == "uint64")
    out = DType::int64;
  else
    return false;
  return true;
}

void release_object(void* owner) {
  // After the interpreter is gone nothing can be released, and nothing needs to be.
  if (!Py_IsInitialized()) return;
  PyGILState_STATE s = PyGILState_Ensure();
  Py_DECREF(static_cast<PyObject*>(owner));
  PyGILState_Release(s);
}

// A tensor on the memory of an array whose dtype is one of ours.
Tensor share(const py::array& a, DType t, const char* op) {
  const int64_t size = dtype_size(t);
  Dims shape, strides;
  int64_t low = 0, high = 0;
  for (py::ssize_t i = 0; i < a.ndim(); ++i) {
    if (a.shape(i) > 1 && a.strides(i) % size != 0)
      throw ValueError(str(op, ": the array's strides are not multiples of its item size; copy it first"));
    shape.push_back(a.shape(i));
    strides.push_back(a.shape(i) > 1 ? a.strides(i) / size : 1);
    const int64_t reach = a.shape(i) > 0 ? (shape[i] - 1) * strides[i] : 0;
    (reach < 0 ? low : high) += reach;
  }
  if (reinterpret_cast<uintptr_t>(a.data()) % size != 0)
    throw ValueError(str(op, ": the array's memory is not aligned to its item size; copy it first"));
  char* first = static_cast<char*>(const_cast<void*>(a.data())) + low * size;
  PyObject* owner = a.ptr();
  Py_INCREF(owner);
  try {
    const int64_t bytes = a.size() == 0 ? 0 : (high - low + 1) * size;
    return from_blob(first, bytes, shape, strides, -low, t, release_object, owner, a.writeable());
  } catch (...) {
    Py_DECREF(owner);
    throw;
  }
}

py::object on_host(py::handle o, int depth = 0) {
  if (depth > 64) throw ValueError("tensor: the lists are nested too deeply");
  if (is_tensor(o.ptr())) return py::cast(on_cpu(unwrap(o.ptr())));
  if (!PyList_Check(o.ptr()) && !PyTuple_Check(o.ptr())) return py::reinterpret_borrow<py::object>(o);
  py::list out;
  for (const py::handle item : py::reinterpret_borrow<py::sequence>(o)) out.append(on_host(item, depth + 1));
  return out;
}

/// numpy.asarray(o). NumPy cannot read tensors that lie on a device: where a list has some, copies are in their place.
py::array array_from_object(py::handle o) {
  const py::object asarray = py::module_::import("numpy").attr("asarray");
  try {
    return asarray(o);
  } catch (py::error_already_set& e) {
    if (!e.matches(device_error()) || !(PyList_Check(o.ptr()) || PyTuple_Check(o.ptr()))) throw;
  }
  return asarray(on_host(o));
}

}  // namespace

bool dtype_from_object(PyObject* o, DType& out) {
  for (int i = 0; i < kDTypes; ++i)
    if (o == dtype_objects[i]) {
      out = static_cast<DType>(i);
      return true;
    }
  bool found = false;
  if (o == reinterpret_cast<PyObject*>(&PyBool_Type))
    out = DType::bool_, found = true;
  else if (o == reinterpret_cast<PyObject*>(&PyLong_Type))
    out = DType::int64, found = true;
  else if (o == reinterpret_cast<PyObject*>(&PyFloat_Type))
    out = DType::float32, found = true;
  else if (PyUnicode_Check(o))
    out = dtype_from_name(py::str(py::handle(o)), found);
  else if (py::isinstance<py::dtype>(py::handle(o)))
    out = dtype_from_name(py::str(py::handle(o).attr("name")), found);
  else if (PyType_Check(o) && PyObject_HasAttrString(o, "dtype") && PyObject_HasAttrString(o, "__name__"))
    out = dtype_from_name(py::str(py::handle(o).attr("__name__")), found);  // np.float32 and the like
  return found;
}

PyObject* dtype_object(DType t) {
  PyObject* o = dtype_objects[static_cast<int>(t)];
  Py_INCREF(o);
  return o;
}

bool int_from_object(PyObject* o, int64_t& out) {
  if (!PyLong_Check(o)) {
    if (!PyIndex_Check(o) || (is_tensor(o) && (unwrap(o).dim() != 0 || unwrap(o).is_floating()))) return false;
    py::object i = py::reinterpret_steal<py::object>(PyNumber_Index(o));
    if (!i) {
      PyErr_Clear();
      return false;
    }
    return int_from_object(i.ptr(), out);
  }
  int overflow = 0;
  out = PyLong_AsLongLongAndOverflow(o, &overflow);
  if (overflow) throw OverflowError(str("the integer ", std::string(py::str(py::handle(o))), " does not fit int64"));
  return true;
}

bool scalar_from_object(PyObject* o, Scalar& out) {
  if (PyBool_Check(o)) {
    out = Scalar(o == Py_True);
    return true;
  }
  if (PyFloat_Check(o)) {
    out = Scalar(PyFloat_AS_DOUBLE(o));
    return true;
  }
  if (PyLong_Check(o)) {
    int64_t i;
    int_from_object(o, i);
    out = Scalar(i);
    return true;
  }
  if (is_tensor(o)) return false;
  // NumPy scalars: they have the interface of 0-d arrays but are numbers.
  if (PyObject_HasAttrString(o, "__array_interface__") && PyObject_HasAttrString(o, "item") &&
      !py::isinstance<py::array>(py::handle(o))) {
    py::object number = py::handle(o).attr("item")();
    if (PyBool_Check(number.ptr()) || PyFloat_Check(number.ptr()) || PyLong_Check(number.ptr()))
      return scalar_from_object(number.ptr(), out);
  }
  return false;
}

Tensor tensor_from_object(PyObject* o, const DType* dtype, bool copy) {
  if (is_tensor(o)) {
    const Tensor& x = unwrap(o);
    if (dtype && *dtype != x.dtype()) return to(x.detach(), *dtype);
    return copy ? clone(x.detach()) : x;
  }
  Scalar number;
  if (capturing() && scalar_from_object(o, number))
    return scalar_tensor(number, dtype ? *dtype : number.default_dtype());
  refuse_in_capture("tensor: NumPy data is made into a tensor");
  const DeviceGuard host(kCpu);
  py::array a = array_from_object(o);
  if (!a.dtype().attr("isnative").cast<bool>()) a = a.attr("astype")(a.dtype().attr("newbyteorder")("="));
  DType have;
  if (a.size() == 0 && !py::isinstance<py::array>(py::handle(o))) a = a.attr("astype")("float32");  // [] has no type
  if (!numpy_target(a.dtype(), have))
    throw TypeError(str("tensor: data of NumPy dtype ", std::string(py::str(a.dtype())), " cannot be a tensor"));
  const DType want = dtype ? *dtype : have == DType::float64 ? DType::float32 : have;
  const std::string name = py::str(a.dtype().attr("name"));
  if (name == "uint64" && a.size() && a.attr("max")().cast<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    throw OverflowError("tensor: a uint64 value does not fit int64");
  if (name != numpy_name(have)) {
    a = a.attr("astype")(numpy_name(have));
    copy = false;
  }
  const bool odd = reinterpret_cast<uintptr_t>(a.data()) % static_cast<uintptr_t>(a.itemsize()) != 0;
  bool divisible = true;
  for (py::ssize_t i = 0; i < a.ndim(); ++i) divisible = divisible && a.strides(i) % a.itemsize() == 0;
  if (odd || !divisible) a = a.attr("copy")(), copy = false;
  const Tensor x = share(a, have, "tensor");
  if (want != have) return to(x, want);
  return copy ? clone(x) : x;
}

Dims dims_from_args(const char* op, const py::args& args) {
  py::detail::make_caster<Dims> caster;
  const py::handle source = args.size() == 1 ? py::handle(args[0]) : py::handle(args);
  if (!caster.load(source, true))
    throw TypeError(
        str(op, ": expected integers or one sequence of integers, got ", std::string(py::str(py::handle(args)))));
  return py::detail::cast_op<Dims>(caster);
}

void bind_dtypes(py::module_& m) {
  py::class_<PyDType>(m, "dtype", "The type of a tensor's elements.")
      .def("__repr__",
           [](const PyDType& d) { return std::string("fastnn.") + (d.t == DType::bool_ ? "bool" : dtype_name(d.t)); })
      .def_property_readonly("name", [](const PyDType& d) { return dtype_name(d.t); })
      .def_property_readonly("itemsize", [](const PyDType& d) { return dtype_size(d.t); })
      .def_property_readonly("is_floating_point", [](const PyDType& d) { return is_floating(d.t); })
      .def("__reduce__", [](const PyDType& d) {
        return py::make_tuple(py::module_::import("fastnn._C").attr("_dtype"), py::make_tuple(dtype_name(d.t)));
      });
  for (int i = 0; i < kDTypes; ++i) {
    py::object o = py::cast(PyDType{static_cast<DType>(i)});
    dtype_objects[i] = o.inc_ref().ptr();
    m.attr(i == 0 ? "bool" : dtype_name(static_cast<DType>(i))) = o;
  }
  m.def(
      "_dtype", [](DType t) { return t; }, "name"_a, "The dtype of that name.");
}

void bind_exchange(Binder& b) {
  b.python_function(
      "tensor",
      [](const py::object& data, std::optional<DType> dtype, bool requires_grad, std::optional<Place> device) {
        const Made made(device);
        const bool stays = is_tensor(data.ptr()) && !device;
        Tensor x = tensor_from_object(data.ptr(), dtype ? &*dtype : nullptr, true);
        if (!stays) x = to_device(x, current_device());
        if (requires_grad) set_requires_grad(x, true);
        return x;
      },
      "data"_a, "dtype"_a = py::none(), "requires_grad"_a = false, "device"_a = py::none(),
      "A new tensor with a copy of `data` (numbers, nested lists, NumPy arrays, tensors).\n\nPython floats and float64 "
      "arrays "
      "become float32 unless `dtype` says otherwise; integers become int64.");
  b.python_function(
      "as_tensor",
      [](const py::object& data, std::optional<DType> dtype, std::optional<Place> device) {
        const Made made(device);
        const Tensor x = tensor_from_object(data.ptr(), dtype ? &*dtype : nullptr, false);
        return is_tensor(data.ptr()) && !device ? x : to_device(x, current_device());
      },
      "data"_a, "dtype"_a = py::none(), "device"_a = py::none(),
      "As `tensor`, but sharing the memory of `data` where nothing has to change.");
  b.python_function(
      "from_numpy",
      [](const py::array& a) {
        refuse_in_capture("from_numpy: NumPy data is made into a tensor");
        DType t;
        if (!dtype_from_object(a.dtype().ptr(), t) || !a.dtype().attr("isnative").cast<bool>())
          throw TypeError(
              str("from_numpy: expected bool, uint8, int32, int64, float32 or float64 in native byte order, got ",
                  std::string(py::str(a.dtype()))));
        return share(a, t, "from_numpy");
      },
      "array"_a, "A tensor on the memory of a NumPy array: same dtype, same strides, nothing copied.");
  b.python_method(
      "numpy",
      [](const py::object& self) {
        refuse_in_capture("numpy: a tensor's values are read");
        const Tensor& x = unwrap(self.ptr());
        const bool away = x.device() != kCpu;
        if (x.requires_grad())
          throw RuntimeError(str("numpy: the tensor requires grad; use .detach()", away ? ".cpu()" : "", ".numpy()"));
        if (x.device() != kCpu)
          throw DeviceError(str("numpy: the tensor is on ", device_name(x.device()), "; use .cpu().numpy()"));
        const DeviceGuard host(kCpu);
        std::vector<py::ssize_t> shape, strides;
        for (int i = 0; i < x.dim(); ++i)
          shape.push_back(x.shape()[i]), strides.push_back(x.strides()[i] * x.itemsize());
        py::array a(py::dtype(std::string(numpy_name(x.dtype()))), shape, strides, x.raw(), self);
        if (!x.impl()->storage->writable || has_internal_overlap(x)) a.attr("flags").attr("writeable") = false;
        return a;
      },
      "The tensor's memory as a NumPy array; nothing is copied.");
  b.python_method(
      "__array__",
      [](const py::object& self, const py::object& dtype, const py::object& copy) {
        py::object a = self.attr("numpy")();
        const bool force = !copy.is_none() && copy.cast<bool>();
        if (!dtype.is_none()) return py::object(a.attr("astype")(dtype, "copy"_a = force));
        return force ? py::object(a.attr("copy")()) : a;
      },
      "dtype"_a = py::none(), "copy"_a = py::none());
  b.python_method(
      "item", [](const Tensor& x) { return item(x); }, "The only element as a Python number.");
  b.python_method(
      "tolist",
      [](const py::object& self) { return self.attr("detach")().attr("cpu")().attr("numpy")().attr("tolist")(); },
      "The elements as nested lists.");
}

}  // namespace fastnn
