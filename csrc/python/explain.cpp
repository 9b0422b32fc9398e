// What Python sees when no overload of a function fits its arguments: pybind11 would print the values of all of them,
// weights included. Each function gets a last overload that says which argument is wrong instead; the words are made
// in fastnn/_calls.py, from the signature in the docstring.

#include <cstdlib>
#include <cstring>

#include "python/tensor_type.h"

namespace fastnn {
namespace {

/// Fits any object, but only once pybind11 has tried every overload as it is and allows conversions. As the last
/// overload it is therefore reached when all others have refused.
struct LastResort {
  py::object value;
};

}  // namespace
}  // namespace fastnn

namespace pybind11::detail {
template <>
struct type_caster<fastnn::LastResort> {
  PYBIND11_TYPE_CASTER(fastnn::LastResort, const_name("object"));
  bool load(handle src, bool convert) {
    if (convert) value.value = reinterpret_borrow<object>(src);
    return convert;
  }
};
}  // namespace pybind11::detail

namespace fastnn {
namespace {

[[noreturn]] void explain(const std::string& doc, py::object self, const LastResort& first, const py::args& rest,
                          const py::kwargs& keywords, PyObject* missing) {
  py::list given;
  if (self) given.append(self);
  if (first.value.ptr() != missing) given.append(first.value);
  for (auto a : rest) given.append(a);
  throw py::type_error(
      py::module_::import("fastnn._calls").attr("explain")(doc, given, keywords, bool(self)).cast<std::string>());
}

py::handle function_of(py::handle f) {
  return PyInstanceMethod_Check(f.ptr()) ? PyInstanceMethod_GET_FUNCTION(f.ptr()) : f;
}

bool made_by_pybind(py::handle f) {
  f = function_of(f);
  PyObject* self = PyCFunction_Check(f.ptr()) ? PyCFunction_GET_SELF(f.ptr()) : nullptr;
  return self && py::detail::function_record_ptr_from_PyObject(self);
}

/// Adds the last overload to one function and leaves its docstring as it was.
void add_last_resort(py::handle scope, const char* name, py::object existing, bool is_method) {
  const py::handle function = function_of(existing);
  const std::string doc = py::str(py::getattr(function, "__doc__", py::str("")));
  // Stands for "no argument": an object that no caller has.
  const py::object missing = py::module_::import("builtins").attr("object")();
  const auto absent = py::arg_v("_", missing, "...");
  PyObject* none_given = missing.ptr();
  if (is_method)
    py::cpp_function(
        [doc, none_given](const py::object& self, const LastResort& first, const py::args& rest,
                          const py::kwargs& keywords) -> py::object {
          explain(doc, self, first, rest, keywords, none_given);
        },
        py::name(name), py::is_method(scope), py::sibling(existing), absent);
  else
    py::cpp_function(
        [doc, none_given](const LastResort& first, const py::args& rest, const py::kwargs& keywords) -> py::object {
          explain(doc, {}, first, rest, keywords, none_given);
        },
        py::name(name), py::scope(scope), py::sibling(existing), absent);
  // pybind11 owns this text and has just put both overloads into it.
  PyMethodDef* def = reinterpret_cast<PyCFunctionObject*>(function.ptr())->m_ml;
  std::free(const_cast<char*>(def->ml_doc));
  def->ml_doc = ::strdup(doc.c_str());
}

}  // namespace

void explain_calls(Binder& b) {
  const auto all = [](const py::object& scope, bool is_method) {
    const py::dict items = py::dict(scope.attr("__dict__"));
    for (auto item : items) {
      const std::string name = py::str(item.first);
      if (name[0] != '_' && made_by_pybind(item.second))
        add_last_resort(scope, name.c_str(), py::reinterpret_borrow<py::object>(item.second), is_method);
    }
  };
  all(b.m, false);
  all(b.tensor, true);
  all(b.m.attr("_CudaStream"), true);
  all(b.m.attr("_CudaEvent"), true);
}

}  // namespace fastnn
