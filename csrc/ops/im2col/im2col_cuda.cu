// Windows written out and summed up by gathering: a thread for some channels of an element of the result.
#include "cuda/cuda.h"
#include "cuda/divide.h"
#include "cuda/pack.h"
#include "ops/im2col/im2col.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class P, class I>
__global__ void copy_windows(P* columns, const P* x, WindowSizes s, Divider<I> packs, Divider<I> taps0,
                             Divider<I> taps1, Divider<I> taps2, Divider<I> out0, Divider<I> out1, Divider<I> out2,
                             int64_t total) {
  for (int64_t e = thread_index(); e < total; e += thread_count()) {
    I rest = static_cast<I>(e);
    const int64_t c = split(rest, packs);
    const int64_t t2 = split(rest, taps2), t1 = split(rest, taps1), t0 = split(rest, taps0);
    const int64_t w = split(rest, out2), h = split(rest, out1), d = split(rest, out0), n = rest;
    const int64_t i = d * s.stride[0] + t0 * s.dilation[0] - s.before[0];
    const int64_t j = h * s.stride[1] + t1 * s.dilation[1] - s.before[1];
    const int64_t k = w * s.stride[2] + t2 * s.dilation[2] - s.before[2];
    const bool inside = i >= 0 && i < s.in[0] && j >= 0 && j < s.in[1] && k >= 0 && k < s.in[2];
    columns[e] = inside ? x[(((n * s.in[0] + i) * s.in[1] + j) * s.in[2] + k) * packs.d + c] : P();
  }
}

/// The window position that tap t takes position i from, or -1.
__device__ inline int64_t window_of(const WindowSizes& s, int a, int64_t i, int64_t t) {
  const int64_t at = i + s.before[a] - t * s.dilation[a];
  if (at < 0) return -1;
  if (s.stride[a] == 1) return at < s.out[a] ? at : -1;
  return at % s.stride[a] != 0 || at / s.stride[a] >= s.out[a] ? -1 : at / s.stride[a];
}

template <class P, class I>
__global__ void sum_windows(P* x, const P* columns, WindowSizes s, Divider<I> packs, Divider<I> in0, Divider<I> in1,
                            Divider<I> in2, int64_t total) {
  constexpr int kSize = PackTraits<P>::size;
  using T = typename PackTraits<P>::Type;
  const int64_t taps = s.taps[0] * s.taps[1] * s.taps[2];
  for (int64_t e = thread_index(); e < total; e += thread_count()) {
    I rest = static_cast<I>(e);
    const int64_t c = split(rest, packs), k = split(rest, in2), j = split(rest, in1), i = split(rest, in0), n = rest;
    P sum = pack_of<T, kSize>(T(0));
    for (int64_t t0 = 0; t0 < s.taps[0]; ++t0) {
      const int64_t d = window_of(s, 0, i, t0);
      for (int64_t t1 = 0; d >= 0 && t1 < s.taps[1]; ++t1) {
        const int64_t h = window_of(s, 1, j, t1);
        for (int64_t t2 = 0; h >= 0 && t2 < s.taps[2]; ++t2) {
          const int64_t w = window_of(s, 2, k, t2);
          if (w < 0) continue;
          const int64_t window = ((n * s.out[0] + d) * s.out[1] + h) * s.out[2] + w;
          const int64_t tap = (t0 * s.taps[1] + t1) * s.taps[2] + t2;
          sum = sum + columns[(window * taps + tap) * static_cast<int64_t>(packs.d) + c];
        }
      }
    }
    x[e] = sum;
  }
}

// f(the two as pointers to packs, null pointer to the type of positions, channels in packs).
template <class F>
void with_packs(int type, void* to, const void* from, int64_t elements, int64_t C, const F& f) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    const int size = pack_size(C, static_cast<const T*>(to), static_cast<const T*>(from));
    with_pack<T>(size, [&](auto* pack_tag) {
      using P = decltype(of(pack_tag));
      with_index(elements, [&](auto* index_tag) {
        f(static_cast<P*>(to), static_cast<const P*>(from), index_tag, C / PackTraits<P>::size);
      });
    });
  });
}

int64_t product(const int64_t (&v)[3]) { return v[0] * v[1] * v[2]; }

}  // namespace

void im2col_copy(int type, void* columns, const void* x, const WindowSizes& s) {
  const int64_t places = s.N * product(s.out) * product(s.taps);
  with_packs(type, columns, x, places * s.C, s.C, [&](auto* to, const auto* from, auto* tag, int64_t packs) {
    using P = decltype(of(to));
    using I = decltype(of(tag));
    using D = Divider<I>;
    run(&copy_windows<P, I>, grid_for(places * packs, kThreads), kThreads, 0, to, from, s, D(packs), D(s.taps[0]),
        D(s.taps[1]), D(s.taps[2]), D(s.out[0]), D(s.out[1]), D(s.out[2]), places * packs);
  });
}

void col2im_sum(int type, void* x, const void* columns, const WindowSizes& s) {
  const int64_t places = s.N * product(s.in);
  with_packs(type, x, columns, places * s.C, s.C, [&](auto* to, const auto* from, auto* tag, int64_t packs) {
    using P = decltype(of(to));
    using I = decltype(of(tag));
    using D = Divider<I>;
    run(&sum_windows<P, I>, grid_for(places * packs, kThreads), kThreads, 0, to, from, s, D(packs), D(s.in[0]),
        D(s.in[1]), D(s.in[2]), places * packs);
  });
}

}  // namespace cuda
}  // namespace fastnn
