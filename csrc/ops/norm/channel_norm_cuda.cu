#include "cuda/rows.h"
#include "ops/norm/channel_norm.h"
#include "ops/reduce/moments_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;

/// Mean and sum of squares about it of channel c of example n, to sums[n][2][C].
template <class T>
struct ChannelMoments : MomentsOf<T> {
  double* sums;
  int64_t channels;
  __device__ void finish(int64_t out, const MomentState& s) const {
    const Quotient q = divide(out, channels);
    double* to = sums + q.quotient * 2 * channels + q.rest;
    to[0] = s.mean;
    to[channels] = s.m2;
  }
};

/// The sum over the lanes (a power of two) that share a group.
__device__ inline double lanes_sum(double v, int lanes) {
  for (int with = lanes / 2; with > 0; with /= 2) v += __shfl_xor_sync(kFullWarp, v, with);
  return v;
}

/// Statistics of the groups from those of their channels, `lanes` threads for a group.
__global__ void group_stats(double* stats, const double* sums, ChannelShape p, double eps, int lanes) {
  const int64_t outputs = p.n * p.groups, wide = p.c / p.groups;
  const Team<false> team(lanes);
  int64_t i = team.first;
  for (int64_t k = team.rounds(outputs); k > 0; --k, i += team.step) {
    const Quotient q = divide(i < outputs ? i : 0, p.groups);
    const double *means = sums + q.quotient * 2 * p.c + q.rest * wide, *squares = means + p.c;
    double mean = 0, total = 0;
    for (int64_t c = team.lane; c < wide; c += lanes) mean += means[c];
    mean = lanes_sum(mean, lanes) / static_cast<double>(wide);
    for (int64_t c = team.lane; c < wide; c += lanes) {
      const double d = means[c] - mean;
      total += squares[c] + static_cast<double>(p.s) * d * d;
    }
    const double var = lanes_sum(total, lanes) / (static_cast<double>(p.s) * static_cast<double>(wide));
    if (i >= outputs || team.lane != 0) continue;
    stats[i] = mean;
    stats[outputs + i] = 1 / sqrt(var + eps);
    stats[2 * outputs + i] = var;
  }
}

template <class T>
__global__ void given_stats(double* stats, const T* mean, const T* var, int64_t channels, double eps) {
  for (int64_t c = thread_index(); c < channels; c += thread_count()) {
    stats[c] = mean[c];
    stats[2 * channels + c] = var[c];
    stats[channels + c] = 1 / sqrt(static_cast<double>(var[c]) + eps);
  }
}

/// The batch that is being counted is `batches` + 1 here.
template <class T>
__global__ void running_stats(T* mean, T* var, const int64_t* batches, const double* stats, ChannelShape p,
                              double momentum) {
  const double share = momentum < 0 && batches ? 1 / static_cast<double>(*batches + 1) : momentum;
  const double unbiased = static_cast<double>(p.s) / (static_cast<double>(p.s) - 1), n = static_cast<double>(p.n);
  for (int64_t c = thread_index(); c < p.c; c += thread_count()) {
    double m = 0, v = 0;
    for (int64_t i = 0; i < p.n; ++i) m += stats[i * p.c + c], v += stats[(2 * p.n + i) * p.c + c];
    mean[c] = static_cast<T>((1 - share) * static_cast<double>(mean[c]) + share * m / n);
    var[c] = static_cast<T>((1 - share) * static_cast<double>(var[c]) + share * unbiased * v / n);
  }
}
__global__ void count_batch(int64_t* batches) { ++*batches; }

// --- y = a dy + (x - m) b + c, with numbers for each channel of each example --------------------------------------

/// [4][N C] of T: m (the mean rounded), a, b, c.
template <class T>
struct Coefficients {
  T* at;
  int64_t count;
  __device__ void set(int64_t i, T m, T a, T b, T c) const {
    at[i] = m, at[count + i] = a, at[2 * count + i] = b, at[3 * count + i] = c;
  }
};

/// Those of the result: b the scale, c the shift with what the rounding of the mean left.
template <class T>
__global__ void result_coefficients(Coefficients<T> to, const double* stats, const T* weight, const T* bias,
                                    ChannelShape p) {
  const int64_t wide = p.c / p.groups;
  for (int64_t i = thread_index(); i < p.n * p.c; i += thread_count()) {
    const Quotient q = divide(i, p.c);
    const int64_t g = q.quotient * p.groups + q.rest / wide;
    const double mean = stats[g], r = stats[p.n * p.groups + g];
    const double scale = weight ? r * static_cast<double>(weight[q.rest]) : r;
    const T m = static_cast<T>(mean);
    to.set(i, m, T(0), static_cast<T>(scale),
           static_cast<T>((bias ? static_cast<double>(bias[q.rest]) : 0) - (mean - static_cast<double>(m)) * scale));
  }
}

/// Those of the gradient, `lanes` threads for a group; with given statistics only dy counts.
template <class T>
__global__ void gradient_coefficients(Coefficients<T> to, const double* stats, const double* sums, const T* weight,
                                      ChannelShape p, bool given, int lanes) {
  const int64_t outputs = p.n * p.groups, wide = p.c / p.groups;
  const double count = static_cast<double>(p.s) * static_cast<double>(wide);
  const Team<false> team(lanes);
  int64_t i = team.first;
  for (int64_t k = team.rounds(outputs); k > 0; --k, i += team.step) {
    const bool live = i < outputs;
    const Quotient q = divide(live ? i : 0, p.groups);
    const double *total = sums + q.quotient * 2 * p.c, *dot = total + p.c;
    const int64_t first = q.rest * wide;
    double share = 0, slope = 0;
    for (int64_t c = first + team.lane; c < first + wide; c += lanes) {
      const double w = weight ? static_cast<double>(weight[c]) : 1;
      share += w * total[c];
      slope += w * dot[c];  // already times r: xhat
    }
    share = lanes_sum(share, lanes) / count;
    slope = lanes_sum(slope, lanes) / count;
    if (!live) continue;
    const double mean = stats[i], r = stats[outputs + i];
    const T m = static_cast<T>(mean);
    for (int64_t c = first + team.lane; c < first + wide; c += lanes) {
      const double w = weight ? static_cast<double>(weight[c]) : 1;
      const T a = static_cast<T>(r * w);
      if (given)
        to.set(q.quotient * p.c + c, T(0), a, T(0), T(0));
      else
        to.set(q.quotient * p.c + c, m, a, static_cast<T>(-r * r * slope),
               static_cast<T>(-r * share + r * r * slope * (mean - static_cast<double>(m))));
    }
  }
}

/// A block's share of [N, S, C]: `down` x kRows rows of one example, `across` threads of V channels.
constexpr int kMapRows = 8;
struct MapShape {
  int64_t n, s, c, strips, runs;  // strips of channels, runs of rows
  int across;
};

/// kDy, kX: whether dy and x count.
template <bool kDy, bool kX, int V, class T>
__global__ void __launch_bounds__(kThreads)
    map_channels(T* y, const T* dy, const T* x, Coefficients<T> from, MapShape p) {
  typedef Pack<T, V> P;
  const int column = static_cast<int>(threadIdx.x) & (p.across - 1), row = static_cast<int>(threadIdx.x) / p.across;
  const int down = kThreads / p.across;
  for (int64_t t = blockIdx.x; t < p.n * p.runs * p.strips; t += gridDim.x) {
    const Quotient strip = divide(t, p.strips), example = divide(strip.quotient, p.runs);
    const int64_t channel = (strip.rest * p.across + column) * V, n = example.quotient;
    if (channel >= p.c) continue;
    const T* at = from.at + n * p.c + channel;
    const P m = as_pack<T, V>(at), a = as_pack<T, V>(at + from.count), b = as_pack<T, V>(at + 2 * from.count),
            c = as_pack<T, V>(at + 3 * from.count);
    const int64_t first = example.rest * down * kMapRows + row;
#pragma unroll 4
    for (int k = 0; k < kMapRows; ++k) {
      const int64_t r = first + k * down;
      if (r >= p.s) break;
      const int64_t i = (n * p.s + r) * p.c + channel;
      P v, d;
      if (kX) v = as_pack<T, V>(x + i);
      if (kDy) d = as_pack<T, V>(dy + i);
#pragma unroll
      for (int e = 0; e < V; ++e) {
        T out = kX ? (v.v[e] - m.v[e]) * b.v[e] + c.v[e] : T(0);
        if (kDy) out += d.v[e] * a.v[e];
        v.v[e] = out;
      }
      as_pack<T, V>(y + i) = v;
    }
  }
}

template <bool kDy, bool kX, class T>
void map(T* y, const T* dy, const T* x, const Coefficients<T>& from, const ChannelShape& p) {
  constexpr int V = kPack<T>;
  const bool packs = p.c % V == 0 && aligned<V>(y) && (!kDy || aligned<V>(dy)) && (!kX || aligned<V>(x));
  const int64_t width = packs ? p.c / V : p.c;
  MapShape m{};
  m.n = p.n, m.s = p.s, m.c = p.c;
  m.across = block_across(width, (p.s + kMapRows - 1) / kMapRows, kThreads);
  m.strips = (width + m.across - 1) / m.across;
  const int64_t rows = static_cast<int64_t>(kThreads / m.across) * kMapRows;
  m.runs = (p.s + rows - 1) / rows;
  const int64_t tasks = m.n * m.runs * m.strips;
  const unsigned grid = static_cast<unsigned>(tasks < (1 << 20) ? tasks : 1 << 20);
  run(packs ? &map_channels<kDy, kX, V, T> : &map_channels<kDy, kX, 1, T>, grid, kThreads, 0, y, dy, x, from, m);
}

// --- gradients ----------------------------------------------------------------------------------------------------

/// Sums of dy and of dy xhat down each channel, to sums[n][2][C].
template <class T>
struct ChannelDots {
  typedef T Elem;
  struct Value {
    T dy, x;
  };
  struct Local {
    T m, total, dot;  // of dy (x - m), m the mean rounded
  };
  struct State {
    double total, dot;
  };
  const T *dy, *x;
  const double* stats;
  double* sums;
  ChannelShape p;

  __device__ int64_t group(int64_t out) const {
    const Quotient q = divide(out, p.c);
    return q.quotient * p.groups + q.rest / (p.c / p.groups);
  }
  __device__ Value fetch(const T* at, int64_t offset) const { return {at[offset], x[at - dy + offset]}; }
  __device__ Local local(int64_t out) const { return {static_cast<T>(stats[group(out)]), T(0), T(0)}; }
  __device__ void add(Local& s, const Value& v, int64_t) const {
    s.total += v.dy;
    s.dot += v.dy * (v.x - s.m);
  }
  __device__ State lift(const Local& s) const { return {static_cast<double>(s.total), static_cast<double>(s.dot)}; }
  __device__ State identity() const { return {0, 0}; }
  __device__ void combine(State& s, const State& b) const { s.total += b.total, s.dot += b.dot; }
  __device__ void finish(int64_t out, const State& s) const {
    const int64_t g = group(out);
    const double mean = stats[g], r = stats[p.n * p.groups + g];
    const Quotient q = divide(out, p.c);
    double* to = sums + q.quotient * 2 * p.c + q.rest;
    to[0] = s.total;
    to[p.c] = r * (s.dot - (mean - static_cast<double>(static_cast<T>(mean))) * s.total);
  }
};

template <class T>
__global__ void parameter_gradients(T* dweight, T* dbias, const double* sums, ChannelShape p) {
  for (int64_t c = thread_index(); c < p.c; c += thread_count()) {
    double db = 0, dw = 0;
    for (int64_t n = 0; n < p.n; ++n) db += sums[n * 2 * p.c + c], dw += sums[(n * 2 + 1) * p.c + c];
    dbias[c] = static_cast<T>(db);
    dweight[c] = static_cast<T>(dw);
  }
}

inline int group_lanes(const ChannelShape& p) { return power_of_two(p.c / p.groups, kWarp); }
inline unsigned group_blocks(const ChannelShape& p) { return grid_for(p.n * p.groups, kThreads / group_lanes(p)); }

template <class T>
void backward(T* dx, T* dweight, T* dbias, double* sums, const T* dy, const T* x, const double* stats, const T* weight,
              const ChannelShape& p, bool given) {
  reduce_job_columns(ChannelDots<T>{dy, x, stats, sums, p}, dy, columns_job(p.n, p.s, p.c));
  run(&parameter_gradients<T>, grid_for(p.c, kThreads), kThreads, 0, dweight, dbias, sums, p);
  if (!dx || p.n == 0 || p.s == 0) return;
  const Scratch scratch(4 * p.n * p.c * static_cast<int64_t>(sizeof(T)));
  const Coefficients<T> k{scratch.as<T>(), p.n * p.c};
  run(&gradient_coefficients<T>, group_blocks(p), kThreads, 0, k, stats, sums, weight, p, given, group_lanes(p));
  if (given)
    map<true, false>(dx, dy, x, k, p);
  else
    map<true, true>(dx, dy, x, k, p);
}

}  // namespace

void channel_norm_stats(int type, double* stats, double*, double* sums, const void* x, const ChannelShape& shape,
                        double eps) {
  if (shape.n == 0) return;
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    ChannelMoments<T> r;
    r.sums = sums;
    r.channels = shape.c;
    reduce_job_columns(r, static_cast<const T*>(x), columns_job(shape.n, shape.s, shape.c));
  });
  run(&group_stats, group_blocks(shape), kThreads, 0, stats, sums, shape, eps, group_lanes(shape));
}
void channel_norm_given(int type, double* stats, const void* mean, const void* var, int64_t channels, double eps) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    run(&given_stats<T>, grid_for(channels, kThreads), kThreads, 0, stats, static_cast<const T*>(mean),
        static_cast<const T*>(var), channels, eps);
  });
}
void channel_norm_running(int type, void* running_mean, void* running_var, int64_t* batches, const double* stats,
                          const ChannelShape& shape, double momentum) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    if (running_mean)
      run(&running_stats<T>, grid_for(shape.c, kThreads), kThreads, 0, static_cast<T*>(running_mean),
          static_cast<T*>(running_var), batches, stats, shape, momentum);
  });
  if (batches) run(&count_batch, 1, 1, 0, batches);
}
void channel_norm_apply(int type, void* y, const void* x, const double* stats, const void* weight, const void* bias,
                        const ChannelShape& shape) {
  if (shape.n == 0 || shape.s == 0) return;
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    const int64_t count = shape.n * shape.c;
    const Scratch scratch(4 * count * static_cast<int64_t>(sizeof(T)));
    const Coefficients<T> k{scratch.as<T>(), count};
    run(&result_coefficients<T>, grid_for(count, kThreads), kThreads, 0, k, stats, static_cast<const T*>(weight),
        static_cast<const T*>(bias), shape);
    map<false, true>(static_cast<T*>(y), static_cast<const T*>(nullptr), static_cast<const T*>(x), k, shape);
  });
}
void channel_norm_backward(int type, void* dx, void* dweight, void* dbias, double*, double* sums, const void* dy,
                           const void* x, const double* stats, const void* weight, const ChannelShape& shape,
                           bool given) {
  with_float(type, [&](auto* tag) {
    typedef decltype(of(tag)) T;
    backward(static_cast<T*>(dx), static_cast<T*>(dweight), static_cast<T*>(dbias), sums, static_cast<const T*>(dy),
             static_cast<const T*>(x), stats, static_cast<const T*>(weight), shape, given);
  });
}

}  // namespace cuda
}  // namespace fastnn
