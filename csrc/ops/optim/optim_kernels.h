#pragma once
// The optimisers' updates as kernels: one launch for all parameters, one pass over each that reads the gradient and the
// state and writes the state and the parameter. p parameter, g gradient, n elements, t the number of updates including
// this one.
//
//   SGD       g += wd p;  b = g (t = 1) or mu b + (1 - dampening) g;  p -= lr (nesterov ? g + mu b : b)
//   RMSprop   s = alpha s + (1 - alpha) g^2;  r = sqrt(s - a^2 if centered) + eps;  p -= lr g / r, or by a momentum
//             buffer
//   Adam      m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//   AdamW     the same after p -= lr wd p, in place of g += wd p
//   Adagrad   s += g^2;  p -= lr / (1 + (t - 1) decay) g / (sqrt(s) + eps)
//   Adadelta  s = rho s + (1 - rho) g^2;  d = sqrt(a + eps) / sqrt(s + eps) g;  a = rho a + (1 - rho) d^2;  p -= lr d
//
// Learning rate and count of updates live in tensors that the kernel reads (and advances), so that a recorded step can
// be replayed with another rate.

#include <cstdint>

#include "kernels/kernel.h"

namespace fastnn {

/// One parameter: its elements, its state (null: the variant does not use it), its count of updates, its gradient.
struct OptimSlot {
  void* p;
  void* state[3];
  int64_t* step;
  const void* g;
  int64_t n;
};

struct SgdArgs {
  const double* lr;
  double momentum, dampening, weight_decay;
  int32_t nesterov, maximize;  // flags of a size that leaves no padding: see rnn.h
};

struct RmspropArgs {
  const double* lr;
  double alpha, eps, weight_decay, momentum;
  int32_t centered, maximize;
};

struct AdamArgs {
  const double* lr;
  double beta1, beta2, eps, weight_decay;
  int32_t decoupled, maximize;  // decoupled: AdamW
};

struct AdagradArgs {
  const double* lr;
  double lr_decay, eps, weight_decay;
  int64_t maximize;
};

struct AdadeltaArgs {
  const double* lr;
  double rho, eps, weight_decay;
  int64_t maximize;
};

// The state of a slot: SGD {buffer}, RMSprop {square, mean, buffer}, Adam {m, v, vmax}, Adagrad {sum}, Adadelta
// {square, acc}.
FASTNN_KERNEL(sgd_step_f32, const OptimSlot* slots, int64_t count, SgdArgs args)
FASTNN_KERNEL(sgd_step_f64, const OptimSlot* slots, int64_t count, SgdArgs args)
FASTNN_KERNEL(rmsprop_step_f32, const OptimSlot* slots, int64_t count, RmspropArgs args)
FASTNN_KERNEL(rmsprop_step_f64, const OptimSlot* slots, int64_t count, RmspropArgs args)
FASTNN_KERNEL(adam_step_f32, const OptimSlot* slots, int64_t count, AdamArgs args)
FASTNN_KERNEL(adam_step_f64, const OptimSlot* slots, int64_t count, AdamArgs args)
FASTNN_KERNEL(adagrad_step_f32, const OptimSlot* slots, int64_t count, AdagradArgs args)
FASTNN_KERNEL(adagrad_step_f64, const OptimSlot* slots, int64_t count, AdagradArgs args)
FASTNN_KERNEL(adadelta_step_f32, const OptimSlot* slots, int64_t count, AdadeltaArgs args)
FASTNN_KERNEL(adadelta_step_f64, const OptimSlot* slots, int64_t count, AdadeltaArgs args)

// Joint norm of many gradients: every chunk of GRAD_NORM_CHUNK elements leaves one partial sum of |x|^p (its maximum
// for p = inf), the finish adds them in order. Same bits on any number of threads.
#define FASTNN_GRAD_NORM_CHUNK 16384
FASTNN_KERNEL(grad_norm_partial_f32, double* partial, const float* g, int64_t n, double p)
FASTNN_KERNEL(grad_norm_partial_f64, double* partial, const double* g, int64_t n, double p)
FASTNN_KERNEL(grad_norm_finish_f32, float* norm, const double* partial, int64_t chunks, double p)
FASTNN_KERNEL(grad_norm_finish_f64, double* norm, const double* partial, int64_t chunks, double p)
// g *= max_norm / (norm + 1e-6) where that is below 1.
FASTNN_KERNEL(grad_clip_f32, float* g, const float* norm, int64_t n, double max_norm)
FASTNN_KERNEL(grad_clip_f64, double* g, const double* norm, int64_t n, double max_norm)

}  // namespace fastnn
