#pragma once
// word2vec (Mikolov et al. 2013): vectors of words that predict their neighbours.
//
//   h       = in[w_j] for every word w_j near w_p (skip-gram), or the mean or sum of those (CBOW)
//   target  = w_p, scored by one of
//     negative sampling     -log s(h.o_p) - sum_k log s(-h.o_k)         k drawn from P(w) ~ count^(3/4)
//     hierarchical softmax  -sum log s((1 - 2 bit) h.o_node)            over the nodes of Huffman's tree above w_p
//     full softmax          -log(e^(h.o_p) / sum_w e^(h.o_w))
//   step    g_k = alpha (label_k - s(h.o_k));   e = sum g_k o_k;   o_k += g_k h;   in[w_j] += e
//
// As the original program does, CBOW with the mean gives the whole e to every word of the window, and with the sum e /
// n.
//
// Text is a list of ids cut into sentences, sentences are gathered in blocks. Everything random about a token (does
// sub-sampling keep it, how wide is its window, which negatives) is a function of (seed, number of the token). Two
// orders of work:
//   in order   the scores of a batch of tokens are taken from the vectors as they are (tasks: tokens), then
//              the steps are applied one after another (tasks: columns). The same bits on any number of threads.
//   racing     every task trains its own blocks at once, step by step (Hogwild). Threads read and write the same rows
//              without locks: no value is torn (aligned float stores), but updates may be lost and runs differ. With
//              one thread it is plain stochastic gradient descent.

#include <cstdint>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

constexpr int64_t kWord2VecBlock = 10000;  // tokens of a block at most
constexpr int64_t kWord2VecBatch = 128;    // tokens whose scores are taken together, at most
constexpr int64_t kWord2VecLanes = 16;     // rows are this many floats, or a multiple

/// Words [lo, hi) without `skip` of a block predict one word; `n` targets follow.
struct Word2VecExample {
  int32_t lo, hi, skip, n;
};

struct Word2Vec {
  float* in;              // [V, d]
  float* out;             // [V, d], then the inner nodes of the tree [V - 1, d]
  const int32_t* ids;     // [tokens]
  const int64_t* starts;  // [sentences + 1]
  const int64_t* blocks;  // [count + 1] the sentence a block begins with
  int64_t count, d, v, window, negative;
  const uint32_t* keep;         // [V] a token stays if its draw is not above; null: all stay
  const uint32_t* alias_limit;  // [V] Walker's alias method: a column keeps draws below its limit,
  const int32_t* alias;         // [V] and gives the others to this word
  const int64_t* path_start;    // [V + 1]; null: no tree
  const int32_t* path;          // row of `out` of a node, and its bit
  const int32_t* bit;
  int64_t targets;  // most targets of an example
  bool cbow, mean, shrink, racing, track;
  uint64_t seed;
  int64_t first;        // number of the first token
  double alpha, slope;  // the rate of a block is alpha - slope * tokens before it
  // Working memory.
  int32_t* kept;              // [count, 4, kWord2VecBlock]: word, its sentence's begin and end, place in the block
  int64_t* kept_count;        // [count]
  int32_t* rows;              // [slots, targets]; a task is a block (racing) or a token of the batch,
  float* g;                   // [slots, targets]  and has 2 slots or one for each of its examples
  float* hidden;              // [tasks, 2, d]
  Word2VecExample* examples;  // [tasks, pairs]
  int64_t* example_count;     // [tasks]
  double* loss;               // [tasks]
  int64_t batch, pairs;       // tokens scored together, examples of a token at most
};

/// Trains on `ids`, one pass; returns the sum of the losses (0 unless asked for). Throws for anything out of range.
struct Word2VecCall {
  Tensor in, out, ids, starts, keep, alias_limit, alias, path_start, path, bit;
  int64_t window, negative, batch;  // batch: tokens whose scores are taken together; 0: racing
  bool cbow, mean, shrink, track;
  uint64_t seed;
  int64_t first;
  double alpha, slope;
};
double word2vec(const Word2VecCall& call);

/// total: the sum of the losses. One step follows the other, some microseconds each: work for a CPU.
FASTNN_CPU_KERNEL(word2vec_train, double* total, const Word2Vec& w)

}  // namespace fastnn
