#include "ops/optim/optim.h"

#include <cmath>

#include "autograd/node.h"
#include "ops/elementwise/elementwise.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void check_pair(const char* op, size_t i, const char* what, const Tensor& x, const Tensor& p) {
  if (!x.defined() || x.shape() != p.shape() || x.dtype() != p.dtype())
    throw ValueError(str(op, ": the ", what, " of parameter ", i, " expects shape ", p.shape(), " and dtype ",
                         p.dtype(), ", got ", x.defined() ? x.shape() : Dims(), " and ",
                         x.defined() ? dtype_name(x.dtype()) : "nothing"));
}

void check_step(const char* op, size_t i, const Tensor& step) {
  if (!step.defined() || step.dtype() != DType::int64 || step.numel() != 1)
    throw ValueError(str(op, ": the step count of parameter ", i, " expects one int64"));
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

/// One parameter with its gradient and state, checked and row-major.
struct Slot {
  Dense param;
  Tensor grad;
  std::vector<Dense> states;
  Tensor step;

  template <class T>
  T* p() const {
    return param.work.data<T>();
  }
  template <class T>
  const T* g() const {
    return grad.data<T>();
  }
  template <class T>
  T* state(size_t i) const {
    return states[i].original.defined() ? states[i].work.data<T>() : nullptr;
  }
  int64_t* count() const { return step.defined() ? step.data<int64_t>() : nullptr; }
  int64_t n() const { return param.work.numel(); }
};

/// Checks all, copies what is strided, and only then calls f(slot) for one parameter after the other.
template <class F>
void update(const char* op, const TensorList& params, const TensorList& grads,
            const std::vector<const TensorList*>& states, const TensorList& steps, const F& f) {
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
  std::vector<Slot> slots;
  slots.reserve(params.size());
  for (size_t i = 0; i < params.size(); ++i) {
    Slot s{Dense(params[i].detach()), contiguous(grads[i].detach()), {}, steps.empty() ? Tensor() : steps[i]};
    for (const TensorList* list : states) s.states.push_back(list->empty() ? Dense() : Dense((*list)[i]));
    slots.push_back(std::move(s));
  }
  for (const Slot& s : slots) {
    f(s);
    s.param.finish();
    for (const Dense& d : s.states)
      if (d.original.defined()) d.finish();
  }
}

bool is_double(const Slot& s) { return s.param.work.dtype() == DType::float64; }

int64_t chunks_of(const Tensor& x) {
  return x.numel() / FASTNN_GRAD_NORM_CHUNK + (x.numel() % FASTNN_GRAD_NORM_CHUNK != 0);
}

}  // namespace

double* rate_pointer(const Tensor& rate) {
  if (rate.numel() != 1) throw ValueError(str("optimizer: expected one learning rate, got shape ", rate.shape()));
  return rate.data<double>();
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
    for (const Tensor& state : states[i]) {
      if (state.defined() && state.dtype() == DType::int64) {
        check_step(op, i, state);
      } else {
        check_pair(op, i, "state", state, p);
      }
      check_writable(op, state);
    }
  }
}

void sgd_step(const TensorList& params, const TensorList& grads, const TensorList& bufs, const TensorList& steps,
              const SgdArgs& args) {
  update("sgd", params, grads, {&bufs}, steps, [&](const Slot& s) {
    if (is_double(s)) {
      launch(kernels::sgd_step_f64, s.p<double>(), s.state<double>(0), s.count(), s.g<double>(), s.n(), args);
    } else {
      launch(kernels::sgd_step_f32, s.p<float>(), s.state<float>(0), s.count(), s.g<float>(), s.n(), args);
    }
  });
}

void rmsprop_step(const TensorList& params, const TensorList& grads, const TensorList& squares, const TensorList& means,
                  const TensorList& bufs, const TensorList& steps, const RmspropArgs& args) {
  update("rmsprop", params, grads, {&squares, &means, &bufs}, steps, [&](const Slot& s) {
    if (is_double(s)) {
      launch(kernels::rmsprop_step_f64, s.p<double>(), s.state<double>(0), s.state<double>(1), s.state<double>(2),
             s.count(), s.g<double>(), s.n(), args);
    } else {
      launch(kernels::rmsprop_step_f32, s.p<float>(), s.state<float>(0), s.state<float>(1), s.state<float>(2),
             s.count(), s.g<float>(), s.n(), args);
    }
  });
}

void adam_step(const TensorList& params, const TensorList& grads, const TensorList& ms, const TensorList& vs,
               const TensorList& vmaxs, const TensorList& steps, const AdamArgs& args) {
  update("adam", params, grads, {&ms, &vs, &vmaxs}, steps, [&](const Slot& s) {
    if (is_double(s)) {
      launch(kernels::adam_step_f64, s.p<double>(), s.state<double>(0), s.state<double>(1), s.state<double>(2),
             s.count(), s.g<double>(), s.n(), args);
    } else {
      launch(kernels::adam_step_f32, s.p<float>(), s.state<float>(0), s.state<float>(1), s.state<float>(2), s.count(),
             s.g<float>(), s.n(), args);
    }
  });
}

void adagrad_step(const TensorList& params, const TensorList& grads, const TensorList& sums, const TensorList& steps,
                  const AdagradArgs& args) {
  update("adagrad", params, grads, {&sums}, steps, [&](const Slot& s) {
    if (is_double(s)) {
      launch(kernels::adagrad_step_f64, s.p<double>(), s.state<double>(0), s.count(), s.g<double>(), s.n(), args);
    } else {
      launch(kernels::adagrad_step_f32, s.p<float>(), s.state<float>(0), s.count(), s.g<float>(), s.n(), args);
    }
  });
}

void adadelta_step(const TensorList& params, const TensorList& grads, const TensorList& squares, const TensorList& accs,
                   const TensorList& steps, const AdadeltaArgs& args) {
  update("adadelta", params, grads, {&squares, &accs}, steps, [&](const Slot& s) {
    if (is_double(s)) {
      launch(kernels::adadelta_step_f64, s.p<double>(), s.state<double>(0), s.state<double>(1), s.count(),
             s.g<double>(), s.n(), args);
    } else {
      launch(kernels::adadelta_step_f32, s.p<float>(), s.state<float>(0), s.state<float>(1), s.count(), s.g<float>(),
             s.n(), args);
    }
  });
}

Tensor grad_norm(const TensorList& grads, double p) {
  if (!(p > 0)) throw ValueError(str("grad_norm: expected a norm type > 0, got ", p));
  NoGrad guard;
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

void clip_by_norm(const TensorList& grads, const Tensor& norm, double max_norm) {
  if (!(max_norm >= 0)) throw ValueError(str("clip_grad_norm_: expected max_norm >= 0, got ", max_norm));
  if (norm.numel() != 1) throw ValueError(str("clip_grad_norm_: expected one norm, got shape ", norm.shape()));
  NoGrad guard;
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
