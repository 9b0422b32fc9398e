#include "ops/embedding/embedding.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void check_table(const char* op, const Tensor& weight, int64_t padding_idx) {
  if (!weight.is_floating()) throw TypeError(str(op, ": weight must be float32 or float64, got ", weight.dtype()));
  if (weight.dim() != 2) throw ValueError(str(op, ": weight must be [V, D], got shape ", weight.shape()));
  if (padding_idx >= weight.shape()[0])
    throw ValueError(str(op, ": padding_idx must be a row of weight ", weight.shape(), ", got ", padding_idx));
}

struct Lists {
  Tensor head, next;
  Lists(const Tensor& ids, int64_t v, int64_t padding)
      : head(empty({v}, DType::int64)), next(empty({ids.numel()}, DType::int64)) {
    launch(kernels::embedding_lists, head.data<int64_t>(), next.data<int64_t>(), ids.data<int64_t>(), ids.numel(), v,
           padding);
  }
};

struct Embedding {
  static constexpr const char* name = "embedding";
  int64_t v = 0, d = 0, padding = -1;

  void check(const Tensor& weight, const Tensor& ids, int64_t padding_idx) {
    check_table(name, weight, padding_idx);
    v = weight.shape()[0], d = weight.shape()[1], padding = padding_idx;
    check_indices(name, ids, 0, v, false);
  }

  Tensor forward(Saved& saved, const Tensor& weight, const Tensor& ids, int64_t) {
    const Tensor w = contiguous(weight.detach());
    Dims shape = ids.shape();
    shape.push_back(d);
    const Tensor y = empty(shape, w.dtype());
    if (y.numel() > 0)
      launch(kernels::embedding_gather, static_cast<int>(w.dtype()), y.raw(), w.raw(), ids.data<int64_t>(), ids.numel(),
             v, d);
    saved.keep(ids);
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor& ids = saved[0];
    const Tensor g = contiguous(dy[0]), dw = empty({v, d}, g.dtype());
    check_indices_again(name, ids, 0, v, false);
    const Lists lists(ids, v, padding);
    launch(kernels::embedding_backward, static_cast<int>(g.dtype()), dw.raw(), g.raw(),
           EmbeddingGrad{lists.head.data<int64_t>(), lists.next.data<int64_t>(), nullptr, nullptr, nullptr, nullptr,
                         ids.numel()},
           v, d);
    dx[0] = dw;
  }
};

void check_offsets(const int64_t* offsets, int64_t count, int64_t n, bool include_last) {
  const char* const op = "embedding_bag";
  if (count > 0 && offsets[0] != 0) throw ValueError(str(op, ": offsets must begin with 0, got ", offsets[0]));
  for (int64_t b = 1; b < count; ++b)
    if (offsets[b] < offsets[b - 1])
      throw ValueError(str(op, ": offsets must not fall, got ", offsets[b - 1], " before ", offsets[b]));
  if (count > 0 && offsets[count - 1] > n)
    throw ValueError(str(op, ": offsets must not exceed the ", n, " ids, got ", offsets[count - 1]));
  if (include_last && count > 0 && offsets[count - 1] != n)
    throw ValueError(str(op, ": the last offset must be the number of ids, ", n, ", got ", offsets[count - 1]));
}

struct EmbeddingBag {
  static constexpr const char* name = "embedding_bag";
  Bags bags{};
  int64_t v = 0, given = 0;
  bool last = false;

  void check(const Tensor& weight, const Tensor& scale, const Tensor& ids, const Tensor& offsets, BagMode mode,
             bool include_last, int64_t padding_idx) {
    check_table(name, weight, padding_idx);
    v = weight.shape()[0], last = include_last;
    bags = {ids.numel(), 0, v, weight.shape()[1], nullptr, nullptr, padding_idx, mode};
    if (ids.dim() == 2) {
      if (offsets.defined()) throw ValueError(str(name, ": ids of shape ", ids.shape(), " take no offsets"));
      bags.bags = ids.shape()[0];
    } else {
      if (ids.dim() != 1) throw ValueError(str(name, ": ids must be [B, L] or [n], got shape ", ids.shape()));
      if (!offsets.defined()) throw ValueError(str(name, ": ids of one axis need offsets"));
      if (offsets.dim() != 1) throw ValueError(str(name, ": offsets must be [B], got shape ", offsets.shape()));
      given = offsets.shape()[0];
      if (include_last && given < 1) throw ValueError(str(name, ": include_last_offset needs at least one offset"));
      bags.bags = include_last ? given - 1 : given;
      if (bags.bags == 0 && ids.numel() > 0)
        throw ValueError(str(name, ": ", ids.numel(), " ids but no bag: offsets are empty"));
      check_on_cpu(offsets, [&](const Tensor& here) {
        launch_host(&check_offsets, here.data<int64_t>(), given, ids.numel(), include_last);
      });
    }
    if (scale.defined()) {
      if (mode != BagMode::sum) throw ValueError(str(name, ": per_sample_weights are for mode 'sum' only"));
      if (scale.shape() != ids.shape() || scale.dtype() != weight.dtype())
        throw ValueError(str(name, ": per_sample_weights expects shape ", ids.shape(), " and dtype ", weight.dtype(),
                             ", got ", scale.shape(), " and ", scale.dtype()));
    }
    check_indices(name, ids, 0, v, false);
  }

  Tensor forward(Saved& saved, const Tensor& weight, const Tensor& scale, const Tensor& ids, const Tensor& offsets,
                 BagMode mode, bool, int64_t) {
    const Tensor w = contiguous(weight.detach()), s = scale.defined() ? contiguous(scale.detach()) : scale;
    const Tensor y = empty({bags.bags, bags.d}, w.dtype()), start = empty({bags.bags + 1}, DType::int64),
                 bag = empty({bags.n}, DType::int64), bag_scale = empty({bags.bags}, DType::float64);
    const Tensor arg = mode == BagMode::max ? empty({bags.bags, bags.d}, DType::int64) : Tensor();
    launch(kernels::bag_starts, start.data<int64_t>(), offsets.defined() ? offsets.data<int64_t>() : nullptr, given,
           bags.bags, bags.bags > 0 ? bags.n / bags.bags : 0, bags.n);
    launch(kernels::bag_members, bag.data<int64_t>(), bag_scale.data<double>(), bound(start, ids));
    launch(kernels::bag_forward, static_cast<int>(w.dtype()), y.raw(), arg.defined() ? arg.data<int64_t>() : nullptr,
           w.raw(), s.defined() ? s.raw() : nullptr, bag_scale.data<double>(), bound(start, ids));
    saved.keep(weight);
    for (const Tensor& t : {s, ids, start, bag, bag_scale, arg}) saved.keep(t);
    return y;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor g = contiguous(dy[0]), &scale = saved[1], &ids = saved[2], &start = saved[3], &bag = saved[4],
                 &arg = saved[6];
    const int type = static_cast<int>(g.dtype());
    check_indices_again(name, ids, 0, v, false);
    if (dx.needs(0)) {
      const Lists lists(ids, v, bags.padding);
      const Tensor dw = empty({v, bags.d}, g.dtype());
      EmbeddingGrad how{lists.head.data<int64_t>(),
                        lists.next.data<int64_t>(),
                        bag.data<int64_t>(),
                        nullptr,
                        nullptr,
                        nullptr,
                        bags.n};
      if (scale.defined()) how.scale = scale.raw();
      if (bags.mode == BagMode::mean) how.bag_scale = saved[5].data<double>();
      if (bags.mode == BagMode::max) how.arg = arg.data<int64_t>();
      launch(kernels::embedding_backward, type, dw.raw(), g.raw(), how, v, bags.d);
      dx[0] = dw;
    }
    if (dx.needs(1)) {
      const Tensor w = contiguous(saved[0]), ds = empty(ids.shape(), g.dtype());
      launch(kernels::bag_scale_backward, type, ds.raw(), g.raw(), w.raw(), bag.data<int64_t>(), bound(start, ids));
      dx[1] = ds;
    }
  }

  Bags bound(const Tensor& start, const Tensor& ids) const {
    Bags b = bags;
    b.start = start.data<int64_t>();
    b.ids = ids.data<int64_t>();
    return b;
  }
};

}  // namespace

Tensor embedding(const Tensor& ids, const Tensor& weight, int64_t padding_idx) {
  return apply<Embedding>(weight, as_index("embedding", ids), padding_idx);
}

void embedding_renorm_(const Tensor& weight, const Tensor& ids, double max_norm, double norm_type) {
  const char* const op = "embedding_renorm_";
  check_table(op, weight, -1);
  if (!(max_norm >= 0)) throw ValueError(str(op, ": expected max_norm >= 0, got ", max_norm));
  if (!(norm_type > 0)) throw ValueError(str(op, ": expected norm_type > 0, got ", norm_type));
  check_writable(op, weight);
  const DeviceGuard here(weight.device());
  if (!weight.is_contiguous()) throw ValueError(str(op, ": weight must be contiguous"));
  const int64_t v = weight.shape()[0], d = weight.shape()[1];
  const Tensor index = as_index(op, ids);
  check_indices(op, index, 0, v, false);
  const Lists lists(index, v, -1);
  launch(kernels::embedding_renorm, static_cast<int>(weight.dtype()), weight.raw(), lists.head.data<int64_t>(), v, d,
         max_norm, norm_type);
  weight.impl()->storage->version.fetch_add(1, std::memory_order_relaxed);
}

Tensor embedding_bag(const Tensor& ids, const Tensor& weight, const Tensor& offsets, BagMode mode, const Tensor& scale,
                     bool include_last, int64_t padding_idx) {
  const char* const op = EmbeddingBag::name;
  return apply<EmbeddingBag>(weight, scale, as_index(op, ids), offsets.defined() ? as_index(op, offsets) : offsets,
                             mode, include_last, padding_idx);
}

}  // namespace fastnn
