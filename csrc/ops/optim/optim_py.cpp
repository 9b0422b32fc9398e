#include "ops/elementwise/elementwise.h"
#include "ops/optim/optim.h"
#include "python/device_py.h"
#include "python/tensor_type.h"

namespace fastnn {

// `lr` is a float64 tensor of one element; _write_rate sets it from the host.
// Private names: the public face is fastnn.optim and fastnn.nn.utils.
void bind_optim(Binder& b) {
  b.function(
      "_optim_check",
      [](const std::string& op, const TensorList& params, const TensorList& grads,
         const std::vector<TensorList>& states) { check_update(op.c_str(), params, grads, states); },
      "op"_a, "params"_a, "grads"_a, "states"_a);
  b.function(
      "_sgd_step",
      [](const TensorList& params, const TensorList& grads, const TensorList& bufs, const TensorList& steps,
         const Tensor& lr, double momentum, double dampening, double weight_decay, bool nesterov, bool maximize) {
        sgd_step(params, grads, bufs, steps,
                 {rate_pointer(lr, params), momentum, dampening, weight_decay, nesterov, maximize});
      },
      "params"_a, "grads"_a, "bufs"_a, "steps"_a, "lr"_a, "momentum"_a, "dampening"_a, "weight_decay"_a, "nesterov"_a,
      "maximize"_a);
  b.function(
      "_rmsprop_step",
      [](const TensorList& params, const TensorList& grads, const TensorList& squares, const TensorList& means,
         const TensorList& bufs, const TensorList& steps, const Tensor& lr, double alpha, double eps,
         double weight_decay, double momentum, bool centered, bool maximize) {
        rmsprop_step(params, grads, squares, means, bufs, steps,
                     {rate_pointer(lr, params), alpha, eps, weight_decay, momentum, centered, maximize});
      },
      "params"_a, "grads"_a, "squares"_a, "means"_a, "bufs"_a, "steps"_a, "lr"_a, "alpha"_a, "eps"_a, "weight_decay"_a,
      "momentum"_a, "centered"_a, "maximize"_a);
  b.function(
      "_adam_step",
      [](const TensorList& params, const TensorList& grads, const TensorList& ms, const TensorList& vs,
         const TensorList& vmaxs, const TensorList& steps, const Tensor& lr, double beta1, double beta2, double eps,
         double weight_decay, bool decoupled, bool maximize) {
        adam_step(params, grads, ms, vs, vmaxs, steps,
                  {rate_pointer(lr, params), beta1, beta2, eps, weight_decay, decoupled, maximize});
      },
      "params"_a, "grads"_a, "ms"_a, "vs"_a, "vmaxs"_a, "steps"_a, "lr"_a, "beta1"_a, "beta2"_a, "eps"_a,
      "weight_decay"_a, "decoupled"_a, "maximize"_a);
  b.function(
      "_adagrad_step",
      [](const TensorList& params, const TensorList& grads, const TensorList& sums, const TensorList& steps,
         const Tensor& lr, double lr_decay, double eps, double weight_decay, bool maximize) {
        adagrad_step(params, grads, sums, steps, {rate_pointer(lr, params), lr_decay, eps, weight_decay, maximize});
      },
      "params"_a, "grads"_a, "sums"_a, "steps"_a, "lr"_a, "lr_decay"_a, "eps"_a, "weight_decay"_a, "maximize"_a);
  b.function(
      "_adadelta_step",
      [](const TensorList& params, const TensorList& grads, const TensorList& squares, const TensorList& accs,
         const TensorList& steps, const Tensor& lr, double rho, double eps, double weight_decay, bool maximize) {
        adadelta_step(params, grads, squares, accs, steps,
                      {rate_pointer(lr, params), rho, eps, weight_decay, maximize});
      },
      "params"_a, "grads"_a, "squares"_a, "accs"_a, "steps"_a, "lr"_a, "rho"_a, "eps"_a, "weight_decay"_a,
      "maximize"_a);
  b.python_function(
      "_optim_follow",
      [](const TensorList& params, const py::list& states) -> py::object {
        if (py::len(states) != params.size()) throw ValueError("optimizer: expected a state for each parameter");
        bool same = true;
        for (size_t i = 0; i < params.size(); ++i) {
          same = same && params[i].device() == params[0].device();
          const auto state = states[i].cast<py::dict>();
          std::vector<std::pair<py::object, Tensor>> moved;
          for (const auto& [name, value] : state) {
            if (!is_tensor(value.ptr())) continue;
            const Tensor& t = unwrap(value.ptr());
            if (t.device() != params[i].device())
              moved.emplace_back(py::reinterpret_borrow<py::object>(name), to_device(t, params[i].device()));
          }
          for (const auto& [name, t] : moved) state[name] = py::cast(t);
        }
        if (params.empty() || !same) return py::none();
        return py::cast(Place{params[0].device()});
      },
      "params"_a, "states"_a,
      "Takes the state of each parameter to its device. The device where all have the same, else None.");
  b.function("_write_rate", &write_rate, "rate"_a, "value"_a);
  py::register_local_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const NotFinite& e) {
      PyErr_SetString(PyExc_FloatingPointError, e.what());
    }
  });
  b.function("_require_finite_loss", &require_finite_loss, "loss"_a);
  b.function("_require_finite_gradients", &require_finite_gradients, "grads"_a, "norm"_a);
  b.function("_grad_norm", &grad_norm, "grads"_a, "p"_a);
  b.function("_clip_by_norm", &clip_by_norm, "grads"_a, "norm"_a, "max_norm"_a);
}

}  // namespace fastnn
