// Where the windows of an image are in memory. Pixels are taken in bands (whole images where these are small, else a
// few of the outermost lines of one image), and each band is seen in one of three ways:
//
//   in_place  x itself: no window reaches over a border
//   copied    the part of x that the band's windows cover, zeros around it, in the scratch memory of the thread: it
//             stays in the second-level cache, where every element is read many times
//   gathered  every window copied out on its own (im2col): for shapes where the copy would be mostly zeros
//
// In all of them a window is the same list of runs from the pixel's pointer on. Bands depend on shapes alone.
#pragma once

#include "kernels/simd.h"
#include "ops/conv/conv_kernels.h"
#include "ops/conv/conv_tile.h"
#include "ops/matmul/gemm_pack.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

inline int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
/// Part `i` of `n` items cut into `parts` runs whose lengths differ by one at most.
inline int64_t cut(int64_t n, int64_t parts, int64_t i) { return n / parts * i + min64(i, n % parts); }

/// A band's copy is about this large, and it has at most this many pixels (unless one line has more).
constexpr int64_t kBandBytes = 256 << 10, kBandPixels = 1024;

enum class See { in_place, copied, gathered };

template <class T>
struct Windows {
  const ConvArgs<T>& g;
  See see = See::in_place;
  int axis = 0;            // bands are cut along it; axes before it have one element
  int64_t inner = 1;       // pixels of one line along the axis
  int64_t band_lines = 0;  // lines of a band within an image, or 0: whole images
  int64_t band_images = 1, bands = 0;
  int64_t band_pixels = 0;           // of the largest band
  int64_t span[3], extent[3];        // of a window; of a band's copy
  int64_t pitch[3] = {}, image = 0;  // elements from one position of x to the next as seen, along each axis
  int64_t channels = 0;              // elements of a pixel as seen
  int64_t band_elements = 0;         // of the copy

  explicit Windows(const ConvArgs<T>& args) : g(args) {
    while (axis < 2 && g.out[axis] == 1) ++axis;
    for (int i = axis + 1; i < 3; ++i) inner *= g.out[i];
    const int64_t size = sizeof(T), x_channels = g.groups * g.C;
    bool inside = true;
    double volume = 1, x_volume = 1;
    for (int i = 0; i < 3; ++i) {
      span[i] = g.dilation[i] * (g.taps[i] - 1) + 1;
      extent[i] = (g.out[i] - 1) * g.stride[i] + span[i];
      inside = inside && g.pad[i] == 0 && extent[i] <= g.in[i];
      volume *= static_cast<double>(extent[i]);
      x_volume *= static_cast<double>(g.in[i]);
    }
    const bool evicts = aliases<T>(x_channels);  // neighbours fall on few sets of the first-level cache
    channels = x_channels;
    if (g.K() == 0) {  // nothing is read
      for (int64_t& e : extent) e = 1;
    } else if (inside && !evicts) {
      see = See::in_place;
    } else if (volume <= 8 * x_volume + 4096) {
      see = See::copied;
      if (evicts) channels += 16;
    } else {
      see = See::gathered;
    }
    const int64_t whole = g.image_pixels();
    if (see == See::gathered) {
      band_pixels = max64(kTileRows, min64(kBandPixels, kBandBytes / size / g.K()));
      band_elements = band_pixels * g.K();
      bands = ceil_div(g.pixels(), band_pixels);
      return;
    }
    const int64_t* const e = see == See::in_place ? g.in : extent;
    pitch[2] = channels;
    pitch[1] = e[2] * pitch[2];
    pitch[0] = e[1] * pitch[1];
    image = e[0] * pitch[0];
    const int64_t image_bytes = extent[0] * extent[1] * extent[2] * channels * size;
    const int64_t enough = ceil_div(8 * kTileRows, whole);  // images that fill a few tiles
    if (image_bytes <= kBandBytes ? whole <= kBandPixels : enough > 1) {
      band_images = max64(enough, min64(kBandBytes / max64(1, image_bytes), kBandPixels / whole));
      band_images = ceil_div(g.N, ceil_div(g.N, band_images));
      bands = ceil_div(g.N, band_images);
      band_pixels = band_images * whole;
      band_elements = band_images * image;
      return;
    }
    // Lines of one image, as many as fit; at least enough for one tile.
    const int64_t line = image_bytes / extent[axis];
    int64_t lines = (kBandBytes / max64(1, line) - span[axis]) / g.stride[axis] + 1;
    lines = min64(lines, kBandPixels / inner);
    lines = max64(lines, ceil_div(kTileRows, inner));
    lines = min64(lines, g.out[axis]);
    band_lines = ceil_div(g.out[axis], ceil_div(g.out[axis], lines));
    bands = g.N * ceil_div(g.out[axis], band_lines);
    band_pixels = band_lines * inner;
    band_elements = ((band_lines - 1) * g.stride[axis] + span[axis]) * pitch[axis];
  }

  int64_t runs_at_most() const { return g.K() == 0 ? 1 : g.tap_count() + gemm_chunks(g.K()) + 1; }
  int64_t copy_elements() const { return see == See::in_place ? 0 : band_elements; }
  /// Pixels [first, last) of a band, counted over all images.
  void band(int64_t b, int64_t& first, int64_t& last) const {
    const int64_t whole = g.image_pixels();
    if (see == See::gathered) {
      first = b * band_pixels;
      last = min64(first + band_pixels, g.pixels());
    } else if (band_lines == 0) {
      first = b * band_pixels;
      last = min64((b + 1) * band_images, g.N) * whole;
    } else {
      const int64_t per_image = ceil_div(g.out[axis], band_lines), n = b / per_image, u = b % per_image * band_lines;
      first = n * whole + u * inner;
      last = n * whole + min64(u + band_lines, g.out[axis]) * inner;
    }
  }

  /// The runs of a window in the order of the terms, cut where a chunk of `chunk` terms ends (chunk c is runs
  /// [firsts[c], firsts[c + 1])). Taps that follow each other in memory are one run.
  void window_runs(Run* runs, int64_t* firsts, int64_t chunk) const {
    int64_t count = 0, k = 0, chunks = 0;
    firsts[0] = 0;
    const auto emit = [&](int64_t offset, int64_t len) {
      while (len > 0) {
        if (k == (chunks + 1) * chunk) firsts[++chunks] = count;
        const int64_t take = min64(len, (chunks + 1) * chunk - k);
        if (count > firsts[chunks] && runs[count - 1].offset + runs[count - 1].len == offset)
          runs[count - 1].len += take;
        else
          runs[count++] = Run{offset, take};
        offset += take, len -= take, k += take;
      }
    };
    if (g.K() > 0) {
      if (see == See::gathered) {
        emit(0, g.K());
      } else {
        for (int64_t d = 0; d < g.taps[0]; ++d)
          for (int64_t h = 0; h < g.taps[1]; ++h)
            for (int64_t w = 0; w < g.taps[2]; ++w)
              emit(d * g.dilation[0] * pitch[0] + h * g.dilation[1] * pitch[1] + w * g.dilation[2] * pitch[2], g.C);
      }
    }
    firsts[chunks + 1] = count;
  }

  /// Copies what the windows of band b cover; nothing in place. `group` matters to gathered windows only.
  void fill(int64_t b, int64_t group, T* copy) const {
    int64_t first, last;
    band(b, first, last);
    if (see == See::gathered) {
      for (int64_t p = first; p < last; ++p) gather(p, group, copy + (p - first) * g.K());
    } else if (see == See::copied) {
      const int64_t whole = g.image_pixels();
      const int64_t n0 = first / whole, n1 = ceil_div(last, whole), u0 = band_lines ? first % whole / inner : 0;
      int64_t e[3] = {extent[0], extent[1], extent[2]}, start[3] = {-g.pad[0], -g.pad[1], -g.pad[2]};
      if (band_lines) {
        e[axis] = ((last - first) / inner - 1) * g.stride[axis] + span[axis];
        start[axis] += u0 * g.stride[axis];
      }
      for (int64_t n = n0; n < n1; ++n) copy_box(copy + (n - n0) * image, n, start, e);
    }
  }

  /// Calls f(index, lines-first pointer, pixels) for each stretch of pixels of band b that lie at step() from each
  /// other; `index` counts from the band's first pixel.
  template <class F>
  void lines(int64_t b, int64_t group, const T* copy, const F& f) const {
    int64_t first, last;
    band(b, first, last);
    if (see == See::gathered) {
      f(int64_t{0}, copy, last - first);
      return;
    }
    const int64_t whole = g.image_pixels(), width = g.out[2];
    for (int64_t p = first; p < last;) {
      const int64_t n = p / whole, w = p % width, h = p / width % g.out[1], d = p % whole / (width * g.out[1]);
      int64_t o[3] = {d, h, w}, n_seen = n;
      const T* base = g.x;
      if (see == See::copied) {
        base = copy;
        n_seen -= first / whole;
        if (band_lines) o[axis] -= first % whole / inner;
      }
      const T* const at = base + n_seen * image + o[0] * g.stride[0] * pitch[0] + o[1] * g.stride[1] * pitch[1] +
                          o[2] * g.stride[2] * pitch[2] + group * g.C;
      const int64_t count = min64(width - w, last - p);
      f(p - first, at, count);
      p += count;
    }
  }
  int64_t step() const { return see == See::gathered ? g.K() : g.out[2] > 1 ? g.stride[2] * pitch[2] : 0; }

 private:
  static void clear(T* to, int64_t n) {
    if (n > 0) __builtin_memset(to, 0, static_cast<size_t>(n) * sizeof(T));
  }
  static void move(T* to, const T* from, int64_t n) {
    if (n > 0) __builtin_memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
  }
  /// The box of image n that begins at `start` and has `e` positions, zeros outside of the image.
  void copy_box(T* to, int64_t n, const int64_t* start, const int64_t* e) const {
    const int64_t x_channels = g.groups * g.C;
    const int64_t left = min64(max64(-start[2], 0), e[2]), right = max64(left, min64(e[2], g.in[2] - start[2]));
    for (int64_t d = 0; d < e[0]; ++d)
      for (int64_t h = 0; h < e[1]; ++h) {
        T* const row = to + d * pitch[0] + h * pitch[1];
        const int64_t i = start[0] + d, j = start[1] + h;
        if (i < 0 || i >= g.in[0] || j < 0 || j >= g.in[1]) {
          clear(row, e[2] * channels);
          continue;
        }
        clear(row, left * channels);
        const T* const from = g.x + (((n * g.in[0] + i) * g.in[1] + j) * g.in[2] + start[2] + left) * x_channels;
        if (channels == x_channels)
          move(row + left * channels, from, (right - left) * channels);
        else
          for (int64_t w = left; w < right; ++w) move(row + w * channels, from + (w - left) * x_channels, x_channels);
        clear(row + right * channels, (e[2] - right) * channels);
      }
  }
  /// The window of pixel p, all its terms.
  void gather(int64_t p, int64_t group, T* to) const {
    const int64_t whole = g.image_pixels(), n = p / whole;
    const int64_t o[3] = {p % whole / (g.out[1] * g.out[2]), p / g.out[2] % g.out[1], p % g.out[2]};
    for (int64_t d = 0; d < g.taps[0]; ++d)
      for (int64_t h = 0; h < g.taps[1]; ++h)
        for (int64_t w = 0; w < g.taps[2]; ++w, to += g.C) {
          const int64_t i = o[0] * g.stride[0] + d * g.dilation[0] - g.pad[0];
          const int64_t j = o[1] * g.stride[1] + h * g.dilation[1] - g.pad[1];
          const int64_t k = o[2] * g.stride[2] + w * g.dilation[2] - g.pad[2];
          if (i < 0 || i >= g.in[0] || j < 0 || j >= g.in[1] || k < 0 || k >= g.in[2])
            clear(to, g.C);
          else
            move(to, g.x + (((n * g.in[0] + i) * g.in[1] + j) * g.in[2] + k) * g.groups * g.C + group * g.C, g.C);
        }
  }
};

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
