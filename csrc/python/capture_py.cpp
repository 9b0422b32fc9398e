// Captured steps in Python; fastnn/_capture.py builds fastnn.capture on this.

#include "ops/elementwise/elementwise.h"
#include "python/tensor_type.h"
#include "runtime/capture.h"

namespace fastnn {
namespace {

PyObject* error_type = nullptr;

struct PyProgram {
  Ref<Program> program;
};

std::vector<Tensor> row_major(const std::vector<Tensor>& list) {
  std::vector<Tensor> out;
  out.reserve(list.size());
  for (const Tensor& t : list) out.push_back(contiguous(t.detach()));
  return out;
}

}  // namespace

PyObject* capture_error() { return error_type; }

void bind_capture(Binder& b) {
  py::class_<PyProgram>(b.m, "_Program", "The recorded launches of one step for one set of shapes.")
      .def(py::init([](const std::vector<Tensor>& slots) { return PyProgram{Ref<Program>(new Program(slots))}; }),
           "slots"_a)
      .def("load", [](const PyProgram& p, const std::vector<Tensor>& inputs) { p.program->load(row_major(inputs)); })
      .def("begin", [](const PyProgram& p) { p.program->begin(); })
      .def("end",
           [](const PyProgram& p, const std::vector<Tensor>& outputs) {
             // Still recording: a copy that is needed to make an output row-major belongs to the step.
             const std::vector<Tensor> dense = row_major(outputs);
             p.program->end(dense);
             std::vector<Tensor> copies;
             for (const Tensor& t : dense) copies.push_back(clone(t));
             return copies;
           })
      .def("cancel", [](const PyProgram& p) { p.program->cancel(); })
      .def("valid", [](const PyProgram& p) { return p.program->valid(); })
      .def_property_readonly("ready", [](const PyProgram& p) { return p.program->phase() == Program::Phase::ready; })
      .def("replay",
           [](const PyProgram& p, const std::vector<Tensor>& inputs) {
             ReleaseGil release;
             return p.program->replay(row_major(inputs));
           })
      .def("summary", [](const PyProgram& p) {
        const Program::Summary s = p.program->summary();
        return py::dict("launches"_a = s.launches, "arena_bytes"_a = s.arena_bytes,
                        "unplanned_bytes"_a = s.unplanned_bytes, "requested_bytes"_a = s.requested_bytes,
                        "buffers"_a = s.buffers, "random_draws"_a = s.random_draws, "by_kernel"_a = s.by_kernel);
      });
  b.python_function("_is_capturing", &capturing);
  b.python_function("_refuse_in_capture", [](const std::string& what) { refuse_in_capture(what.c_str()); });
  py::exception<CaptureError> error(b.m, "CaptureError", PyExc_RuntimeError);
  error.attr("__doc__") =
      "A captured step did something that a replay could not repeat; the message names it and the line.";
  error_type = error.inc_ref().ptr();
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const CaptureError& e) {
      PyErr_SetString(error_type, e.what());
    }
  });
}

}  // namespace fastnn
