#include <cstring>

#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/boxes/roi_axis.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// --- roi_pool -------------------------------------------------------------------------------------------------------

template <class T>
void pool_forward(T* y, int64_t* place, const T* x, const T* regions, const RoiGeometry& g) {
  const int64_t C = g.channels;
  parallel_tasks(g.regions, [&](int64_t k) {
    const T* r = regions + 5 * k;
    const T* image = x + static_cast<int64_t>(r[0]) * g.height * g.width * C;
    const PoolAxisOf<T> xs(r[1], r[3], g.scale, g.width, g.out_width), ys(r[2], r[4], g.scale, g.height, g.out_height);
    for (int64_t i = 0; i < g.out_height * g.out_width; ++i) {
      const Bin v = ys.bin(i / g.out_width), h = xs.bin(i % g.out_width);
      const bool empty = v.low >= v.high || h.low >= h.high;
      T* const to = y + (k * g.out_height * g.out_width + i) * C;
      int64_t* const at = place + (k * g.out_height * g.out_width + i) * C;
      const int64_t first = v.low * g.width + h.low;
      for (int64_t c = 0; c < C; ++c) to[c] = empty ? T(0) : image[first * C + c], at[c] = empty ? -1 : first;
      for (int64_t iy = v.low; iy < v.high; ++iy)
        for (int64_t ix = h.low; ix < h.high; ++ix) {
          const int64_t cell = iy * g.width + ix;
          const T* from = image + cell * C;
          for (int64_t c = 0; c < C; ++c) {
            const bool larger = from[c] > to[c] || from[c] != from[c];
            to[c] = larger ? from[c] : to[c];
            at[c] = larger ? cell : at[c];
          }
        }
    }
  });
}

// Gradients are added region by region to a block of channels of an image, so their sums do not depend on threads.
// f(region, first channel, channels, the image's dx).
template <class T, class F>
void for_images(T* dx, const T* regions, const RoiGeometry& g, const F& f) {
  constexpr int64_t kWidth = 64;
  const int64_t C = g.channels, blocks = (C + kWidth - 1) / kWidth, plane = g.height * g.width;
  parallel_tasks(g.images * blocks, [&](int64_t task) {
    const int64_t n = task / blocks, c0 = task % blocks * kWidth, width = C - c0 < kWidth ? C - c0 : kWidth;
    T* const image = dx + n * plane * C;
    for (int64_t i = 0; i < plane; ++i) std::memset(image + i * C + c0, 0, static_cast<size_t>(width) * sizeof(T));
    for (int64_t k = 0; k < g.regions; ++k)
      if (static_cast<int64_t>(regions[5 * k]) == n) f(k, c0, width, image);
  });
}

template <class T>
void pool_backward(T* dx, const T* dy, const int64_t* place, const T* regions, const RoiGeometry& g) {
  const int64_t C = g.channels, bins = g.out_height * g.out_width;
  for_images(dx, regions, g, [&](int64_t k, int64_t c0, int64_t width, T* image) {
    for (int64_t i = k * bins; i < (k + 1) * bins; ++i)
      for (int64_t c = c0; c < c0 + width; ++c)
        if (place[i * C + c] >= 0) image[place[i * C + c] * C + c] += dy[i * C + c];
  });
}

// --- roi_align ------------------------------------------------------------------------------------------------------

/// f(bin, four cells, four weights) for every sample of region k; the weights add up to one over a bin.
template <class T, class F>
void for_samples(const T* region, const RoiGeometry& g, const F& f) {
  const AlignAxis<T> xs(region[1], region[3], g.width, g.out_width, g),
      ys(region[2], region[4], g.height, g.out_height, g);
  const int64_t all = xs.samples * ys.samples;
  const T count = static_cast<T>(all > 1 ? all : 1);
  for (int64_t i = 0; i < g.out_height; ++i)
    for (int64_t j = 0; j < g.out_width; ++j)
      for (int64_t u = 0; u < ys.samples; ++u) {
        int64_t y0, y1, x0, x1;
        T hy, ly, hx, lx;
        if (!ys.sample(i, u, y0, y1, hy, ly)) continue;
        for (int64_t v = 0; v < xs.samples; ++v) {
          if (!xs.sample(j, v, x0, x1, hx, lx)) continue;
          const int64_t cells[4] = {y0 * g.width + x0, y0 * g.width + x1, y1 * g.width + x0, y1 * g.width + x1};
          const T weights[4] = {hy * hx / count, hy * lx / count, ly * hx / count, ly * lx / count};
          f(i * g.out_width + j, cells, weights);
        }
      }
}

template <class T>
void align_forward(T* y, const T* x, const T* regions, const RoiGeometry& g) {
  const int64_t C = g.channels, bins = g.out_height * g.out_width;
  parallel_tasks(g.regions, [&](int64_t k) {
    const T* image = x + static_cast<int64_t>(regions[5 * k]) * g.height * g.width * C;
    std::memset(y + k * bins * C, 0, static_cast<size_t>(bins * C) * sizeof(T));
    for_samples(regions + 5 * k, g, [&](int64_t bin, const int64_t* cells, const T* w) {
      T* __restrict to = y + (k * bins + bin) * C;
      const T *a = image + cells[0] * C, *b = image + cells[1] * C, *c = image + cells[2] * C,
              *d = image + cells[3] * C;
      for (int64_t i = 0; i < C; ++i) to[i] += (w[0] * a[i] + w[1] * b[i]) + (w[2] * c[i] + w[3] * d[i]);
    });
  });
}

template <class T>
void align_backward(T* dx, const T* dy, const T* regions, const RoiGeometry& g) {
  const int64_t C = g.channels, bins = g.out_height * g.out_width;
  for_images(dx, regions, g, [&](int64_t k, int64_t c0, int64_t width, T* image) {
    for_samples(regions + 5 * k, g, [&](int64_t bin, const int64_t* cells, const T* w) {
      const T* from = dy + (k * bins + bin) * C + c0;
      for (int j = 0; j < 4; ++j) {
        T* __restrict to = image + cells[j] * C + c0;
        for (int64_t c = 0; c < width; ++c) to[c] += w[j] * from[c];
      }
    });
  });
}

// f(a null pointer of the element type)
template <class F>
void with_float(int type, const F& f) {
  if (type == 4)
    f(static_cast<float*>(nullptr));
  else
    f(static_cast<double*>(nullptr));
}

}  // namespace

void roi_pool_forward(int type, void* y, int64_t* place, const void* x, const void* regions, const RoiGeometry& g) {
  with_float(type, [&](auto* tag) {
    typedef __typeof__(*tag) T;
    pool_forward(static_cast<T*>(y), place, static_cast<const T*>(x), static_cast<const T*>(regions), g);
  });
}
void roi_pool_backward(int type, void* dx, const void* dy, const int64_t* place, const void* regions,
                       const RoiGeometry& g) {
  with_float(type, [&](auto* tag) {
    typedef __typeof__(*tag) T;
    pool_backward(static_cast<T*>(dx), static_cast<const T*>(dy), place, static_cast<const T*>(regions), g);
  });
}
void roi_align_forward(int type, void* y, const void* x, const void* regions, const RoiGeometry& g) {
  with_float(type, [&](auto* tag) {
    typedef __typeof__(*tag) T;
    align_forward(static_cast<T*>(y), static_cast<const T*>(x), static_cast<const T*>(regions), g);
  });
}
void roi_align_backward(int type, void* dx, const void* dy, const void* regions, const RoiGeometry& g) {
  with_float(type, [&](auto* tag) {
    typedef __typeof__(*tag) T;
    align_backward(static_cast<T*>(dx), static_cast<const T*>(dy), static_cast<const T*>(regions), g);
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
