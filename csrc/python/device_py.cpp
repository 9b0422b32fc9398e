// Devices in Python: fastnn.device, moving tensors, and what fastnn.cuda is made of.

#include "python/device_py.h"

#include "ops/elementwise/elementwise.h"
#include "python/tensor_type.h"

namespace fastnn {
namespace {

PyObject* error_type = nullptr;

/// fastnn.device: a place, and as a context manager the place of what is made inside.
struct PyDevice {
  DeviceIndex index = kCpu;
  std::vector<DeviceIndex> before;  // of nested `with`
};

struct PyStream {
  void* stream = nullptr;
  DeviceIndex device = 0;
  std::vector<void*> before;
  explicit PyStream(Place place) : device(place.index == kCpu ? 0 : place.index) {
    check_device(device);
    stream = device_api().stream_create(device);
  }
  PyStream(const PyStream&) = delete;
  ~PyStream() { device_api().stream_destroy(stream); }
};

struct PyEvent {
  void* event = nullptr;
  bool recorded = false;
  PyEvent() { event = device_api().event_create(); }
  PyEvent(const PyEvent&) = delete;
  ~PyEvent() { device_api().event_destroy(event); }
  void need(const char* op) const {
    if (!recorded) throw RuntimeError(str(op, ": the event was not recorded yet"));
  }
};

void find_plugin() {
  py::gil_scoped_acquire gil;
  py::module_::import("fastnn.cuda").attr("_need")();
}

DeviceIndex cuda_index(const std::optional<Place>& place) {
  DeviceIndex d = place ? place->index : current_device();
  if (!place && d == kCpu) d = 0;
  if (d == kCpu) throw ValueError("cuda: expected a CUDA device, got cpu");
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
             d.before.push_back(current_device());
             set_current_device(d.index);
             return self;
           })
      .def("__exit__", [](PyDevice& d, const py::args&) {
        if (d.before.empty()) throw RuntimeError("device: left more often than entered");
        set_current_device(d.before.back());
        d.before.pop_back();
      });
}

void bind_streams(py::module_& m) {
  py::class_<PyStream>(m, "_CudaStream",
                       "An order of work of its own on a device. `with stream:` sends work there; at both ends the two "
                       "streams wait for each other.")
      .def(py::init([](std::optional<Place> device) { return std::make_unique<PyStream>(Place{cuda_index(device)}); }),
           "device"_a = py::none())
      .def(
          "synchronize", [](PyStream& s) { device_api().stream_synchronize(s.stream); }, py::call_guard<ReleaseGil>(),
          "Waits for its work.")
      .def(
          "query", [](PyStream& s) { return device_api().stream_done(s.stream); }, "Whether all its work is done.")
      .def("__enter__",
           [](py::object self) {
             auto& s = self.cast<PyStream&>();
             const DeviceGuard here(s.device);
             s.before.push_back(device_api().stream_use(s.stream));
             return self;
           })
      .def("__exit__", [](PyStream& s, const py::args&) {
        if (s.before.empty()) throw RuntimeError("stream: left more often than entered");
        const DeviceGuard here(s.device);
        device_api().stream_use(s.before.back());
        s.before.pop_back();
      });
  py::class_<PyEvent>(m, "_CudaEvent", "A mark in the current stream: waits for it and times between two.")
      .def(py::init([](std::optional<Place> device) {
             const DeviceGuard here(cuda_index(device));
             return std::make_unique<PyEvent>();
           }),
           "device"_a = py::none())
      .def("record",
           [](PyEvent& e) {
             const DeviceGuard here(cuda_index({}));
             device_api().event_record(e.event, device_api().stream_current());
             e.recorded = true;
           })
      .def(
          "wait",
          [](PyEvent& e) {
            e.need("event.wait");
            const DeviceGuard here(cuda_index({}));
            device_api().event_wait(e.event, device_api().stream_current());
          },
          "Later work of the current stream waits for the mark.")
      .def(
          "synchronize",
          [](PyEvent& e) {
            e.need("event.synchronize");
            device_api().event_synchronize(e.event);
          },
          py::call_guard<ReleaseGil>())
      .def(
          "elapsed_time",
          [](PyEvent& e, PyEvent& end) {
            e.need("event.elapsed_time");
            end.need("event.elapsed_time");
            return device_api().event_ms(e.event, end.event);
          },
          "end"_a, "Milliseconds from this mark to `end`, both reached.");
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

Tensor pin_memory(const Tensor& x) {
  check_device(0);
  if (x.device() != kCpu)
    throw DeviceError(str("pin_memory: expected a CPU tensor, got one on ", device_name(x.device())));
  const int64_t bytes = x.numel() * x.itemsize();
  void* p = device_api().host_allocate(bytes);
  const DeviceGuard here(kCpu);
  const Tensor y = from_blob(
      p, bytes, x.shape(), contiguous_strides(x.shape()), 0, x.dtype(),
      [](void* q) { device_api().host_deallocate(q); }, p, true);
  copy_into(y, x.detach());
  return y;
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
  bind_streams(b.m);
  bind_cuda(b);
  b.function("_window", &alias, "x"_a, "size"_a, "stride"_a, "offset"_a,
             "Another window on the memory of x, without history; strides and offset in elements.");
  b.method(
      "to",
      [](const Tensor& x, Place device, std::optional<DType> dtype) {
        // The narrower type crosses the bus.
        if (dtype && dtype_size(*dtype) < x.itemsize()) return to_device(to(x, *dtype), device.index);
        const Tensor y = to_device(x, device.index);
        return dtype ? to(y, *dtype) : y;
      },
      "device"_a, "dtype"_a = py::none(), "The tensor on `device`, as `dtype`; itself when it is there already.");
  b.method(
      "cpu", [](const Tensor& x) { return to_device(x, kCpu); }, "The tensor in the CPU's memory.");
  b.method(
      "cuda", [](const Tensor& x, int32_t index) { return to_device(x, index); }, "index"_a = 0,
      "The tensor in the memory of a CUDA device.");
  b.method("pin_memory", &pin_memory, "A copy in page-locked memory, which devices read faster.");
}

}  // namespace fastnn
