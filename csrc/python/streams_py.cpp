// fastnn.cuda.Stream and fastnn.cuda.Event.

#include "python/device_py.h"

namespace fastnn {
namespace {

// The stream that was current before each `with` that the thread is in.
thread_local std::vector<std::pair<DeviceIndex, void*>> streams_before;

struct PyStream {
  void* stream = nullptr;
  DeviceIndex device = 0;
  bool owned = true;
  explicit PyStream(DeviceIndex d) : device(d) { stream = device_api().stream_create(d); }
  PyStream(DeviceIndex d, void* s) : stream(s), device(d), owned(false) {}
  PyStream(const PyStream&) = delete;
  ~PyStream() {
    if (owned) device_api().stream_destroy(stream);
  }
};

struct PyEvent {
  void* event = nullptr;
  DeviceIndex device = 0;
  bool recorded = false;
  explicit PyEvent(DeviceIndex d) : device(d) {
    const DeviceGuard here(d);
    event = device_api().event_create();
  }
  PyEvent(const PyEvent&) = delete;
  ~PyEvent() { device_api().event_destroy(event); }

  void need(const char* op) const {
    if (!recorded) throw RuntimeError(str(op, ": the event was not recorded yet"));
  }
  void record(const PyStream* s) {
    const DeviceGuard here(device);
    if (s && s->device != device)
      throw DeviceError(
          str("record: the event is of ", device_name(device), ", the stream of ", device_name(s->device)));
    device_api().event_record(event, s ? s->stream : device_api().stream_current());
    recorded = true;
    watched = false;
  }
  /// Later work of a stream, which may be of another device, waits.
  void hold_back(const char* op, const PyStream* s) {
    need(op);
    const DeviceGuard here(s ? s->device : device);
    device_api().event_wait(event, s ? s->stream : device_api().stream_current());
  }
  /// A stream without work of its own that waits for the event is done when the event is.
  bool done() {
    if (!recorded) return true;
    const DeviceGuard here(device);
    if (!watch) watch = std::make_unique<PyStream>(device);
    if (!watched) device_api().event_wait(event, watch->stream);
    watched = true;
    return device_api().stream_done(watch->stream);
  }

 private:
  std::unique_ptr<PyStream> watch;
  bool watched = false;  // since it was recorded last
};

// Both classes are made of a device alone, in any of its forms.
template <class T>
std::unique_ptr<T> make(const char* name, const char* hint, const py::object& device, const py::args& more,
                        const py::kwargs& keywords) {
  if (!more.empty()) throw TypeError(str(name, ": expected a device at most, got ", more.size() + 1, " arguments"));
  for (const auto& [key, value] : keywords)
    throw TypeError(str(name, ": unknown argument '", std::string(py::str(key)), "'; expected a device at most", hint));
  return std::make_unique<T>(cuda_device(name, device));
}

template <class T>
py::class_<T> public_class(py::module_& m, const char* hidden, const char* name, const char* hint, const char* doc) {
  py::class_<T> c(m, hidden, doc);
  c.def(py::init([name, hint](const py::object& device, const py::args& more, const py::kwargs& keywords) {
          return make<T>(name, hint, device, more, keywords);
        }),
        "device"_a = py::none())
      .def_property_readonly("device", [](const T& x) { return Place{x.device}; })
      .def("__repr__", [name](const T& x) { return str(name, "(device='", device_name(x.device), "')"); });
  c.attr("__name__") = name;
  c.attr("__qualname__") = name;
  c.attr("__module__") = "fastnn.cuda";
  return c;
}

void bind_stream(py::class_<PyStream>& c) {
  c.def(
       "__eq__", [](const PyStream& a, const PyStream& b) { return a.stream == b.stream; }, py::is_operator())
      .def("__hash__", [](const PyStream& s) { return reinterpret_cast<size_t>(s.stream); })
      .def(
          "synchronize", [](PyStream& s) { device_api().stream_synchronize(s.stream); }, py::call_guard<ReleaseGil>(),
          "Waits for its work.")
      .def(
          "query", [](PyStream& s) { return device_api().stream_done(s.stream); }, "Whether all its work is done.")
      .def(
          "wait_stream",
          [](const PyStream& s, const PyStream& stream) {
            PyEvent mark(stream.device);
            mark.record(&stream);
            mark.hold_back("wait_stream", &s);
          },
          "stream"_a, "Later work waits for the work so far of another stream.")
      .def(
          "wait_event", [](const PyStream& s, PyEvent& event) { event.hold_back("wait_event", &s); }, "event"_a,
          "Later work waits for an event.")
      .def(
          "record_event",
          [](const PyStream& s, const py::object& event) {
            const py::object mark = event.is_none() ? py::cast(std::make_unique<PyEvent>(s.device)) : event;
            if (!py::isinstance<PyEvent>(mark))
              throw TypeError(str("record_event: expected an Event or None, got ", Py_TYPE(mark.ptr())->tp_name));
            mark.cast<PyEvent&>().record(&s);
            return mark;
          },
          "event"_a = py::none(), "Sets an event (a new one when None) behind the work so far, and returns it.")
      .def("__enter__",
           [](py::object self) {
             auto& s = self.cast<PyStream&>();
             const DeviceGuard here(s.device);
             streams_before.emplace_back(s.device, device_api().stream_use(s.stream));
             return self;
           })
      .def("__exit__", [](PyStream& s, const py::args&) {
        if (streams_before.empty() || streams_before.back().first != s.device)
          throw RuntimeError("stream: left more often than entered, or not the one entered last");
        const DeviceGuard here(s.device);
        device_api().stream_use(streams_before.back().second);
        streams_before.pop_back();
      });
}

void bind_event(py::class_<PyEvent>& c) {
  c.def("record", &PyEvent::record, "stream"_a = py::none(),
        "Sets the mark behind the work so far of a stream (the current one when None).")
      .def(
          "wait", [](PyEvent& e, const PyStream* stream) { e.hold_back("wait", stream); }, "stream"_a = py::none(),
          "Later work of a stream (the current one when None) waits for the mark.")
      .def("query", &PyEvent::done,
           "Whether the work before the mark is done; it may say so a moment late. True where it was never recorded.")
      .def(
          "synchronize",
          [](PyEvent& e) {
            e.need("synchronize");
            device_api().event_synchronize(e.event);
          },
          py::call_guard<ReleaseGil>(), "Waits for the work before the mark.")
      .def(
          "elapsed_time",
          [](PyEvent& e, PyEvent& end) {
            e.need("elapsed_time");
            end.need("elapsed_time");
            if (e.device != end.device)
              throw DeviceError(str("elapsed_time: expected events of one device, got ", device_name(e.device), " and ",
                                    device_name(end.device)));
            device_api().event_synchronize(e.event);
            device_api().event_synchronize(end.event);
            return device_api().event_ms(e.event, end.event);
          },
          "end"_a, py::call_guard<ReleaseGil>(), "Milliseconds from this mark to `end`; waits for both.");
}

}  // namespace

void bind_streams(Binder& b) {
  auto stream = public_class<PyStream>(
      b.m, "_CudaStream", "Stream", " (streams have no priorities)",
      "An order of work of its own on a device (the current one when None). `with stream:` sends work there; at both "
      "ends the two streams wait for each other.");
  auto event = public_class<PyEvent>(
      b.m, "_CudaEvent", "Event", " (all events take times)",
      "A mark in the work of a device (the current one when None): waits for it, times between two.");
  bind_stream(stream);
  bind_event(event);
  b.python_function("_cuda_current_stream", [](Place d) {
    const DeviceGuard here(d.index);
    return py::cast(std::make_unique<PyStream>(d.index, device_api().stream_current()));
  });
}

}  // namespace fastnn
