#pragma once
// Devices as arguments of Python functions: fastnn.device objects and their names.

#include "core/device.h"
#include "python/bind.h"

namespace fastnn {

/// A device as an argument.
struct Place {
  DeviceIndex index = kCpu;
};

/// False where the object is neither a fastnn.device nor the name of one.
bool place_from_object(PyObject* o, DeviceIndex& out);
/// fastnn.device (a new reference).
PyObject* device_object(DeviceIndex d);
/// The CUDA device that an object means (an index, a device or its name; the current one, else the chosen, for None),
/// which is there; errors name `op`.
DeviceIndex cuda_device(const char* op, py::handle o);
/// fastnn.DeviceError (borrowed).
PyObject* device_error();

void bind_streams(Binder& b);

/// `device=` of a function that makes tensors: that device, or the current one where it is None.
class Made {
 public:
  explicit Made(const std::optional<Place>& place) : guard_(checked(place)) {}

 private:
  static DeviceIndex checked(const std::optional<Place>& place) {
    if (!place) return current_device();
    check_device(place->index);
    return place->index;
  }
  DeviceGuard guard_;
};

}  // namespace fastnn

namespace pybind11::detail {

template <>
struct type_caster<fastnn::Place> {
  PYBIND11_TYPE_CASTER(fastnn::Place, const_name("device"));
  bool load(handle src, bool) { return fastnn::place_from_object(src.ptr(), value.index); }
  static handle cast(fastnn::Place p, return_value_policy, handle) { return fastnn::device_object(p.index); }
};

}  // namespace pybind11::detail
