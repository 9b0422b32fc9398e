// Devices in Python: fastnn.device, moving tensors, and what fastnn.cuda is made of (its streams: streams_py.cpp).

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

// What "cuda" without a number means to the thread.
thread_local DeviceIndex chosen = 0;

std::string text_of(py::handle o) { return py::str(py::repr(o)); }

/// The index in device('cuda', 1) or cuda.synchronize(1).
DeviceIndex index_from_object(const char* op, py::handle o) {
  int64_t i = -1;
  if (PyBool_Check(o.ptr()) || !int_from_object(o.ptr(), i))
    throw TypeError(str(op, ": expected an int as index, got ", text_of(o)));
  if (i < 0 || i > 63) throw ValueError(str(op, ": there is no index ", i, " of cuda"));
  return static_cast<DeviceIndex>(i);
}

void find_plugin() {
  py::gil_scoped_acquire gil;
  py::module_::import("fastnn.cuda").attr("_need")();
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
               throw ValueError(str("device: expected 'cpu', 'cuda' or 'cuda:0', got ", text_of(type)));
             if (!index.is_none()) {
               const DeviceIndex i = index_from_object("device", index);
               if (d.index == kCpu && i != 0) throw ValueError(str("device: there is no index ", i, " of cpu"));
               if (d.index != kCpu) d.index = i;
             }
             return d;
           }),
           "type"_a, "index"_a = py::none())
      .def(py::init([](const py::args& args, const py::kwargs& keywords) -> PyDevice {
        throw TypeError(str("device: expected device(type, index=None), got ", args.size() + keywords.size(),
                            " arguments that do not fit"));
      }))
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

void bind_cuda(Binder& b) {
  b.python_function("_cuda_load", &load_device_api, "path"_a);
  b.python_function("_cuda_loaded", &device_api_loaded);
  b.python_function("_cuda_count", [] { return device_api().count(); });
  b.python_function("_cuda_why_none", [] { return std::string(device_api().why_none()); });
  b.python_function("_cuda_kernel",
                    [](const std::string& name) { return device_api().kernel(name.c_str()) != nullptr; });
  b.python_function(
      "_cuda_device",
      [](const std::string& op, const py::object& device) { return Place{cuda_device(op.c_str(), device)}; }, "op"_a,
      "device"_a);
  b.python_function("_cuda_choose", [](Place device) {
    chosen = device.index;
    if (current_device() != kCpu) set_current_device(device.index);
  });
  b.function("_cuda_synchronize", [](Place d) { device_api().synchronize(d.index); });
  b.python_function("_cuda_memory", [](Place d) {
    const DeviceMemory s = device_api().memory(d.index);
    return py::dict("allocated"_a = s.allocated, "peak"_a = s.peak, "reserved"_a = s.reserved, "calls"_a = s.calls,
                    "free"_a = s.free, "total"_a = s.total);
  });
  b.python_function("_cuda_reset_peak", [](Place d) { device_api().reset_peak(d.index); });
  b.function("_cuda_empty_cache", [](Place d) { device_api().empty_cache(d.index); });
  b.python_function("_cuda_properties", [](Place d) {
    const DeviceProperties p = device_api().properties(d.index);
    return py::dict("name"_a = std::string(p.name), "total_memory"_a = p.memory, "major"_a = p.major,
                    "minor"_a = p.minor, "multi_processor_count"_a = p.multiprocessors);
  });
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
  if (PyUnicode_Check(o)) {
    const std::string name = py::str(py::handle(o));
    if (name != "cuda") return device_from_name(name, out);
    out = chosen;
    return true;
  }
  if (!py::isinstance<PyDevice>(py::handle(o))) return false;
  out = py::handle(o).cast<const PyDevice&>().index;
  return true;
}

PyObject* device_object(DeviceIndex d) {
  PyDevice device;
  device.index = d;
  return py::cast(device).release().ptr();
}

DeviceIndex cuda_device(const char* op, py::handle o) {
  DeviceIndex d = current_device();
  if (o.is_none())
    d = d == kCpu ? chosen : d;
  else if (PyLong_Check(o.ptr()))
    d = index_from_object(op, o);
  else if (!place_from_object(o.ptr(), d))
    throw TypeError(str(op, ": expected a CUDA device ('cuda:0', its index or a fastnn.device), got ", text_of(o)));
  if (d == kCpu) throw DeviceError(str(op, ": expected a CUDA device, got cpu"));
  check_device(d);
  return d;
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
  bind_streams(b);
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
        DeviceIndex d = current_device() == kCpu ? chosen : current_device();
        if (device) d = device->index() == 0 ? std::get<0>(*device) : std::get<1>(*device).index;
        if (d < 0) throw DeviceError(str("cuda: expected a CUDA device, got ", d == kCpu ? "cpu" : str("index ", d)));
        return moved(x, d, {}, non_blocking);
      },
      "device"_a = py::none(), "non_blocking"_a = false,
      "The tensor in the memory of a CUDA device: an index or a device, the current one (else the first) when None.");
  b.method("pin_memory", &pin_memory, "A copy in page-locked memory, from which devices copy behind the program.");
  b.method("is_pinned", &is_pinned, "Whether the memory is page-locked.");
}

}  // namespace fastnn
