#include "ops/glove/glove.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/recording.h"
#include "runtime/launch.h"
#include "runtime/thread_pool.h"

namespace fastnn {
namespace {

template <class T>
T* checked(const char* op, const char* what, const Tensor& x, DType type, const Dims& shape) {
  if (x.dtype() != type) throw TypeError(str(op, ": ", what, " must be ", type, ", got ", x.dtype()));
  if (!x.is_contiguous() || x.shape() != shape)
    throw ValueError(str(op, ": ", what, " expects contiguous ", shape, ", got ", x.shape()));
  return x.data<T>();
}

void check_ids(const char* op, const char* what, const int32_t* ids, int64_t n, int64_t v) {
  for (int64_t k = 0; k < n; ++k)
    if (ids[k] < 0 || ids[k] >= v)
      throw IndexError(str(op, ": ", what, " must lie in [0, ", v, "), got ", ids[k], " at ", k));
}

// The places of each word in the text, in order, so that a row of X is one walk over them.
struct Text {
  const int32_t* ids;
  const int64_t* starts;
  int64_t v, window;
  bool symmetric, by_distance;
  std::vector<int64_t> first, place;  // [v + 1], [n]
  std::vector<int32_t> sentence;      // [n]
};

struct Rows {
  int64_t begin = 0, end = 0;
  std::vector<int64_t> lengths;
  std::vector<int32_t> cols;
  std::vector<float> values;
};

void count_rows(const Text& t, Rows& r) {
  std::vector<double> sum(static_cast<size_t>(t.v));
  std::vector<uint64_t> met(static_cast<size_t>(t.v / 64 + 1));
  const auto meet = [&](int64_t p, int64_t q) {
    const auto j = static_cast<size_t>(t.ids[q]);
    sum[j] += t.by_distance ? 1.0 / static_cast<double>(p < q ? q - p : p - q) : 1.0;
    met[j / 64] |= uint64_t{1} << (j % 64);
  };
  for (int64_t word = r.begin; word < r.end; ++word) {
    for (int64_t k = t.first[word]; k < t.first[word + 1]; ++k) {
      const int64_t p = t.place[k], s = t.sentence[p];
      for (int64_t q = std::max(t.starts[s], p - t.window); q < p; ++q) meet(p, q);
      if (!t.symmetric) continue;
      for (int64_t q = p + 1, end = std::min(t.starts[s + 1], p + t.window + 1); q < end; ++q) meet(p, q);
    }
    const size_t before = r.cols.size();
    for (size_t block = 0; block < met.size(); ++block) {
      for (uint64_t bits = met[block]; bits != 0; bits &= bits - 1) {
        const size_t j = block * 64 + static_cast<size_t>(__builtin_ctzll(bits));
        r.cols.push_back(static_cast<int32_t>(j));
        r.values.push_back(static_cast<float>(sum[j]));
        sum[j] = 0;
      }
      met[block] = 0;
    }
    r.lengths.push_back(static_cast<int64_t>(r.cols.size() - before));
  }
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor> cooccurrences(const Tensor& ids, const Tensor& starts, int64_t v, int64_t window,
                                                 bool symmetric, bool by_distance) {
  const char* const op = "cooccurrences";
  refuse_in_capture("cooccurrences: a shape depends on data");
  const DeviceGuard host(kCpu);
  if (v < 0 || v > INT32_MAX) throw ValueError(str(op, ": expected 0 to 2^31 words, got ", v));
  if (window < 1) throw ValueError(str(op, ": expected a window >= 1, got ", window));
  const int64_t n = ids.numel(), sentences = starts.numel() - 1;
  Text t{checked<int32_t>(op, "ids", ids, DType::int32, {n}),
         checked<int64_t>(op, "starts", starts, DType::int64, {starts.numel()}),
         v,
         std::min(window, n),
         symmetric,
         by_distance,
         std::vector<int64_t>(static_cast<size_t>(v + 1)),
         std::vector<int64_t>(static_cast<size_t>(n)),
         std::vector<int32_t>(static_cast<size_t>(n))};
  if (sentences < 0 || sentences > INT32_MAX || t.starts[0] != 0 || t.starts[sentences] != n)
    throw ValueError(str(op, ": starts must go from 0 to the number of ids, ", n));
  for (int64_t s = 0; s < sentences; ++s)
    if (t.starts[s + 1] < t.starts[s] || t.starts[s + 1] > n)
      throw ValueError(str(op, ": starts must not fall, got ", t.starts[s + 1], " after ", t.starts[s]));
  check_ids(op, "ids", t.ids, n, v);
  for (int64_t s = 0; s < sentences; ++s)
    std::fill(t.sentence.begin() + t.starts[s], t.sentence.begin() + t.starts[s + 1], static_cast<int32_t>(s));
  for (int64_t p = 0; p < n; ++p) ++t.first[t.ids[p] + 1];
  for (int64_t w = 0; w < v; ++w) t.first[w + 1] += t.first[w];
  std::vector<int64_t> next(t.first.begin(), t.first.end() - 1);
  for (int64_t p = 0; p < n; ++p) t.place[next[t.ids[p]]++] = p;

  // Rows in groups of about the same number of places.
  std::vector<Rows> groups;
  for (int64_t w = 0, begin = 0; w < v; ++w) {
    if (w + 1 < v && t.first[w + 1] - t.first[begin] < std::max<int64_t>(n / 64, 1)) continue;
    groups.emplace_back();
    groups.back().begin = begin, groups.back().end = begin = w + 1;
  }
  struct Context {
    const Text& t;
    std::vector<Rows>& groups;
  } context{t, groups};
  parallel_run(
      static_cast<int64_t>(groups.size()),
      [](void* c, int64_t task) {
        auto* x = static_cast<Context*>(c);
        count_rows(x->t, x->groups[static_cast<size_t>(task)]);
      },
      &context);

  int64_t total = 0;
  for (const Rows& r : groups) total += static_cast<int64_t>(r.cols.size());
  Tensor row = empty({v + 1}, DType::int64), col = empty({total}, DType::int32), value = empty({total}, DType::float32);
  int64_t* at = row.data<int64_t>();
  *at = 0;
  int64_t k = 0;
  for (const Rows& r : groups) {
    for (const int64_t length : r.lengths) at[1] = at[0] + length, ++at;
    std::copy(r.cols.begin(), r.cols.end(), col.data<int32_t>() + k);
    std::copy(r.values.begin(), r.values.end(), value.data<float>() + k);
    k += static_cast<int64_t>(r.cols.size());
  }
  return {row, col, value};
}

double glove(const GloveCall& c) {
  const char* const op = "glove";
  refuse_in_capture("glove: a pass over counts");
  const DeviceGuard host(kCpu);  // where it runs; tensors elsewhere are refused
  if (c.theta.dim() != 2 || c.theta.shape()[1] < 1 || c.theta.shape()[1] % 16 != 0 || c.theta.shape()[0] > INT32_MAX)
    throw ValueError(str(op, ": theta must be [V, D], D a multiple of 16, got shape ", c.theta.shape()));
  Glove w{};
  w.v = c.theta.shape()[0], w.d = c.theta.shape()[1], w.n = c.i.numel();
  const Dims table{w.v, w.d}, pair{2, w.v}, list{w.n};
  for (const Tensor& x : {c.theta, c.e, c.bias, c.theta_squares, c.e_squares, c.bias_squares}) check_writable(op, x);
  const DType f = DType::float32;
  w.theta = checked<float>(op, "theta", c.theta, f, table), w.e = checked<float>(op, "e", c.e, f, table);
  w.theta_squares = checked<float>(op, "theta_squares", c.theta_squares, f, table);
  w.e_squares = checked<float>(op, "e_squares", c.e_squares, f, table);
  w.bias = checked<float>(op, "bias", c.bias, f, pair);
  w.bias_squares = checked<float>(op, "bias_squares", c.bias_squares, f, pair);
  w.i = checked<int32_t>(op, "i", c.i, DType::int32, list), w.j = checked<int32_t>(op, "j", c.j, DType::int32, list);
  w.weight = checked<float>(op, "weight", c.weight, f, list);
  w.target = checked<float>(op, "target", c.target, f, list);
  check_ids(op, "i", w.i, w.n, w.v);
  check_ids(op, "j", w.j, w.n, w.v);
  if (!std::isfinite(c.rate) || c.rate < 0) throw ValueError(str(op, ": expected a rate >= 0, got ", c.rate));
  if (c.batch < 1 || c.batch > 4096) throw ValueError(str(op, ": expected a batch of 1 to 4096, got ", c.batch));
  w.rate = static_cast<float>(c.rate), w.batch = c.batch;
  const Tensor g = empty({w.batch}, f), loss = empty({w.batch}, DType::float64);
  w.g = g.data<float>(), w.loss = loss.data<double>();
  double total = 0;
  launch(kernels::glove_train, &total, w);
  for (const Tensor& x : {c.theta, c.e, c.bias, c.theta_squares, c.e_squares, c.bias_squares})
    x.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
  return total;
}

}  // namespace fastnn
