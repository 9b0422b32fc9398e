#pragma once
// Recurrent layers over whole sequences, batch first: x [N, T, C] -> y [N, T, D P], states h [D, N, P], c [D, N, H],
// D directions; P is H but where the state of an lstm is projected. Weights have their input dimension first, the
// blocks of the gates side by side: W_x [C, G H], W_h [P, G H], b_x, b_h [G H]. s is the logistic function, products of
// vectors are by element, a_x = x W_x + b_x, a_h = h W_h + b_h.
//
//   tanh, relu   (1 block)            h' = f(a_x + a_h)
//   lstm         (i, f, g, o)         i, f, o = s(a_x + a_h), g = tanh(a_x + a_h), c' = f c + i g, h' = o tanh(c')
//                with peepholes p [3 H]: i and f also see p_i c and p_f c, o sees p_o c'
//                with a projection W_r [H, P] (Sak 2014): h' = (o tanh(c')) W_r
//   gru_after    (r, z, n)            r, z = s(a_x + a_h), n = tanh(a_x + r a_h),     h' = (1 - z) n + z h
//   gru_before   (r, z, n)            r, z = s(a_x + a_h), n = tanh(a_x + (r h) W_h + b_h), h' = (1 - z) n + z h
//   gru_simple   (z, n)               z = s(a_x + a_h),    n = tanh(a_x + a_h),       h' = (1 - z) n + z h
//
// Backward runs the steps in reverse. With dh the gradient of h' from above and from the step after,
//   lstm   dc += dh o (1 - tanh(c')^2); do = dh tanh(c') o (1 - o), di = dc g i (1 - i), df = dc c f (1 - f),
//          dg = dc i (1 - g^2); the step before gets dc f
//   gru    dn = dh (1 - z) (1 - n^2), dz = dh (h - n) z (1 - z), dr = dn a_hn r (1 - r), da_hn = dn r (gru_after);
//          the step before gets dh z
// and then dh = dG W_h^T; a projection comes first: d(o tanh c') = dh W_r^T. Only this product is sequential: dW_x,
// dW_h, dW_r and db are products over a block of steps at a time, made while its dG is in the caches.
//
// x may also hold the products x W_x themselves, [N, T, D G H]: inputs that are words are rows of a table then.
//
// A direction counts its own steps: step s of a row is time s, or, reversed, time length - 1 - s. So every row starts
// at step 0 and is idle from step `length` on: its state stays, its output is 0, and nothing of x is read there.
// Rows do not see each other: the batch is cut into runs of rows, and one task takes a run through all steps.

#include <string>
#include <vector>

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

enum class RnnCell : int32_t { tanh, relu, lstm, gru_after, gru_before, gru_simple };

/// Blocks of H columns in the weights.
constexpr int64_t rnn_blocks(RnnCell cell) {
  return cell == RnnCell::lstm ? 4 : cell == RnnCell::gru_simple ? 2 : cell >= RnnCell::gru_after ? 3 : 1;
}

struct RnnOptions {
  const char* op = "rnn";
  RnnCell cell = RnnCell::tanh;
  int64_t layers = 1;
  bool bidirectional = false, peepholes = false, projection = false;
  bool products = false;  // x is x W_x of the first layer, whose sets of weights begin with W_h
  double dropout = 0;     // of the outputs of all layers but the last, while training
  bool training = false;
};

/// {y, h_n} or, for lstm, {y, h_n, c_n}; states [layers D, N, P or H]. `weights` holds for each layer, and in it each
/// direction, W_x, W_h, then b_x and b_h where there are biases, p where there are peepholes, W_r where there is a
/// projection. h0, c0 (zeros) and lengths (T for all; integers [N], 1 to T) may be undefined.
std::vector<Tensor> rnn(const RnnOptions& options, const Tensor& x, const std::vector<Tensor>& weights,
                        const Tensor& h0, const Tensor& c0, const Tensor& lengths);

// What launches take has no padding: a recorded call is searched for addresses after its padding is cleared, and GCC 12
// clears the wrong bytes where an array of structs follows.

/// Row pitches and sizes of one layer, in elements.
struct RnnSizes {
  int32_t type;
  RnnCell cell;
  int64_t N, T, C, H, P, D, W;                 // W: columns of the weights
  int64_t gates;                               // blocks of a row of sums: W / H, and one more for a_hn of gru_after
  int64_t pitch_x, pitch_h, pitch_c, pitch_g;  // of rows of C, P, H and gates H elements
  int64_t block;                               // steps whose input products are made at once
  int64_t back;                                // steps of a block of backward
  int64_t slots;                               // steps kept of the states: T + 1 for backward, else 2
  int32_t products;                            // x holds products: C = D W
  int32_t packed;  // weights in panels, a task a run of rows; or in place, one product a step for all rows
};

struct RnnWeights {
  const void *w_x, *w_h, *b_x, *b_h, *p, *w_r;
  void *pack_x, *pack_h, *pack_r, *bias;  // bias = b_x + b_h (but b_hn of gru_after), in the order of the sums
};

struct RnnForward {
  RnnSizes z;
  RnnWeights w[2];
  const int64_t* lengths;
  const void *x, *h0, *c0;
  void *y, *h_n, *c_n;
  void *h, *c;      // [D, slots, N, pitch]
  void *gates, *m;  // [D, T, N, pitch], kept for backward or null; m = o tanh(c') of a projection
  void* scratch;    // rnn_scratch(z) elements for each row and direction
};

struct RnnBackward {
  RnnSizes z;
  RnnWeights w[2];
  const int64_t* lengths;
  int64_t has_h0;  // 0: the first state is 0
  const void *dy, *dh_n, *dc_n;
  const void *x, *gates, *h, *c, *m;
  // Of a block of steps, [D, back, N, pitch]; null where not wanted.
  void* dg;     // gradients of the sums under the gates; gru_after: (r, z, n in a_x, n in a_h)
  void* dp;     // gradients of projected states
  void* xs;     // x in the order of the steps, 0 where a row is idle
  void* reset;  // r h, what the columns of n meet in gru_before
  // Results, null where not wanted.
  void *dw_x[2], *dw_h[2], *dw_r[2], *dpeep[2];
  void* db[2];      // [gates H]
  void* dx[2];      // [N, T, C] a direction (that of products: columns of one), or null
  void *dh0, *dc0;  // [D, N, P] and [D, N, H], or null
  void* scratch;
};

/// Elements of a weight in panels, of one row's working memory in a direction (forward and backward).
constexpr int64_t rnn_padded(int64_t columns) { return (columns + 31) / 32 * 32; }
constexpr int64_t rnn_scratch(const RnnSizes& z) {
  const int64_t forward = z.block * (z.pitch_g + z.pitch_x) + z.H + z.pitch_c, backward = 3 * z.H + z.P + z.C;
  return (forward > backward ? forward : backward) + 64;
}

FASTNN_KERNEL(rnn_pack, const RnnSizes& z, const RnnWeights& w, bool transposed)
FASTNN_KERNEL(rnn_forward, const RnnForward& args)
FASTNN_KERNEL(rnn_backward, const RnnBackward& args)

}  // namespace fastnn
