// Devices in Python: fastnn.device, moving tensors, and what fastnn.cuda is made of.

#include "python/device_py.h"

#include <variant>

#include "core/pinned.h"
#include "ops/elementwise/elementwise.h"
#include "python/tensor_type.h"

namespace fastnn {
namespace {

PyObject* error_type = nullptr;

/// fastnn.device: a place, and as a context manager the place of what is made inside.
struct PyDevice {
  DeviceIndex index = kCpu;
};

// What was current before each `with` that the thread is in.
thread_local std::vector<DeviceIndex> devices_before;
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
};

// A stream as an argument, the current one of the event's device when None.
void* stream_for(const PyEvent& e, const PyStream* s, const char* op) {
  if (!s) return device_api().stream_current();
  if (s->device != e.device)
    throw DeviceError(str(op, ": the event is of ", device_name(e.device), ", the stream of ", device_name(s->device)));
  return s->stream;
}

void find_plugin() {
  py::gil_scoped_acquire gil;
  py::module_::import("fastnn.cuda").attr("_need")();
}

DeviceIndex cuda_index(const std::optional<Place>& place) {
  DeviceIndex d = place ? place->index : current_device();
  if (!place && d == kCpu) d = 0;
  if (d == kCpu) throw DeviceError("cuda: expected a CUDA device, got cpu");
  check_device(d);
  return d;
}

void bind_device_class(py::module_& m) {
  const auto index_of = [](const PyDevice& d) -> py::object {
    return d.index == kCpu ? py::object(py::none()) : py::int_(d.index);
  };
  py::class_<PyDevice>(m, "device",
                       "Where a tensor's memory lies: device('cpu'), device('cuda:0'), device('cuda', 1). As a context "
                       "manager, the place of tensors made inside without a `device=`.")
      .def(py::init([](const py::object& type, const py::object& index) {
             PyDevice d;
             if (!place_from_object(type.ptr(), d.index))
               throw ValueError(
                   str("device: expected 'cpu', 'cuda' or 'cuda:0', got ", std::string(py::str(py::repr(type)))));
             if (!index.is_none()) {
               const int64_t i = index.cast<int64_t>();
               if (d.index == kCpu ? i != 0 : i < 0 || i > 63)
                 throw ValueError(str("device: there is no index ", i, " of ", device_name(d.index)));
               if (d.index != kCpu) d.index = static_cast<DeviceIndex>(i);
             }
             return d;
           }),
           "type"_a, "index"_a = py::none())
      .def_property_readonly("type", [](const PyDevice& d) { return d.index == kCpu ? "cpu" : "cuda"; })
      .def_property_readonly("index", index_of)
      .def("__str__", [](const PyDevice& d) { return device_name(d.index); })
      .def("__repr__", [](const PyDevice& d) { return str("device('", device_name(d.index), "')"); })
      .def("__hash__", [](const PyDevice& d) { return py::hash(py::str(device_name(d.index))); })
      .def("__eq__",
           [](const PyDevice& d, const py::object& other) {
             DeviceIndex i;
             return place_from_object(other.ptr(), i) && i == d.index;
           })
      .def("__reduce__",
           [](const PyDevice& d) {
             return py::make_tuple(py::type::of<PyDevice>(), py::make_tuple(device_name(d.index)));
           })
      .def("__enter__",
           [](py::object self) {
             auto& d = self.cast<PyDevice&>();
             check_device(d.index);
             devices_before.push_back(current_device());
             set_current_device(d.index);
             return self;
           })
      .def("__exit__", [](const PyDevice&, const py::args&) {
        if (devices_before.empty()) throw RuntimeError("device: left more often than entered");
        set_current_device(devices_before.back());
        devices_before.pop_back();
      });
}

void bind_default_device(Binder& b) {
  b.python_function(
      "set_default_device",
      [](std::optional<Place> device) {
        const DeviceIndex d = device ? device->index : kCpu;
        check_device(d);
        set_current_device(d);
      },
      "device"_a,
      "Where the calling thread's new tensors lie from now on, where no `device=` says otherwise; None is the CPU.");
  b.python_function(
      "get_default_device", [] { return Place{current_device()}; }, "Where new tensors lie without a `device=`.");
}

void bind_streams(py::module_& m) {
  py::class_<PyStream>(m, "_CudaStream",
                       "An order of work of its own on a device (the current one when None). `with stream:` sends work "
                       "there; at both ends the two streams wait for each other.")
      .def(py::init([](std::optional<Place> device) { return std::make_unique<PyStream>(cuda_index(device)); }),
           "device"_a = py::none())
      .def_property_readonly("device", [](const PyStream& s) { return Place{s.device}; })
      .def("__eq__", [](const PyStream& a, const PyStream& b) { return a.stream == b.stream; })
      .def("__hash__", [](const PyStream& s) { return reinterpret_cast<size_t>(s.stream); })
      .def(
          "synchronize", [](PyStream& s) { device_api().stream_synchronize(s.stream); }, py::call_guard<ReleaseGil>(),
          "Waits for its work.")
      .def(
          "query", [](PyStream& s) { return device_api().stream_done(s.stream); }, "Whether all its work is done.")
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
  m.def(
      "_cuda_current_stream",
      [](std::optional<Place> device) {
        const DeviceIndex d = cuda_index(device);
        const DeviceGuard here(d);
        return py::cast(std::make_unique<PyStream>(d, device_api().stream_current()));
      },
      "device"_a = py::none());
  py::class_<PyEvent>(m, "_CudaEvent",
                      "A mark in the work of a device (the current one when None): waits for it, times between two.")
      .def(py::init([](std::optional<Place> device) { return std::make_unique<PyEvent>(cuda_index(device)); }),
           "device"_a = py::none())
      .def_property_readonly("device", [](const PyEvent& e) { return Place{e.device}; })
      .def(
          "record",
          [](PyEvent& e, const PyStream* stream) {
            const DeviceGuard here(e.device);
            device_api().event_record(e.event, stream_for(e, stream, "event.record"));
            e.recorded = true;
          },
          "stream"_a = py::none(), "Sets the mark behind the work so far of a stream (the current one when None).")
      .def(
          "wait",
          [](PyEvent& e, const PyStream* stream) {
            e.need("event.wait");
            const DeviceGuard here(e.device);
            device_api().event_wait(e.event, stream_for(e, stream, "event.wait"));
          },
          "stream"_a = py::none(), "Later work of a stream (the current one when None) waits for the mark.")
      .def(
          "synchronize",
          [](PyEvent& e) {
            e.need("event.synchronize");
            device_api().event_synchronize(e.event);
          },
          py::call_guard<ReleaseGil>(), "Waits for the work before the mark.")
      .def(
          "elapsed_time",
          [](PyEvent& e, PyEvent& end) {
            e.need("event.elapsed_time");
            end.need("event.elapsed_time");
            device_api().event_synchronize(e.event);
            device_api().event_synchronize(end.event);
            return device_api().event_ms(e.event, end.event);
          },
          "end"_a, py::call_guard<ReleaseGil>(), "Milliseconds from this mark to `end`; waits for both.");
}

void bind_cuda(Binder& b) {
  b.python_function("_cuda_load", &load_device_api, "path"_a);
  b.python_function("_cuda_loaded", &device_api_loaded);
  b.python_function("_cuda_count", [] { return device_api().count(); });
  b.python_function("_cuda_why_none", [] { return std::string(device_api().why_none()); });
  b.python_function("_cuda_kernel",
                    [](const std::string& name) { return device_api().kernel(name.c_str()) != nullptr; });
  b.function(
      "_cuda_synchronize", [](std::optional<Place> d) { device_api().synchronize(cuda_index(d)); },
      "device"_a = py::none());
  b.python_function(
      "_cuda_memory",
      [](std::optional<Place> d) {
        const DeviceMemory s = device_api().memory(cuda_index(d));
        return py::dict("allocated"_a = s.allocated, "peak"_a = s.peak, "reserved"_a = s.reserved, "calls"_a = s.calls,
                        "free"_a = s.free, "total"_a = s.total);
      },
      "device"_a = py::none());
  b.python_function(
      "_cuda_reset_peak", [](std::optional<Place> d) { device_api().reset_peak(cuda_index(d)); },
      "device"_a = py::none());
  b.function(
      "_cuda_empty_cache", [](std::optional<Place> d) { device_api().empty_cache(cuda_index(d)); },
      "device"_a = py::none());
  b.python_function(
      "_cuda_properties",
      [](std::optional<Place> d) {
        const DeviceProperties p = device_api().properties(cuda_index(d));
        return py::dict("name"_a = std::string(p.name), "total_memory"_a = p.memory, "major"_a = p.major,
                        "minor"_a = p.minor, "multi_processor_count"_a = p.multiprocessors);
      },
      "device"_a = py::none());
  b.python_function("_cuda_set_blocking", [](bool on) { device_api().set_blocking(on); });
}

// The narrower type crosses the bus.
Tensor moved(const Tensor& x, DeviceIndex device, std::optional<DType> dtype, bool non_blocking) {
  if (dtype && dtype_size(*dtype) < x.itemsize()) return to_device(to(x, *dtype), device, !non_blocking);
  const Tensor y = to_device(x, device, !non_blocking);
  return dtype ? to(y, *dtype) : y;
}

}  // namespace

bool place_from_object(PyObject* o, DeviceIndex& out) {
  if (PyUnicode_Check(o)) return device_from_name(py::str(py::handle(o)), out);
  if (!py::isinstance<PyDevice>(py::handle(o))) return false;
  out = py::handle(o).cast<const PyDevice&>().index;
  return true;
}

PyObject* device_object(DeviceIndex d) {
  PyDevice device;
  device.index = d;
  return py::cast(device).release().ptr();
}

PyObject* device_error() { return error_type; }

void bind_devices(Binder& b) {
  py::object error = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
      "fastnn.DeviceError", "There is no such device, tensors lie on different ones, or its runtime reports an error.",
      PyExc_RuntimeError, nullptr));
  if (!error) throw py::error_already_set();
  error_type = error.inc_ref().ptr();
  b.m.attr("DeviceError") = error;
  find_device_api = &find_plugin;
  bind_device_class(b.m);
  bind_default_device(b);
  bind_streams(b.m);
  bind_cuda(b);
  b.function("_window", &alias, "x"_a, "size"_a, "stride"_a, "offset"_a,
             "Another window on the memory of x, without history; strides and offset in elements.");
  b.method(
      "to",
      [](const Tensor& x, Place device, std::optional<DType> dtype, bool non_blocking) {
        return moved(x, device.index, dtype, non_blocking);
      },
      "device"_a, "dtype"_a = py::none(), "non_blocking"_a = false,
      "The tensor on `device`, as `dtype`; itself when it is there already.\n\nWith `non_blocking` a copy from pinned "
      "memory to a device goes on behind the program (the memory must not be written to until it is done); others are "
      "waited for as always.");
  b.method(
      "to",
      [](const Tensor& x, const Tensor& other, bool non_blocking) {
        return moved(x, other.device(), other.dtype(), non_blocking);
      },
      "other"_a, "non_blocking"_a = false, "The tensor on the device and as the dtype of another.");
  b.method(
      "cpu", [](const Tensor& x) { return to_device(x, kCpu); }, "The tensor in the CPU's memory.");
  b.method(
      "cuda",
      [](const Tensor& x, std::optional<std::variant<int32_t, Place>> device, bool non_blocking) {
        std::optional<Place> place;
        if (device) place = device->index() == 0 ? Place{std::get<0>(*device)} : std::get<1>(*device);
        return moved(x, cuda_index(place), {}, non_blocking);
      },
      "device"_a = py::none(), "non_blocking"_a = false,
      "The tensor in the memory of a CUDA device: an index or a device, the current one (else the first) when None.");
  b.method("pin_memory", &pin_memory, "A copy in page-locked memory, from which devices copy behind the program.");
  b.method("is_pinned", &is_pinned, "Whether the memory is page-locked.");
}

}  // namespace fastnn
