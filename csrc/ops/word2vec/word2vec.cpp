#include "ops/word2vec/word2vec.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/recording.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

const char* const kOp = "word2vec";

void check_rows(const char* what, const Tensor& x) {
  if (!x.defined() || x.dtype() != DType::float32) throw TypeError(str(kOp, ": ", what, " must be float32"));
  if (x.dim() != 2 || !x.is_contiguous()) throw ValueError(str(kOp, ": ", what, " must be contiguous [rows, D]"));
  check_writable(kOp, x);
}

template <class T>
const T* list(const char* what, const Tensor& x, DType type, int64_t n) {
  if (!x.defined()) return nullptr;
  if (x.dtype() != type) throw TypeError(str(kOp, ": ", what, " must be ", type, ", got ", x.dtype()));
  if (x.dim() != 1 || !x.is_contiguous() || (n >= 0 && x.numel() != n))
    throw ValueError(str(kOp, ": ", what, " expects ", n, " values in a row, got shape ", x.shape()));
  return x.data<T>();
}

void check_ids(const char* what, const int32_t* ids, int64_t n, int64_t low, int64_t high) {
  for (int64_t i = 0; i < n; ++i)
    if (ids[i] < low || ids[i] >= high)
      throw IndexError(str(kOp, ": ", what, " must lie in [", low, ", ", high, "), got ", ids[i], " at ", i));
}

void check_starts(const char* what, const int64_t* starts, int64_t n, int64_t end, int64_t longest) {
  if (starts[0] != 0 || starts[n] != end)
    throw ValueError(str(kOp, ": ", what, " must go from 0 to ", end, ", got ", starts[0], " to ", starts[n]));
  for (int64_t i = 0; i < n; ++i)
    if (starts[i + 1] < starts[i] || starts[i + 1] - starts[i] > longest)
      throw ValueError(
          str(kOp, ": ", what, " must rise by 0 to ", longest, ", got ", starts[i + 1], " after ", starts[i]));
}

/// Sentences gathered into blocks of at most kWord2VecBlock tokens.
std::vector<int64_t> gather_blocks(const int64_t* starts, int64_t sentences) {
  std::vector<int64_t> blocks{0};
  for (int64_t s = 0; s < sentences; ++s)
    if (starts[s + 1] - starts[blocks.back()] > kWord2VecBlock) blocks.push_back(s);
  if (sentences > 0) blocks.push_back(sentences);
  return blocks;
}

}  // namespace

double word2vec(const Word2VecCall& c) {
  refuse_in_capture("word2vec: a pass over text");
  const DeviceGuard host(kCpu);  // where it runs; tensors elsewhere are refused
  check_rows("in", c.in);
  check_rows("out", c.out);
  Word2Vec w{};
  w.v = c.in.shape()[0], w.d = c.in.shape()[1];
  const bool tree = c.path_start.defined();
  if (w.v < 1 || w.v > INT32_MAX / 2) throw ValueError(str(kOp, ": expected 1 to 2^30 words, got ", w.v));
  if (w.d < 1 || w.d % kWord2VecLanes != 0)
    throw ValueError(str(kOp, ": rows must be a multiple of ", kWord2VecLanes, " floats, got ", w.d));
  const int64_t rows = tree ? 2 * w.v - 1 : w.v;
  if (c.out.shape()[0] != rows || c.out.shape()[1] != w.d)
    throw ValueError(str(kOp, ": out expects shape [", rows, ", ", w.d, "], got ", c.out.shape()));
  if (c.window < 1 || c.window > 1000) throw ValueError(str(kOp, ": expected a window of 1 to 1000, got ", c.window));
  if (c.negative < 0 || c.negative > 1000)
    throw ValueError(str(kOp, ": expected 0 to 1000 negative samples, got ", c.negative));
  if (c.batch < 0) throw ValueError(str(kOp, ": expected batch >= 0, got ", c.batch));
  if (!std::isfinite(c.alpha) || !std::isfinite(c.slope)) throw ValueError(str(kOp, ": the rate must be finite"));

  w.ids = list<int32_t>("ids", c.ids, DType::int32, -1);
  w.starts = list<int64_t>("starts", c.starts, DType::int64, -1);
  if (!c.ids.defined() || !c.starts.defined() || c.starts.numel() < 1)
    throw ValueError(str(kOp, ": ids and starts are needed"));
  const int64_t sentences = c.starts.numel() - 1;
  check_starts("starts", w.starts, sentences, c.ids.numel(), kWord2VecBlock);
  check_ids("ids", w.ids, c.ids.numel(), 0, w.v);
  // uint32 limits come in the bits of int32.
  w.keep = reinterpret_cast<const uint32_t*>(list<int32_t>("keep", c.keep, DType::int32, w.v));
  int64_t longest = 0;
  if (c.negative > 0) {
    w.alias_limit = reinterpret_cast<const uint32_t*>(list<int32_t>("alias_limit", c.alias_limit, DType::int32, w.v));
    w.alias = list<int32_t>("alias", c.alias, DType::int32, w.v);
    if (!w.alias_limit || !w.alias) throw ValueError(str(kOp, ": negative samples need alias_limit and alias"));
    check_ids("alias", w.alias, w.v, 0, w.v);
  }
  if (tree) {
    w.path_start = list<int64_t>("path_start", c.path_start, DType::int64, w.v + 1);
    w.path = list<int32_t>("path", c.path, DType::int32, -1);
    w.bit = list<int32_t>("bit", c.bit, DType::int32, c.path.defined() ? c.path.numel() : -1);
    if (!c.path.defined() || !c.bit.defined()) throw ValueError(str(kOp, ": a tree needs path and bit"));
    check_starts("path_start", w.path_start, w.v, c.path.numel(), w.v);
    check_ids("path", w.path, c.path.numel(), w.v, rows);
    check_ids("bit", w.bit, c.bit.numel(), 0, 2);
    for (int64_t i = 0; i < w.v; ++i) longest = std::max(longest, w.path_start[i + 1] - w.path_start[i]);
  }
  const bool full = !tree && c.negative == 0;
  w.targets = full ? w.v : std::max<int64_t>(1, longest + (c.negative > 0 ? c.negative + 1 : 0));
  w.window = c.window, w.negative = c.negative;
  w.cbow = c.cbow, w.mean = c.mean, w.shrink = c.shrink, w.racing = c.batch == 0, w.track = c.track;
  w.seed = c.seed, w.first = c.first, w.alpha = c.alpha, w.slope = c.slope;
  w.in = c.in.data<float>(), w.out = c.out.data<float>();

  const std::vector<int64_t> blocks = gather_blocks(w.starts, sentences);
  w.blocks = blocks.data(), w.count = static_cast<int64_t>(blocks.size()) - 1;
  if (w.count == 0) return 0;
  w.pairs = w.cbow ? 1 : 2 * w.window;
  // Scores taken together are limited by memory: 4 MB of them, for long lists of targets.
  const int64_t most = (int64_t{1} << 19) / (w.pairs * w.targets);
  w.batch = std::clamp<int64_t>(std::min(most, c.batch), 1, kWord2VecBatch);
  // A racing task has the targets of the example it works on and of the next one.
  const int64_t tasks = w.racing ? w.count : w.batch, slots = w.racing ? 2 * tasks : tasks * w.pairs;
  const Tensor kept = empty({w.count, 4, kWord2VecBlock}, DType::int32), kept_count = empty({w.count}, DType::int64),
               row = empty({slots, w.targets}, DType::int32), g = empty({slots, w.targets}, DType::float32),
               hidden = empty({tasks, 2, w.d}, DType::float32), examples = empty({tasks * w.pairs, 4}, DType::int32),
               example_count = empty({tasks}, DType::int64), loss = empty({tasks}, DType::float64);
  w.kept = kept.data<int32_t>(), w.kept_count = kept_count.data<int64_t>();
  w.rows = row.data<int32_t>(), w.g = g.data<float>(), w.hidden = hidden.data<float>();
  w.examples = reinterpret_cast<Word2VecExample*>(examples.data<int32_t>());
  w.example_count = example_count.data<int64_t>(), w.loss = loss.data<double>();
  double total = 0;
  launch(kernels::word2vec_train, &total, w);
  for (const Tensor& x : {c.in, c.out}) x.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
  return total;
}

}  // namespace fastnn
