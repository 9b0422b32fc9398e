#include "ops/optim/optim.h"

#include <cmath>
#include <memory>

#include "autograd/node.h"
#include "ops/elementwise/elementwise.h"
#include "ops/elementwise/kernels.h"
#include "ops/elementwise/operands.h"
#include "runtime/launch.h"

namespace fastnn {

namespace {
struct Values {
  const void* data;
  int64_t n;
  bool is_double;
  DeviceIndex device;
};
using Slots = std::shared_ptr<const std::vector<OptimSlot>>;
using ValueList = std::shared_ptr<const std::vector<Values>>;
}  // namespace

// Parameters, their state and gradients: none is an argument of a captured step, whose slots are copies of its own.
template <>
struct OwnedList<Slots> : std::true_type {};
template <>
struct OwnedList<ValueList> : std::true_type {};

namespace {

void check_pair(const char* op, size_t i, const char* what, const Tensor& x, const Tensor& p) {
  if (!x.defined() || x.shape() != p.shape() || x.dtype() != p.dtype())
    throw ValueError(str(op, ": the ", what, " of parameter ", i, " expects shape ", p.shape(), " and dtype ",
                         p.dtype(), ", got ", x.defined() ? x.shape() : Dims(), " and ",
                         x.defined() ? dtype_name(x.dtype()) : "nothing"));
}

void check_place(const char* op, size_t i, const char* what, const Tensor& x, DeviceIndex device) {
  if (x.device() != device)
    throw DeviceError(str(op, ": the ", what, " of parameter ", i, " expects ", device_name(device), ", got ",
                          device_name(x.device())));
}

void check_step(const char* op, size_t i, const Tensor& step) {
  if (!step.defined() || step.dtype() != DType::int64 || step.numel() != 1)
    throw ValueError(str(op, ": the step count of parameter ", i, " expects one int64"));
}

DeviceIndex device_of(const TensorList& list) { return list.empty() ? current_device() : list[0].device(); }

/// The device that all of a list are on.
DeviceIndex one_device(const char* op, const TensorList& list) {
  const DeviceIndex device = device_of(list);
  for (const Tensor& x : list)
    if (x.device() != device) detail::throw_apart(op, device, x);
  return device;
}

/// A tensor as kernels want it: row-major. A strided one is worked on in a copy, which goes back at the end.
struct Dense {
  Tensor original, work;
  Dense() = default;
  explicit Dense(const Tensor& x) : original(x), work(contiguous(x)) {}
  void finish() const {
    if (work.impl() != original.impl()) copy_into(original, work);
    original.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
  }
};

template <class Args>
void run_slots(void (*kernel)(const OptimSlot*, int64_t, Args), Slots slots, Args args) {
  kernel(slots->data(), static_cast<int64_t>(slots->size()), args);
}

// launch() for a list: a recorded call owns its list.
template <class Args>
void launch_slots(const Kernel<void(const OptimSlot*, int64_t, Args)>& kernel, const Slots& slots, const Args& args) {
  if (slots->empty()) return;
  const auto fn = detail::resolve(kernel);
  run_slots<Args>(fn, slots, args);
  if (capturing()) detail::record(kernel.name, &run_slots<Args>, fn, slots, args);
}

/// Checks all, copies what is strided, and only then runs the kernel: once for all parameters of a dtype.
template <class Args>
void update(const char* op, const TensorList& params, const TensorList& grads,
            const std::vector<const TensorList*>& states, const TensorList& steps, const Args& args,
            const Kernel<void(const OptimSlot*, int64_t, Args)>& f32,
            const Kernel<void(const OptimSlot*, int64_t, Args)>& f64) {
  NoGrad guard;
  const auto length = [&](const TensorList& list, const char* what) {
    if (list.size() != params.size() && !list.empty())
      throw ValueError(str(op, ": expected ", params.size(), " ", what, ", got ", list.size()));
  };
  if (grads.size() != params.size())
    throw ValueError(str(op, ": expected ", params.size(), " gradients, got ", grads.size()));
  length(steps, "step counts");
  for (const TensorList* list : states) length(*list, "state tensors");
  std::vector<TensorList> by_param(params.size());
  for (size_t i = 0; i < params.size(); ++i) {
    for (const TensorList* list : states)
      if (!list->empty()) by_param[i].push_back((*list)[i]);
    if (!steps.empty()) {
      check_step(op, i, steps[i]);
      by_param[i].push_back(steps[i]);
    }
  }
  check_update(op, params, grads, by_param);
  for (size_t i = 0; i < params.size(); ++i) check_place(op, i, "memory", params[i], params[0].device());
  const DeviceGuard here(device_of(params));
  std::vector<Dense> work;
  TensorList dense_grads;
  auto slots32 = std::make_shared<std::vector<OptimSlot>>(), slots64 = std::make_shared<std::vector<OptimSlot>>();
  for (size_t i = 0; i < params.size(); ++i) {
    work.emplace_back(params[i].detach());
    dense_grads.push_back(contiguous(grads[i].detach()));
    OptimSlot s{work.back().work.raw(), {}, nullptr, dense_grads.back().raw(), params[i].numel()};
    for (size_t k = 0; k < states.size(); ++k) {
      if (states[k]->empty()) continue;
      work.emplace_back((*states[k])[i]);
      s.state[k] = work.back().work.raw();
    }
    if (!steps.empty()) s.step = steps[i].data<int64_t>();
    (params[i].dtype() == DType::float64 ? slots64 : slots32)->push_back(s);
  }
  launch_slots(f32, Slots(slots32), args);
  launch_slots(f64, Slots(slots64), args);
  for (const Dense& d : work) d.finish();
}

int64_t chunks_of(const Tensor& x) {
  return x.numel() / FASTNN_GRAD_NORM_CHUNK + (x.numel() % FASTNN_GRAD_NORM_CHUNK != 0);
}

}  // namespace

const double* rate_pointer(const Tensor& rate, const TensorList& params) {
  if (rate.numel() != 1) throw ValueError(str("optimizer: expected one learning rate, got shape ", rate.shape()));
  const DeviceGuard here(device_of(params));
  if (rate.device() != current_device()) detail::throw_apart("optimizer", current_device(), rate);
  return rate.data<double>();
}

void write_rate(const Tensor& rate, double value) {
  if (rate.numel() != 1) throw ValueError(str("optimizer: expected one learning rate, got shape ", rate.shape()));
  const DeviceGuard here(rate.device());
  rate.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);  // first: the step itself changes nothing
  double* const p = rate.data<double>();
  if (rate.device() == kCpu)
    *p = value;
  else  // in the order of the device's work, without waiting for it
    detail::resolve(kernels::fill)(p, loop_over<1>(rate.shape(), {&rate}), number_of(Scalar(value)));
}

void check_update(const char* op, const TensorList& params, const TensorList& grads,
                  const std::vector<TensorList>& states) {
  if (grads.size() != params.size() || states.size() != params.size())
    throw ValueError(str(op, ": expected one gradient and one state for each of ", params.size(), " parameters, got ",
                         grads.size(), " and ", states.size()));
  for (size_t i = 0; i < params.size(); ++i) {
    const Tensor& p = params[i];
    if (!p.is_floating()) throw TypeError(str(op, ": parameter ", i, " expects float32 or float64, got ", p.dtype()));
    check_writable(op, p);
    check_pair(op, i, "gradient", grads[i], p);
    check_place(op, i, "gradient", grads[i], p.device());
    for (const Tensor& state : states[i]) {
      if (state.defined() && state.dtype() == DType::int64) {
        check_step(op, i, state);
      } else {
        check_pair(op, i, "state", state, p);
      }
      check_place(op, i, "state", state, p.device());
      check_writable(op, state);
    }
  }
}

void sgd_step(const TensorList& params, const TensorList& grads, const TensorList& bufs, const TensorList& steps,
              const SgdArgs& args) {
  update("sgd", params, grads, {&bufs}, steps, args, kernels::sgd_step_f32, kernels::sgd_step_f64);
}

void rmsprop_step(const TensorList& params, const TensorList& grads, const TensorList& squares, const TensorList& means,
                  const TensorList& bufs, const TensorList& steps, const RmspropArgs& args) {
  update("rmsprop", params, grads, {&squares, &means, &bufs}, steps, args, kernels::rmsprop_step_f32,
         kernels::rmsprop_step_f64);
}

void adam_step(const TensorList& params, const TensorList& grads, const TensorList& ms, const TensorList& vs,
               const TensorList& vmaxs, const TensorList& steps, const AdamArgs& args) {
  update("adam", params, grads, {&ms, &vs, &vmaxs}, steps, args, kernels::adam_step_f32, kernels::adam_step_f64);
}

void adagrad_step(const TensorList& params, const TensorList& grads, const TensorList& sums, const TensorList& steps,
                  const AdagradArgs& args) {
  update("adagrad", params, grads, {&sums}, steps, args, kernels::adagrad_step_f32, kernels::adagrad_step_f64);
}

void adadelta_step(const TensorList& params, const TensorList& grads, const TensorList& squares, const TensorList& accs,
                   const TensorList& steps, const AdadeltaArgs& args) {
  update("adadelta", params, grads, {&squares, &accs}, steps, args, kernels::adadelta_step_f32,
         kernels::adadelta_step_f64);
}

Tensor grad_norm(const TensorList& grads, double p) {
  if (!(p > 0)) throw ValueError(str("grad_norm: expected a norm type > 0, got ", p));
  NoGrad guard;
  const DeviceGuard here(one_device("grad_norm", grads));
  DType type = DType::float32;
  int64_t chunks = 0;
  for (const Tensor& g : grads) {
    if (!g.is_floating()) throw TypeError(str("grad_norm: expected float32 or float64 gradients, got ", g.dtype()));
    type = promote(type, g.dtype());
    chunks += chunks_of(g);
  }
  Tensor partial = empty({chunks}, DType::float64), norm = empty({}, type);
  double* at = partial.data<double>();
  for (const Tensor& g : grads) {
    const Tensor x = contiguous(g.detach());
    if (x.dtype() == DType::float64) {
      launch(kernels::grad_norm_partial_f64, at, x.data<double>(), x.numel(), p);
    } else {
      launch(kernels::grad_norm_partial_f32, at, x.data<float>(), x.numel(), p);
    }
    at += chunks_of(x);
  }
  if (type == DType::float64) {
    launch(kernels::grad_norm_finish_f64, norm.data<double>(), partial.data<double>(), chunks, p);
  } else {
    launch(kernels::grad_norm_finish_f32, norm.data<float>(), partial.data<double>(), chunks, p);
  }
  return norm;
}

namespace {

double number_at(const void* p, bool is_double) {
  return is_double ? *static_cast<const double*>(p) : static_cast<double>(*static_cast<const float*>(p));
}

void check_loss(const void* p, bool is_double) {
  const double x = number_at(p, is_double);
  if (std::isfinite(x)) return;
  throw NotFinite(str("the loss is ", x != x ? "nan" : x > 0 ? "inf" : "-inf"));
}

// The gradients stay where they are unless the norm gives them away.
void check_gradients(ValueList grads, const void* norm, bool is_double) {
  if (std::isfinite(number_at(norm, is_double))) return;
  std::vector<double> copy;
  for (size_t i = 0; i < grads->size(); ++i) {
    const Values& g = (*grads)[i];
    const void* data = g.data;
    if (g.device != kCpu && g.n > 0) {
      copy.resize(static_cast<size_t>(g.n));
      copy_bytes(g.device, kCpu, copy.data(), g.data, g.n * (g.is_double ? 8 : 4));
      data = copy.data();
    }
    for (int64_t k = 0; k < g.n; ++k) {
      const double x = g.is_double ? static_cast<const double*>(data)[k] : static_cast<const float*>(data)[k];
      if (!std::isfinite(x)) throw NotFinite(str("gradient ", i, " is not finite"));
    }
  }
}

}  // namespace

void require_finite_loss(const Tensor& loss) {
  if (loss.numel() != 1 || !loss.is_floating())
    throw ValueError(str("expected the loss as one floating number, got ", loss.dtype(), " ", loss.shape()));
  const Tensor value = on_cpu(loss);
  const DeviceGuard host(kCpu);
  launch_host(&check_loss, value.raw(), loss.dtype() == DType::float64);
}

void require_finite_gradients(const TensorList& grads, const Tensor& norm) {
  auto values = std::make_shared<std::vector<Values>>();
  TensorList dense;  // alive until the check has run
  for (const Tensor& g : grads) {
    const DeviceGuard here(g.device());
    dense.push_back(contiguous(g.detach()));
    values->push_back({dense.back().raw(), g.numel(), g.dtype() == DType::float64, g.device()});
  }
  const Tensor value = on_cpu(norm);
  const DeviceGuard host(kCpu);
  launch_host(&check_gradients, ValueList(values), value.raw(), norm.dtype() == DType::float64);
}

void clip_by_norm(const TensorList& grads, const Tensor& norm, double max_norm) {
  if (!(max_norm >= 0)) throw ValueError(str("clip_grad_norm_: expected max_norm >= 0, got ", max_norm));
  if (norm.numel() != 1) throw ValueError(str("clip_grad_norm_: expected one norm, got shape ", norm.shape()));
  NoGrad guard;
  const DeviceGuard here(one_device("clip_grad_norm_", grads));
  if (!grads.empty() && norm.device() != current_device())
    detail::throw_apart("clip_grad_norm_", current_device(), norm);
  std::vector<Dense> work;
  for (const Tensor& g : grads) {
    if (!g.is_floating()) throw TypeError(str("clip_grad_norm_: expected float32 or float64, got ", g.dtype()));
    check_writable("clip_grad_norm_", g);
    work.emplace_back(g);
  }
  const Tensor norm32 = to(norm, DType::float32), norm64 = to(norm, DType::float64);
  for (const Dense& d : work) {
    if (d.work.dtype() == DType::float64) {
      launch(kernels::grad_clip_f64, d.work.data<double>(), norm64.data<double>(), d.work.numel(), max_norm);
    } else {
      launch(kernels::grad_clip_f32, d.work.data<float>(), norm32.data<float>(), d.work.numel(), max_norm);
    }
    d.finish();
  }
}

}  // namespace fastnn
