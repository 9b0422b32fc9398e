#include "cuda/cuda.h"
#include "cuda/divide.h"
#include "cuda/pack.h"
#include "ops/resize/tap.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// The tables of resize_cpu.cpp: all taps of an axis, then which output cells read each of its cells.
struct Tables {
  ResizeTap* taps[3];
  ResizeReach* reach[3];

  Tables(void* memory, const ResizeGeometry& g) {
    char* at = static_cast<char*>(memory);
    for (int i = 0; i < 3; ++i) {
      taps[i] = reinterpret_cast<ResizeTap*>(at);
      reach[i] = reinterpret_cast<ResizeReach*>(taps[i] + g.axis[i].out);
      at = reinterpret_cast<char*>(reach[i] + g.axis[i].in);
    }
  }
};

template <class T>
__global__ void fill_taps(Tables t, ResizeGeometry g) {
  for (int i = 0; i < 3; ++i)
    for (int64_t o = thread_index(); o < g.axis[i].out; o += thread_count()) t.taps[i][o] = tap_of<T>(g.axis[i], g, o);
}
// The first output cell for which `low` (or `high`) reaches `cell`; positions rise with the output cell.
__device__ inline int64_t first_at(const ResizeTap* taps, int64_t out, int64_t cell, bool high) {
  int64_t begin = 0, end = out;
  while (begin < end) {
    const int64_t middle = begin + (end - begin) / 2;
    if ((high ? taps[middle].high : taps[middle].low) < cell)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}
__global__ void fill_reach(Tables t, ResizeGeometry g) {
  for (int i = 0; i < 3; ++i)
    for (int64_t c = thread_index(); c < g.axis[i].in; c += thread_count())
      t.reach[i][c] = {first_at(t.taps[i], g.axis[i].out, c, true),
                       first_at(t.taps[i], g.axis[i].out, c + 1, false) - 1};
}
template <class T>
Tables fill(void* memory, const ResizeGeometry& g, bool backward) {
  const Tables t(memory, g);
  int64_t out = 0, in = 0;
  for (const ResizeAxis& a : g.axis) out = a.out > out ? a.out : out, in = a.in > in ? a.in : in;
  run(&fill_taps<T>, grid_for(out, kThreads), kThreads, 0, t, g);
  if (backward) run(&fill_reach, grid_for(in, kThreads), kThreads, 0, t, g);
  return t;
}

struct Position {
  int64_t n, at[3], c;
};
template <class I>
struct Grid {
  Divider<I> packs, sizes[3];
  int64_t total;
  Grid(const ResizeGeometry& g, bool outputs, int64_t pack) : packs(g.channels / pack), total(g.channels / pack) {
    for (int i = 0; i < 3; ++i) {
      const int64_t size = outputs ? g.axis[i].out : g.axis[i].in;
      sizes[i] = Divider<I>(size);
      total *= size;
    }
    total *= g.batch;
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

template <class P, class I>
__global__ void read_cells(P* y, const P* x, ResizeGeometry g, Tables t, Grid<I> grid) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const ResizeAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = g.channels / kSize;
  for (int64_t e = thread_index(); e < grid.total; e += thread_count()) {
    const Position p = grid.at(e);
    const ResizeTap d = t.taps[0][p.at[0]], h = t.taps[1][p.at[1]], w = t.taps[2][p.at[2]];
    if (g.mode != ResizeMode::linear) {
      y[e] = x[(((p.n * D.in + d.low) * H.in + h.low) * W.in + w.low) * packs + p.c];
      continue;
    }
    const T a = static_cast<T>(w.low_share), b = static_cast<T>(w.high_share);
    P sum = pack_of<T, kSize>(T(0));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const T share =
          static_cast<T>(i & 2 ? d.high_share : d.low_share) * static_cast<T>(i & 1 ? h.high_share : h.low_share);
      if (share == 0) continue;  // whatever is in these cells
      const P* const row =
          x + ((p.n * D.in + (i & 2 ? d.high : d.low)) * H.in + (i & 1 ? h.high : h.low)) * W.in * packs + p.c;
      P line = row[w.low * packs] * a;
      if (b != 0) line = line + row[w.high * packs] * b;
      sum = sum + line * share;
    }
    y[e] = sum;
  }
}

template <class P, class I>
__global__ void gather_shares(P* dx, const P* dy, ResizeGeometry g, Tables t, Grid<I> grid) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const ResizeAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = g.channels / kSize;
  for (int64_t e = thread_index(); e < grid.total; e += thread_count()) {
    const Position p = grid.at(e);
    const ResizeReach d = t.reach[0][p.at[0]], h = t.reach[1][p.at[1]], w = t.reach[2][p.at[2]];
    P sum = pack_of<T, kSize>(T(0));
    for (int64_t od = d.first; od <= d.last; ++od)
      for (int64_t oh = h.first; oh <= h.last; ++oh) {
        const T share =
            static_cast<T>(share_of(t.taps[0][od], p.at[0])) * static_cast<T>(share_of(t.taps[1][oh], p.at[1]));
        if (share == 0) continue;
        const P* const row = dy + ((p.n * D.out + od) * H.out + oh) * W.out * packs + p.c;
        for (int64_t o = w.first; o <= w.last; ++o) {
          const T own = share * static_cast<T>(share_of(t.taps[2][o], p.at[2]));
          if (own != 0) sum = sum + row[o * packs] * own;
        }
      }
    dx[e] = sum;
  }
}

// f(the two as pointers to packs, null pointer to the type of positions, elements of a pack).
template <class F>
void with_packs(int type, void* to, const void* from, const ResizeGeometry& g, bool outputs, const F& f) {
  const int64_t elements = Grid<int64_t>(g, outputs, 1).total;
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    const int size = pack_size(g.channels, static_cast<const T*>(to), static_cast<const T*>(from));
    with_pack<T>(size, [&](auto* pack_tag) {
      using P = decltype(of(pack_tag));
      with_index(elements,
                 [&](auto* index_tag) { f(static_cast<P*>(to), static_cast<const P*>(from), index_tag, size); });
    });
  });
}

__global__ void fill_matrices(double* m, int64_t images, double sx, double tx, double sy, double ty) {
  for (int64_t e = thread_index(); e < images * 6; e += thread_count()) {
    const int64_t k = e % 6;
    m[e] = k == 0 ? sx : k == 2 ? tx : k == 4 ? sy : k == 5 ? ty : 0;
  }
}

}  // namespace

void resize_maps(double* matrix, int64_t images, double sx, double tx, double sy, double ty) {
  run(&fill_matrices, grid_for(images * 6, kThreads), kThreads, 0, matrix, images, sx, tx, sy, ty);
}

void resize_forward(int type, void* y, const void* x, void* tables, const ResizeGeometry& g) {
  with_packs(type, y, x, g, true, [&](auto* to, const auto* from, auto* tag, int size) {
    using P = decltype(of(to));
    using I = decltype(of(tag));
    const Tables t = fill<typename PackTraits<P>::Type>(tables, g, false);
    const Grid<I> grid(g, true, size);
    run(&read_cells<P, I>, grid_for(grid.total, kThreads), kThreads, 0, to, from, g, t, grid);
  });
}

void resize_backward(int type, void* dx, const void* dy, void* tables, const ResizeGeometry& g) {
  with_packs(type, dx, dy, g, false, [&](auto* to, const auto* from, auto* tag, int size) {
    using P = decltype(of(to));
    using I = decltype(of(tag));
    const Tables t = fill<typename PackTraits<P>::Type>(tables, g, true);
    const Grid<I> grid(g, false, size);
    run(&gather_shares<P, I>, grid_for(grid.total, kThreads), kThreads, 0, to, from, g, t, grid);
  });
}

}  // namespace cuda
}  // namespace fastnn
