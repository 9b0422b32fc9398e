// Windows written out and summed up by gathering: a thread for some channels of an element of the result.
#include "cuda/positions.h"
#include "ops/im2col/im2col.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

/// Positions: those of the windows, then the taps.
template <class P, class At>
__global__ void copy_windows(P* columns, const P* x, WindowSizes s, At places) {
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const Position<6> p = places.at(e);
    int64_t at[3];
    bool inside = true;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      at[a] = p.at[a] * s.stride[a] + p.at[3 + a] * s.dilation[a] - s.before[a];
      inside = inside && at[a] >= 0 && at[a] < s.in[a];
    }
    const int64_t from = ((p.n * s.in[0] + at[0]) * s.in[1] + at[1]) * s.in[2] + at[2];
    columns[e] = inside ? x[from * places.packs.d + p.c] : P();
  }
}

/// The window position that tap t takes position i from, or -1.
__device__ inline int64_t window_of(const WindowSizes& s, int a, int64_t i, int64_t t) {
  const int64_t at = i + s.before[a] - t * s.dilation[a];
  if (at < 0) return -1;
  if (s.stride[a] == 1) return at < s.out[a] ? at : -1;
  return at % s.stride[a] != 0 || at / s.stride[a] >= s.out[a] ? -1 : at / s.stride[a];
}

template <class P, class At>
__global__ void sum_windows(P* x, const P* columns, WindowSizes s, At places) {
  constexpr int kSize = PackTraits<P>::size;
  using T = typename PackTraits<P>::Type;
  const int64_t taps = s.taps[0] * s.taps[1] * s.taps[2];
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const Position<3> p = places.at(e);
    P sum = pack_of<T, kSize>(T(0));
    for (int64_t t0 = 0; t0 < s.taps[0]; ++t0) {
      const int64_t d = window_of(s, 0, p.at[0], t0);
      for (int64_t t1 = 0; d >= 0 && t1 < s.taps[1]; ++t1) {
        const int64_t h = window_of(s, 1, p.at[1], t1);
        for (int64_t t2 = 0; h >= 0 && t2 < s.taps[2]; ++t2) {
          const int64_t w = window_of(s, 2, p.at[2], t2);
          if (w < 0) continue;
          const int64_t window = ((p.n * s.out[0] + d) * s.out[1] + h) * s.out[2] + w;
          const int64_t tap = (t0 * s.taps[1] + t1) * s.taps[2] + t2;
          sum = sum + columns[(window * taps + tap) * static_cast<int64_t>(places.packs.d) + p.c];
        }
      }
    }
    x[e] = sum;
  }
}

}  // namespace

void im2col_copy(int type, void* columns, const void* x, const WindowSizes& s) {
  const int64_t size[6] = {s.out[0], s.out[1], s.out[2], s.taps[0], s.taps[1], s.taps[2]};
  with_packs(type, columns, x, s.N, size, s.C, [&](auto* to, const auto* from, auto places) {
    run(&copy_windows<decltype(of(to)), decltype(places)>, grid_for(places.total, kThreads), kThreads, 0, to, from, s,
        places);
  });
}

void col2im_sum(int type, void* x, const void* columns, const WindowSizes& s) {
  with_packs(type, x, columns, s.N, s.in, s.C, [&](auto* to, const auto* from, auto places) {
    run(&sum_windows<decltype(of(to)), decltype(places)>, grid_for(places.total, kThreads), kThreads, 0, to, from, s,
        places);
  });
}

}  // namespace cuda
}  // namespace fastnn
