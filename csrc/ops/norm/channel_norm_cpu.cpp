#include "ops/norm/channel_norm_tile.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Two sums down the columns of a tile: f(sum, sum, element, column, lanes) adds an element to those of its column.
template <class T, class F>
FASTNN_INLINE void column_sums(T* s1, T* s2, const Tile& t, const F& f) {
  typedef Vec<T> V;
  constexpr int64_t W = kLanes<T>;
  each_vector<T>(t.w, [&](int64_t j, int64_t) { store(s1 + j, V{}), store(s2 + j, V{}); });
  each_panel<T>(t, false, [&](auto panel, int64_t i, int64_t j, int64_t k, int64_t rows) FASTNN_LAMBDA_INLINE {
    constexpr int P = decltype(panel)::count;
    V a[P], b[P];
#pragma GCC unroll 4
    for (int v = 0; v < P; ++v) a[v] = b[v] = V{};
    for (int64_t r = 0; r < rows; ++r, i += t.pitch) {
#pragma GCC unroll 4
      for (int v = 0; v < P; ++v) f(a[v], b[v], i + v * W, j + v * W, k);
    }
#pragma GCC unroll 4
    for (int v = 0; v < P; ++v) {
      store(s1 + j + v * W, load(s1 + j + v * W) + a[v]);
      store(s2 + j + v * W, load(s2 + j + v * W) + b[v]);
    }
  });
}

/// Mean and sum of squares about it of every column of a tile. The sums are taken about a pivot, the mean of a few
/// rows; where that turns out far from the mean (squares of their distance are most of the sum), once more about the
/// mean.
template <class T>
void tile_moments(double* mean, double* squares, const T* x, const Tile& t, const ChannelShape& p) {
  typedef Vec<T> V;
  T pivot[kWidest + kLanes<T>], s1[kWidest + kLanes<T>], s2[kWidest + kLanes<T>];
  const int64_t probes = smaller(t.rows, 8);
  const V share = splat<V>(1.0 / double(probes));
  each_vector<T>(t.w, [&](int64_t j, int64_t k) {
    V sum = V{};
    for (int64_t i = 0; i < probes; ++i) sum += get(x + i * t.rows / probes * t.pitch + j, k);
    store(pivot + j, sum * share);
  });
  const double count = double(t.rows);
  const int64_t ahead = ahead_of(x, large(x, 2, p), t);
  for (int pass = 0; pass < 2; ++pass) {
    column_sums(s1, s2, t, [&](V& a, V& b, int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
      fetch(x + i, ahead);
      const V d = get(x + i, k) - load(pivot + j);
      a += d;
      b = fma(d, d, b);
    });
    const V n = splat<V>(count), most = splat<V>(0.9);
    IntOf<V> far = IntOf<V>{};
    each_vector<T>(t.w, [&](int64_t j, int64_t k) {
      const V a = load(s1 + j);
      const auto off = a * a > most * n * load(s2 + j);
      far |= k == kLanes<T> ? off : off & (lane_index<T>() < static_cast<IntLane<T>>(k));
    });
    if (pass > 0 || !any(far)) break;
    const V per = splat<V>(1.0 / count);
    each_vector<T>(t.w, [&](int64_t j, int64_t) { store(pivot + j, fma(load(s1 + j), per, load(pivot + j))); });
  }
  const double per = 1 / count;
  for (int64_t j = 0; j < t.w; ++j) {
    const double d = double(s1[j]) * per, m2 = double(s2[j]) - double(s1[j]) * d;
    mean[j] = double(pivot[j]) + d;
    squares[j] = m2 < 0 ? 0 : m2;
  }
}

/// out[n][c] = sum over blocks, in order, of f(their rows, n, block, column, channel), the columns of a channel added
/// up: tasks of 64 channels.
template <class F>
void merge_blocks(double* out, int64_t pitch, const ChannelShape& p, const F& f) {
  constexpr int64_t kSlice = 64;
  const int64_t blocks = p.blocks(), width = p.width(), rows = p.rows(), rest = p.rest();
  const int64_t slices = p.fold() > 1 ? 1 : (p.c + kSlice - 1) / kSlice;
  parallel_range(p.n * slices, p.all_blocks() > 64 ? 1 : 16, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t n = task / slices, c0 = task % slices * kSlice;
      const int64_t w = slices > 1 ? smaller(kSlice, p.c - c0) : width;
      double acc[kWidest] = {};
      for (int64_t b = 0; b < blocks; ++b) {
        const double count = double(smaller(kChannelRows, rows - b * kChannelRows));
        if (p.fold() == 1)
          for (int64_t j = 0; j < w; ++j) acc[j] += f(count, n, b, c0 + j, c0 + j);
        else
          for (int64_t j = 0; j < w; ++j) acc[j] += f(count, n, b, j, j % p.c);
      }
      if (rest > 0)
        for (int64_t c = 0; c < p.c; ++c) acc[c] += f(double(rest), n, blocks, c, c);
      for (int64_t j = p.c; j < (p.fold() > 1 ? width : 0); ++j) acc[j % p.c] += acc[j];
      for (int64_t c = 0; c < smaller(w, p.c); ++c) out[n * pitch + c0 + c] = acc[c];
    }
  });
}

template <class T>
void stats(double* out, double* part, double* sums, const T* x, const ChannelShape& p, double eps) {
  const int64_t width = p.width(), all = p.all_blocks(), outputs = p.n * p.groups;
  each_tile(p, false, [&](const Tile& t) {
    double* to = part + (t.n * all + t.block) * 2 * width + t.j0;
    tile_moments(to, to + width, x + t.start, t, p);
  });
  const auto at = [=](int64_t n, int64_t b, int64_t j) { return part + (n * all + b) * 2 * width + j; };
  const double per = 1 / double(p.s);
  merge_blocks(sums, 2 * p.c, p,
               [=](double count, int64_t n, int64_t b, int64_t j, int64_t) { return count * per * *at(n, b, j); });
  merge_blocks(sums + p.c, 2 * p.c, p, [=](double count, int64_t n, int64_t b, int64_t j, int64_t c) {
    const double* m = at(n, b, j);
    const double d = *m - sums[n * 2 * p.c + c];
    return m[width] + count * d * d;
  });
  const int64_t wide = p.c / p.groups;
  for (int64_t i = 0; i < outputs; ++i) {
    const double *means = sums + i / p.groups * 2 * p.c + i % p.groups * wide, *squares = means + p.c;
    double mean = 0, total = 0;
    for (int64_t c = 0; c < wide; ++c) mean += means[c];
    mean /= double(wide);
    for (int64_t c = 0; c < wide; ++c) total += squares[c] + double(p.s) * (means[c] - mean) * (means[c] - mean);
    const double var = total / (double(p.s) * double(wide));
    out[i] = mean;
    out[outputs + i] = 1 / __builtin_sqrt(var + eps);
    out[2 * outputs + i] = var;
  }
}

template <class T>
void running(T* running_mean, T* running_var, int64_t* batches, const double* stats, const ChannelShape& p,
             double momentum) {
  double share = momentum;
  if (batches != nullptr) {
    ++*batches;
    if (momentum < 0) share = 1 / double(*batches);
  }
  if (running_mean == nullptr) return;
  const double unbiased = double(p.s) / (double(p.s) - 1);
  for (int64_t c = 0; c < p.c; ++c) {
    double mean = 0, var = 0;
    for (int64_t n = 0; n < p.n; ++n) mean += stats[n * p.c + c], var += stats[(2 * p.n + n) * p.c + c];
    running_mean[c] = T((1 - share) * double(running_mean[c]) + share * mean / double(p.n));
    running_var[c] = T((1 - share) * double(running_var[c]) + share * unbiased * var / double(p.n));
  }
}

/// f(column, channel, group) over the columns of a tile that differ: a widened row repeats its channels.
template <class F>
FASTNN_INLINE void each_channel(const Tile& t, const ChannelShape& p, const F& f) {
  const int64_t wide = p.c / p.groups, distinct = smaller(t.w, p.c);
  if (wide == 1)
    for (int64_t j = 0; j < distinct; ++j) f(j, t.j0 + j, t.j0 + j);
  else
    for (int64_t j = 0; j < distinct; ++j) f(j, t.j0 + j, (t.j0 + j) / wide);
}
/// The columns of a widened row from its first channels.
template <class T>
FASTNN_INLINE void widen(T* v, const Tile& t, const ChannelShape& p) {
  for (int64_t j = p.c; j < t.w; ++j) v[j] = v[j - p.c];
}

/// Coefficients of the columns of a tile: y = (x - m) scale + shift, with m rounded to T and the rest of the mean in
/// shift.
template <class T>
void tile_coefficients(T* m, T* scale, T* shift, const double* stats, const T* weight, const T* bias, const Tile& t,
                       const ChannelShape& p) {
  const double *mean = stats + t.n * p.groups, *r = mean + p.n * p.groups;
  each_channel(t, p, [&](int64_t j, int64_t c, int64_t g) FASTNN_LAMBDA_INLINE {
    const double s = weight != nullptr ? r[g] * double(weight[c]) : r[g];
    m[j] = T(mean[g]);
    scale[j] = T(s);
    shift[j] = T((bias != nullptr ? double(bias[c]) : 0) - (mean[g] - double(m[j])) * s);
  });
  widen(m, t, p), widen(scale, t, p), widen(shift, t, p);
}

template <class T>
void apply(T* y, const T* x, const double* stats, const T* weight, const T* bias, const ChannelShape& p) {
  typedef Vec<T> V;
  constexpr int64_t W = kLanes<T>;
  each_tile(p, true, [&](const Tile& t) {
    T m[kWidest + kLanes<T>], scale[kWidest + kLanes<T>], shift[kWidest + kLanes<T>];
    tile_coefficients(m, scale, shift, stats, weight, bias, t, p);
    const T* in = x + t.start;
    T* out = y + t.start;
    const bool streams = streams_of(out, 2, t, p);
    const int64_t ahead = -ahead_of(x, large(x, 2, p), t);
    each_panel<T>(t, true, [&](auto panel, int64_t i, int64_t j, int64_t k, int64_t rows) FASTNN_LAMBDA_INLINE {
      constexpr int P = decltype(panel)::count;
      V a[P], b[P], c[P];
#pragma GCC unroll 4
      for (int v = 0; v < P; ++v)
        a[v] = load(m + j + v * W), b[v] = load(scale + j + v * W), c[v] = load(shift + j + v * W);
      for (i += (rows - 1) * t.pitch; rows > 0; --rows, i -= t.pitch) {
#pragma GCC unroll 4
        for (int v = 0; v < P; ++v) {
          const int64_t q = i + v * W;
          fetch(in + q, ahead);
          write(out + q, fma(get(in + q, k) - a[v], b[v], c[v]), k, streams);
        }
      }
    });
  });
}

/// Sums of dy and dy (x - m) down the columns of a tile, m the mean rounded to T.
template <class T>
void tile_sums(double* sum, double* dot, const T* dy, const T* x, const double* mean, const Tile& t,
               const ChannelShape& p) {
  typedef Vec<T> V;
  T m[kWidest + kLanes<T>], s1[kWidest + kLanes<T>], s2[kWidest + kLanes<T>];
  each_channel(t, p, [&](int64_t j, int64_t, int64_t g) FASTNN_LAMBDA_INLINE { m[j] = T(mean[g]); });
  widen(m, t, p);
  // x is from the forward pass, long ago; dy has just been written.
  const int64_t x_ahead = ahead_of(x, true, t), dy_ahead = ahead_of(dy, large(dy, 3, p), t);
  column_sums(s1, s2, t, [&](V& a, V& b, int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    fetch(dy + i, dy_ahead);
    fetch(x + i, x_ahead);
    const V g = get(dy + i, k);
    a += g;
    b = fma(g, get(x + i, k) - load(m + j), b);
  });
  for (int64_t j = 0; j < t.w; ++j) sum[j] = double(s1[j]), dot[j] = double(s2[j]);
}

/// dx = a dy + b (x - m) + c on the columns of a tile. slope: b; share: c for m = mean.
template <class T>
void tile_gradient(T* dx, const T* dy, const T* x, const double* stats, const double* share, const double* slope,
                   const T* weight, const Tile& t, const ChannelShape& p) {
  typedef Vec<T> V;
  constexpr int64_t W = kLanes<T>;
  T m[kWidest + kLanes<T>], a[kWidest + kLanes<T>], b[kWidest + kLanes<T>], c[kWidest + kLanes<T>];
  const double *mean = stats + t.n * p.groups, *r = mean + p.n * p.groups;
  each_channel(t, p, [&](int64_t j, int64_t ch, int64_t g) FASTNN_LAMBDA_INLINE {
    m[j] = T(mean[g]);
    a[j] = T(weight != nullptr ? r[g] * double(weight[ch]) : r[g]);
    b[j] = T(slope[ch]);
    c[j] = T(share[ch] - slope[ch] * (mean[g] - double(m[j])));
  });
  widen(m, t, p), widen(a, t, p), widen(b, t, p), widen(c, t, p);
  const bool streams = streams_of(dx, 3, t, p);
  each_panel<T>(t, true, [&](auto panel, int64_t i, int64_t j, int64_t k, int64_t rows) FASTNN_LAMBDA_INLINE {
    constexpr int P = decltype(panel)::count;
    V vm[P], va[P], vb[P], vc[P];
#pragma GCC unroll 4
    for (int v = 0; v < P; ++v) {
      vm[v] = load(m + j + v * W), va[v] = load(a + j + v * W);
      vb[v] = load(b + j + v * W), vc[v] = load(c + j + v * W);
    }
    for (i += (rows - 1) * t.pitch; rows > 0; --rows, i -= t.pitch) {
#pragma GCC unroll 4
      for (int v = 0; v < P; ++v) {
        const int64_t q = i + v * W;
        write(dx + q, fma(get(dy + q, k), va[v], fma(get(x + q, k) - vm[v], vb[v], vc[v])), k, streams);
      }
    }
  });
}

/// The sums of a group become what its gradients have in common: share = -r A / (S W), slope = -r^2 B / (S W).
template <class T>
void gradient_coefficients(double* sums, const double* stats, const T* weight, const ChannelShape& p) {
  const int64_t wide = p.c / p.groups;
  const double per = 1 / (double(p.s) * double(wide));
  for (int64_t i = 0; i < p.n * p.groups; ++i) {
    double *total = sums + i / p.groups * 2 * p.c + i % p.groups * wide, *dot = total + p.c;
    const T* w = weight != nullptr ? weight + i % p.groups * wide : nullptr;
    double a = 0, b = 0;
    for (int64_t c = 0; c < wide; ++c) {
      a += w != nullptr ? double(w[c]) * total[c] : total[c];
      b += w != nullptr ? double(w[c]) * dot[c] : dot[c];  // already times r: xhat
    }
    const double r = stats[p.n * p.groups + i];
    for (int64_t c = 0; c < wide; ++c) total[c] = -r * a * per, dot[c] = -r * r * b * per;
  }
}

template <class T>
void backward(T* dx, T* dweight, T* dbias, double* part, double* sums, const T* dy, const T* x, const double* stats,
              const T* weight, const ChannelShape& p, bool given) {
  const int64_t width = p.width(), all = p.all_blocks(), outputs = p.n * p.groups;
  const int64_t wide = p.groups > 0 ? p.c / p.groups : 1;
  each_tile(p, false, [&](const Tile& t) {
    double* to = part + (t.n * all + t.block) * 2 * width + t.j0;
    tile_sums(to, to + width, dy + t.start, x + t.start, stats + t.n * p.groups, t, p);
  });
  for (int64_t which = 0; which < 2; ++which)
    merge_blocks(sums + which * p.c, 2 * p.c, p, [=](double, int64_t n, int64_t b, int64_t j, int64_t) {
      return part[((n * all + b) * 2 + which) * width + j];
    });
  // From sums of dy (x - m) to those of dy xhat; then over the examples.
  for (int64_t n = 0; n < p.n; ++n) {
    double *total = sums + n * 2 * p.c, *dot = total + p.c;
    for (int64_t c = 0; c < p.c; ++c) {
      const int64_t i = n * p.groups + c / wide;
      dot[c] = stats[outputs + i] * (dot[c] - (stats[i] - double(T(stats[i]))) * total[c]);
    }
  }
  for (int64_t c = 0; c < p.c; ++c) {
    double db = 0, dw = 0;
    for (int64_t n = 0; n < p.n; ++n) db += sums[n * 2 * p.c + c], dw += sums[(n * 2 + 1) * p.c + c];
    dbias[c] = T(db);
    dweight[c] = T(dw);
  }
  if (dx == nullptr) return;
  if (!given) gradient_coefficients(sums, stats, weight, p);
  each_tile(p, true, [&](const Tile& t) {
    const double* of = sums + t.n * 2 * p.c;
    if (!given) return tile_gradient(dx + t.start, dy + t.start, x + t.start, stats, of, of + p.c, weight, t, p);
    T m[kWidest + kLanes<T>], scale[kWidest + kLanes<T>], none[kWidest + kLanes<T>];
    tile_coefficients<T>(m, scale, none, stats, weight, nullptr, t, p);
    for (int64_t r = 0; r < t.rows; ++r)
      each_vector<T>(t.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
        const int64_t i = t.start + r * t.pitch + j;
        put(dx + i, get(dy + i, k) * load(scale + j), k);
      });
  });
}

}  // namespace

void channel_norm_stats(int type, double* out, double* part, double* sums, const void* x, const ChannelShape& shape,
                        double eps) {
  with_float(type, [&](auto* tag) { stats(out, part, sums, as(tag, x), shape, eps); });
}
void channel_norm_given(int type, double* stats, const void* mean, const void* var, int64_t channels, double eps) {
  with_float(type, [&](auto* tag) {
    for (int64_t c = 0; c < channels; ++c) {
      stats[c] = double(as(tag, mean)[c]);
      stats[2 * channels + c] = double(as(tag, var)[c]);
      stats[channels + c] = 1 / __builtin_sqrt(stats[2 * channels + c] + eps);
    }
  });
}
void channel_norm_running(int type, void* running_mean, void* running_var, int64_t* batches, const double* stats,
                          const ChannelShape& shape, double momentum) {
  with_float(type,
             [&](auto* tag) { running(as(tag, running_mean), as(tag, running_var), batches, stats, shape, momentum); });
}
void channel_norm_apply(int type, void* y, const void* x, const double* stats, const void* weight, const void* bias,
                        const ChannelShape& shape) {
  with_float(type, [&](auto* tag) { apply(as(tag, y), as(tag, x), stats, as(tag, weight), as(tag, bias), shape); });
}
void channel_norm_backward(int type, void* dx, void* dweight, void* dbias, double* part, double* sums, const void* dy,
                           const void* x, const double* stats, const void* weight, const ChannelShape& shape,
                           bool given) {
  with_float(type, [&](auto* tag) {
    backward(as(tag, dx), as(tag, dweight), as(tag, dbias), part, sums, as(tag, dy), as(tag, x), stats, as(tag, weight),
             shape, given);
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
