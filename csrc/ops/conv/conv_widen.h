// Convolutions of few output channels: a vector would be mostly empty. P = conv_widening(g) neighbouring pixels are
// taken as one with P F channels instead, which in memory they are. Its window is the union of theirs, (P - 1) strides
// wider, with zeros in the weights where a pixel does not reach: K (taps + (P - 1) stride) / taps / P products a pixel.
#pragma once

#include "ops/conv/conv_engine.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// The arguments of the widened convolution, but for weights and bias.
inline ConvArgs<float> widened(const ConvArgs<float>& g, int64_t P) {
  ConvArgs<float> wide = g;
  wide.F = P * g.F;
  wide.taps[2] = g.taps[2] + (P - 1) * g.stride[2];
  wide.stride[2] = P * g.stride[2];
  wide.out[2] = g.out[2] / P;
  wide.y_at[2] = P * g.y_at[2];
  wide.w_f = 1, wide.w_c = wide.F, wide.w_tap[2] = wide.C * wide.F;
  wide.w_tap[1] = wide.taps[2] * wide.w_tap[2], wide.w_tap[0] = wide.taps[1] * wide.w_tap[1];
  return wide;
}

/// f(element of the wide weights, element of the weights) for every product that is not with a zero.
template <class F>
inline void each_widened(const ConvArgs<float>& g, const ConvArgs<float>& wide, int64_t P, const F& f) {
  for (int64_t t = 0; t < g.taps[0] * g.taps[1]; ++t)
    for (int64_t p = 0; p < P; ++p)
      for (int64_t k = 0; k < g.taps[2]; ++k)
        for (int64_t c = 0; c < g.C; ++c)
          for (int64_t j = 0; j < g.F; ++j)
            f((t * wide.taps[2] + k + p * g.stride[2]) * wide.w_tap[2] + c * wide.F + p * g.F + j,
              t / g.taps[1] * g.w_tap[0] + t % g.taps[1] * g.w_tap[1] + k * g.w_tap[2] + c * g.w_c + j * g.w_f);
}

/// scratch: what conv_forward needs for the wide one, then its weights and bias.
inline void widened_forward(const ConvArgs<float>& g, int64_t P, float* scratch) {
  ConvArgs<float> wide = widened(g, P);
  float* const w = scratch + wide.K() * conv_columns(wide);
  float* const bias = w + wide.K() * wide.F;
  __builtin_memset(w, 0, static_cast<size_t>(wide.K() * wide.F) * sizeof(float));
  each_widened(g, wide, P, [&](int64_t to, int64_t from) { w[to] = g.w[from]; });
  for (int64_t j = 0; g.bias && j < wide.F; ++j) bias[j] = g.bias[j % g.F];
  wide.w = w;
  wide.bias = g.bias ? bias : nullptr;
  conv_forward(wide, scratch);
}

/// scratch: what conv_weight_gradient needs for the wide one, then its results.
inline void widened_weight_gradient(const ConvArgs<float>& g, int64_t P, const float* dy, float* dw, float* db,
                                    float* scratch) {
  const ConvArgs<float> wide = widened(g, P);
  float* const wide_dw = scratch + conv_weight_parts(wide) * (wide.K() + 1) * conv_columns(wide);
  float* const wide_db = wide_dw + wide.K() * wide.F;
  conv_weight_gradient(wide, dy, wide_dw, db ? wide_db : nullptr, scratch);
  each_widened(g, wide, 1, [&](int64_t, int64_t to) { dw[to] = 0; });
  each_widened(g, wide, P, [&](int64_t from, int64_t to) { dw[to] += wide_dw[from]; });
  for (int64_t j = 0; db && j < g.F; ++j) {
    db[j] = wide_db[j];
    for (int64_t p = 1; p < P; ++p) db[j] += wide_db[p * g.F + j];
  }
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
