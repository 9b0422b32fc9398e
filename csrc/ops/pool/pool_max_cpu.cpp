#include "ops/pool/window.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Numbers of cells, one a lane; in memory they are int32.
template <class T>
using Codes = IntOf<Vec<T>>;

template <class T>
FASTNN_INLINE Codes<T> all_lanes(int64_t code) {
  return Codes<T>{} + static_cast<IntOf<T>>(code);
}
template <class B>
FASTNN_INLINE i32v load_codes(const int32_t* p, int64_t part, float) {
  return load_block<B>(p, part);
}
template <class B>
FASTNN_INLINE i64v load_codes(const int32_t* p, int64_t part, double) {
  i32h h = {};
  std::memcpy(&h, p, B::value == 0 ? static_cast<size_t>(part) * 4 : sizeof(h));
  return __builtin_convertvector(h, i64v);
}
template <class B>
FASTNN_INLINE void store_codes(int32_t* p, i32v codes, int64_t part) {
  store_block<B>(p, codes, part);
}
template <class B>
FASTNN_INLINE void store_codes(int32_t* p, i64v codes, int64_t part) {
  const i32h h = __builtin_convertvector(codes, i32h);
  std::memcpy(p, &h, B::value == 0 ? static_cast<size_t>(part) * 4 : sizeof(h));
}

// The cells of one window inside x: how many, their distance in elements, and the numbers they get.
struct Cells {
  int64_t count[3], step[3], code, code_step[2];
};

// The maximum of a block of channels and, with kPlace, the number of the cell it is in.
template <bool kPlace, class B, class T>
FASTNN_INLINE void max_of_window(T* y, int32_t* place, const T* x, const Cells& w, int64_t part) {
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
    if constexpr (kPlace) store_codes<B>(place + i * kLanes<T>, code[i], part);
  }
}

// `count` windows of K x K cells that lie inside x, `step` elements from one to the next. False where there may be a
// NaN: the sum of all cells is one then (or overflows, or meets both infinities, which is as rare).
template <int K, bool kPlace, class T>
FASTNN_INLINE bool max_of_squares(T* y, int32_t* place, const T* x, int64_t count, int64_t step, int64_t row,
                                  int64_t C) {
  Vec<T> check = {};
  for (int64_t o = 0; o < count; ++o, x += step, y += C, place += C)
    for_vectors<T>(C, [&](int64_t c) FASTNN_LAMBDA_INLINE {
      Vec<T> best = load(x + c), sum = best;
      Codes<T> code = {};
#pragma GCC unroll 9
      for (int i = 1; i < K * K; ++i) {
        const Vec<T> v = load(x + i / K * row + i % K * C + c);
        if constexpr (kPlace) code = v > best ? all_lanes<T>(i) : code;
        best = larger(v, best);
        sum += v;
      }
      check += sum;
      store(y + c, best);
      if constexpr (kPlace) store_codes<Vectors<1>>(place + c, code, kLanes<T>);
    });
  return !any(check != check);
}

template <class T, bool kPlace>
void forward(T* y, int32_t* place, const T* x, const PoolGeometry& g) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  const int64_t C = g.channels, row = W.in * C, slice = H.in * row, image = D.in * slice;
  const Inner inner(W, g.adaptive);
  parallel_range(g.batch * D.out * H.out, rows_per_task(g, W.out), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const Span d = span_of(D, g.adaptive, r / H.out % D.out), h = span_of(H, g.adaptive, r % H.out);
      const T* const from = x + r / (D.out * H.out) * image;
      const bool dilated = H.dilation != 1 || W.dilation != 1;
      const int64_t side = dilated ? 0 : square_side(g, d.count == D.kernel ? d.count : 0, h.count, kLanes<T>);
      for (int64_t o = 0; o < W.out; ++o) {
        const Span w = span_of(W, g.adaptive, o);
        Cells cells{{d.count, h.count, w.count},
                    {D.dilation * slice, H.dilation * row, W.dilation * C},
                    (d.cell * H.kernel + h.cell) * W.kernel + w.cell,
                    {H.kernel * W.kernel, W.kernel}};
        if (d.count == 0 || h.count == 0 || w.count == 0) cells.code = -1;
        const int64_t first = d.first * slice + h.first * row + w.first * C, to = (r * W.out + o) * C;
        if (side && o == inner.first && o < inner.end) {
          const auto squares = side == 2 ? max_of_squares<2, kPlace, T> : max_of_squares<3, kPlace, T>;
          if (squares(y + to, place + to, from + first, inner.end - o, W.stride * C, row, C)) {
            o = inner.end - 1;
            continue;
          }
        }
        for_channels<T>(C, [&](auto block, int64_t c, int64_t part) FASTNN_LAMBDA_INLINE {
          max_of_window<kPlace, decltype(block)>(y + to + c, place + to + c, from + first + c, cells, part);
        });
      }
    }
  });
}

// dy of one window, given to those of `count` cells of a row, numbered from `number` on, that were its maximum.
template <class B, class T>
FASTNN_INLINE void give_maximum(T* dx, const T* dy, const int32_t* place, int64_t count, int64_t step, int64_t number,
                                int64_t part) {
  constexpr int n = kBlock<B>;
  Vec<T> v[n];
  Codes<T> code[n];
#pragma GCC unroll 8
  for (int i = 0; i < n; ++i) {
    v[i] = only_new<B, T>(load_block<B>(dy + i * kLanes<T>, part), part);
    code[i] = load_codes<B>(place + i * kLanes<T>, part, T{});
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

template <class T>
void backward(T* dx, const T* dy, const int32_t* place, const PoolGeometry& g) {
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
                values.code[v] = load_codes<B>(place + at, part, T{});
              }
              return values;
            },
        [](const auto& values, int64_t k, int v) FASTNN_LAMBDA_INLINE {
          return values.code[v] == all_lanes<T>(values.number + k) ? values.lane[v] : Vec<T>{};
        });
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
void forward_any(T* y, int32_t* place, const T* x, const PoolGeometry& g) {
  place != nullptr ? forward<T, true>(y, place, x, g) : forward<T, false>(y, place, x, g);
}

}  // namespace

void max_pool_forward(int type, void* y, int32_t* place, const void* x, const PoolGeometry& g) {
  if (type == kFloat32)
    forward_any(static_cast<float*>(y), place, static_cast<const float*>(x), g);
  else
    forward_any(static_cast<double*>(y), place, static_cast<const double*>(x), g);
}

void max_pool_backward(int type, void* dx, const void* dy, const int32_t* place, const PoolGeometry& g) {
  if (type == kFloat32)
    backward(static_cast<float*>(dx), static_cast<const float*>(dy), place, g);
  else
    backward(static_cast<double*>(dx), static_cast<const double*>(dy), place, g);
}

void max_pool_indices(int64_t* indices, const int32_t* place, const PoolGeometry& g) {
  const PoolAxis &D = g.axis[0], &H = g.axis[1], &W = g.axis[2];
  parallel_range(g.batch * D.out * H.out, rows_per_task(g, W.out), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t d = window_begin(D, g.adaptive, r / H.out % D.out), h = window_begin(H, g.adaptive, r % H.out);
      for (int64_t o = 0; o < W.out; ++o) {
        const int64_t w = window_begin(W, g.adaptive, o), at = (r * W.out + o) * g.channels;
        for (int64_t c = at; c < at + g.channels; ++c) {
          const int64_t code = place[c], hw = code / W.kernel;
          indices[c] = code < 0 ? -1
                                : ((d + hw / H.kernel * D.dilation) * H.in + h + hw % H.kernel * H.dilation) * W.in +
                                      w + code % W.kernel * W.dilation;
        }
      }
    }
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
