// Pooling of regions. The gradient of a cell is gathered from the regions over it, in their order: a block takes a cell
// and looks for its regions with all threads, then each thread adds up what a channel of them sends.

#include "cuda/cuda.h"
#include "ops/boxes/roi_axis.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 128;

// The image of a region; -1 where there is none of that number.
template <class T>
__device__ inline int64_t image_of(const T* region, const RoiGeometry& g) {
  const T n = region[0];
  return n >= 0 && n < static_cast<T>(g.images) ? static_cast<int64_t>(n) : -1;
}
template <class T>
__device__ inline PoolAxisOf<T> pool_rows(const T* r, const RoiGeometry& g) {
  return PoolAxisOf<T>(r[2], r[4], g.scale, g.height, g.out_height);
}
template <class T>
__device__ inline PoolAxisOf<T> pool_columns(const T* r, const RoiGeometry& g) {
  return PoolAxisOf<T>(r[1], r[3], g.scale, g.width, g.out_width);
}
template <class T>
__device__ inline AlignAxis<T> align_rows(const T* r, const RoiGeometry& g) {
  return AlignAxis<T>(r[2], r[4], g.height, g.out_height, g);
}
template <class T>
__device__ inline AlignAxis<T> align_columns(const T* r, const RoiGeometry& g) {
  return AlignAxis<T>(r[1], r[3], g.width, g.out_width, g);
}

template <class T>
__global__ void find_maxima(T* y, int64_t* place, const T* x, const T* regions, RoiGeometry g) {
  const int64_t C = g.channels, bins = g.out_height * g.out_width;
  for (int64_t e = thread_index(); e < g.regions * bins * C; e += thread_count()) {
    const int64_t c = e % C, i = e / C % bins, k = e / C / bins;
    const T* const r = regions + 5 * k;
    const int64_t n = image_of(r, g);
    const Bin v = pool_rows(r, g).bin(i / g.out_width), h = pool_columns(r, g).bin(i % g.out_width);
    if (n < 0 || v.low >= v.high || h.low >= h.high) {
      y[e] = T(0), place[e] = -1;
      continue;
    }
    const T* const image = x + n * g.height * g.width * C + c;
    int64_t at = v.low * g.width + h.low;
    T best = image[at * C];
    for (int64_t iy = v.low; iy < v.high; ++iy)
      for (int64_t ix = h.low; ix < h.high; ++ix) {
        const T value = image[(iy * g.width + ix) * C];
        if (value > best || value != value) best = value, at = iy * g.width + ix;
      }
    y[e] = best, place[e] = at;
  }
}

template <class T>
__global__ void mean_samples(T* y, const T* x, const T* regions, RoiGeometry g) {
  const int64_t C = g.channels, bins = g.out_height * g.out_width;
  for (int64_t e = thread_index(); e < g.regions * bins * C; e += thread_count()) {
    const int64_t c = e % C, i = e / C % bins, k = e / C / bins;
    const T* const r = regions + 5 * k;
    const int64_t n = image_of(r, g);
    const AlignAxis<T> ys = align_rows(r, g), xs = align_columns(r, g);
    const int64_t all = xs.samples * ys.samples;
    const T count = static_cast<T>(all > 1 ? all : 1);
    const T* const image = x + (n < 0 ? 0 : n) * g.height * g.width * C + c;
    T sum = 0;
    for (int64_t u = 0; u < ys.samples && n >= 0; ++u) {
      int64_t y0, y1, x0, x1;
      T hy, ly, hx, lx;
      if (!ys.sample(i / g.out_width, u, y0, y1, hy, ly)) continue;
      for (int64_t v = 0; v < xs.samples; ++v) {
        if (!xs.sample(i % g.out_width, v, x0, x1, hx, lx)) continue;
        const T *const upper = image + y0 * g.width * C, *const lower = image + y1 * g.width * C;
        sum += (hy * hx / count * upper[x0 * C] + hy * lx / count * upper[x1 * C]) +
               (ly * hx / count * lower[x0 * C] + ly * lx / count * lower[x1 * C]);
      }
    }
    y[e] = sum;
  }
}

/// Bins [low, high] of an axis in which something about a cell may lie.
struct Range {
  int64_t low, high;
};
// From first + step * b for real b in [from, to], a little more for what is rounded.
template <class T>
__device__ inline Range bins_between(T from, T to, T step, int64_t bins) {
  if (!(step > 0 || step < 0)) return {0, bins - 1};
  T a = from / step, b = to / step;
  if (a > b) {
    const T t = a;
    a = b, b = t;
  }
  const T slack = T(2) + (fabs(a) + fabs(b)) * T(1e-5), last = static_cast<T>(bins);
  a = a - slack, b = b + slack;
  if (!(b >= 0) || !(a <= last)) return {0, a != a || b != b ? bins - 1 : -1};
  return {a > 0 ? static_cast<int64_t>(a) : 0, b < last - 1 ? static_cast<int64_t>(b) : bins - 1};
}

/// How the gradient of a kind of pooling reaches a cell.
template <class T>
struct PoolGradient {
  const T* dy;
  const int64_t* place;

  __device__ static Range range(const PoolAxisOf<T>& a, int64_t cell) {
    const T at = static_cast<T>(cell - a.start);
    return bins_between<T>(at - 1, at + 1, a.step, a.bins);
  }
  __device__ bool reaches(const T* r, const RoiGeometry& g, int64_t y, int64_t x) const {
    const auto inside = [](const PoolAxisOf<T>& a, int64_t cell) {
      return a.bin(0).low <= cell && cell < a.bin(a.bins - 1).high;
    };
    return inside(pool_rows(r, g), y) && inside(pool_columns(r, g), x);
  }
  __device__ T sum(T before, const T* r, const RoiGeometry& g, int64_t k, int64_t y, int64_t x, int64_t c) const {
    const Range rows = range(pool_rows(r, g), y), columns = range(pool_columns(r, g), x);
    for (int64_t i = rows.low; i <= rows.high; ++i)
      for (int64_t j = columns.low; j <= columns.high; ++j) {
        const int64_t at = ((k * g.out_height + i) * g.out_width + j) * g.channels + c;
        if (place[at] == y * g.width + x) before += dy[at];
      }
    return before;
  }
};

template <class T>
struct AlignGradient {
  const T* dy;

  // A sample gives to cells that are less than one away; at the border, one outside the image as well.
  __device__ static Range range(const AlignAxis<T>& a, int64_t cell, int64_t bins) {
    const T at = static_cast<T>(cell) - a.start;
    return bins_between<T>(at - 1, at + 1, a.step, bins);
  }
  // The share of a cell in the samples of a bin.
  __device__ static T share(const AlignAxis<T>& a, int64_t bin, int64_t cell) {
    const T at = static_cast<T>(cell) - a.start - rounded_product(static_cast<T>(bin), a.step);
    const Range near = bins_between<T>(at - 1, at + 1, a.between, a.samples);
    T sum = 0;
    for (int64_t s = near.low; s <= near.high; ++s) {
      int64_t low, high;
      T low_share, high_share;
      if (!a.sample(bin, s, low, high, low_share, high_share)) continue;
      if (low == cell) sum += low_share;
      if (high == cell) sum += high_share;
    }
    return sum;
  }
  __device__ bool reaches(const T* r, const RoiGeometry& g, int64_t y, int64_t x) const {
    const Range rows = range(align_rows(r, g), y, g.out_height), columns = range(align_columns(r, g), x, g.out_width);
    return rows.low <= rows.high && columns.low <= columns.high;
  }
  __device__ T sum(T before, const T* r, const RoiGeometry& g, int64_t k, int64_t y, int64_t x, int64_t c) const {
    const AlignAxis<T> ys = align_rows(r, g), xs = align_columns(r, g);
    const Range rows = range(ys, y, g.out_height), columns = range(xs, x, g.out_width);
    const int64_t all = xs.samples * ys.samples;
    const T count = static_cast<T>(all > 1 ? all : 1);
    for (int64_t i = rows.low; i <= rows.high; ++i) {
      const T row = share(ys, i, y) / count;
      if (row == 0) continue;
      for (int64_t j = columns.low; j <= columns.high; ++j) {
        const T w = row * share(xs, j, x);
        if (w != 0) before += w * dy[((k * g.out_height + i) * g.out_width + j) * g.channels + c];
      }
    }
    return before;
  }
};

template <class T, class Gradient>
__global__ void gather_gradient(T* dx, const T* regions, RoiGeometry g, Gradient from) {
  __shared__ int64_t hits[kThreads];
  __shared__ int counts[kThreads / kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int64_t e = blockIdx.x; e < g.images * g.height * g.width; e += gridDim.x) {
    const int64_t x = e % g.width, y = e / g.width % g.height, n = e / g.width / g.height;
    for (int64_t c0 = 0; c0 < g.channels; c0 += kThreads) {
      const int64_t c = c0 + threadIdx.x;
      T sum = 0;
      for (int64_t first = 0; first < g.regions; first += kThreads) {
        const int64_t k = first + threadIdx.x;
        const bool hit = k < g.regions && image_of(regions + 5 * k, g) == n && from.reaches(regions + 5 * k, g, y, x);
        const unsigned mine = __ballot_sync(kFullWarp, hit);
        if (lane == 0) counts[warp] = __popc(mine);
        __syncthreads();
        int before = 0, all = 0;
        for (int w = 0; w < kThreads / kWarp; ++w) {
          if (w < warp) before += counts[w];
          all += counts[w];
        }
        if (hit) hits[before + __popc(mine & ((1u << lane) - 1))] = k;
        __syncthreads();
        if (c < g.channels)
          for (int i = 0; i < all; ++i) sum = from.sum(sum, regions + 5 * hits[i], g, hits[i], y, x, c);
        __syncthreads();
      }
      if (c < g.channels) dx[e * g.channels + c] = sum;
    }
  }
}

template <class T, class Gradient>
void gradient(T* dx, const T* regions, const RoiGeometry& g, const Gradient& from) {
  run(&gather_gradient<T, Gradient>, grid_for(g.images * g.height * g.width, 1), kThreads, 0, dx, regions, g, from);
}

int64_t outputs(const RoiGeometry& g) { return g.regions * g.out_height * g.out_width * g.channels; }

}  // namespace

void roi_pool_forward(int type, void* y, int64_t* place, const void* x, const void* regions, const RoiGeometry& g) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    run(&find_maxima<T>, grid_for(outputs(g), kThreads), kThreads, 0, static_cast<T*>(y), place,
        static_cast<const T*>(x), static_cast<const T*>(regions), g);
  });
}

void roi_pool_backward(int type, void* dx, const void* dy, const int64_t* place, const void* regions,
                       const RoiGeometry& g) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    gradient(static_cast<T*>(dx), static_cast<const T*>(regions), g, PoolGradient<T>{static_cast<const T*>(dy), place});
  });
}

void roi_align_forward(int type, void* y, const void* x, const void* regions, const RoiGeometry& g) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    run(&mean_samples<T>, grid_for(outputs(g), kThreads), kThreads, 0, static_cast<T*>(y), static_cast<const T*>(x),
        static_cast<const T*>(regions), g);
  });
}

void roi_align_backward(int type, void* dx, const void* dy, const void* regions, const RoiGeometry& g) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    gradient(static_cast<T*>(dx), static_cast<const T*>(regions), g, AlignGradient<T>{static_cast<const T*>(dy)});
  });
}

}  // namespace cuda
}  // namespace fastnn
