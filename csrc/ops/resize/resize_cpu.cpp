#include <cstring>

#include "kernels/parallel.h"
#include "kernels/simd.h"
#include "ops/resize/tap.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

struct Tables {
  ResizeTap* taps[3];
  ResizeReach* reach[3];
};

template <class T>
Tables fill(void* memory, const ResizeGeometry& g) {
  Tables t;
  char* at = static_cast<char*>(memory);
  for (int i = 0; i < 3; ++i) {
    const ResizeAxis& a = g.axis[i];
    t.taps[i] = reinterpret_cast<ResizeTap*>(at);
    t.reach[i] = reinterpret_cast<ResizeReach*>(t.taps[i] + a.out);
    at = reinterpret_cast<char*>(t.reach[i] + a.in);
    for (int64_t c = 0; c < a.in; ++c) t.reach[i][c] = {a.out, -1};
    // Source positions rise with o, so the readers of a cell are neighbours.
    for (int64_t o = 0; o < a.out; ++o) {
      const ResizeTap tap = t.taps[i][o] = tap_of<T>(a, g, o);
      for (const int64_t c : {tap.low, tap.high}) {
        ResizeReach& r = t.reach[i][c];
        if (o < r.first) r.first = o;
        r.last = o;
      }
    }
  }
  return t;
}

inline int64_t rows_per_task(int64_t width, int64_t channels) {
  const int64_t row = width * channels;
  return row >= 16384 ? 1 : 16384 / (row > 0 ? row : 1);
}

template <class T>
void nearest(T* y, const T* x, const ResizeGeometry& g, const Tables& t) {
  const ResizeAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels;
  parallel_range(g.batch * D.out * H.out, rows_per_task(W.out, C), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / (D.out * H.out), d = t.taps[0][r / H.out % D.out].low, h = t.taps[1][r % H.out].low;
      const T* const row = x + ((n * D.in + d) * H.in + h) * W.in * C;
      T* to = y + r * W.out * C;
      for (int64_t o = 0; o < W.out; ++o, to += C) {
        const T* const from = row + t.taps[2][o].low * C;
        if (C >= 16)
          std::memcpy(to, from, static_cast<size_t>(C) * sizeof(T));
        else
          for (int64_t c = 0; c < C; ++c) to[c] = from[c];
      }
    }
  });
}

// y row = sum over kRows rows of x, two cells of each an output cell.
template <class T, int kRows>
FASTNN_INLINE void blend_row(T* __restrict y, const T* const* rows, const T* shares, const ResizeTap* taps,
                             int64_t width, int64_t C) {
  for (int64_t o = 0; o < width; ++o, y += C) {
    const ResizeTap& w = taps[o];
    const int64_t low = w.low * C, high = w.high * C;
    const T a = static_cast<T>(w.low_share), b = static_cast<T>(w.high_share);
    if (b == 0) {  // the upper cell takes no part, whatever is in it
      for (int64_t c = 0; c < C; ++c) {
        T sum = 0;
        for (int i = 0; i < kRows; ++i) sum += shares[i] * (a * rows[i][low + c]);
        y[c] = sum;
      }
      continue;
    }
    for (int64_t c = 0; c < C; ++c) {
      T sum = 0;
      for (int i = 0; i < kRows; ++i) sum += shares[i] * (a * rows[i][low + c] + b * rows[i][high + c]);
      y[c] = sum;
    }
  }
}

template <class T>
void linear(T* y, const T* x, const ResizeGeometry& g, const Tables& t) {
  const ResizeAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels;
  parallel_range(g.batch * D.out * H.out, rows_per_task(W.out, C), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t n = r / (D.out * H.out);
      const ResizeTap &d = t.taps[0][r / H.out % D.out], &h = t.taps[1][r % H.out];
      const T* rows[4];
      T shares[4];
      int count = 0;
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j) {
          const T share =
              static_cast<T>(i ? d.high_share : d.low_share) * static_cast<T>(j ? h.high_share : h.low_share);
          if (share == 0) continue;
          rows[count] = x + ((n * D.in + (i ? d.high : d.low)) * H.in + (j ? h.high : h.low)) * W.in * C;
          shares[count++] = share;
        }
      T* const to = y + r * W.out * C;
      switch (count) {
        case 1:
          blend_row<T, 1>(to, rows, shares, t.taps[2], W.out, C);
          break;
        case 2:
          blend_row<T, 2>(to, rows, shares, t.taps[2], W.out, C);
          break;
        case 3:
          blend_row<T, 3>(to, rows, shares, t.taps[2], W.out, C);
          break;
        default:
          blend_row<T, 4>(to, rows, shares, t.taps[2], W.out, C);
      }
    }
  });
}

template <class T>
void backward(T* dx, const T* dy, const ResizeGeometry& g, const Tables& t) {
  const ResizeAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels, width = W.in * C;
  parallel_range(g.batch * D.in * H.in, rows_per_task(W.in, C), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      T* const row = dx + r * width;
      std::memset(row, 0, static_cast<size_t>(width) * sizeof(T));
      const int64_t n = r / (D.in * H.in), i = r / H.in % D.in, j = r % H.in;
      const ResizeReach &d = t.reach[0][i], &h = t.reach[1][j];
      for (int64_t od = d.first; od <= d.last; ++od)
        for (int64_t oh = h.first; oh <= h.last; ++oh) {
          const T share = static_cast<T>(share_of(t.taps[0][od], i)) * static_cast<T>(share_of(t.taps[1][oh], j));
          if (share == 0) continue;
          const T* from = dy + ((n * D.out + od) * H.out + oh) * W.out * C;
          for (int64_t o = 0; o < W.out; ++o, from += C) {
            const ResizeTap& w = t.taps[2][o];
            T* __restrict low = row + w.low * C;
            const T a = share * static_cast<T>(w.low_share), b = share * static_cast<T>(w.high_share);
            for (int64_t c = 0; c < C; ++c) low[c] += a * from[c];
            if (b == 0) continue;
            T* __restrict high = row + w.high * C;
            for (int64_t c = 0; c < C; ++c) high[c] += b * from[c];
          }
        }
    }
  });
}

template <class T>
void forward_any(T* y, const T* x, void* tables, const ResizeGeometry& g) {
  const Tables t = fill<T>(tables, g);
  g.mode == ResizeMode::linear ? linear(y, x, g, t) : nearest(y, x, g, t);
}

}  // namespace

void resize_maps(double* m, int64_t images, double sx, double tx, double sy, double ty) {
  for (int64_t n = 0; n < images; ++n, m += 6) m[0] = sx, m[1] = 0, m[2] = tx, m[3] = 0, m[4] = sy, m[5] = ty;
}

void resize_forward(int type, void* y, const void* x, void* tables, const ResizeGeometry& g) {
  if (type == 4)
    forward_any(static_cast<float*>(y), static_cast<const float*>(x), tables, g);
  else
    forward_any(static_cast<double*>(y), static_cast<const double*>(x), tables, g);
}

void resize_backward(int type, void* dx, const void* dy, void* tables, const ResizeGeometry& g) {
  if (type == 4)
    backward(static_cast<float*>(dx), static_cast<const float*>(dy), g, fill<float>(tables, g));
  else
    backward(static_cast<double*>(dx), static_cast<const double*>(dy), g, fill<double>(tables, g));
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
