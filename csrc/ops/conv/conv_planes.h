// Convolutions of few channels to few channels (conv_by_planes): no axis of the weights fills a vector, so the lanes
// are pixels. Each channel of a band of lines is copied to a plane of its own, with the zeros around it; the pixels of
// a plane are one long line in which a tap is a shift, and what falls between two lines of y is computed and left out.
//
//   y:   sums over channels, then taps, of shifted planes times one number
//   dw:  lanes are summed at the very end; dy has zeros between its lines (so 0 times Inf or NaN of x is seen there)
//
// Bands depend on the shape of an image alone; dw is cut into conv_planes_parts runs of bands, added from left to
// right.
#pragma once

#include "ops/conv/conv_engine.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Accumulators of a block of y: as many as leave registers for the pixels and a weight.
constexpr int kPlaneSums = kVecBytes == 64 ? 24 : 12;

/// Where the planes of a band are.
struct Planes {
  const ConvArgs<float>& g;
  int64_t pitch;        // of a line: y's width and what the taps reach over
  int64_t bands, rows;  // of an image, lines of y in the largest of them
  int64_t in, out;      // elements of a plane of x and of y
  explicit Planes(const ConvArgs<float>& args) : g(args) {
    constexpr int64_t L = kLanes<float>;
    pitch = conv_planes_pitch(g);
    bands = conv_planes_bands(g);
    rows = ceil_div(g.out[1], bands);
    in = round_up((rows + (g.taps[1] - 1) * g.dilation[1]) * pitch, L) + 2 * L;
    out = round_up(rows * pitch, L) + L;
  }
  /// Vectors of the pixels of `lines` lines.
  int64_t vectors(int64_t lines) const { return ceil_div((lines - 1) * pitch + g.out[2], kLanes<float>); }
  int64_t shift(int64_t tap) const { return tap / g.taps[2] * g.dilation[1] * pitch + tap % g.taps[2] * g.dilation[2]; }
};

/// Which lanes make vectors of one channel from vectors of pixels, or (`together`) the other way round: result j is
/// begun with vector 0, and vector q = 1, 2, ... gives it lanes as element (j, q - 1) says.
inline void plan_lanes(int64_t C, bool together, int32_t* plan) {
  constexpr int64_t L = kLanes<float>;
  for (int64_t j = 0; j < C; ++j)
    for (int64_t q = 1; q < C; ++q)
      for (int64_t l = 0; l < L; ++l) {
        const int64_t e = together ? j * L + l : l * C + j;
        const int64_t vec = together ? e % C : e / L, lane = together ? e / C : e % L;
        plan[(j * (C - 1) + q - 1) * L + l] = static_cast<int32_t>(vec == q ? L + lane : q > 1 ? l : lane);
      }
}

/// C vectors become C others.
template <int C, class Store>
FASTNN_INLINE void move_lanes(const f32v (&v)[C], const int32_t* plan, const Store& to) {
#pragma GCC unroll 8
  for (int j = 0; j < C; ++j) {
    f32v r = v[0];
#pragma GCC unroll 8
    for (int q = 1; q < C; ++q) r = __builtin_shuffle(r, v[q], load(plan + (j * (C - 1) + q - 1) * kLanes<float>));
    to(j, r);
  }
}

/// `pixels` neighbours of C channels to C planes: whole vectors, zeros behind the last pixel.
template <int C>
void line_to_planes(const float* x, int64_t pixels, const int32_t* plan, float* to, int64_t plane) {
  constexpr int64_t L = kLanes<float>;
  for (int64_t p = 0; p < pixels; p += L, x += C * L) {
    f32v v[C];
    const int64_t left = (pixels - p) * C;
#pragma GCC unroll 8
    for (int j = 0; j < C; ++j)
      v[j] = left >= C * L ? load(x + j * L) : load_n(x + j * L, min64(L, max64(0, left - j * L)));
    move_lanes<C>(v, plan, [&](int64_t j, f32v r) FASTNN_LAMBDA_INLINE { store(to + j * plane + p, r); });
  }
}
template <int C>
void planes_to_line(const float* from, int64_t plane, int64_t pixels, const int32_t* plan, float* y) {
  constexpr int64_t L = kLanes<float>;
  for (int64_t p = 0; p < pixels; p += L, y += C * L) {
    f32v v[C];
    const int64_t left = (pixels - p) * C;
#pragma GCC unroll 8
    for (int j = 0; j < C; ++j) v[j] = load(from + j * plane + p);
    move_lanes<C>(v, plan, [&](int64_t j, f32v r) FASTNN_LAMBDA_INLINE {
      if (left >= C * L)
        store(y + j * L, r);
      else
        store_n(y + j * L, r, min64(L, max64(0, left - j * L)));
    });
  }
}

/// Calls f(std::integral_constant-like number) for n = 1 .. N.
template <int N>
struct Number {
  static constexpr int value = N;
};
template <int N = kConvPlanes, class F>
FASTNN_INLINE void with_number(int64_t n, const F& f) {
  if constexpr (N > 1) {
    if (n < N) return with_number<N - 1>(n, f);
  }
  f(Number<N>{});
}

/// The lines [first, first + lines) of an image [height, width, C] in planes, zeros outside of it; `left` columns
/// before it (negative: some of its own are left out).
inline void fill_planes(const float* image, int64_t C, int64_t height, int64_t width, int64_t first, int64_t lines,
                        int64_t left, int64_t pitch, const int32_t* plan, float* to, int64_t plane) {
  constexpr int64_t L = kLanes<float>;
  const int64_t before = min64(max64(left, 0), pitch), skip = max64(-left, 0);
  const int64_t count = max64(0, min64(width - skip, pitch - before));
  // Whole vectors: what they reach of the next line is written after it, and behind the last one there is room.
  const auto clear = [&](int64_t at, int64_t end) {
    for (int64_t c = 0; c < C; ++c)
      for (int64_t e = at; e < end; e += L) store(to + c * plane + e, f32v{});
  };
  for (int64_t r = 0; r < lines; ++r) {
    const int64_t i = first + r, line = r * pitch;
    if (i < 0 || i >= height || count == 0) {
      clear(line, line + pitch);
      continue;
    }
    clear(line, line + before);
    const float* const x = image + (i * width + skip) * C;
    with_number(C, [&](auto n) { line_to_planes<n.value>(x, count, plan, to + line + before, plane); });
    clear(line + before + round_up(count, L), line + pitch);
  }
  for (int64_t c = 0; c < C; ++c)
    __builtin_memset(to + c * plane + lines * pitch, 0, static_cast<size_t>(plane - lines * pitch) * sizeof(float));
}

/// Keeps v in a register: each product would read it again, over two cache lines.
FASTNN_INLINE void keep(f32v& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
}

/// Vectors [0, vectors) of y in planes.
template <int F>
void planes_block(const Planes& p, const float* x, const float* w, float* y, int64_t vectors) {
  constexpr int64_t L = kLanes<float>;
  constexpr int V = kPlaneSums / F < 8 ? kPlaneSums / F : 8;
  const ConvArgs<float>& g = p.g;
  const auto block = [&](auto count, int64_t at) FASTNN_LAMBDA_INLINE {
    constexpr int N = decltype(count)::value;
    f32v acc[F][N];
#pragma GCC unroll 8
    for (int f = 0; f < F; ++f)
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) acc[f][v] = f32v{};
    const float* k = w;
    for (int64_t c = 0; c < g.C; ++c)
      for (int64_t h = 0; h < g.taps[1]; ++h) {
        const float* from = x + c * p.in + h * g.dilation[1] * p.pitch + at;
        for (int64_t t = 0; t < g.taps[2]; ++t, from += g.dilation[2], k += F) {
          f32v pixels[N];
#pragma GCC unroll 8
          for (int v = 0; v < N; ++v) pixels[v] = load(from + v * L), keep(pixels[v]);
#pragma GCC unroll 8
          for (int f = 0; f < F; ++f) {
            const f32v weight = splat<f32v>(k[f]);
#pragma GCC unroll 8
            for (int v = 0; v < N; ++v) acc[f][v] = fma(pixels[v], weight, acc[f][v]);
          }
        }
      }
#pragma GCC unroll 8
    for (int f = 0; f < F; ++f)
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) {
        f32v sum = acc[f][v];
        if (g.bias) sum = sum + splat<f32v>(g.bias[f]);
        if (g.act == Activation::relu) sum = sum < f32v{} ? f32v{} : sum;  // keeps NaN
        store(y + f * p.out + at + v * L, sum);
      }
  };
  int64_t v = 0;
  for (; v + V <= vectors; v += V) block(Number<V>{}, v * L);
  if (v < vectors && vectors >= V)  // some once more
    block(Number<V>{}, (vectors - V) * L);
  else
    for (; v < vectors; ++v) block(Number<1>{}, v * L);
}

/// Lines [r0, r1) of image n.
inline void planes_band(const Planes& p, const float* w, const int32_t* apart, const int32_t* together, int64_t n,
                        int64_t r0, int64_t r1) {
  const ConvArgs<float>& g = p.g;
  Arena arena{static_cast<char*>(
      thread_scratch(ThreadScratch::local, Arena::bytes(g.C * p.in, 4) + Arena::bytes(g.F * p.out, 4)))};
  float *const x = arena.take<float>(g.C * p.in), *const y = arena.take<float>(g.F * p.out);
  fill_planes(g.x + n * g.in_pixels() * g.C, g.C, g.in[1], g.in[2], r0 - g.pad[1],
              r1 - r0 + (g.taps[1] - 1) * g.dilation[1], g.pad[2], p.pitch, apart, x, p.in);
  with_number(g.F, [&](auto F) {
    planes_block<F.value>(p, x, w, y, p.vectors(r1 - r0));
    for (int64_t r = r0; r < r1; ++r)
      planes_to_line<F.value>(y + (r - r0) * p.pitch, p.out, g.out[2], together, g.y + n * g.y_image + r * g.y_at[1]);
  });
}

inline bool planes_fork(const ConvArgs<float>& g) {
  return static_cast<double>(g.pixels()) * static_cast<double>(g.F * g.K()) >= kThreadTerms && num_threads() > 1;
}

/// scratch: the weights in order [channel][tap][F], then the two plans.
inline void planes_forward(const ConvArgs<float>& g, float* scratch) {
  if (g.pixels() == 0) return;
  const Planes p(g);
  int32_t* const apart = reinterpret_cast<int32_t*>(scratch + g.K() * g.F);
  int32_t* const together = apart + 16 * g.C * g.C;
  plan_lanes(g.C, false, apart);
  plan_lanes(g.F, true, together);
  float* to = scratch;
  for (int64_t c = 0; c < g.C; ++c)
    for (int64_t h = 0; h < g.taps[1]; ++h)
      for (int64_t t = 0; t < g.taps[2]; ++t)
        for (int64_t f = 0; f < g.F; ++f) *to++ = g.w[h * g.w_tap[1] + t * g.w_tap[2] + c * g.w_c + f * g.w_f];
  tasks(planes_fork(g), g.N * p.bands, [&](int64_t u) {
    const int64_t b = u % p.bands;
    planes_band(p, scratch, apart, together, u / p.bands, cut(g.out[1], p.bands, b), cut(g.out[1], p.bands, b + 1));
  });
}

/// Adds to sums[t * pitch + f] (vectors) what T neighbouring taps at x and F planes of dy give.
template <int F, int T>
void planes_products(const float* x, int64_t dilation, const float* dy, int64_t plane, int64_t vectors, float* sums,
                     int64_t pitch) {
  constexpr int64_t L = kLanes<float>;
  f32v acc[T][F];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int f = 0; f < F; ++f) acc[t][f] = load(sums + (t * pitch + f) * L);
  for (; vectors > 0; --vectors, x += L, dy += L) {
    f32v d[F];
#pragma GCC unroll 8
    for (int f = 0; f < F; ++f) d[f] = load(dy + f * plane);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      f32v pixels = load(x + t * dilation);
      keep(pixels);
#pragma GCC unroll 8
      for (int f = 0; f < F; ++f) acc[t][f] = fma(pixels, d[f], acc[t][f]);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 8
    for (int f = 0; f < F; ++f) store(sums + (t * pitch + f) * L, acc[t][f]);
}

/// Taps taken together, and planes of dy for these: the sums leave registers for the planes and the pixels.
constexpr int kMostTaps = kVecBytes == 64 ? 5 : 3;
constexpr int planes_of_dy(int taps) { return kVecBytes == 64 && taps <= 3 ? 6 : 3; }

/// Bands [u0, u1) of dw to `result` [channel, tap][F], then the sums of dy.
inline void planes_gradient(const Planes& p, const float* dy, const int32_t* plan_x, const int32_t* plan_y, int64_t u0,
                            int64_t u1, float* result) {
  constexpr int64_t L = kLanes<float>;
  const ConvArgs<float>& g = p.g;
  const int64_t sums_size = (g.K() + 1) * g.F;
  Arena arena{static_cast<char*>(
      thread_scratch(ThreadScratch::local,
                     Arena::bytes(g.C * p.in, 4) + Arena::bytes(g.F * p.out, 4) + Arena::bytes(sums_size * L, 4)))};
  float *const x = arena.take<float>(g.C * p.in), *const d = arena.take<float>(g.F * p.out);
  float* const sums = arena.take<float>(sums_size * L);
  __builtin_memset(sums, 0, static_cast<size_t>(sums_size * L) * sizeof(float));
  for (int64_t u = u0; u < u1; ++u) {
    const int64_t n = u / p.bands, b = u % p.bands, r0 = cut(g.out[1], p.bands, b), r1 = cut(g.out[1], p.bands, b + 1);
    fill_planes(g.x + n * g.in_pixels() * g.C, g.C, g.in[1], g.in[2], r0 - g.pad[1],
                r1 - r0 + (g.taps[1] - 1) * g.dilation[1], g.pad[2], p.pitch, plan_x, x, p.in);
    fill_planes(dy + n * g.image_pixels() * g.F, g.F, g.out[1], g.out[2], r0, r1 - r0, 0, p.pitch, plan_y, d, p.out);
    const int64_t vectors = p.vectors(r1 - r0), t_blocks = ceil_div(g.taps[2], kMostTaps);
    for (int64_t tb = 0; tb < t_blocks; ++tb)
      with_number<kMostTaps>(cut(g.taps[2], t_blocks, tb + 1) - cut(g.taps[2], t_blocks, tb), [&](auto taps) {
        constexpr int T = decltype(taps)::value, most = planes_of_dy(T);
        const int64_t t = cut(g.taps[2], t_blocks, tb), f_blocks = ceil_div(g.F, most);
        for (int64_t fb = 0; fb < f_blocks; ++fb) {
          const int64_t f = cut(g.F, f_blocks, fb);
          with_number<most>(cut(g.F, f_blocks, fb + 1) - f, [&](auto planes) {
            for (int64_t line = 0; line < g.C * g.taps[1]; ++line)
              planes_products<decltype(planes)::value, T>(
                  x + line / g.taps[1] * p.in + p.shift(line % g.taps[1] * g.taps[2] + t), g.dilation[2], d + f * p.out,
                  p.out, vectors, sums + ((line * g.taps[2] + t) * g.F + f) * L, g.F);
          });
        }
      });
    for (int64_t f = 0; f < g.F; ++f) {
      float* const to = sums + (g.K() * g.F + f) * L;
      const float* const from = d + f * p.out;
      f32v even = load(to), odd = {};
      int64_t v = 0;
      for (; v + 2 <= vectors; v += 2) even = even + load(from + v * L), odd = odd + load(from + v * L + L);
      if (v < vectors) even = even + load(from + v * L);
      store(to, even + odd);
    }
  }
  for (int64_t i = 0; i < sums_size; ++i) result[i] = hsum(load(sums + i * L));
}

/// scratch: the two plans, then the results of the parts.
inline void planes_weight_gradient(const ConvArgs<float>& g, const float* dy, float* dw, float* db, float* scratch) {
  const Planes p(g);
  const int64_t size = (g.K() + 1) * g.F, units = g.N * p.bands, parts = conv_planes_parts(g);
  int32_t* const plan_x = reinterpret_cast<int32_t*>(scratch);
  int32_t* const plan_y = plan_x + 16 * g.C * g.C;
  float* const results = scratch + 16 * (g.C * g.C + g.F * g.F);
  plan_lanes(g.C, false, plan_x);
  plan_lanes(g.F, false, plan_y);
  tasks(planes_fork(g), parts, [&](int64_t t) {
    planes_gradient(p, dy, plan_x, plan_y, cut(units, parts, t), cut(units, parts, t + 1), results + t * size);
  });
  for (int64_t t = 1; t < parts; ++t)
    for (int64_t i = 0; i < size; ++i) results[i] += results[t * size + i];
  const float* from = results;
  for (int64_t c = 0; c < g.C; ++c)
    for (int64_t h = 0; h < g.taps[1]; ++h)
      for (int64_t t = 0; t < g.taps[2]; ++t)
        for (int64_t f = 0; f < g.F; ++f) dw[h * g.w_tap[1] + t * g.w_tap[2] + c * g.w_c + f * g.w_f] = *from++;
  for (int64_t f = 0; db && f < g.F; ++f) db[f] = from[f];
}

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
