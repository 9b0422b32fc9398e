#include "ops/word2vec/word2vec.h"
#include "python/bind.h"

namespace fastnn {

// fastnn.text.Word2Vec is the public face.
void bind_word2vec(Binder& b) {
  using Maybe = std::optional<Tensor>;
  b.function(
      "_word2vec",
      [](const Tensor& in, const Tensor& out, const Tensor& ids, const Tensor& starts, const Maybe& keep,
         const Maybe& alias_limit, const Maybe& alias, const Maybe& path_start, const Maybe& path, const Maybe& bit,
         int64_t window, int64_t negative, bool cbow, bool mean, bool shrink, int64_t batch, bool track, uint64_t seed,
         int64_t first, double alpha, double slope) {
        const auto get = [](const Maybe& x) { return x.value_or(Tensor()); };
        return word2vec({in,         out,
                         ids,        starts,
                         get(keep),  get(alias_limit),
                         get(alias), get(path_start),
                         get(path),  get(bit),
                         window,     negative,
                         batch,      cbow,
                         mean,       shrink,
                         track,      seed,
                         first,      alpha,
                         slope});
      },
      "in_"_a, "out"_a, "ids"_a, "starts"_a, "keep"_a, "alias_limit"_a, "alias"_a, "path_start"_a, "path"_a, "bit"_a,
      "window"_a, "negative"_a, "cbow"_a, "mean"_a, "shrink"_a, "batch"_a, "track"_a, "seed"_a, "first"_a, "alpha"_a,
      "slope"_a, "One pass of word2vec over sentences of ids; returns the sum of the losses if `track`.");
}

}  // namespace fastnn
