// Functions of one tensor without parameters: plain C functions, for the generated ones cost as much as a small kernel.
#include "ops/elementwise/elementwise.h"
#include "python/bind.h"

namespace fastnn {
namespace {

template <class F>
PyObject* call_unary(PyObject* o, const char* name, F&& f) {
  if (!is_tensor(o)) {
    PyErr_Format(PyExc_TypeError, "%s: expected a Tensor, got %s", name, Py_TYPE(o)->tp_name);
    return nullptr;
  }
  try {
    const Tensor x = unwrap(o);
    if (x.numel() < 16384) return wrap(f(x));
    Tensor y;
    {
      ReleaseGil release;
      y = f(x);
    }
    return wrap(y);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

/// The one argument of f(x) or f(x=...).
PyObject* only_argument(const char* name, PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
  const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  if (n + named != 1) {
    PyErr_Format(PyExc_TypeError, "%s: expected 1 argument, got %zd", name, n + named);
    return nullptr;
  }
  if (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), "x") != 0) {
    PyErr_Format(PyExc_TypeError, "%s: unexpected keyword argument %R", name, PyTuple_GET_ITEM(keywords, 0));
    return nullptr;
  }
  return args[0];
}

template <class Op, Op op>
struct Plain {
  static Tensor apply(const Tensor& x) {
    if constexpr (std::is_same<Op, UnaryOp>::value)
      return unary(op, x);
    else
      return predicate(op, x);
  }
  static inline const char* name;
  static PyObject* function(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* keywords) {
    PyObject* x = only_argument(name, args, n, keywords);
    return x ? call_unary(x, name, apply) : nullptr;
  }
  static PyObject* method(PyObject* self, PyObject*) { return call_unary(self, name, apply); }
  static PyObject* inplace(PyObject* self, PyObject*) {
    if constexpr (std::is_same<Op, UnaryOp>::value)
      return call_unary(self, name, [](const Tensor& x) { return unary_(op, x); });
    return nullptr;
  }

  static void bind(Binder& b, const char* name_, const char* doc, const char* inplace_name) {
    name = name_;
    // Python keeps pointers to these for as long as it runs.
    static const std::string function_doc = std::string(name_) + "(x)\n--\n\n" + doc;
    static const std::string method_doc = std::string(name_) + "($self)\n--\n\n" + doc;
    static const std::string inplace_doc = std::string(name_) + "_($self)\n--\n\nThe same in place. " + doc;
    static PyMethodDef defs[3] = {{name_, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
                                   METH_FASTCALL | METH_KEYWORDS, function_doc.c_str()},
                                  {name_, method, METH_NOARGS, method_doc.c_str()},
                                  {inplace_name, inplace, METH_NOARGS, inplace_doc.c_str()}};
    auto* type = reinterpret_cast<PyTypeObject*>(b.tensor.ptr());
    const py::str module = b.m.attr("__name__");
    b.m.attr(name_) = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&defs[0], nullptr, module.ptr()));
    b.tensor.attr(name_) = py::reinterpret_steal<py::object>(PyDescr_NewMethod(type, &defs[1]));
    if (inplace_name)
      b.tensor.attr(inplace_name) = py::reinterpret_steal<py::object>(PyDescr_NewMethod(type, &defs[2]));
  }
};

#define FASTNN_PLAIN(name, doc) Plain<UnaryOp, UnaryOp::name>::bind(b, #name, doc, #name "_");
#define FASTNN_TEST(name, doc) Plain<PredicateOp, PredicateOp::name>::bind(b, #name, doc, nullptr);

}  // namespace

void bind_plain_unary(Binder& b) {
  FASTNN_PLAIN(neg, "-x.")
  FASTNN_PLAIN(abs, "|x|; the gradient at 0 is 0.")
  FASTNN_PLAIN(sign, "-1, 0 or 1.")
  FASTNN_PLAIN(square, "x * x.")
  FASTNN_PLAIN(floor, "Largest integer not above x.")
  FASTNN_PLAIN(ceil, "Smallest integer not below x.")
  FASTNN_PLAIN(round, "Nearest integer, halves to even.")
  FASTNN_PLAIN(trunc, "Integer part.")
  FASTNN_PLAIN(frac, "x - trunc(x).")
  FASTNN_PLAIN(exp, "e**x.")
  FASTNN_PLAIN(exp2, "2**x.")
  FASTNN_PLAIN(expm1, "e**x - 1, accurate near 0.")
  FASTNN_PLAIN(log, "Natural logarithm.")
  FASTNN_PLAIN(log2, "Logarithm to base 2.")
  FASTNN_PLAIN(log10, "Logarithm to base 10.")
  FASTNN_PLAIN(log1p, "log(1 + x), accurate near 0.")
  FASTNN_PLAIN(sqrt, "Square root.")
  FASTNN_PLAIN(rsqrt, "1 / sqrt(x).")
  FASTNN_PLAIN(reciprocal, "1 / x.")
  FASTNN_PLAIN(sin, "Sine of x in radians.")
  FASTNN_PLAIN(cos, "Cosine of x in radians.")
  FASTNN_PLAIN(tan, "Tangent of x in radians.")
  FASTNN_PLAIN(asin, "Inverse sine.")
  FASTNN_PLAIN(acos, "Inverse cosine.")
  FASTNN_PLAIN(atan, "Inverse tangent.")
  FASTNN_PLAIN(sinh, "Hyperbolic sine.")
  FASTNN_PLAIN(cosh, "Hyperbolic cosine.")
  FASTNN_PLAIN(tanh, "Hyperbolic tangent.")
  FASTNN_PLAIN(asinh, "Inverse hyperbolic sine.")
  FASTNN_PLAIN(acosh, "Inverse hyperbolic cosine.")
  FASTNN_PLAIN(atanh, "Inverse hyperbolic tangent.")
  FASTNN_PLAIN(erf, "Error function.")
  FASTNN_PLAIN(erfc, "1 - erf(x), accurate where it is small.")
  FASTNN_PLAIN(sigmoid, "1 / (1 + exp(-x)).")
  FASTNN_PLAIN(relu, "max(x, 0); the gradient at 0 is 0.")
  FASTNN_PLAIN(relu6, "min(max(x, 0), 6).")
  FASTNN_PLAIN(selu,
               "scale * (x if x > 0 else alpha * (exp(x) - 1)), scale 1.0507..., alpha 1.6732... (Klambauer 2017).")
  FASTNN_PLAIN(softsign, "x / (1 + |x|).")
  FASTNN_PLAIN(silu, "x * sigmoid(x).")
  FASTNN_PLAIN(mish, "x * tanh(log(1 + exp(x))).")
  FASTNN_PLAIN(tanhshrink, "x - tanh(x).")
  FASTNN_PLAIN(hardsigmoid, "min(max(x + 3, 0), 6) / 6.")
  FASTNN_PLAIN(hardswish, "x * hardsigmoid(x).")
  FASTNN_PLAIN(deg2rad, "Degrees to radians.")
  FASTNN_PLAIN(rad2deg, "Radians to degrees.")
  FASTNN_PLAIN(bitwise_not, "~x; on bool, not x.")
  Plain<UnaryOp, UnaryOp::log_sigmoid>::bind(b, "logsigmoid", "log(sigmoid(x)), accurate on both sides.",
                                             "logsigmoid_");
  FASTNN_TEST(isnan, "True where x is NaN.")
  FASTNN_TEST(isinf, "True where x is infinite.")
  FASTNN_TEST(isfinite, "True where x is neither infinite nor NaN.")
  FASTNN_TEST(isposinf, "True where x is +infinity.")
  FASTNN_TEST(isneginf, "True where x is -infinity.")
  FASTNN_TEST(signbit, "True where the sign bit is set (-0 too).")
  FASTNN_TEST(logical_not, "True where x is 0.")
}

}  // namespace fastnn
