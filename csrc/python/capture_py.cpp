// Captured steps in Python: a call of a step that has been recorded stays in C++ from end to end. fastnn/_capture.py
// makes the recordings.

#include <cmath>

#include "kernels/isa.h"
#include "ops/elementwise/elementwise.h"
#include "ops/matmul/product.h"
#include "ops/optim/optim.h"
#include "python/pattern.h"
#include "python/tensor_type.h"
#include "runtime/capture.h"

namespace fastnn {
namespace {

PyObject* error_type = nullptr;
PyTypeObject* recording_type = nullptr;

// --- what must still hold for a recording to be replayed -------------------------------------------------------------

/// The entries of a dict (the attributes of a module, the settings of a parameter group) while recording. All objects
/// are borrowed from the Python side of the recording.
struct WatchedDict {
  PyObject* dict;
  std::vector<std::pair<PyObject*, PyObject*>> entries;  // key, value; a null value: anything
  bool whole;                                            // no other keys may be there
  uint64_t version = 0;

  bool unchanged() {
#if PY_VERSION_HEX < 0x030c0000
    // Python counts the changes of a dict (until 3.11): the usual case needs no look at the entries.
    const uint64_t now = reinterpret_cast<PyDictObject*>(dict)->ma_version_tag;
    if (now == version) return true;
#endif
    if (whole && PyDict_GET_SIZE(dict) != static_cast<Py_ssize_t>(entries.size())) return false;
    for (const auto& [key, value] : entries) {
      PyObject* found = PyDict_GetItemWithError(dict, key);
      if (found == value && found) continue;
      if (!found) {
        PyErr_Clear();
        return false;
      }
      if (!value) continue;
      // Numbers and words may be set to what they were.
      const bool plain = Py_TYPE(found) == Py_TYPE(value) &&
                         (PyFloat_CheckExact(found) || PyLong_CheckExact(found) || PyUnicode_CheckExact(found));
      if (!plain || PyObject_RichCompareBool(found, value, Py_EQ) != 1) return false;
    }
#if PY_VERSION_HEX < 0x030c0000
    version = now;
#endif
    return true;
  }
};

/// A learning rate: read from group["lr"], written to where the kernels read it.
struct Rate {
  PyObject *group, *key;
  Tensor place;
  double written = -1.0;  // what replays left there last, and the version it had then
  uint32_t version = 0;
};

struct Recording {
  Ref<Program> program;
  Pattern arguments, keywords, result;
  bool grad_mode = grad_enabled();
  int isa = detail::isa_index;
  MatmulPrecision precision = matmul_precision();
  std::vector<WatchedDict> dicts;
  std::vector<std::pair<Tensor, bool>> wanted;  // parameters, and whether they had gradients
  std::vector<Rate> rates;
  std::vector<std::pair<PyObject*, Py_ssize_t>> lists;  // and their lengths

  void forget() {
    dicts.clear();
    lists.clear();
    wanted.clear();
    rates.clear();
    result = Pattern();
  }
  /// 1: a replay with `inputs` is what fn(*args, **kwargs) would do; learning rates are then in place. -1 with the
  /// Python error set. `kwargs` may be null.
  int match(PyObject* args, PyObject* kwargs, std::vector<Tensor>& inputs) {
    if (grad_enabled() != grad_mode || detail::isa_index != isa || matmul_precision() != precision) return 0;
    int same = arguments.match(args, inputs);
    if (same == 1) same = kwargs ? keywords.match(kwargs, inputs) : keywords.empty();
    if (same != 1) return same;
    if (inputs.size() != program->slots().size()) return 0;
    for (size_t i = 0; i < inputs.size(); ++i)
      if (!program->fits(i, inputs[i])) return 0;
    for (WatchedDict& d : dicts)
      if (!d.unchanged()) return 0;
    for (const auto& [list, length] : lists)
      if (PyList_GET_SIZE(list) != length) return 0;
    for (const auto& [tensor, wants] : wanted)
      if (tensor.impl()->requires_grad != wants) return 0;
    if (!program->valid()) return 0;
    for (Rate& r : rates) {
      PyObject* value = PyDict_GetItemWithError(r.group, r.key);
      if (!value) return PyErr_Occurred() ? -1 : 0;
      const double lr = PyFloat_AsDouble(value);
      if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
      }
      if (!(lr >= 0) || std::isinf(lr)) return 0;  // the step itself says what is wrong with it
      if (lr == r.written && r.place.version() == r.version) continue;
      write_rate(r.place, lr);
      r.written = lr, r.version = r.place.version();
    }
    return 1;
  }

  PyObject* replay(const std::vector<Tensor>& inputs) {
    std::vector<Tensor> out;
    if (program->is_long()) {
      ReleaseGil release;
      out = program->replay(inputs);
    } else {
      out = program->replay(inputs);
    }
    const Tensor* next = out.data();
    return result.build(next);
  }
};

struct PyRecording {
  PyObject_HEAD Recording* recording;
};

Recording& recording_of(const py::handle& o) {
  if (!PyObject_TypeCheck(o.ptr(), recording_type)) throw TypeError("capture: expected a recording");
  return *reinterpret_cast<PyRecording*>(o.ptr())->recording;
}

PyObject* recording_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* o = type->tp_alloc(type, 0);
  if (o) reinterpret_cast<PyRecording*>(o)->recording = new Recording;
  return o;
}

void recording_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  delete reinterpret_cast<PyRecording*>(o)->recording;
  type->tp_free(o);
  Py_DECREF(type);
}

PyType_Slot recording_slots[] = {{Py_tp_doc, const_cast<char*>("The recorded launches of one step for one form.")},
                                 {Py_tp_new, reinterpret_cast<void*>(recording_new)},
                                 {Py_tp_dealloc, reinterpret_cast<void*>(recording_dealloc)},
                                 {0, nullptr}};
PyType_Spec recording_spec = {"fastnn._C._Recording", sizeof(PyRecording), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                              recording_slots};

// --- the step: a callable with a list of recordings, the one used last first -----------------------------------------

struct PyStep {
  PyObject_HEAD PyObject* recordings;
};

PyObject* step_call(PyObject* self, PyObject* args, PyObject* kwargs) {
  try {
    if (capturing()) {  // inside another captured step: part of that one
      const py::object fn = py::handle(self).attr("fn");
      return PyObject_Call(fn.ptr(), args, kwargs);
    }
    PyObject* list = reinterpret_cast<PyStep*>(self)->recordings;
    std::vector<Tensor> inputs;
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); ++i) {
      const py::object item = py::reinterpret_borrow<py::object>(PyList_GET_ITEM(list, i));
      Recording& r = recording_of(item);
      if (!r.program || r.program->phase() != Program::Phase::ready) continue;
      inputs.clear();
      const int same = r.match(args, kwargs, inputs);
      if (same < 0) return nullptr;
      if (same == 0) continue;
      if (i > 0 && (PyList_SetSlice(list, i, i + 1, nullptr) < 0 || PyList_Insert(list, 0, item.ptr()) < 0))
        return nullptr;
      return r.replay(inputs);
    }
    const py::object keywords = kwargs ? py::reinterpret_borrow<py::object>(kwargs) : py::dict();
    const py::object record = py::handle(self).attr("_record");
    PyObject* both[] = {args, keywords.ptr()};
    return PyObject_Vectorcall(record.ptr(), both, 2, nullptr);
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

int step_traverse(PyObject* o, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(o));
  Py_VISIT(reinterpret_cast<PyStep*>(o)->recordings);
  return 0;
}

int step_clear(PyObject* o) {
  Py_CLEAR(reinterpret_cast<PyStep*>(o)->recordings);
  return 0;
}

PyObject* step_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* o = type->tp_alloc(type, 0);
  if (!o) return nullptr;
  reinterpret_cast<PyStep*>(o)->recordings = PyList_New(0);
  return o;
}

void step_dealloc(PyObject* o) {
  PyTypeObject* type = Py_TYPE(o);
  PyObject_GC_UnTrack(o);
  step_clear(o);
  type->tp_free(o);
  Py_DECREF(type);
}

PyObject* step_recordings(PyObject* o, void*) {
  PyObject* list = reinterpret_cast<PyStep*>(o)->recordings;
  if (!list) Py_RETURN_NONE;
  Py_INCREF(list);
  return list;
}

PyGetSetDef step_attributes[] = {
    {"_recordings", step_recordings, nullptr, "list of _Recording, the one used last first.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot step_slots[] = {
    {Py_tp_doc, const_cast<char*>("A callable that replays what was recorded for its arguments.")},
    {Py_tp_new, reinterpret_cast<void*>(step_new)},
    {Py_tp_call, reinterpret_cast<void*>(step_call)},
    {Py_tp_traverse, reinterpret_cast<void*>(step_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(step_clear)},
    {Py_tp_dealloc, reinterpret_cast<void*>(step_dealloc)},
    {Py_tp_getset, step_attributes},
    {0, nullptr}};
PyType_Spec step_spec = {"fastnn._C._Step", sizeof(PyStep), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, step_slots};

/// The innermost line of Python that is not the library's own.
std::string user_line() {
  PyGILState_STATE gil = PyGILState_Ensure();
  std::string found = "unknown line";
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  {
    const std::string package = py::str(py::module_::import("fastnn._capture").attr("_PACKAGE"));
    py::object frame =
        py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyThreadState_GetFrame(PyThreadState_Get())));
    while (frame && !frame.is_none()) {
      auto* f = reinterpret_cast<PyFrameObject*>(frame.ptr());
      const py::object code = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetCode(f)));
      const std::string file = py::str(code.attr("co_filename"));
      if (file.compare(0, package.size(), package) != 0) {
        found = str(file, ":", PyFrame_GetLineNumber(f));
        break;
      }
      frame = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetBack(f)));
    }
  }
  PyErr_Restore(type, value, traceback);
  PyGILState_Release(gil);
  return found;
}

py::object add_type(py::module_& m, const char* name, PyType_Spec& spec) {
  py::object type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  m.attr(name) = type;
  return type;
}

std::vector<Tensor> row_major(const std::vector<Tensor>& list) {
  std::vector<Tensor> out;
  out.reserve(list.size());
  for (const Tensor& t : list) out.push_back(contiguous(t.detach()));
  return out;
}

}  // namespace

PyObject* capture_error() { return error_type; }

void bind_capture(Binder& b) {
  capture_location = &user_line;
  recording_type = reinterpret_cast<PyTypeObject*>(add_type(b.m, "_Recording", recording_spec).ptr());
  add_type(b.m, "_Step", step_spec);
  b.python_function("_recording_init", [](const py::object& recording, const py::object& args, const py::object& kwargs,
                                          const std::vector<Tensor>& examples) {
    Recording& r = recording_of(recording);
    r.program = Ref<Program>(new Program(examples, &copy_into));
    r.arguments = Pattern::from(args);
    r.keywords = Pattern::from(kwargs);
    return r.program->slots();
  });
  b.python_function("_recording_matches", [](const py::object& recording, const py::tuple& args, const py::dict& kw) {
    std::vector<Tensor> inputs;
    const int same = recording_of(recording).match(args.ptr(), kw.ptr(), inputs);
    if (same < 0) throw py::error_already_set();
    return same == 1;
  });
  b.python_function("_recording_begin", [](const py::object& recording, const std::vector<Tensor>& inputs) {
    Recording& r = recording_of(recording);
    r.forget();
    r.program->load(inputs);
    r.program->begin();
  });
  b.python_function("_recording_end",
                    [](const py::object& recording, const std::vector<Tensor>& outputs, const py::object& result) {
                      Recording& r = recording_of(recording);
                      // Still recording: a copy that is needed to make an output row-major belongs to the step.
                      const std::vector<Tensor> dense = row_major(outputs);
                      r.program->end(dense);
                      r.result = Pattern::from(result);
                      std::vector<Tensor> copies;
                      for (const Tensor& t : dense) copies.push_back(clone(t));
                      return copies;
                    });
  b.python_function("_recording_drop_slots",
                    [](const py::object& recording) { recording_of(recording).program->drop_slots(); });
  b.python_function("_recording_cancel", [](const py::object& recording) {
    recording_of(recording).forget();
    recording_of(recording).program->cancel();
  });
  b.python_function("_recording_ready", [](const py::object& recording) {
    return recording_of(recording).program->phase() == Program::Phase::ready;
  });
  b.python_function("_recording_watch", [](const py::object& recording, const py::dict& dict, const py::list& entries,
                                           const std::vector<Tensor>& tensors, bool whole) {
    Recording& r = recording_of(recording);
    WatchedDict watched{dict.ptr(), {}, whole};
    for (const py::handle entry : entries) {
      const py::tuple pair = py::reinterpret_borrow<py::tuple>(entry);
      PyObject* value = pair.size() > 1 ? py::handle(pair[1]).ptr() : nullptr;
      watched.entries.emplace_back(py::handle(pair[0]).ptr(), value);
      if (value && PyList_CheckExact(value)) r.lists.emplace_back(value, PyList_GET_SIZE(value));
    }
    r.dicts.push_back(std::move(watched));
    for (const Tensor& t : tensors) r.wanted.emplace_back(t, t.impl()->requires_grad);
  });
  b.python_function("_recording_rate",
                    [](const py::object& recording, const py::dict& group, const py::str& key, const Tensor& place) {
                      recording_of(recording).rates.push_back({group.ptr(), key.ptr(), place});
                    });
  b.python_function("_recording_summary", [](const py::object& recording) {
    const Program::Summary s = recording_of(recording).program->summary();
    return py::dict("launches"_a = s.launches, "arena_bytes"_a = s.arena_bytes, "unplanned_bytes"_a = s.unplanned_bytes,
                    "input_bytes"_a = s.input_bytes, "output_bytes"_a = s.output_bytes, "graphs"_a = s.graphs,
                    "requested_bytes"_a = s.requested_bytes, "peak_bytes"_a = s.peak_bytes, "buffers"_a = s.buffers,
                    "in_place"_a = s.in_place, "random_draws"_a = s.random_draws, "by_kernel"_a = s.by_kernel);
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
