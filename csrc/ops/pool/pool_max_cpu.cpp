#include "kernels/simd_bytes.h"
#include "ops/pool/window.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Numbers of cells, one a lane; in memory they are bytes or int32 (P).
template <class T>
using Codes = IntOf<Vec<T>>;

// The number of no cell. Windows of bytes have no cell 255.
template <class P>
constexpr int64_t kNone = sizeof(P) == 1 ? 255 : -1;

template <class T>
FASTNN_INLINE Codes<T> all_lanes(int64_t code) {
  return Codes<T>{} + static_cast<IntOf<T>>(code);
}
template <class B, class T>
FASTNN_INLINE Codes<T> load_codes(const uint8_t* p, int64_t part) {
  if constexpr (B::value == 0) return load_bytes_n(p, part, Codes<T>{});
  return load_bytes(p, Codes<T>{});
}
template <class B, class T>
FASTNN_INLINE void store_codes(uint8_t* p, Codes<T> codes, int64_t part) {
  if constexpr (B::value == 0) return store_bytes_n(p, codes, part);
  store_bytes(p, codes);
}
template <class B, class T>
FASTNN_INLINE Codes<T> load_codes(const int32_t* p, int64_t part) {
  Codes<T> codes = {};
  for (int64_t i = 0; i < (B::value == 0 ? part : kLanes<T>); ++i) codes[i] = p[i];
  return codes;
}
template <class B, class T>
FASTNN_INLINE void store_codes(int32_t* p, Codes<T> codes, int64_t part) {
  for (int64_t i = 0; i < (B::value == 0 ? part : kLanes<T>); ++i) p[i] = static_cast<int32_t>(codes[i]);
}

// The cells of one window inside x: how many, their distance in elements, and the numbers they get.
struct Cells {
  int64_t count[3], step[3], code, code_step[2];
};

// The maximum of a block of channels and, with kPlace, the number of the cell it is in.
template <bool kPlace, class B, class T, class P>
FASTNN_INLINE void max_of_window(T* y, P* place, const T* x, const Cells& w, int64_t part) {
  constexpr int n = kBlock<B>;
  Vec<T> best[n];
  Codes<T> code[n];
#pragma GCC unroll 8
  for (int i = 0; i < n; ++i) best[i] = splat<Vec<T>>(-__builtin_inf()), code[i] = all_lanes<T>(w.code);
  for (int64_t d = 0; d < w.count[0]; ++d)
    for (int64_t h = 0; h < w.count[1]; ++h) {
      const T* p = x + d * w.step[0] + h * w.step[1];
      int64_t number = w.code + d * w.code_step[0] + h * w.code_step[1];
      for (int64_t k = 0; k < w.count[2]; ++k, p += w.step[2], ++number) {
        const Codes<T> here = all_lanes<T>(number);
#pragma GCC unroll 8
        for (int i = 0; i < n; ++i) {
          const Vec<T> v = load_block<B>(p + i * kLanes<T>, part);
          if constexpr (kPlace) {
            code[i] = v > best[i] ? here : code[i];
            code[i] = v != v ? here : code[i];
          }
          best[i] = v > best[i] ? v : best[i];  // a NaN stays: nothing compares greater
          best[i] = v != v ? v : best[i];
        }
      }
    }
#pragma GCC unroll 8
  for (int i = 0; i < n; ++i) {
    store_block<B>(y + i * kLanes<T>, best[i], part);
    if constexpr (kPlace) store_codes<B, T>(place + i * kLanes<T>, code[i], part);
  }
}

// False where there may be a NaN: the sum of all cells is one then (or overflows, or meets both infinities, which is as
// rare).
template <int K, bool kPlace, class T>
FASTNN_INLINE bool max_of_squares(T* y, uint8_t* place, const T* x, const Squares s, int64_t C, int64_t fetch) {
  Vec<T> check = {};
  for (int64_t l = 0; l < s.lines; ++l)
    for (int64_t o = 0; o < s.count; ++o) {
      const T* const from = x + l * s.down + o * s.step;
      const int64_t to = l * s.below + o * C;
      if (fetch)
        for (int64_t j = 0; j < fetch; ++j)
          for (int64_t i = 0; i < s.step; i += 64 / static_cast<int64_t>(sizeof(T)))
            __builtin_prefetch(from + s.down + (K - fetch + j) * s.row + i);
      for_vectors<T>(C, [=, &check](int64_t c) FASTNN_LAMBDA_INLINE {
        Vec<T> best = load(from + c), sum = best;
        Codes<T> code = {};
#pragma GCC unroll 9
        for (int i = 1; i < K * K; ++i) {
          const Vec<T> v = load(from + i / K * s.row + i % K * C + c);
          if constexpr (kPlace) code = v > best ? all_lanes<T>(i) : code;
          best = larger(v, best);
          sum += v;
        }
        check += sum;
        store(y + to + c, best);
        if constexpr (kPlace) store_codes<Vectors<1>, T>(place + to + c, code, kLanes<T>);
      });
    }
  return !any(check != check);
}

template <class T, bool kPlace, class P>
void forward(T* y, P* place, const T* x, const PoolGeometry& g) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels, row = W.in * C, slice = H.in * row;
  const Cells whole{{}, {D.dilation * slice, H.dilation * row, W.dilation * C}, 0, {H.kernel * W.kernel, W.kernel}};
  // Rows of x that the next line of windows adds are fetched where x is too large for the caches.
  const int64_t fetch = g.batch * D.in * slice * static_cast<int64_t>(sizeof(T)) < (16 << 20) ? 0
                        : H.stride < H.kernel                                                 ? H.stride
                                                                                              : H.kernel;
  for_windows<T>(
      g,
      [&](int64_t side, int64_t window, int64_t first, const Squares& s) FASTNN_LAMBDA_INLINE {
        if constexpr (sizeof(P) == 1) {
          const auto squares = side == 2 ? max_of_squares<2, kPlace, T> : max_of_squares<3, kPlace, T>;
          return squares(y + window * C, place + window * C, x + first, s, C, fetch);
        }
        return false;  // windows so small have bytes
      },
      [&](int64_t window, int64_t image, const Span& d, const Span& h, const Span& w) FASTNN_LAMBDA_INLINE {
        Cells cells = whole;
        cells.count[0] = d.count, cells.count[1] = h.count, cells.count[2] = w.count;
        cells.code = d.cell * whole.code_step[0] + h.cell * whole.code_step[1] + w.cell;
        if (d.count == 0 || h.count == 0 || w.count == 0) cells.code = kNone<P>;
        const int64_t from = image * D.in * slice + d.first * slice + h.first * row + w.first * C;
        for_channels<T>(C, [&](auto block, int64_t c, int64_t part) FASTNN_LAMBDA_INLINE {
          max_of_window<kPlace, decltype(block)>(y + window * C + c, place + window * C + c, x + from + c, cells, part);
        });
      });
}

// dy of one window, given to those of `count` cells of a row, numbered from `number` on, that were its maximum.
template <class B, class T, class P>
FASTNN_INLINE void give_maximum(T* dx, const T* dy, const P* place, int64_t count, int64_t step, int64_t number,
                                int64_t part) {
  constexpr int n = kBlock<B>;
  Vec<T> v[n];
  Codes<T> code[n];
#pragma GCC unroll 8
  for (int i = 0; i < n; ++i) {
    v[i] = only_new<B, T>(load_block<B>(dy + i * kLanes<T>, part), part);
    code[i] = load_codes<B, T>(place + i * kLanes<T>, part);
  }
  for (int64_t k = 0; k < count; ++k, dx += step) {
    const Codes<T> here = all_lanes<T>(number + k);
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) {
      T* const to = dx + i * kLanes<T>;
      const Vec<T> sum = load_block<B>(to, part);
      store_block<B>(to, code[i] == here ? sum + v[i] : sum, part);
    }
  }
}

// dy of a window, and the cells that were its maxima.
template <class T, int kCount>
struct Marked {
  Vec<T> lane[kCount];
  Codes<T> code[kCount];
  int64_t number;
};

// For gather_windows: dy, for the cell that was the maximum.
template <class T>
struct GiveMaximum {
  const T* dy;
  const uint8_t* place;
  int64_t C;
  struct Row {
    int64_t first, number;
  };
  Row row(int64_t first, int64_t number, int64_t, int64_t) const { return {first, number}; }
  template <class B>
  FASTNN_INLINE Marked<T, kBlock<B>> load(B, const Row& row, int64_t o, int64_t c, int64_t part) const {
    Marked<T, kBlock<B>> window;
    const int64_t from = (row.first + o) * C + c;
#pragma GCC unroll 8
    for (int v = 0; v < kBlock<B>; ++v) {
      window.lane[v] = load_block<B>(dy + from + v * kLanes<T>, part);
      window.code[v] = load_codes<B, T>(place + from + v * kLanes<T>, part);
    }
    return window;
  }
  template <class W>
  FASTNN_INLINE Vec<T> add(Vec<T> sum, const W& window, int v, const Row& row, int64_t k) const {
    return window.code[v] == all_lanes<T>(row.number + k) ? sum + window.lane[v] : sum;
  }
};

template <class T, class P>
void backward(T* dx, const T* dy, const P* place, const PoolGeometry& g) {
  if (windows_apart(g))
    return give_windows(
        dx, g,
        [&](auto block, int64_t window, int64_t number, int64_t c, int64_t part, int64_t, int64_t, int64_t)
            FASTNN_LAMBDA_INLINE {
              typedef decltype(block) B;
              Marked<T, kBlock<B>> values;
              values.number = number;
#pragma GCC unroll 8
              for (int v = 0; v < kBlock<B>; ++v) {
                const int64_t at = window * g.channels + c + v * kLanes<T>;
                values.lane[v] = load_block<B>(dy + at, part);
                values.code[v] = load_codes<B, T>(place + at, part);
              }
              return values;
            },
        [](const auto& values, int64_t k, int v) FASTNN_LAMBDA_INLINE {
          return values.code[v] == all_lanes<T>(values.number + k) ? values.lane[v] : Vec<T>{};
        });
  if constexpr (sizeof(P) == 1 && sizeof(T) == 4)  // code for float64 is kept small
    if (gathers(g)) return gather_windows(dx, g, GiveMaximum<T>{dy, place, g.channels});
  const PoolAxis& W = g.axis[2];
  const int64_t C = g.channels;
  for_rows(dx, g, [&](T* row, int64_t number, int64_t windows, int64_t, int64_t) {
    for (int64_t o = 0; o < W.out; ++o) {
      const Span w = span_of(W, g.adaptive, o);
      const int64_t from = (windows * W.out + o) * C, first = number * W.kernel + w.cell;
      for_channels<T>(C, [&](auto block, int64_t c, int64_t part) FASTNN_LAMBDA_INLINE {
        give_maximum<decltype(block)>(row + w.first * C + c, dy + from + c, place + from + c, w.count, W.dilation * C,
                                      first, part);
      });
    }
  });
}

template <class T>
void forward_any(T* y, void* place, const T* x, const PoolGeometry& g) {
  if (place == nullptr) return forward<T, false>(y, static_cast<uint8_t*>(place), x, g);
  if (byte_places(g)) return forward<T, true>(y, static_cast<uint8_t*>(place), x, g);
  forward<T, true>(y, static_cast<int32_t*>(place), x, g);
}
template <class T>
void backward_any(T* dx, const T* dy, const void* place, const PoolGeometry& g) {
  if (byte_places(g)) return backward(dx, dy, static_cast<const uint8_t*>(place), g);
  backward(dx, dy, static_cast<const int32_t*>(place), g);
}
template <class P>
void indices_of(int64_t* indices, const P* place, const PoolGeometry& g) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  parallel_range(g.batch * D.out * H.out, rows_per_task(g), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t d = window_begin(D, g.adaptive, r / H.out % D.out), h = window_begin(H, g.adaptive, r % H.out);
      for (int64_t o = 0; o < W.out; ++o) {
        const int64_t w = window_begin(W, g.adaptive, o), at = (r * W.out + o) * g.channels;
        for (int64_t c = at; c < at + g.channels; ++c) {
          const int64_t code = place[c], hw = code / W.kernel;
          indices[c] = code == kNone<P>
                           ? -1
                           : ((d + hw / H.kernel * D.dilation) * H.in + h + hw % H.kernel * H.dilation) * W.in + w +
                                 code % W.kernel * W.dilation;
        }
      }
    }
  });
}

}  // namespace

void max_pool_forward(int type, void* y, void* place, const void* x, const PoolGeometry& g) {
  if (type == kFloat32)
    forward_any(static_cast<float*>(y), place, static_cast<const float*>(x), g);
  else
    forward_any(static_cast<double*>(y), place, static_cast<const double*>(x), g);
}

void max_pool_backward(int type, void* dx, const void* dy, const void* place, const PoolGeometry& g) {
  if (type == kFloat32)
    backward_any(static_cast<float*>(dx), static_cast<const float*>(dy), place, g);
  else
    backward_any(static_cast<double*>(dx), static_cast<const double*>(dy), place, g);
}

void max_pool_indices(int64_t* indices, const void* place, const PoolGeometry& g) {
  if (byte_places(g)) return indices_of(indices, static_cast<const uint8_t*>(place), g);
  indices_of(indices, static_cast<const int32_t*>(place), g);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
