#pragma once
// The optimisers' updates on lists of tensors. Everything is checked, and every copy that a strided tensor needs is
// made, before the first element is written: a step happens whole or not at all. The formulas stand in optim_kernels.h.

#include <stdexcept>
#include <vector>

#include "core/tensor.h"
#include "ops/optim/optim_kernels.h"

namespace fastnn {

using TensorList = std::vector<Tensor>;

/// Throws unless every parameter is floating and writable, its gradient has its shape and dtype, and each of its state
/// tensors has its shape and dtype or is an int64 counter.
void check_update(const char* op, const TensorList& params, const TensorList& grads,
                  const std::vector<TensorList>& states);

/// Where a learning rate lives: a float64 tensor of one element on the device of the parameters.
const double* rate_pointer(const Tensor& rate, const TensorList& params);
/// Sets it from the host, outside any recording; its version tells that it was set.
void write_rate(const Tensor& rate, double value);

// An empty list of state tensors means that the variant does not use it.
void sgd_step(const TensorList& params, const TensorList& grads, const TensorList& bufs, const TensorList& steps,
              const SgdArgs& args);
void rmsprop_step(const TensorList& params, const TensorList& grads, const TensorList& squares, const TensorList& means,
                  const TensorList& bufs, const TensorList& steps, const RmspropArgs& args);
void adam_step(const TensorList& params, const TensorList& grads, const TensorList& ms, const TensorList& vs,
               const TensorList& vmaxs, const TensorList& steps, const AdamArgs& args);
void adagrad_step(const TensorList& params, const TensorList& grads, const TensorList& sums, const TensorList& steps,
                  const AdagradArgs& args);
void adadelta_step(const TensorList& params, const TensorList& grads, const TensorList& squares, const TensorList& accs,
                   const TensorList& steps, const AdadeltaArgs& args);

/// (sum over all elements of all gradients |g|^p)^(1/p), 0-d; p = inf gives the largest |g|.
Tensor grad_norm(const TensorList& grads, double p);
/// FloatingPointError in Python.
struct NotFinite : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Throws NotFinite unless the loss is a finite number: what follows in a step, also a recorded one, does not happen.
void require_finite_loss(const Tensor& loss);
/// The same for gradients with the given norm, which tells without a look at them unless it is infinite itself.
void require_finite_gradients(const TensorList& grads, const Tensor& norm);
/// g *= min(1, max_norm / (norm + 1e-6)) for every gradient.
void clip_by_norm(const TensorList& grads, const Tensor& norm, double max_norm);

}  // namespace fastnn
