#pragma once
// Kernels over a row-major [batch, axes..., channels], some channels a thread.

#include "cuda/divide.h"
#include "cuda/pack.h"

namespace fastnn {
namespace cuda {

template <int D>
struct Position {
  int64_t n, at[D], c;  // c: the pack of channels
};
/// From the number of a pack to where it is; `total` of them.
template <class I, int D>
struct Positions {
  Divider<I> packs, sizes[D];
  I total;

  __device__ Position<D> at(int64_t e) const {
    I rest = static_cast<I>(e);
    Position<D> p;
    p.c = split(rest, packs);
#pragma unroll
    for (int i = D - 1; i >= 0; --i) p.at[i] = split(rest, sizes[i]);
    p.n = rest;
    return p;
  }
};

/// f(Positions), counted in 32 bits where that is enough.
template <int D, class F>
void with_positions(int64_t batch, const int64_t (&size)[D], int64_t packs, const F& f) {
  int64_t total = batch * packs;
  for (const int64_t n : size) total *= n;
  with_index(total, [&](auto* tag) {
    using I = decltype(of(tag));
    Positions<I, D> positions{Divider<I>(packs), {}, static_cast<I>(total)};
    for (int i = 0; i < D; ++i) positions.sizes[i] = Divider<I>(size[i]);
    f(positions);
  });
}
/// f(the two as pointers to packs, Positions) for floats of DType `type`.
template <int D, class F>
void with_packs(int type, void* to, const void* from, int64_t batch, const int64_t (&size)[D], int64_t channels,
                const F& f) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    const int pack = pack_size(channels, static_cast<const T*>(to), static_cast<const T*>(from));
    with_pack<T>(pack, [&](auto* pack_tag) {
      using P = decltype(of(pack_tag));
      with_positions(batch, size, channels / pack,
                     [&](const auto& positions) { f(static_cast<P*>(to), static_cast<const P*>(from), positions); });
    });
  });
}

}  // namespace cuda
}  // namespace fastnn
