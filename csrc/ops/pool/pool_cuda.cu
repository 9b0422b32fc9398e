#include "cuda/positions.h"
#include "ops/gather/gather.h"
#include "ops/pool/span.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// The places of a kernel are some channels of the windows, or of the cells of x.
struct Extent {
  int64_t axis[3];
};
Extent windows_of(const PoolGeometry& g) { return {g.axis[0].out, g.axis[1].out, g.axis[2].out}; }
Extent cells_of(const PoolGeometry& g) { return {g.axis[0].in, g.axis[1].in, g.axis[2].in}; }

// --- maxima ---------------------------------------------------------------------------------------------------------

template <class P, class Q, class At>
__global__ void max_windows(P* y, Pack<Q, PackTraits<P>::size>* place, const P* x, PoolGeometry g, At places) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = places.packs.d;
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const Position<3> p = places.at(e);
    const Span d = span_of(D, g.adaptive, p.at[0]), h = span_of(H, g.adaptive, p.at[1]),
               w = span_of(W, g.adaptive, p.at[2]);
    const bool none = d.count == 0 || h.count == 0 || w.count == 0;
    P best = pack_of<T, kSize>(static_cast<T>(-INFINITY));
    Pack<Q, kSize> code =
        pack_of<Q, kSize>(static_cast<Q>(none ? -1 : (d.cell * H.kernel + h.cell) * W.kernel + w.cell));
    for (int64_t i = 0; i < d.count; ++i)
      for (int64_t j = 0; j < h.count; ++j) {
        const int64_t line = (p.n * D.in + d.first + i * D.dilation) * H.in + h.first + j * H.dilation;
        const P* from = x + (line * W.in + w.first) * packs + p.c;
        int32_t number = static_cast<int32_t>(((d.cell + i) * H.kernel + h.cell + j) * W.kernel + w.cell);
        for (int64_t k = 0; k < w.count; ++k, from += W.dilation * packs, ++number) {
          const P v = *from;
#pragma unroll
          for (int c = 0; c < kSize; ++c)
            if (v[c] > best[c] || v[c] != v[c]) best[c] = v[c], code[c] = static_cast<Q>(number);
        }
      }
    y[e] = best;
    if (place) place[e] = code;
  }
}

template <class P, class Q, class At>
__global__ void give_maxima(P* dx, const P* dy, const Pack<Q, PackTraits<P>::size>* place, PoolGeometry g, At places) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = places.packs.d;
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const Position<3> p = places.at(e);
    const Covering d(D, g.adaptive, p.at[0]), h(H, g.adaptive, p.at[1]), w(W, g.adaptive, p.at[2]);
    P sum = pack_of<T, kSize>(T(0));
    for (int64_t od = d.low; od <= d.high; ++od) {
      const int64_t kd = cell_of(D, g.adaptive, od, p.at[0]);
      for (int64_t oh = h.low; oh <= h.high && kd >= 0; ++oh) {
        const int64_t kh = cell_of(H, g.adaptive, oh, p.at[1]);
        for (int64_t ow = w.low; ow <= w.high && kh >= 0; ++ow) {
          const int64_t kw = cell_of(W, g.adaptive, ow, p.at[2]);
          if (kw < 0) continue;
          const int64_t from = (((p.n * D.out + od) * H.out + oh) * W.out + ow) * packs + p.c;
          const int32_t number = static_cast<int32_t>((kd * H.kernel + kh) * W.kernel + kw);
          const Pack<Q, kSize> code = place[from];
          const P v = dy[from];
#pragma unroll
          for (int c = 0; c < kSize; ++c)
            if (code[c] == number) sum[c] += v[c];
        }
      }
    }
    dx[e] = sum;
  }
}

template <class Q, class At>
__global__ void find_indices(int64_t* indices, const Q* place, PoolGeometry g, At places) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const int64_t code = place[e];
    if (place[e] == static_cast<Q>(-1)) {
      indices[e] = -1;
      continue;
    }
    const Position<3> p = places.at(e);
    const int64_t d = window_begin(D, g.adaptive, p.at[0]) + code / W.kernel / H.kernel * D.dilation;
    const int64_t h = window_begin(H, g.adaptive, p.at[1]) + code / W.kernel % H.kernel * H.dilation;
    const int64_t w = window_begin(W, g.adaptive, p.at[2]) + code % W.kernel * W.dilation;
    indices[e] = (d * H.in + h) * W.in + w;
  }
}

// --- means ----------------------------------------------------------------------------------------------------------

template <class P, class At>
__global__ void mean_windows(P* y, const P* x, PoolGeometry g, At places, int64_t divisor, bool include_pad) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = places.packs.d;
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const Position<3> p = places.at(e);
    const Span d = span_of(D, g.adaptive, p.at[0]), h = span_of(H, g.adaptive, p.at[1]),
               w = span_of(W, g.adaptive, p.at[2]);
    P sum = pack_of<T, kSize>(T(0));
    // Row by row, so that a long sum of float32 loses no more than its sides are long.
    for (int64_t i = 0; i < d.count; ++i)
      for (int64_t j = 0; j < h.count; ++j) {
        const P* from = x + (((p.n * D.in + d.first + i) * H.in + h.first + j) * W.in + w.first) * packs + p.c;
        P line = pack_of<T, kSize>(T(0));
        for (int64_t k = 0; k < w.count; ++k) line = line + from[k * packs];
        sum = sum + line;
      }
    const T by = static_cast<T>(divisor_of(d, h, w, divisor, include_pad));
#pragma unroll
    for (int c = 0; c < kSize; ++c) sum[c] /= by;
    y[e] = sum;
  }
}

// The same where windows are large and few: a block for some channels of one, `wide` packs side by side. Each thread
// takes every so many-th cell; their sums are added up in their order.
template <class P, class At>
__global__ void mean_large_windows(P* y, const P* x, PoolGeometry g, At places, int wide, int64_t divisor,
                                   bool include_pad) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  __shared__ P part[kThreads];
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = places.packs.d, groups = (packs + wide - 1) / wide;
  const int lane = static_cast<int>(threadIdx.x) % wide, cell = static_cast<int>(threadIdx.x) / wide;
  const int cells = kThreads / wide;
  for (int64_t b = blockIdx.x; b < places.total / packs * groups; b += gridDim.x) {
    const int64_t c = b % groups * wide + lane;
    const Position<3> p = places.at(b / groups * packs);
    const Span d = span_of(D, g.adaptive, p.at[0]), h = span_of(H, g.adaptive, p.at[1]),
               w = span_of(W, g.adaptive, p.at[2]);
    P sum = pack_of<T, kSize>(T(0));
    if (c < packs)
      for (int64_t k = cell; k < d.count * h.count * w.count; k += cells) {
        const int64_t i = k / w.count;
        const int64_t line = (p.n * D.in + d.first + i / h.count) * H.in + h.first + i % h.count;
        sum = sum + x[(line * W.in + w.first + k % w.count) * packs + c];
      }
    part[threadIdx.x] = sum;
    __syncthreads();
    for (int half = cells / 2; half > 0; half /= 2) {
      if (cell < half) part[threadIdx.x] = part[threadIdx.x] + part[threadIdx.x + half * wide];
      __syncthreads();
    }
    if (cell == 0 && c < packs) {
      sum = part[threadIdx.x];
      const T by = static_cast<T>(divisor_of(d, h, w, divisor, include_pad));
#pragma unroll
      for (int j = 0; j < kSize; ++j) sum[j] /= by;
      y[b / groups * packs + c] = sum;
    }
    __syncthreads();
  }
}

template <class P, class At>
__global__ void give_shares(P* dx, const P* dy, PoolGeometry g, At places, int64_t divisor, bool include_pad) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = places.packs.d;
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const Position<3> p = places.at(e);
    const Covering cd(D, g.adaptive, p.at[0]), ch(H, g.adaptive, p.at[1]), cw(W, g.adaptive, p.at[2]);
    P sum = pack_of<T, kSize>(T(0));
    for (int64_t od = cd.low; od <= cd.high; ++od) {
      const Span d = span_of(D, g.adaptive, od);
      for (int64_t oh = ch.low; oh <= ch.high; ++oh) {
        const Span h = span_of(H, g.adaptive, oh);
        for (int64_t ow = cw.low; ow <= cw.high; ++ow) {
          const Span w = span_of(W, g.adaptive, ow);
          const T share = static_cast<T>(1 / divisor_of(d, h, w, divisor, include_pad));
          sum = sum + dy[(((p.n * D.out + od) * H.out + oh) * W.out + ow) * packs + p.c] * share;
        }
      }
    }
    dx[e] = sum;
  }
}

// [batch, large or small plane, channels] addressed along the plane.
GatherLoop unpool_loop(int64_t batch, int64_t large, int64_t small, int64_t channels) {
  GatherLoop loop{};
  loop.n = small, loop.size = large;
  loop.a_axis = loop.b_axis = channels;
  loop.rank[0] = loop.rank[1] = 1;
  loop.shape[0][0] = batch, loop.a[0][0] = large * channels, loop.b[0][0] = small * channels;
  loop.shape[1][0] = channels, loop.a[1][0] = loop.b[1][0] = 1;
  return loop;
}

// f(null pointer to what a number of a cell is kept in).
template <class F>
void with_places(const PoolGeometry& g, const F& f) {
  if (byte_places(g)) return f(static_cast<uint8_t*>(nullptr));
  f(static_cast<int32_t*>(nullptr));
}

template <class P, class Q>
using Codes = Pack<Q, PackTraits<P>::size>;

}  // namespace

void max_pool_forward(int type, void* y, void* place, const void* x, const PoolGeometry& g) {
  with_packs(type, y, x, g.batch, windows_of(g).axis, g.channels, [&](auto* to, const auto* from, auto places) {
    with_places(g, [&](auto* tag) {
      using P = decltype(of(to));
      using Q = decltype(of(tag));
      run(&max_windows<P, Q, decltype(places)>, grid_for(places.total, kThreads), kThreads, 0, to,
          static_cast<Codes<P, Q>*>(place), from, g, places);
    });
  });
}

void max_pool_backward(int type, void* dx, const void* dy, const void* place, const PoolGeometry& g) {
  with_packs(type, dx, dy, g.batch, cells_of(g).axis, g.channels, [&](auto* to, const auto* from, auto places) {
    with_places(g, [&](auto* tag) {
      using P = decltype(of(to));
      using Q = decltype(of(tag));
      run(&give_maxima<P, Q, decltype(places)>, grid_for(places.total, kThreads), kThreads, 0, to, from,
          static_cast<const Codes<P, Q>*>(place), g, places);
    });
  });
}

void max_pool_indices(int64_t* indices, const void* place, const PoolGeometry& g) {
  with_positions(g.batch, windows_of(g).axis, g.channels, [&](auto positions) {
    with_places(g, [&](auto* tag) {
      using Q = decltype(of(tag));
      run(&find_indices<Q, decltype(positions)>, grid_for(positions.total, kThreads), kThreads, 0, indices,
          static_cast<const Q*>(place), g, positions);
    });
  });
}

void avg_pool_forward(int type, void* y, const void* x, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  const int64_t cells = g.axis[0].kernel * g.axis[1].kernel * g.axis[2].kernel;
  with_packs(type, y, x, g.batch, windows_of(g).axis, g.channels, [&](auto* to, const auto* from, auto places) {
    using P = decltype(of(to));
    // Packs by the shape alone: a sum has the same order wherever x lies.
    constexpr int64_t most = kPack<typename PackTraits<P>::Type>;
    const int64_t packs = g.channels % most == 0 ? g.channels / most : g.channels;
    if (cells >= 256 && g.batch * g.out_plane() * packs < 65536)
      // Channels that are fewer than a warp leave lanes for other cells.
      run(&mean_large_windows<P, decltype(places)>, grid_for(places.total, 1), kThreads, 0, to, from, g, places,
          power_of_two(packs, kWarp), divisor, include_pad);
    else
      run(&mean_windows<P, decltype(places)>, grid_for(places.total, kThreads), kThreads, 0, to, from, g, places,
          divisor, include_pad);
  });
}

void avg_pool_backward(int type, void* dx, const void* dy, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  with_packs(type, dx, dy, g.batch, cells_of(g).axis, g.channels, [&](auto* to, const auto* from, auto places) {
    run(&give_shares<decltype(of(to)), decltype(places)>, grid_for(places.total, kThreads), kThreads, 0, to, from, g,
        places, divisor, include_pad);
  });
}

void unpool_scatter(int64_t itemsize, void* y, const void* x, const int64_t* index, int64_t batch, int64_t y_plane,
                    int64_t x_plane, int64_t channels) {
  scatter_along(y, x, index, itemsize, unpool_loop(batch, y_plane, x_plane, channels));
}

void unpool_gather(int64_t itemsize, void* dx, const void* dy, const int64_t* index, int64_t batch, int64_t y_plane,
                   int64_t x_plane, int64_t channels) {
  gather_along(dx, dy, index, itemsize, unpool_loop(batch, y_plane, x_plane, channels));
}

}  // namespace cuda
}  // namespace fastnn
