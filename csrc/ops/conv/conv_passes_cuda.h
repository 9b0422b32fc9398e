#pragma once
// The passes of a convolution as matrix products over windows; see conv_kernels.h for the contract. `Engine`
// multiplies: Engine::multiply(a, b, result, args).

#include "ops/conv/conv_operands_cuda.h"

namespace fastnn {
namespace cuda {

template <class Engine, class T>
void conv_forward(const ConvArgs<T>& g) {
  if (g.pixels() == 0 || g.F == 0) return;
  const ProductArgs<T> p{g.pixels(), g.F, g.K(), g.groups, Engine::kChunk, g.bias, g.F, g.act, 0};
  Engine::multiply(pixel_rows(g), weight_rows(g), pixel_result(g), p);
}

/// The sum over pixels goes in chunks: so many, by the shapes alone, that they fill a large device together with the
/// tiles of dw, but not so many that their partial sums weigh more than what is read.
template <class T>
int64_t weight_chunk(const ConvArgs<T>& g) {
  const int64_t tiles = (g.K() + 63) / 64 * ((g.F + 63) / 64) * g.groups, pixels = g.pixels();
  int64_t parts = 512 / tiles;
  if (parts * 512 > pixels) parts = pixels / 512;
  if (parts < 1) parts = 1;
  const int64_t chunk = ((pixels + parts - 1) / parts + 63) / 64 * 64;
  return chunk < 64 ? 64 : chunk > 4096 ? 4096 : chunk;
}

template <class Engine, class T>
void conv_weight_products(const ConvArgs<T>& g, const T* dy, T* dw) {
  if (g.K() == 0 || g.F == 0) return;
  const ProductArgs<T> p{g.K(), g.F, g.pixels(), g.groups, weight_chunk(g), nullptr, 0, Activation::none, 0};
  Engine::multiply(tap_rows(g), strided_operand(dy, int64_t{1}, g.groups * g.F, g.F), weight_result(g, dw), p);
}

}  // namespace cuda
}  // namespace fastnn
