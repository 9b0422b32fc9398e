#include "cuda/positions.h"
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

template <class P, class At>
__global__ void read_cells(P* y, const P* x, ResizeGeometry g, Tables t, At places) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const ResizeAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = places.packs.d;
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const Position<3> p = places.at(e);
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

template <class P, class At>
__global__ void gather_shares(P* dx, const P* dy, ResizeGeometry g, Tables t, At places) {
  using T = typename PackTraits<P>::Type;
  constexpr int kSize = PackTraits<P>::size;
  const ResizeAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t packs = places.packs.d;
  for (int64_t e = thread_index(); e < places.total; e += thread_count()) {
    const Position<3> p = places.at(e);
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

// f(the two as pointers to packs, positions of the output or of the input, the tables).
template <class F>
void with_tables(int type, void* to, const void* from, void* tables, const ResizeGeometry& g, bool backward,
                 const F& f) {
  int64_t size[3];
  for (int i = 0; i < 3; ++i) size[i] = backward ? g.axis[i].in : g.axis[i].out;
  with_packs(type, to, from, g.batch, size, g.channels, [&](auto* y, const auto* x, auto places) {
    f(y, x, places, fill<typename PackTraits<decltype(of(y))>::Type>(tables, g, backward));
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
  with_tables(type, y, x, tables, g, false, [&](auto* to, const auto* from, auto places, const Tables& t) {
    run(&read_cells<decltype(of(to)), decltype(places)>, grid_for(places.total, kThreads), kThreads, 0, to, from, g, t,
        places);
  });
}

void resize_backward(int type, void* dx, const void* dy, void* tables, const ResizeGeometry& g) {
  with_tables(type, dx, dy, tables, g, true, [&](auto* to, const auto* from, auto places, const Tables& t) {
    run(&gather_shares<decltype(of(to)), decltype(places)>, grid_for(places.total, kThreads), kThreads, 0, to, from, g,
        t, places);
  });
}

}  // namespace cuda
}  // namespace fastnn
