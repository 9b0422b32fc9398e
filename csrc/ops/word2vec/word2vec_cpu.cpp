#include "kernels/parallel.h"
#include "kernels/simd_math.h"
#include "ops/word2vec/word2vec.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int64_t kL = kLanes<float>;
// Targets worked on at once: sums of products and rates stay in registers.
constexpr int64_t kGroup = 8;
// Columns of a task that applies steps.
constexpr int64_t kColumns = 32;

// --- randomness: splitmix64 (Steele et al. 2014) ------------------------------------------------------------------

FASTNN_INLINE uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}
constexpr uint64_t kGolden = UINT64_C(0x9e3779b97f4a7c15);

struct Stream {
  uint64_t state;
  FASTNN_INLINE uint64_t next() { return mix(state += kGolden); }
};
/// The draws that belong to one token.
FASTNN_INLINE Stream stream_of(const Word2Vec& w, int64_t token) {
  return {mix(w.seed + kGolden * static_cast<uint64_t>(w.first + token + 1))};
}
/// Uniform in [0, n), from the upper half of a draw.
FASTNN_INLINE int64_t below(uint64_t draw, int64_t n) {
  return static_cast<int64_t>(((draw >> 32) * static_cast<uint64_t>(n)) >> 32);
}

// --- text -----------------------------------------------------------------------------------------------------------

struct Kept {
  const int32_t *word, *lo, *hi, *at;
  int64_t n, first;  // tokens that stayed; number of the block's first token
  float alpha;
};

/// Leaves out what sub-sampling drops, before windows are laid: windows reach over the gap.
void keep_tokens(const Word2Vec& w, int64_t block) {
  int32_t* word = w.kept + block * 4 * kWord2VecBlock;
  int32_t *lo = word + kWord2VecBlock, *hi = lo + kWord2VecBlock, *at = hi + kWord2VecBlock;
  const int64_t first = w.starts[w.blocks[block]];
  int32_t n = 0;
  for (int64_t s = w.blocks[block]; s < w.blocks[block + 1]; ++s) {
    const int32_t begin = n;
    for (int64_t i = w.starts[s]; i < w.starts[s + 1]; ++i) {
      const int32_t id = w.ids[i];
      if (w.keep && static_cast<uint32_t>(stream_of(w, i).next()) > w.keep[id]) continue;
      word[n] = id, lo[n] = begin, at[n] = static_cast<int32_t>(i - first);
      ++n;
    }
    for (int32_t i = begin; i < n; ++i) hi[i] = n;
  }
  w.kept_count[block] = n;
}

FASTNN_INLINE Kept kept_of(const Word2Vec& w, int64_t block) {
  const int32_t* word = w.kept + block * 4 * kWord2VecBlock;
  const int64_t first = w.starts[w.blocks[block]];
  const double alpha = w.alpha - w.slope * static_cast<double>(first);
  return {word,  word + kWord2VecBlock,    word + 2 * kWord2VecBlock, word + 3 * kWord2VecBlock, w.kept_count[block],
          first, static_cast<float>(alpha)};
}

FASTNN_INLINE void prefetch_row(const float* p, int64_t d) {
  for (int64_t j = 0; j < d; j += 16) __builtin_prefetch(p + j);
}

/// Targets of one example and their labels.
int32_t draw_targets(const Word2Vec& w, int32_t word, Stream& s, int32_t* rows, float* label) {
  int32_t n = 0;
  if (w.path_start) {
    for (int64_t i = w.path_start[word]; i < w.path_start[word + 1]; ++i, ++n) {
      rows[n] = w.path[i];
      label[n] = static_cast<float>(1 - w.bit[i]);
      prefetch_row(w.out + rows[n] * w.d, w.d);
    }
  }
  if (w.negative > 0) {
    rows[n] = word, label[n++] = 1.0f;
    for (int64_t k = 0; k < w.negative; ++k) {
      const uint64_t draw = s.next();
      const int64_t column = below(draw, w.v);
      const int32_t t =
          static_cast<uint32_t>(draw) <= w.alias_limit[column] ? static_cast<int32_t>(column) : w.alias[column];
      if (t == word) continue;
      rows[n] = t, label[n++] = 0.0f;
      prefetch_row(w.out + t * w.d, w.d);
    }
  } else if (!w.path_start) {
    for (n = 0; n < w.v; ++n) rows[n] = n, label[n] = n == word ? 1.0f : 0.0f;
  }
  return n;
}

// --- scores ---------------------------------------------------------------------------------------------------------

template <int K>
FASTNN_INLINE void dots(float* f, const float* out, const int32_t* rows, const float* h, int64_t d) {
  const float* r[K];
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) r[k] = out + rows[k] * d;
  f32v a[K] = {};
  for (int64_t j = 0; j < d; j += kL) {
    const f32v x = load(h + j);
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) a[k] = fma(load(r[k] + j), x, a[k]);
  }
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) f[k] = hsum(a[k]);
}

/// e += sum g_k o_k, o_k += g_k h. `e` may be h: it is then changed to h + e, column by column.
template <int K>
FASTNN_INLINE void steps(float* e, float* out, const int32_t* rows, const float* g, const float* h, int64_t d) {
  float* r[K];
  f32v rate[K];
#pragma GCC unroll 8
  for (int k = 0; k < K; ++k) r[k] = out + rows[k] * d, rate[k] = splat<f32v>(double(g[k]));
  for (int64_t j = 0; j < d; j += kL) {
    const f32v x = load(h + j);
    f32v sum = load(e + j);
#pragma GCC unroll 8
    for (int k = 0; k < K; ++k) {
      const f32v o = load(r[k] + j);
      sum = fma(rate[k], o, sum);
      store(r[k] + j, fma(rate[k], x, o));
    }
    store(e + j, sum);
  }
}

/// f.run<k>().
template <class F>
FASTNN_INLINE void for_group(int64_t k, const F& f) {
  switch (k) {
    case 1:
      return f.template run<1>();
    case 2:
      return f.template run<2>();
    case 3:
      return f.template run<3>();
    case 4:
      return f.template run<4>();
    case 5:
      return f.template run<5>();
    case 6:
      return f.template run<6>();
    case 7:
      return f.template run<7>();
    default:
      return f.template run<8>();
  }
}
struct Dots {
  float* f;
  const float* out;
  const int32_t* rows;
  const float* h;
  int64_t d;
  template <int K>
  FASTNN_INLINE void run() const {
    dots<K>(f, out, rows, h, d);
  }
};
struct Steps {
  float *e, *out;
  const int32_t* rows;
  const float *g, *h;
  int64_t d;
  template <int K>
  FASTNN_INLINE void run() const {
    steps<K>(e, out, rows, g, h, d);
  }
};

/// Scores become alpha (label - p) of the full softmax, whose label is 1 at `word`; returns the loss.
double softmax_rates(float* f, int64_t word, int64_t n, float alpha) {
  float top = f[0];
  for (int64_t k = 1; k < n; ++k) top = f[k] > top ? f[k] : top;
  const double right = double(f[word]) - double(top);
  double sum = 0;
  for (int64_t k = 0; k < n; k += kL) {
    const int64_t m = n - k < kL ? n - k : kL;
    const f32v p = exp(load_n(f + k, m) - top);
    for (int64_t i = 0; i < m; ++i) sum += double(p[i]);
    store_n(f + k, p, m);
  }
  const f32v scale = splat<f32v>(-double(alpha) / sum);
  for (int64_t k = 0; k < n; k += kL) {
    const int64_t m = n - k < kL ? n - k : kL;
    store_n(f + k, load_n(f + k, m) * scale, m);
  }
  f[word] += alpha;
  return log(sum) - right;
}

/// -log s(f) where the label is 1, -log s(-f) where it is 0.
double logistic_loss(f32v f, f32v label, int64_t m) {
  const f32v x = select(label > 0.5f, -f, f);
  const f32v loss = select(x > 0.0f, x, f32v{}) + log1p(exp(-abs(x)));
  double sum = 0;
  for (int64_t i = 0; i < m; ++i) sum += double(loss[i]);
  return sum;
}

/// Labels in g become rates. Returns the loss, where it is asked for.
FASTNN_INLINE double score(const Word2Vec& w, float* g, const int32_t* rows, int64_t n, const float* h, float alpha) {
  if (!w.path_start && w.negative == 0) {
    int64_t word = 0;  // the label, found before the scores take its place
    while (g[word] < 0.5f) ++word;
    for (int64_t k = 0; k < n; k += kGroup)
      for_group(n - k < kGroup ? n - k : kGroup, Dots{g + k, w.out, rows + k, h, w.d});
    return softmax_rates(g, word, n, alpha);
  }
  double loss = 0;
  for (int64_t k = 0; k < n; k += kGroup) {
    const int64_t m = n - k < kGroup ? n - k : kGroup;
    float f[kGroup < kL ? kL : kGroup];
    for_group(m, Dots{f, w.out, rows + k, h, w.d});
    for (int64_t i = 0; i < m; i += kL) {
      const int64_t lanes = m - i < kL ? m - i : kL;
      const f32v x = load_n(f + i, lanes), label = load_n(g + k + i, lanes);
      if (w.track) loss += logistic_loss(x, label, lanes);
      store_n(g + k + i, (label - sigmoid(x)) * alpha, lanes);
    }
  }
  return loss;
}

// --- examples -------------------------------------------------------------------------------------------------------

/// The examples of a token: one a word of its window (skip-gram), or one of all (CBOW).
FASTNN_INLINE int64_t window_of(const Word2Vec& w, const Kept& t, int64_t p, Stream& s, Word2VecExample* e) {
  const uint64_t draw = s.next();
  const int64_t reach = w.shrink ? w.window - below(draw, w.window) : w.window;
  const int32_t here = static_cast<int32_t>(p), r = static_cast<int32_t>(reach);
  const int32_t lo = here - r > t.lo[p] ? here - r : t.lo[p], hi = here + r + 1 < t.hi[p] ? here + r + 1 : t.hi[p];
  if (hi - lo < 2) return 0;
  if (w.cbow) {
    e[0] = {lo, hi, here, 0};
    return 1;
  }
  int64_t n = 0;
  for (int32_t j = lo; j < hi; ++j)
    if (j != here) e[n++] = {j, j + 1, -1, 0};
  return n;
}

FASTNN_INLINE float input_scale(const Word2Vec& w, const Word2VecExample& e) {
  return w.cbow && w.mean ? 1.0f / static_cast<float>(e.hi - e.lo - 1) : 1.0f;
}
FASTNN_INLINE float error_scale(const Word2Vec& w, const Word2VecExample& e) {
  return w.cbow && !w.mean ? 1.0f / static_cast<float>(e.hi - e.lo - 1) : 1.0f;
}

/// The vector that predicts: a row itself, or the sum of rows in `buffer`.
FASTNN_INLINE const float* hidden_of(const Word2Vec& w, const Kept& t, const Word2VecExample& e, float* buffer) {
  if (!w.cbow) return w.in + t.word[e.lo] * w.d;
  const f32v scale = splat<f32v>(double(input_scale(w, e)));
  for (int64_t j = 0; j < w.d; j += kL) {
    f32v sum = {};
    for (int32_t i = e.lo; i < e.hi; ++i)
      if (i != e.skip) sum += load(w.in + t.word[i] * w.d + j);
    store(buffer + j, sum * scale);
  }
  return buffer;
}

// --- racing ---------------------------------------------------------------------------------------------------------

double step_now(const Word2Vec& w, const Kept& t, const Word2VecExample& e, const int32_t* rows, float* g,
                float* buffer) {
  const float* h = hidden_of(w, t, e, buffer);
  const double loss = score(w, g, rows, e.n, h, t.alpha);
  if (!w.cbow && e.n <= kGroup) {
    for_group(e.n, Steps{w.in + t.word[e.lo] * w.d, w.out, rows, g, h, w.d});
    return loss;
  }
  float* error = buffer + w.d;
  for (int64_t j = 0; j < w.d; j += kL) store(error + j, f32v{});
  for (int64_t k = 0; k < e.n; k += kGroup)
    for_group(e.n - k < kGroup ? e.n - k : kGroup, Steps{error, w.out, rows + k, g + k, h, w.d});
  const f32v scale = splat<f32v>(double(error_scale(w, e)));
  for (int32_t i = e.lo; i < e.hi; ++i) {
    if (i == e.skip) continue;
    float* x = w.in + t.word[i] * w.d;
    for (int64_t j = 0; j < w.d; j += kL) store(x + j, fma(load(error + j), scale, load(x + j)));
  }
  return loss;
}

void race(const Word2Vec& w, int64_t block) {
  keep_tokens(w, block);
  const Kept t = kept_of(w, block);
  int32_t* rows = w.rows + block * 2 * w.targets;
  float *g = w.g + block * 2 * w.targets, *buffer = w.hidden + block * 2 * w.d;
  Word2VecExample* e = w.examples + block * w.pairs;
  double loss = 0;
  // One example is drawn ahead of the one that is worked on, so that its rows are on their way.
  Word2VecExample waiting{};
  int64_t side = 0;
  for (int64_t p = 0; p < t.n; ++p) {
    Stream s = stream_of(w, t.first + t.at[p]);
    s.next();  // sub-sampling's
    const int64_t n = window_of(w, t, p, s, e);
    for (int64_t i = 0; i < n; ++i) {
      e[i].n = draw_targets(w, t.word[p], s, rows + side * w.targets, g + side * w.targets);
      prefetch_row(w.in + t.word[e[i].lo] * w.d, w.d);
      side ^= 1;
      if (waiting.n > 0) loss += step_now(w, t, waiting, rows + side * w.targets, g + side * w.targets, buffer);
      waiting = e[i];
    }
  }
  side ^= 1;
  if (waiting.n > 0) loss += step_now(w, t, waiting, rows + side * w.targets, g + side * w.targets, buffer);
  w.loss[block] = loss;
}

// --- in order -------------------------------------------------------------------------------------------------------

/// Scores of the token p, the b-th of its batch.
void score_token(const Word2Vec& w, const Kept& t, int64_t p, int64_t b) {
  Stream s = stream_of(w, t.first + t.at[p]);
  s.next();
  Word2VecExample* e = w.examples + b * w.pairs;
  const int64_t n = window_of(w, t, p, s, e);
  int32_t* rows = w.rows + b * w.pairs * w.targets;
  float* g = w.g + b * w.pairs * w.targets;
  double loss = 0;
  for (int64_t i = 0; i < n; ++i) e[i].n = draw_targets(w, t.word[p], s, rows + i * w.targets, g + i * w.targets);
  for (int64_t i = 0; i < n; ++i) {
    const float* h = hidden_of(w, t, e[i], w.hidden + b * 2 * w.d);
    loss += score(w, g + i * w.targets, rows + i * w.targets, e[i].n, h, t.alpha);
  }
  w.example_count[b] = n;
  w.loss[b] = loss;
}

/// The steps of a batch on NV vectors of columns.
template <int NV>
void apply_columns(const Word2Vec& w, const Kept& t, int64_t count, int64_t column) {
  float *in = w.in + column, *out = w.out + column;
  for (int64_t b = 0; b < count; ++b) {
    for (int64_t i = 0; i < w.example_count[b]; ++i) {
      const int64_t slot = b * w.pairs + i;
      const Word2VecExample e = w.examples[slot];
      const int32_t* rows = w.rows + slot * w.targets;
      const float* g = w.g + slot * w.targets;
      f32v h[NV] = {}, error[NV] = {};
      const f32v scale = splat<f32v>(double(input_scale(w, e))), back = splat<f32v>(double(error_scale(w, e)));
      for (int32_t k = e.lo; k < e.hi; ++k) {
        if (k == e.skip) continue;
        const float* x = in + t.word[k] * w.d;
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) h[v] += load(x + v * kL);
      }
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) h[v] = h[v] * scale;
      for (int32_t k = 0; k < e.n; ++k) {
        float* o = out + rows[k] * w.d;
        const f32v rate = splat<f32v>(double(g[k]));
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) {
          const f32v x = load(o + v * kL);
          error[v] = fma(rate, x, error[v]);
          store(o + v * kL, fma(rate, h[v], x));
        }
      }
      for (int32_t k = e.lo; k < e.hi; ++k) {
        if (k == e.skip) continue;
        float* x = in + t.word[k] * w.d;
#pragma GCC unroll 8
        for (int v = 0; v < NV; ++v) store(x + v * kL, fma(error[v], back, load(x + v * kL)));
      }
    }
  }
}

double in_order(const Word2Vec& w) {
  constexpr int64_t kTokens = 8;  // of a task that scores
  parallel_tasks(w.count, [&](int64_t block) { keep_tokens(w, block); });
  double total = 0;
  for (int64_t block = 0; block < w.count; ++block) {
    const Kept t = kept_of(w, block);
    for (int64_t p = 0; p < t.n; p += w.batch) {
      const int64_t count = t.n - p < w.batch ? t.n - p : w.batch;
      parallel_range(count, kTokens, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) score_token(w, t, p + b, b);
      });
      parallel_range(w.d, kColumns, [&](int64_t begin, int64_t end) {
        if (end - begin == kColumns)
          apply_columns<kColumns / kL>(w, t, count, begin);
        else
          apply_columns<kWord2VecLanes / kL>(w, t, count, begin);
      });
      for (int64_t b = 0; b < count; ++b) total += w.loss[b];
    }
  }
  return total;
}

}  // namespace

void word2vec_train(double* total, const Word2Vec& w) {
  if (!w.racing) {
    *total = in_order(w);
    return;
  }
  parallel_tasks(w.count, [&](int64_t block) { race(w, block); });
  *total = 0;
  for (int64_t block = 0; block < w.count; ++block) *total += w.loss[block];
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
