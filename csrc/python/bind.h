#pragma once
// What every *_py.cpp uses: conversions between Python and the library, and the binder that makes functions and
// methods.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "autograd/node.h"
#include "core/tensor.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace fastnn {

/// The Python object of a tensor (a new reference); the same object while one lives.
PyObject* wrap(const Tensor& x);
bool is_tensor(PyObject* o);
/// The tensor of a Python object for which is_tensor() holds.
Tensor& unwrap(PyObject* o);
/// A tensor from anything NumPy understands: numbers, nested lists, arrays, objects with the buffer protocol. float64
/// data becomes float32 unless dtype says otherwise. Shares memory where `copy` is false and nothing has to change.
Tensor tensor_from_object(PyObject* o, const DType* dtype, bool copy);
/// The dtype that a Python object means (fastnn dtype, NumPy dtype or its name, bool/int/float), false where none.
bool dtype_from_object(PyObject* o, DType& out);
PyObject* dtype_object(DType t);
bool scalar_from_object(PyObject* o, Scalar& out);
/// One index: an int or anything with __index__; false (no error set) for others. OverflowError beyond int64.
bool int_from_object(PyObject* o, int64_t& out);
/// fastnn.CaptureError (borrowed).
PyObject* capture_error();
/// Runs in a catch block: turns the current C++ exception into the Python error.
void set_python_error();

/// PyEval_RestoreThread for code with destructors: a daemon thread that asks for the GIL of an interpreter that is
/// going away is ended by an unwinding that no C++ frame survives, so it waits here for the end of the process instead.
void restore_thread(PyThreadState* state) noexcept;

/// Lets other Python threads run while kernels do.
struct ReleaseGil {
  PyThreadState* state = PyEval_SaveThread();
  ReleaseGil() = default;
  ReleaseGil(const ReleaseGil&) = delete;
  ~ReleaseGil() { restore_thread(state); }
};

/// Defines operations: as functions of the module, and as methods of Tensor where asked.
class Binder {
 public:
  Binder(py::module_ module, py::object tensor_class) : m(std::move(module)), tensor(std::move(tensor_class)) {}

  /// A function of the module; its kernels run without the GIL.
  template <class F, class... Extra>
  Binder& function(const char* name, F&& f, const Extra&... extra) {
    m.def(name, std::forward<F>(f), py::call_guard<ReleaseGil>(), extra...);
    return *this;
  }
  /// A method of Tensor; the first argument is self.
  template <class F, class... Extra>
  Binder& method(const char* name, F&& f, const Extra&... extra) {
    py::cpp_function fn(std::forward<F>(f), py::name(name), py::is_method(tensor),
                        py::sibling(py::getattr(tensor, name, py::none())), py::call_guard<ReleaseGil>(), extra...);
    tensor.attr(name) = fn;
    return *this;
  }
  /// Both, with the same arguments.
  template <class F, class... Extra>
  Binder& both(const char* name, F f, const Extra&... extra) {
    function(name, f, extra...);
    return method_named(name, f, extra...);
  }
  /// As function/method, for callables that handle Python objects and so keep the GIL.
  template <class F, class... Extra>
  Binder& python_function(const char* name, F&& f, const Extra&... extra) {
    m.def(name, std::forward<F>(f), extra...);
    return *this;
  }
  template <class F, class... Extra>
  Binder& python_method(const char* name, F&& f, const Extra&... extra) {
    py::cpp_function fn(std::forward<F>(f), py::name(name), py::is_method(tensor),
                        py::sibling(py::getattr(tensor, name, py::none())), extra...);
    tensor.attr(name) = fn;
    return *this;
  }

  py::module_ m;
  py::object tensor;

 private:
  // In `both` the function names its first argument ("x"_a); a method's self has no name, so that name is dropped.
  template <class F, class... Extra>
  Binder& method_named(const char* name, F f, const py::arg&, const Extra&... extra) {
    return method(name, f, extra...);
  }
};

/// dim=None, dim=1 or dim=(0, 1) of a reduction: None is the empty list, which means all axes.
using OptionalDims = std::optional<Dims>;
inline Dims dims_or_all(const OptionalDims& d) { return d ? *d : Dims(); }
/// Sizes given as f(2, 3) or f((2, 3)).
Dims dims_from_args(const char* op, const py::args& args);

}  // namespace fastnn

namespace pybind11::detail {

template <>
struct type_caster<fastnn::Tensor> {
  PYBIND11_TYPE_CASTER(fastnn::Tensor, const_name("Tensor"));
  bool load(handle src, bool) {
    if (!fastnn::is_tensor(src.ptr())) return false;
    value = fastnn::unwrap(src.ptr());
    return true;
  }
  static handle cast(const fastnn::Tensor& t, return_value_policy, handle) {
    if (!t.defined()) return none().release();
    return fastnn::wrap(t);
  }
};

template <>
struct type_caster<fastnn::Dims> {
  PYBIND11_TYPE_CASTER(fastnn::Dims, const_name("int | collections.abc.Sequence[int]"));
  bool load(handle src, bool) {
    value.clear();
    int64_t i;
    if (fastnn::int_from_object(src.ptr(), i)) {
      value.push_back(i);
      return true;
    }
    if (!PyTuple_Check(src.ptr()) && !PyList_Check(src.ptr())) return false;
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(src.ptr());
    for (Py_ssize_t k = 0; k < n; ++k) {
      if (!fastnn::int_from_object(PySequence_Fast_GET_ITEM(src.ptr(), k), i)) return false;
      value.push_back(i);
    }
    return true;
  }
  static handle cast(const fastnn::Dims& d, return_value_policy, handle) {
    tuple t(d.size());
    for (int i = 0; i < d.size(); ++i) t[i] = int_(d[i]);
    return t.release();
  }
};

template <>
struct type_caster<fastnn::DType> {
  PYBIND11_TYPE_CASTER(fastnn::DType, const_name("dtype"));
  bool load(handle src, bool) { return fastnn::dtype_from_object(src.ptr(), value); }
  static handle cast(fastnn::DType t, return_value_policy, handle) { return fastnn::dtype_object(t); }
};

template <>
struct type_caster<fastnn::Scalar> {
  PYBIND11_TYPE_CASTER(fastnn::Scalar, const_name("bool | int | float"));
  bool load(handle src, bool) { return fastnn::scalar_from_object(src.ptr(), value); }
  static handle cast(const fastnn::Scalar& s, return_value_policy, handle) {
    if (s.kind == fastnn::Scalar::boolean) return bool_(s.i != 0).release();
    if (s.kind == fastnn::Scalar::integer) return int_(s.i).release();
    return float_(s.d).release();
  }
};

}  // namespace pybind11::detail
