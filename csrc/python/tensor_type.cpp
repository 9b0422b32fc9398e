#include "python/tensor_type.h"

#include <cxxabi.h>
#include <structmember.h>
#include <unistd.h>

#include <cstring>

#include "autograd/leaf.h"
#include "ops/elementwise/elementwise.h"
#include "ops/matmul/matmul.h"
#include "ops/optim/optim.h"
#include "ops/view/view.h"
#include "python/device_py.h"
#include "python/indexing.h"

namespace fastnn {
namespace {

struct PyTensor {
  PyObject_HEAD Tensor tensor;
  PyObject* weakrefs;
};

PyTypeObject* tensor_type = nullptr;

PyTensor* as_py(PyObject* o) { return reinterpret_cast<PyTensor*>(o); }

// Runs f() and turns any C++ exception into the Python error.
template <class F>
auto guarded(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (...) {
    set_python_error();
    return decltype(f()){};
  }
}

PyObject* make_object(PyTypeObject* type, const Tensor& x) {
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) throw py::error_already_set();
  new (&as_py(o)->tensor) Tensor(x);
  as_py(o)->weakrefs = nullptr;
  x.impl()->pyobj = o;
  return o;
}

PyObject* tensor_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"data", nullptr};
    PyObject* data = nullptr;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Tensor", const_cast<char**>(names), &data)) return nullptr;
    // A new tensor on the same memory: the object of `data` itself stays as it is.
    const Tensor x = is_tensor(data) ? unwrap(data) : tensor_from_object(data, nullptr, true);
    return make_object(type, x.detach());
  });
}

void tensor_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  if (PyType_IS_GC(type)) PyObject_GC_UnTrack(o);
  if (as_py(o)->weakrefs) PyObject_ClearWeakRefs(o);
  Tensor& t = as_py(o)->tensor;
  if (t.defined() && t.impl()->pyobj == o) t.impl()->pyobj = nullptr;
  t.~Tensor();
  type->tp_free(o);
  Py_DECREF(type);
}

// An operand of an operator: a tensor, a Python number (weak), or what NumPy understands. False: not ours to handle.
bool operand(PyObject* o, Operand& out) {
  if (is_tensor(o)) {
    out.tensor = unwrap(o);
    return true;
  }
  if (scalar_from_object(o, out.number)) return true;
  if (PyObject_HasAttrString(o, "__array_interface__")) {
    out.tensor = tensor_from_object(o, nullptr, false);
    return true;
  }
  return false;
}

int64_t elements(const Operand& o) { return o.tensor.defined() ? o.tensor.numel() : 1; }

template <class F>
Tensor without_gil(int64_t work, F&& f) {
  // Giving up the GIL costs more than a small kernel.
  if (work < 16384) return f();
  ReleaseGil release;
  return f();
}

template <class F>
PyObject* binary_operator(PyObject* a, PyObject* b, F&& f) {
  return guarded([&]() -> PyObject* {
    Operand x, y;
    if (!operand(a, x) || !operand(b, y)) Py_RETURN_NOTIMPLEMENTED;
    return wrap(without_gil(elements(x) + elements(y), [&] { return f(x, y); }));
  });
}

template <BinaryOp Op>
PyObject* arithmetic(PyObject* a, PyObject* b) {
  return binary_operator(a, b, [](const Operand& x, const Operand& y) { return binary(Op, x, y); });
}

PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) Py_RETURN_NOTIMPLEMENTED;
  return binary_operator(a, b, [](const Operand& x, const Operand& y) {
    return y.tensor.defined() ? binary(BinaryOp::pow, x, y) : pow(x.tensor, y.number);
  });
}

Tensor tensor_of(const Operand& o) {
  return o.tensor.defined() ? o.tensor : scalar_tensor(o.number, o.number.default_dtype());
}

PyObject* matrix_multiply(PyObject* a, PyObject* b) {
  return binary_operator(a, b, [](const Operand& x, const Operand& y) { return matmul(tensor_of(x), tensor_of(y)); });
}

template <BinaryOp Op>
PyObject* arithmetic_inplace(PyObject* a, PyObject* b) {
  return guarded([&]() -> PyObject* {
    Operand y;
    if (!operand(b, y)) Py_RETURN_NOTIMPLEMENTED;
    const Tensor x = unwrap(a);
    without_gil(x.numel(), [&] { return binary_(Op, x, y); });
    Py_INCREF(a);
    return a;
  });
}

PyObject* power_inplace(PyObject* a, PyObject* b, PyObject*) { return arithmetic_inplace<BinaryOp::pow>(a, b); }

template <UnaryOp Op>
PyObject* unary_operator(PyObject* o) {
  return guarded([&]() -> PyObject* {
    const Tensor x = unwrap(o);
    return wrap(without_gil(x.numel(), [&] { return unary(Op, x); }));
  });
}

PyObject* positive(PyObject* o) {
  Py_INCREF(o);
  return o;
}

PyObject* rich_compare(PyObject* a, PyObject* b, int what) {
  CompareOp op = CompareOp::eq;
  switch (what) {
    case Py_EQ:
      op = CompareOp::eq;
      break;
    case Py_NE:
      op = CompareOp::ne;
      break;
    case Py_LT:
      op = CompareOp::lt;
      break;
    case Py_LE:
      op = CompareOp::le;
      break;
    case Py_GT:
      op = CompareOp::gt;
      break;
    case Py_GE:
      op = CompareOp::ge;
      break;
  }
  return binary_operator(a, b, [op](const Operand& x, const Operand& y) { return compare(op, x, y); });
}

Py_ssize_t tensor_length(PyObject* o) {
  const Tensor& x = unwrap(o);
  if (x.dim() == 0) {
    PyErr_SetString(PyExc_TypeError, "len() of a 0-d tensor");
    return -1;
  }
  return x.shape()[0];
}

int tensor_bool(PyObject* o) {
  try {
    const Tensor& x = unwrap(o);
    if (x.numel() != 1)
      throw ValueError(
          str("the truth of a tensor of shape ", x.shape(), " is ambiguous: use (x != 0).any() or .all()"));
    const Scalar s = item(x);
    return s.kind == Scalar::floating ? s.d != 0 : s.i != 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}

PyObject* tensor_float(PyObject* o) {
  return guarded([&]() -> PyObject* { return PyFloat_FromDouble(item(unwrap(o)).d); });
}

PyObject* tensor_int(PyObject* o) {
  return guarded([&]() -> PyObject* {
    const Scalar s = item(unwrap(o));
    return s.kind == Scalar::floating ? PyLong_FromDouble(s.d) : PyLong_FromLongLong(s.i);
  });
}

PyObject* tensor_index(PyObject* o) {
  return guarded([&]() -> PyObject* {
    const Tensor& x = unwrap(o);
    // TypeError in both cases: callers such as bytes() then go on to the buffer protocol.
    if (x.is_floating() || x.numel() != 1)
      throw TypeError(str("only an integer tensor with one element can be an index, got dtype ", x.dtype(),
                          " and shape ", x.shape()));
    return PyLong_FromLongLong(item(x).i);
  });
}

// --- attributes -----------------------------------------------------------------------------------------------------

PyObject* get_shape(PyObject* o, void*) { return py::cast(unwrap(o).shape()).release().ptr(); }
PyObject* get_ndim(PyObject* o, void*) { return PyLong_FromLongLong(unwrap(o).dim()); }
PyObject* get_dtype(PyObject* o, void*) { return dtype_object(unwrap(o).dtype()); }
PyObject* get_itemsize(PyObject* o, void*) { return PyLong_FromLongLong(unwrap(o).itemsize()); }
PyObject* get_nbytes(PyObject* o, void*) { return PyLong_FromLongLong(unwrap(o).numel() * unwrap(o).itemsize()); }
PyObject* get_device(PyObject* o, void*) { return device_object(unwrap(o).device()); }
PyObject* get_is_cuda(PyObject* o, void*) { return PyBool_FromLong(unwrap(o).device() != kCpu); }
PyObject* get_version(PyObject* o, void*) { return PyLong_FromLong(unwrap(o).version()); }
PyObject* get_requires_grad(PyObject* o, void*) { return PyBool_FromLong(unwrap(o).requires_grad()); }
PyObject* get_is_leaf(PyObject* o, void*) { return PyBool_FromLong(!grad_fn(unwrap(o))); }

int set_requires_grad_attr(PyObject* o, PyObject* value, void*) {
  try {
    const int on = value ? PyObject_IsTrue(value) : -1;
    if (!value) PyErr_SetString(PyExc_AttributeError, "requires_grad cannot be deleted");
    if (on < 0) return -1;
    set_requires_grad(unwrap(o), on);
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}

PyObject* get_grad_attr(PyObject* o, void*) {
  return guarded([&]() -> PyObject* {
    const Tensor g = get_grad(unwrap(o));
    if (!g.defined()) Py_RETURN_NONE;
    return wrap(g);
  });
}

int set_grad_attr(PyObject* o, PyObject* value, void*) {
  try {
    if (value && value != Py_None && !is_tensor(value))
      throw TypeError(str("grad: expected a Tensor or None, got ", Py_TYPE(value)->tp_name));
    set_grad(unwrap(o), value && value != Py_None ? unwrap(value) : Tensor());
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}

PyObject* get_grad_fn(PyObject* o, void*) {
  return guarded([&]() -> PyObject* {
    const Ref<Node> n = grad_fn(unwrap(o));
    if (!n) Py_RETURN_NONE;
    return PyUnicode_FromString(n->name().c_str());
  });
}

PyObject* get_data(PyObject* o, void*) {
  return guarded([&]() -> PyObject* { return wrap(unwrap(o).detach()); });
}

int set_data_attr(PyObject* o, PyObject* value, void*) {
  try {
    if (!value || !is_tensor(value)) throw TypeError("data: expected a Tensor");
    set_data(unwrap(o), unwrap(value));
    return 0;
  } catch (...) {
    set_python_error();
    return -1;
  }
}

PyObject* get_T(PyObject* o, void*) {
  return guarded([&]() -> PyObject* {
    const Tensor& x = unwrap(o);
    Dims axes;
    for (int64_t i = x.dim(); i-- > 0;) axes.push_back(i);
    return wrap(permute(x, axes));
  });
}

PyObject* get_mT(PyObject* o, void*) {
  return guarded([&]() -> PyObject* {
    const Tensor& x = unwrap(o);
    if (x.dim() < 2) throw ValueError(str("mT: expected at least 2 dimensions, got shape ", x.shape()));
    return wrap(transpose(x, -2, -1));
  });
}

PyGetSetDef attributes[] = {
    {"shape", get_shape, nullptr, "tuple of int: the sizes.", nullptr},
    {"ndim", get_ndim, nullptr, "int: number of dimensions.", nullptr},
    {"dtype", get_dtype, nullptr, "dtype: the type of the elements.", nullptr},
    {"itemsize", get_itemsize, nullptr, "int: bytes of one element.", nullptr},
    {"nbytes", get_nbytes, nullptr, "int: bytes of all elements.", nullptr},
    {"device", get_device, nullptr, "device: where the memory is.", nullptr},
    {"is_cuda", get_is_cuda, nullptr, "bool: whether the memory is that of a CUDA device.", nullptr},
    {"_version", get_version, nullptr, "int: how often the memory was changed in place.", nullptr},
    {"requires_grad", get_requires_grad, set_requires_grad_attr, "bool: whether gradients flow to this tensor.",
     nullptr},
    {"is_leaf", get_is_leaf, nullptr, "bool: True when no recorded operation made this tensor.", nullptr},
    {"grad", get_grad_attr, set_grad_attr, "Tensor or None: the accumulated gradient.", nullptr},
    {"grad_fn", get_grad_fn, nullptr, "str or None: the operation that made this tensor.", nullptr},
    {"data", get_data, set_data_attr, "Tensor: the same memory without history; assigning replaces the memory.",
     nullptr},
    {"T", get_T, nullptr, "Tensor: the axes reversed (a view).", nullptr},
    {"mT", get_mT, nullptr, "Tensor: the last two axes swapped (a view).", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyMemberDef members[] = {{"__weaklistoffset__", T_PYSSIZET, offsetof(PyTensor, weakrefs), READONLY, nullptr},
                         {nullptr, 0, 0, 0, nullptr}};

PyType_Slot slots[] = {
    {Py_tp_doc,
     const_cast<char*>(
         "A typed, strided array with gradients. Make one with fastnn.tensor, zeros, randn, from_numpy, ...")},
    {Py_tp_new, reinterpret_cast<void*>(tensor_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(tensor_dealloc)},
    {Py_tp_getset, attributes},
    {Py_tp_members, members},
    {Py_nb_add, reinterpret_cast<void*>(arithmetic<BinaryOp::add>)},
    {Py_nb_inplace_add, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::add>)},
    {Py_nb_subtract, reinterpret_cast<void*>(arithmetic<BinaryOp::sub>)},
    {Py_nb_inplace_subtract, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::sub>)},
    {Py_nb_multiply, reinterpret_cast<void*>(arithmetic<BinaryOp::mul>)},
    {Py_nb_inplace_multiply, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::mul>)},
    {Py_nb_true_divide, reinterpret_cast<void*>(arithmetic<BinaryOp::div>)},
    {Py_nb_inplace_true_divide, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::div>)},
    {Py_nb_floor_divide, reinterpret_cast<void*>(arithmetic<BinaryOp::floor_divide>)},
    {Py_nb_inplace_floor_divide, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::floor_divide>)},
    {Py_nb_remainder, reinterpret_cast<void*>(arithmetic<BinaryOp::remainder>)},
    {Py_nb_inplace_remainder, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::remainder>)},
    {Py_nb_and, reinterpret_cast<void*>(arithmetic<BinaryOp::bitwise_and>)},
    {Py_nb_inplace_and, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::bitwise_and>)},
    {Py_nb_or, reinterpret_cast<void*>(arithmetic<BinaryOp::bitwise_or>)},
    {Py_nb_inplace_or, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::bitwise_or>)},
    {Py_nb_xor, reinterpret_cast<void*>(arithmetic<BinaryOp::bitwise_xor>)},
    {Py_nb_inplace_xor, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::bitwise_xor>)},
    {Py_nb_lshift, reinterpret_cast<void*>(arithmetic<BinaryOp::left_shift>)},
    {Py_nb_inplace_lshift, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::left_shift>)},
    {Py_nb_rshift, reinterpret_cast<void*>(arithmetic<BinaryOp::right_shift>)},
    {Py_nb_inplace_rshift, reinterpret_cast<void*>(arithmetic_inplace<BinaryOp::right_shift>)},
    {Py_nb_power, reinterpret_cast<void*>(power)},
    {Py_nb_inplace_power, reinterpret_cast<void*>(power_inplace)},
    {Py_nb_matrix_multiply, reinterpret_cast<void*>(matrix_multiply)},
    {Py_nb_negative, reinterpret_cast<void*>(unary_operator<UnaryOp::neg>)},
    {Py_nb_positive, reinterpret_cast<void*>(positive)},
    {Py_nb_absolute, reinterpret_cast<void*>(unary_operator<UnaryOp::abs>)},
    {Py_nb_invert, reinterpret_cast<void*>(unary_operator<UnaryOp::bitwise_not>)},
    {Py_tp_richcompare, reinterpret_cast<void*>(rich_compare)},
    {Py_nb_bool, reinterpret_cast<void*>(tensor_bool)},
    {Py_nb_float, reinterpret_cast<void*>(tensor_float)},
    {Py_nb_int, reinterpret_cast<void*>(tensor_int)},
    {Py_nb_index, reinterpret_cast<void*>(tensor_index)},
    {Py_mp_length, reinterpret_cast<void*>(tensor_length)},
    {Py_mp_subscript, reinterpret_cast<void*>(tensor_getitem)},
    {Py_mp_ass_subscript, reinterpret_cast<void*>(tensor_setitem)},
    {Py_bf_getbuffer, reinterpret_cast<void*>(tensor_getbuffer)},
    {Py_bf_releasebuffer, reinterpret_cast<void*>(tensor_releasebuffer)},
    {0, nullptr}};

PyType_Spec spec = {"fastnn.Tensor", sizeof(PyTensor), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

}  // namespace

PyObject* wrap(const Tensor& x) {
  if (auto* o = static_cast<PyObject*>(x.impl()->pyobj)) {
    Py_INCREF(o);
    return o;
  }
  return make_object(tensor_type, x);
}

bool is_tensor(PyObject* o) { return Py_TYPE(o) == tensor_type || PyType_IsSubtype(Py_TYPE(o), tensor_type); }
Tensor& unwrap(PyObject* o) { return as_py(o)->tensor; }

py::object make_tensor_type(py::module_& m) {
  PyObject* type = PyType_FromSpec(&spec);
  if (!type) throw py::error_already_set();
  tensor_type = reinterpret_cast<PyTypeObject*>(type);
  py::object object = py::reinterpret_borrow<py::object>(type);
  // ndarray + tensor must come to the tensor's operator; hashing is by identity because == is elementwise.
  object.attr("__array_ufunc__") = py::none();
  object.attr("__hash__") = py::handle(reinterpret_cast<PyObject*>(&PyBaseObject_Type)).attr("__hash__");
  m.attr("Tensor") = object;
  return object;
}

void restore_thread(PyThreadState* state) noexcept {
  try {
    PyEval_RestoreThread(state);
  } catch (...) {
    for (;;) pause();
  }
}

void set_python_error() {
  try {
    throw;
#if defined(__GLIBCXX__)
  } catch (const abi::__forced_unwind&) {
    throw;  // the thread is being ended
#endif
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (py::builtin_exception& e) {
    e.set_error();
  } catch (const CaptureError& e) {
    PyErr_SetString(capture_error(), e.what());
  } catch (const DeviceError& e) {
    PyErr_SetString(device_error(), e.what());
  } catch (const NotFinite& e) {
    PyErr_SetString(PyExc_FloatingPointError, e.what());
  } catch (const TypeError& e) {
    PyErr_SetString(PyExc_TypeError, e.what());
  } catch (const std::bad_alloc& e) {
    PyErr_SetString(PyExc_MemoryError, e.what());
  } catch (const std::invalid_argument& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
  } catch (const std::out_of_range& e) {
    PyErr_SetString(PyExc_IndexError, e.what());
  } catch (const std::overflow_error& e) {
    PyErr_SetString(PyExc_OverflowError, e.what());
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
}

}  // namespace fastnn
