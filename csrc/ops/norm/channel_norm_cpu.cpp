#include "kernels/parallel.h"
#include "kernels/stream.h"
#include "ops/norm/channel_norm.h"
#include "ops/norm/norm_vector.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int64_t kWidest = 2 * kChannelStrip;
// Rows read side by side and summed in registers before they reach the accumulators in L1. More of them would read
// memory in an order that the processor's prefetchers do not follow.
constexpr int64_t kTree = 2;
// Elements that are worth a task.
constexpr int64_t kTileGrain = 16384;

/// A tile of a block: where it starts in x, its rows, their distance, and its columns [j0, j0 + w) of the width.
struct Tile {
  int64_t n, block, start, rows, pitch, j0, w;
};

/// f(tile) over all tiles, in parallel; `backwards`: the last first, which a pass before has left in the cache.
template <class F>
void each_tile(const ChannelShape& p, bool backwards, const F& f) {
  const int64_t width = p.width(), blocks = p.blocks(), all = p.all_blocks();
  const int64_t strip = p.fold() > 1 ? width : kChannelStrip, strips = (width + strip - 1) / strip;
  const int64_t tall = smaller(kChannelRows, p.rows() > 0 ? p.rows() : 1);
  const int64_t tiles = p.n * all * strips;
  parallel_range(tiles, kTileGrain / (tall * smaller(strip, width)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t task = backwards ? tiles - 1 - i : i;
      Tile t;
      t.n = task / strips / all;
      t.block = task / strips % all;
      t.j0 = task % strips * strip;
      const bool rest = t.block == blocks;
      t.pitch = rest ? p.c : width;
      t.rows = rest ? p.rest() : smaller(kChannelRows, p.rows() - t.block * kChannelRows);
      t.w = smaller(strip, t.pitch - t.j0);
      t.start = t.n * p.s * p.c + (rest ? p.rows() : t.block * kChannelRows) * width + t.j0;
      f(t);
    }
    stream_fence();
  });
}

/// f(rows so far, columns, lanes) over groups of kTree rows and vectors of columns; `last` rows come one at a time.
template <class T, class Group, class Single>
FASTNN_INLINE void each_group(const Tile& t, const Group& group, const Single& single) {
  int64_t r = 0;
  for (; r + kTree <= t.rows; r += kTree)
    each_vector<T>(t.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE { group(r * t.pitch + j, j, k); });
  for (; r < t.rows; ++r)
    each_vector<T>(t.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE { single(r * t.pitch + j, j, k); });
}

/// Whether the vectors of a tile go past the cache: a large result, every row of which is aligned.
template <class T>
FASTNN_INLINE bool streams_of(const T* y, int64_t arrays, const Tile& t, const ChannelShape& p) {
  return past_cache(arrays * p.n * p.s * p.c * static_cast<int64_t>(sizeof(T))) && stream_head(y, t.w) == 0 &&
         t.pitch * static_cast<int64_t>(sizeof(T)) % kStreamAlign == 0;
}
template <class T>
FASTNN_INLINE void write(T* p, Vec<T> v, int64_t k, bool streams) {
  if (streams && k == kLanes<T>)
    stream(p, v);
  else
    put(p, v, k);
}

/// Sums of d and d^2, d = x - pivot, down the columns of a tile.
template <class T>
void sums_about(T* s1, T* s2, const T* x, const T* pivot, const Tile& t) {
  typedef Vec<T> V;
  each_vector<T>(t.w, [&](int64_t j, int64_t) { store(s1 + j, V{}), store(s2 + j, V{}); });
  each_group<T>(
      t,
      [&](int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
        const V p = load(pivot + j);
        V d[kTree];
#pragma GCC unroll 2
        for (int r = 0; r < kTree; ++r) d[r] = get(x + i + r * t.pitch, k) - p;
        store(s1 + j, load(s1 + j) + (d[0] + d[1]));
        store(s2 + j, load(s2 + j) + fma(d[1], d[1], d[0] * d[0]));
      },
      [&](int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
        const V d = get(x + i, k) - load(pivot + j);
        store(s1 + j, load(s1 + j) + d);
        store(s2 + j, fma(d, d, load(s2 + j)));
      });
}

/// Mean and sum of squares about it of every column of a tile. The sums are taken about a pivot, the mean of a few
/// rows; where that turns out far from the mean (squares of their distance are most of the sum), once more about the
/// mean.
template <class T>
void tile_moments(double* mean, double* squares, const T* x, const Tile& t) {
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
  for (int pass = 0; pass < 2; ++pass) {
    sums_about(s1, s2, x, pivot, t);
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
  for (int64_t j = 0; j < t.w; ++j) {
    const double d = double(s1[j]) / count, m2 = double(s2[j]) - double(s1[j]) * d;
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
    tile_moments(to, to + width, x + t.start, t);
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

/// Coefficients of the columns of a tile: y = (x - m) scale + shift, with m rounded to T and the rest of the mean in
/// shift.
template <class T>
void tile_coefficients(T* m, T* scale, T* shift, const double* stats, const T* weight, const T* bias, const Tile& t,
                       const ChannelShape& p) {
  const int64_t wide = p.c / p.groups;
  const double *mean = stats + t.n * p.groups, *r = mean + p.n * p.groups;
  const int64_t distinct = smaller(t.w, p.c);  // a widened row repeats its channels
  for (int64_t j = 0; j < distinct; ++j) {
    const int64_t c = t.j0 + j, g = wide == 1 ? c : c / wide;
    const double s = weight != nullptr ? r[g] * double(weight[c]) : r[g];
    m[j] = T(mean[g]);
    scale[j] = T(s);
    shift[j] = T((bias != nullptr ? double(bias[c]) : 0) - (mean[g] - double(m[j])) * s);
  }
  for (int64_t j = distinct; j < t.w; ++j) m[j] = m[j - p.c], scale[j] = scale[j - p.c], shift[j] = shift[j - p.c];
}

template <class T>
void apply(T* y, const T* x, const double* stats, const T* weight, const T* bias, const ChannelShape& p) {
  typedef Vec<T> V;
  each_tile(p, true, [&](const Tile& t) {
    T m[kWidest + kLanes<T>], scale[kWidest + kLanes<T>], shift[kWidest + kLanes<T>];
    tile_coefficients(m, scale, shift, stats, weight, bias, t, p);
    const T* in = x + t.start;
    T* out = y + t.start;
    const bool streams = streams_of(out, 2, t, p);
    const auto one = [&](int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
      put(out + i, fma(get(in + i, k) - load(m + j), load(scale + j), load(shift + j)), k);
    };
    each_group<T>(
        t,
        [&](int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
          const V a = load(m + j), b = load(scale + j), c = load(shift + j);
#pragma GCC unroll 2
          for (int r = 0; r < kTree; ++r)
            write(out + i + r * t.pitch, fma(get(in + i + r * t.pitch, k) - a, b, c), k, streams);
        },
        one);
  });
}

/// Sums of dy and dy (x - m) down the columns of a tile, m the mean rounded to T.
template <class T>
void tile_sums(double* sum, double* dot, const T* dy, const T* x, const double* mean, const Tile& t,
               const ChannelShape& p) {
  typedef Vec<T> V;
  T m[kWidest + kLanes<T>], s1[kWidest + kLanes<T>], s2[kWidest + kLanes<T>];
  const int64_t wide = p.c / p.groups;
  for (int64_t j = 0; j < t.w; ++j) m[j] = T(mean[(wide == 1 && t.w <= p.c ? t.j0 + j : (t.j0 + j) % p.c / wide)]);
  each_vector<T>(t.w, [&](int64_t j, int64_t) { store(s1 + j, V{}), store(s2 + j, V{}); });
  each_group<T>(
      t,
      [&](int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
        const V c = load(m + j);
        V g[kTree], d[kTree];
#pragma GCC unroll 2
        for (int r = 0; r < kTree; ++r) {
          g[r] = get(dy + i + r * t.pitch, k);
          d[r] = get(x + i + r * t.pitch, k) - c;
        }
        store(s1 + j, load(s1 + j) + (g[0] + g[1]));
        store(s2 + j, load(s2 + j) + fma(g[1], d[1], g[0] * d[0]));
      },
      [&](int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
        const V g = get(dy + i, k), d = get(x + i, k) - load(m + j);
        store(s1 + j, load(s1 + j) + g);
        store(s2 + j, fma(g, d, load(s2 + j)));
      });
  for (int64_t j = 0; j < t.w; ++j) sum[j] = double(s1[j]), dot[j] = double(s2[j]);
}

/// dx = a dy + b (x - m) + c on the columns of a tile.
template <class T>
void tile_gradient(T* dx, const T* dy, const T* x, const double* stats, const double* sums, const T* weight,
                   const Tile& t, const ChannelShape& p) {
  typedef Vec<T> V;
  const bool streams = streams_of(dx, 3, t, p);
  T m[kWidest + kLanes<T>], a[kWidest + kLanes<T>], b[kWidest + kLanes<T>], c[kWidest + kLanes<T>];
  const int64_t wide = p.c / p.groups, outputs = p.n * p.groups;
  const double count = double(p.s) * double(wide);
  const double *total = sums + t.n * 2 * p.c, *dot = total + p.c;
  const int64_t distinct = smaller(t.w, p.c);
  double share = 0, slope = 0;  // A / (S W) and B / (S W) of the group at hand
  int64_t known = -1;
  for (int64_t j = 0; j < distinct; ++j) {
    const int64_t ch = t.j0 + j, g = ch / wide;
    const double mean = stats[t.n * p.groups + g], r = stats[outputs + t.n * p.groups + g];
    if (g != known) {
      share = slope = 0;
      for (int64_t i = g * wide; i < (g + 1) * wide; ++i) {
        const double w = weight != nullptr ? double(weight[i]) : 1;
        share += w * total[i];
        slope += w * dot[i];  // already times r: xhat
      }
      share /= count, slope /= count, known = g;
    }
    const double w = weight != nullptr ? double(weight[ch]) : 1;
    m[j] = T(mean);
    a[j] = T(r * w);
    b[j] = T(-r * r * slope);
    c[j] = T(-r * share + r * r * slope * (mean - double(m[j])));
  }
  for (int64_t j = distinct; j < t.w; ++j) m[j] = m[j - p.c], a[j] = a[j - p.c], b[j] = b[j - p.c], c[j] = c[j - p.c];
  const auto one = [&](int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    put(dx + i, fma(get(dy + i, k), load(a + j), fma(get(x + i, k) - load(m + j), load(b + j), load(c + j))), k);
  };
  each_group<T>(
      t,
      [&](int64_t i, int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
        const V vm = load(m + j), va = load(a + j), vb = load(b + j), vc = load(c + j);
#pragma GCC unroll 2
        for (int r = 0; r < kTree; ++r) {
          const int64_t q = i + r * t.pitch;
          const V d = get(dy + q, k), v = get(x + q, k);
          write(dx + q, fma(d, va, fma(v - vm, vb, vc)), k, streams);
        }
      },
      one);
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
  each_tile(p, true, [&](const Tile& t) {
    if (!given) return tile_gradient(dx + t.start, dy + t.start, x + t.start, stats, sums, weight, t, p);
    T m[kWidest + kLanes<T>], scale[kWidest + kLanes<T>], none[kWidest + kLanes<T>];
    tile_coefficients<T>(m, scale, none, stats, weight, nullptr, t, p);
    for (int64_t r = 0; r < t.rows; ++r)
      each_vector<T>(t.w, [&](int64_t j, int64_t k) {
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
