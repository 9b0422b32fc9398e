#include "cuda/cuda.h"
#include "cuda/divide.h"
#include "cuda/pack.h"
#include "ops/gather/gather.h"
#include "ops/pool/span.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

/// Where a thread is: some channels of a position of the small (windows) or the large side.
struct Position {
  int64_t n, at[3], c;
};
template <class I>
struct Grid {
  using Index = I;
  Divider<I> packs, sizes[3];
  int64_t total;

  Grid(const PoolGeometry& g, bool windows, int pack)
      : packs(g.channels / pack), total(g.batch * (windows ? g.out_plane() : g.in_plane()) * (g.channels / pack)) {
    for (int i = 0; i < 3; ++i) sizes[i] = Divider<I>(windows ? g.axis[i].out : g.axis[i].in);
  }
  __device__ Position at(int64_t e) const {
    I rest = static_cast<I>(e);
    Position p;
    p.c = split(rest, packs);
    for (int i = 2; i >= 0; --i) p.at[i] = split(rest, sizes[i]);
    p.n = rest;
    return p;
  }
};

template <class F>
void with_grid(const PoolGeometry& g, bool windows, int pack, const F& f) {
  const int64_t total = g.batch * (windows ? g.out_plane() : g.in_plane()) * (g.channels / pack);
  with_index(total, [&](auto* tag) { f(Grid<decltype(of(tag))>(g, windows, pack)); });
}
template <class I>
unsigned grid_of(const Grid<I>& grid) {
  return grid_for(grid.total, kThreads);
}

// --- maxima ---------------------------------------------------------------------------------------------------------

template <class P, class I>
__global__ void max_windows(P* y, Pack<int32_t, PackTraits<P>::size>* place, const P* x, PoolGeometry g, Grid<I> grid) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = g.channels / kSize;
  for (int64_t e = thread_index(); e < grid.total; e += thread_count()) {
    const Position p = grid.at(e);
    const Span d = span_of(D, g.adaptive, p.at[0]), h = span_of(H, g.adaptive, p.at[1]),
               w = span_of(W, g.adaptive, p.at[2]);
    const bool none = d.count == 0 || h.count == 0 || w.count == 0;
    P best = pack_of<T, kSize>(static_cast<T>(-INFINITY));
    Pack<int32_t, kSize> code =
        pack_of<int32_t, kSize>(none ? -1 : static_cast<int32_t>((d.cell * H.kernel + h.cell) * W.kernel + w.cell));
    for (int64_t i = 0; i < d.count; ++i)
      for (int64_t j = 0; j < h.count; ++j) {
        const int64_t line = (p.n * D.in + d.first + i * D.dilation) * H.in + h.first + j * H.dilation;
        const P* from = x + (line * W.in + w.first) * packs + p.c;
        int32_t number = static_cast<int32_t>(((d.cell + i) * H.kernel + h.cell + j) * W.kernel + w.cell);
        for (int64_t k = 0; k < w.count; ++k, from += W.dilation * packs, ++number) {
          const P v = *from;
#pragma unroll
          for (int c = 0; c < kSize; ++c)
            if (v[c] > best[c] || v[c] != v[c]) best[c] = v[c], code[c] = number;
        }
      }
    y[e] = best;
    if (place) place[e] = code;
  }
}

template <class P, class I>
__global__ void give_maxima(P* dx, const P* dy, const Pack<int32_t, PackTraits<P>::size>* place, PoolGeometry g,
                            Grid<I> grid) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = g.channels / kSize;
  for (int64_t e = thread_index(); e < grid.total; e += thread_count()) {
    const Position p = grid.at(e);
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
          const Pack<int32_t, kSize> code = place[from];
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

template <class I>
__global__ void find_indices(int64_t* indices, const int32_t* place, PoolGeometry g, Grid<I> grid) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  for (int64_t e = thread_index(); e < grid.total; e += thread_count()) {
    const int64_t code = place[e];
    if (code < 0) {
      indices[e] = -1;
      continue;
    }
    const Position p = grid.at(e);
    const int64_t d = window_begin(D, g.adaptive, p.at[0]) + code / W.kernel / H.kernel * D.dilation;
    const int64_t h = window_begin(H, g.adaptive, p.at[1]) + code / W.kernel % H.kernel * H.dilation;
    const int64_t w = window_begin(W, g.adaptive, p.at[2]) + code % W.kernel * W.dilation;
    indices[e] = (d * H.in + h) * W.in + w;
  }
}

// --- means ----------------------------------------------------------------------------------------------------------

template <class P, class I>
__global__ void mean_windows(P* y, const P* x, PoolGeometry g, Grid<I> grid, int64_t divisor, bool include_pad) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = g.channels / kSize;
  for (int64_t e = thread_index(); e < grid.total; e += thread_count()) {
    const Position p = grid.at(e);
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

// The same where windows are large and few: a block for some channels of one, 32 of them side by side. Each thread
// takes every so many-th cell; their sums are added up in their order.
constexpr int kRows = kThreads / kWarp;
template <class P>
__global__ void mean_large_windows(P* y, const P* x, PoolGeometry g, Grid<int64_t> grid, int64_t divisor,
                                   bool include_pad) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  __shared__ P parts[kRows][kWarp];
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = g.channels / kSize;
  // Channels that are fewer than a warp leave lanes for other cells.
  int64_t wide = kWarp;
  while (wide / 2 >= packs) wide /= 2;
  const int64_t groups = (packs + wide - 1) / wide;
  const int lane = static_cast<int>(threadIdx.x % wide);
  const int64_t cell = threadIdx.x / wide, cells = kThreads / wide;
  P* const part = &parts[0][0];
  for (int64_t b = blockIdx.x; b < grid.total / packs * groups; b += gridDim.x) {
    const int64_t c = b % groups * wide + lane;
    const Position p = grid.at(b / groups * packs);
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
    for (int64_t half = cells / 2; half > 0; half /= 2) {
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

template <class P, class I>
__global__ void give_shares(P* dx, const P* dy, PoolGeometry g, Grid<I> grid, int64_t divisor, bool include_pad) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = g.channels / kSize;
  for (int64_t e = thread_index(); e < grid.total; e += thread_count()) {
    const Position p = grid.at(e);
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

// f(the two as pointers to packs, the grid).
template <class A, class B, class F>
void with_packs(int type, A* to, const B* from, const PoolGeometry& g, bool windows, const F& f) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    const int size = pack_size(g.channels, static_cast<const T*>(to), static_cast<const T*>(from));
    with_pack<T>(size, [&](auto* pack_tag) {
      using P = decltype(of(pack_tag));
      with_grid(g, windows, size, [&](const auto& grid) { f(static_cast<P*>(to), static_cast<const P*>(from), grid); });
    });
  });
}
template <class P>
using Codes = Pack<int32_t, PackTraits<P>::size>;

}  // namespace

void max_pool_forward(int type, void* y, int32_t* place, const void* x, const PoolGeometry& g) {
  with_packs(type, y, x, g, true, [&](auto* to, const auto* from, const auto& grid) {
    using P = decltype(of(to));
    using I = typename std::decay_t<decltype(grid)>::Index;
    run(&max_windows<P, I>, grid_of(grid), kThreads, 0, to, reinterpret_cast<Codes<P>*>(place), from, g, grid);
  });
}

void max_pool_backward(int type, void* dx, const void* dy, const int32_t* place, const PoolGeometry& g) {
  with_packs(type, dx, dy, g, false, [&](auto* to, const auto* from, const auto& grid) {
    using P = decltype(of(to));
    using I = typename std::decay_t<decltype(grid)>::Index;
    run(&give_maxima<P, I>, grid_of(grid), kThreads, 0, to, from, reinterpret_cast<const Codes<P>*>(place), g, grid);
  });
}

void max_pool_indices(int64_t* indices, const int32_t* place, const PoolGeometry& g) {
  with_grid(g, true, 1, [&](const auto& grid) {
    using I = typename std::decay_t<decltype(grid)>::Index;
    run(&find_indices<I>, grid_of(grid), kThreads, 0, indices, place, g, grid);
  });
}

void avg_pool_forward(int type, void* y, const void* x, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  const int64_t cells = g.axis[0].kernel * g.axis[1].kernel * g.axis[2].kernel;
  with_packs(type, y, x, g, true, [&](auto* to, const auto* from, const auto& grid) {
    using P = decltype(of(to));
    using I = typename std::decay_t<decltype(grid)>::Index;
    if (cells >= 256 && grid.total < 65536) {
      const Grid<int64_t> wide(g, true, PackTraits<P>::size);
      run(&mean_large_windows<P>, grid_for(grid.total, 1), kThreads, 0, to, from, g, wide, divisor, include_pad);
    } else {
      run(&mean_windows<P, I>, grid_of(grid), kThreads, 0, to, from, g, grid, divisor, include_pad);
    }
  });
}

void avg_pool_backward(int type, void* dx, const void* dy, const PoolGeometry& g, int64_t divisor, bool include_pad) {
  with_packs(type, dx, dy, g, false, [&](auto* to, const auto* from, const auto& grid) {
    using P = decltype(of(to));
    using I = typename std::decay_t<decltype(grid)>::Index;
    run(&give_shares<P, I>, grid_of(grid), kThreads, 0, to, from, g, grid, divisor, include_pad);
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
