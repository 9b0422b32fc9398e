#pragma once
// Rows of a table by number, and bags of them.
//
//   embedding       y_i = weight[id_i]                            dweight_v = sum_{i: id_i = v} dy_i
//   embedding_bag   y_b = sum_{i in b} s_i weight[id_i]           dweight_v = sum_{i: id_i = v} s_i dy_{b(i)}
//                   (mean: s_i = 1 / size of the bag)             ds_i = dy_{b(i)} . weight[id_i]
//                   max: y_bd = max_{i in b} weight[id_i]_d       dweight_v = sum of dy_bd where i attains it (the
//                   first)
//
// id = padding_idx: its row gets no gradient, and bags leave it out. Ids are checked before anything is read through
// them, and again before the gradient is written. The entries of every row are chained in order (lists); each row of
// dweight is then summed and written once, by one task, in the order of the entries: the same bits on any number of
// threads, and no pass that fills with zeros first.

#include <cstdint>
#include <string>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

enum class BagMode : int32_t { sum, mean, max };

/// ids: integers of any shape; weight [V, D]. y [*ids.shape, D]. padding_idx < 0: none.
Tensor embedding(const Tensor& ids, const Tensor& weight, int64_t padding_idx);
/// Scales the rows named by ids whose p-norm exceeds max_norm down to it, in place, without history.
void embedding_renorm_(const Tensor& weight, const Tensor& ids, double max_norm, double norm_type);
/// ids [B, L], or [n] with offsets [B] (the first 0, not falling): where each bag starts; `include_last`: one more, the
/// end. scale (sum only; may be undefined): a factor for each id. y [B, D]; an empty bag is 0.
Tensor embedding_bag(const Tensor& ids, const Tensor& weight, const Tensor& offsets, BagMode mode, const Tensor& scale,
                     bool include_last, int64_t padding_idx);

// The dtype is given as int (4: float32, 5: float64).
FASTNN_KERNEL(embedding_gather, int type, void* y, const void* weight, const int64_t* ids, int64_t n, int64_t v,
              int64_t d)
/// head[v]: the first entry whose id is v, next[i]: the one after i; -1: none. Entries of `padding` are left out. On a
/// device `next` holds id * 2^32 + entry in order of id, and head[v] is the place of the first of them.
FASTNN_KERNEL(embedding_lists, int64_t* head, int64_t* next, const int64_t* ids, int64_t n, int64_t v, int64_t padding)
FASTNN_KERNEL(embedding_renorm, int type, void* weight, const int64_t* head, int64_t v, int64_t d, double max_norm,
              double norm_type)

/// How the entries of a row contribute to its gradient.
struct EmbeddingGrad {
  const int64_t* head;
  const int64_t* next;
  const int64_t* bag;       // row of dy of an entry; null: the entry itself
  const void* scale;        // factor of an entry; null: 1
  const double* bag_scale;  // factor of a bag; null: 1
  const int64_t* arg;       // [B, D] the entry that attains the maximum; null: sums
  int64_t n;                // entries
};
FASTNN_KERNEL(embedding_backward, int type, void* dweight, const void* dy, const EmbeddingGrad& how, int64_t v,
              int64_t d)

struct Bags {
  int64_t n, bags, v, d;  // entries, bags, rows and columns of the table
  const int64_t* start;   // [bags + 1]
  const int64_t* ids;
  int64_t padding;
  BagMode mode;
};
/// start[b] from offsets (null: every bag has `length` entries); the end of the last is n.
FASTNN_KERNEL(bag_starts, int64_t* start, const int64_t* offsets, int64_t given, int64_t bags, int64_t length,
              int64_t n)
/// bag[i]: the bag of entry i; bag_scale[b]: 1, or 1 / entries that count for the mean.
FASTNN_KERNEL(bag_members, int64_t* bag, double* bag_scale, const Bags& bags)
/// arg: only for max.
FASTNN_KERNEL(bag_forward, int type, void* y, int64_t* arg, const void* weight, const void* scale,
              const double* bag_scale, const Bags& bags)
/// ds_i = dy_{b(i)} . weight[id_i], 0 for padding.
FASTNN_KERNEL(bag_scale_backward, int type, void* dscale, const void* dy, const void* weight, const int64_t* bag,
              const Bags& bags)

}  // namespace fastnn
