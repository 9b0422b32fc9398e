// The module fastnn._C: no logic, only the list of what there is.

#include "kernels/isa.h"
#include "python/device_py.h"
#include "python/tensor_type.h"

namespace fastnn {
#define FAMILY(name) void bind_##name(Binder& b);
#define OP(family, name)
#include "ops/ops.inc"
#undef FAMILY
#undef OP
void bind_peak(py::module_& m);
}  // namespace fastnn

namespace {

/// How this module was compiled, for `fastnn info`.
py::dict build_options() {
  std::string isas;
#define FASTNN_X(name) isas += (isas.empty() ? "" : ", ") + std::string(#name);
  FASTNN_ISA_LIST(FASTNN_X)
#undef FASTNN_X
#if defined(__clang__)
  const std::string compiler = __VERSION__;
#else
  const std::string compiler = std::string("GCC ") + __VERSION__;
#endif
#if defined(__SANITIZE_ADDRESS__)
  const bool sanitized = true;
#else
  const bool sanitized = false;
#endif
  return py::dict("compiler"_a = compiler, "kernels"_a = isas, "sanitizers"_a = sanitized ? "on" : "off");
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  using namespace fastnn;
  m.doc() = "Compiled part of fastnn.";
  m.attr("__version__") = FASTNN_VERSION;
  m.def("_build_options", &build_options);
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const TypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    } catch (const DeviceError& e) {
      PyErr_SetString(device_error(), e.what());
    }
  });
  bind_dtypes(m);
  Binder b(m, make_tensor_type(m));
  bind_exchange(b);
  bind_dlpack(b);
  bind_autograd(b);
  bind_runtime(b);
  bind_capture(b);
  bind_peak(m);
#define FAMILY(name) bind_##name(b);
#define OP(family, name)
#include "ops/ops.inc"
#undef FAMILY
#undef OP
  bind_devices(b);
  py::list ops;
#define FAMILY(name)
#define OP(family, name) ops.append(py::make_tuple(#family, #name));
#include "ops/ops.inc"
#undef FAMILY
#undef OP
  m.attr("OPS") = py::tuple(ops);
  explain_calls(b);
}
