#include "ops/rnn/rnn.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "ops/join/join.h"
#include "ops/matmul/gemm.h"
#include "ops/random_fill/random_fill.h"
#include "ops/reduce/reduce.h"
#include "ops/view/view.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void check_lengths(const char* op, const int64_t* lengths, int64_t N, int64_t T) {
  for (int64_t n = 0; n < N; ++n)
    if (lengths[n] < 1 || lengths[n] > T)
      throw ValueError(str(op, ": lengths must be from 1 to T = ", T, ", got ", lengths[n], " for row ", n));
}

/// Rows whose distance is a multiple of 2 KiB evict each other from the first-level cache.
int64_t pitch_of(int64_t columns, int64_t itemsize) {
  return columns > 0 && columns * itemsize % 2048 == 0 ? columns + 16 : columns;
}

/// C = A^T B for A [K, M], B [K, N] with the given pitches, without the first `skip` rows of both.
void add_product(const Tensor& c, int64_t c_column, int64_t c_row, const Tensor& a, int64_t a_row, const Tensor& b,
                 int64_t b_offset, int64_t b_row, int64_t M, int64_t N, int64_t K, int64_t skip = 0) {
  const auto run = [&](auto* tag, const auto& kernel) {
    using T = std::remove_pointer_t<decltype(tag)>;
    GemmArgs<T> g;
    g.M = M, g.N = N, g.K = K - skip;
    g.A = static_cast<const T*>(a.raw()) + skip * a_row, g.a_row = 1, g.a_col = a_row;
    g.B = static_cast<const T*>(b.raw()) + b_offset + skip * b_row, g.b_row = b_row;
    g.C = static_cast<T*>(c.raw()) + c_column, g.c_row = c_row;
    launch(kernel, g);
  };
  if (c.dtype() == DType::float32)
    run(static_cast<float*>(nullptr), kernels::gemm_f32);
  else
    run(static_cast<double*>(nullptr), kernels::gemm_f64);
}

/// One layer in all its directions. Inputs: x, h0, c0, then W_x, W_h, b_x, b_h, p (absent ones undefined) a direction.
struct RnnLayer {
  const char* name = "rnn";
  RnnSizes z{};
  bool biased = false, peepholes = false, has_h0 = false, has_c0 = false;

  void check(const RnnOptions& o, const Tensor& x, const Tensor& h0, const Tensor& c0, const std::vector<Tensor>& w,
             const Tensor&) {
    name = o.op;
    z.type = static_cast<int32_t>(x.dtype());
    z.cell = o.cell;
    z.N = x.shape()[0], z.T = x.shape()[1], z.C = x.shape()[2], z.H = w[1].shape()[0];
    z.D = o.bidirectional ? 2 : 1, z.W = rnn_blocks(o.cell) * z.H;
    z.gates = rnn_blocks(o.cell) + (o.cell == RnnCell::gru_after);
    biased = w[2].defined(), peepholes = w[4].defined(), has_h0 = h0.defined(), has_c0 = c0.defined();
    const int64_t size = x.itemsize();
    z.pitch_x = pitch_of(z.C, size), z.pitch_h = pitch_of(z.H, size);
    z.pitch_g = pitch_of(checked_mul(z.gates, z.H), size);
    // So many rows of x meet a panel of W_x at a time.
    constexpr int64_t kBlockRows = 128;
    z.block =
        std::max<int64_t>(1, std::min<int64_t>(z.T, std::max<int64_t>(4, kBlockRows / std::max<int64_t>(z.N, 1))));
    // Packing a weight costs as much as some rows of its product, and single rows want it as it is.
    z.packed = z.N >= 4 && z.N * z.T >= 32;
  }

  /// Weights as the kernels take them: panels (new memory) where they are packed.
  struct Packed {
    std::vector<Tensor> held;
    RnnWeights w[2]{};
  };
  Packed pack(const std::vector<Tensor>& weights, DType dtype, bool transposed, bool with_x) const {
    Packed out;
    const auto held = [&](const Tensor& t) {
      out.held.push_back(t);
      return t.raw();
    };
    for (int64_t d = 0; d < z.D; ++d) {
      const Tensor* const w = &weights[d * 5];
      RnnWeights& r = out.w[d];
      r.w_x = held(w[0]), r.w_h = held(w[1]);
      r.b_h = biased ? held(w[3]) : nullptr;
      r.p = peepholes ? held(w[4]) : nullptr;
      if (biased && !transposed) r.b_x = held(w[2]), r.bias = held(empty({z.W}, dtype));
      if (z.packed) {
        // Room for two separately padded parts of W_h.
        const int64_t n_x = transposed ? checked_mul(rnn_padded(z.C), z.W) : checked_mul(rnn_padded(z.W), z.C);
        const int64_t n_h = transposed ? checked_mul(rnn_padded(z.H), z.W) : checked_mul(rnn_padded(z.W) + 64, z.H);
        if (with_x) r.pack_x = held(empty({n_x}, dtype));
        r.pack_h = held(empty({n_h}, dtype));
      }
      if (z.packed || r.bias != nullptr) launch(kernels::rnn_pack, z, r, transposed);
    }
    return out;
  }
  Tensor scratch(DType dtype) const { return empty({checked_mul(checked_mul(z.D, z.N), rnn_scratch(z))}, dtype); }

  std::vector<Tensor> forward(Saved& saved, const RnnOptions&, const Tensor& x, const Tensor& h0, const Tensor& c0,
                              const std::vector<Tensor>& w, const Tensor& lengths) {
    const DType dtype = x.dtype();
    const bool lstm = z.cell == RnnCell::lstm;
    z.g_slots = saved.recording() ? z.T : z.block;
    z.slots = saved.recording() ? z.T + 1 : 2;
    std::vector<Tensor> weights;
    for (const Tensor& t : w) weights.push_back(t.defined() ? contiguous(t.detach()) : t);
    const auto rows = [](const Tensor& t) { return t.defined() ? contiguous(t.detach()) : t; };
    const Tensor xs = rows(x), hs = rows(h0), cs = rows(c0);
    const Tensor y = empty({z.N, z.T, z.D * z.H}, dtype), h_n = empty({z.D, z.N, z.H}, dtype),
                 c_n = lstm ? empty({z.D, z.N, z.H}, dtype) : Tensor();
    const Tensor gates = empty({z.D, z.g_slots, z.N, z.pitch_g}, dtype),
                 h = empty({z.D, z.slots, z.N, z.pitch_h}, dtype), c = lstm ? empty(h.shape(), dtype) : Tensor(),
                 work = scratch(dtype);
    const Packed packed = pack(weights, dtype, false, true);
    RnnForward a{};
    a.z = z;
    for (int64_t d = 0; d < z.D; ++d) a.w[d] = packed.w[d];
    a.lengths = lengths.defined() ? lengths.data<int64_t>() : nullptr;
    a.x = xs.raw(), a.h0 = has_h0 ? hs.raw() : nullptr, a.c0 = has_c0 ? cs.raw() : nullptr;
    a.y = y.raw(), a.h_n = h_n.raw(), a.c_n = lstm ? c_n.raw() : nullptr;
    a.gates = gates.raw(), a.h = h.raw(), a.c = lstm ? c.raw() : nullptr, a.scratch = work.raw();
    launch(kernels::rnn_forward, a);
    for (const Tensor& t : {xs, lengths, gates, h, c}) saved.keep(t);
    for (const Tensor& t : weights) saved.keep(t);
    std::vector<Tensor> out{y, h_n};
    if (lstm) out.push_back(c_n);
    return out;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &x = saved[0], &lengths = saved[1], &gates = saved[2], &h = saved[3], &c = saved[4];
    const DType dtype = x.dtype();
    const bool lstm = z.cell == RnnCell::lstm;
    std::vector<Tensor> weights, dys, dxs;
    for (int64_t i = 0; i < 5 * z.D; ++i) weights.push_back(saved[5 + i]);
    for (const Tensor& g : dy) dys.push_back(g.defined() ? contiguous(g) : g);
    const Packed packed = pack(weights, dtype, true, dx.needs(0));
    const Tensor work = scratch(dtype), dg = empty({z.D, z.T, z.N, z.pitch_g}, dtype);
    const Tensor dh0 = has_h0 ? empty({z.D, z.N, z.H}, dtype) : Tensor(),
                 dc0 = has_c0 ? empty({z.D, z.N, z.H}, dtype) : Tensor();
    RnnBackward a{};
    a.z = z;
    for (int64_t d = 0; d < z.D; ++d) {
      a.w[d] = packed.w[d];
      if (!dx.needs(0)) continue;
      dxs.push_back(empty(x.shape(), dtype));
      a.dx[d] = dxs.back().raw();
    }
    a.lengths = lengths.defined() ? lengths.data<int64_t>() : nullptr;
    a.dy = dys[0].defined() ? dys[0].raw() : nullptr, a.dh_n = dys[1].defined() ? dys[1].raw() : nullptr;
    a.dc_n = lstm && dys[2].defined() ? dys[2].raw() : nullptr;
    a.gates = gates.raw(), a.h = h.raw(), a.c = lstm ? c.raw() : nullptr, a.dg = dg.raw(), a.scratch = work.raw();
    a.dh0 = has_h0 ? dh0.raw() : nullptr, a.dc0 = has_c0 ? dc0.raw() : nullptr;
    launch(kernels::rnn_backward, a);
    if (dx.needs(0)) {
      if (z.D == 2) add_into(dxs[0], dxs[1]);
      dx[0] = dxs[0];
    }
    if (has_h0) dx[1] = dh0;
    if (has_c0) dx[2] = dc0;
    for (int64_t d = 0; d < z.D; ++d)
      weight_gradients(dx, static_cast<size_t>(3 + 5 * d), d, x, lengths, select(gates, 0, d), select(h, 0, d),
                       lstm ? select(c, 0, d) : c, select(dg, 0, d));
  }

  /// dW_x = sum_s x_s^T dG_s, dW_h = sum_s h_s^T dG_s, db = sum_s dG_s; all over the T N rows at once.
  void weight_gradients(Grads& dx, size_t at, int64_t d, const Tensor& x, const Tensor& lengths, const Tensor& gates,
                        const Tensor& h, const Tensor& c, const Tensor& dg) const {
    const DType dtype = x.dtype();
    const int64_t K = z.T * z.N, H = z.H, W = z.W;
    const bool after = z.cell == RnnCell::gru_after, before = z.cell == RnnCell::gru_before;
    if (dx.needs(at)) {
      const Tensor rows = empty({z.T, z.N, z.pitch_x}, dtype), dw = empty({z.C, W}, dtype);
      launch(kernels::rnn_gather, rows.raw(), z, x.raw(), lengths.defined() ? lengths.data<int64_t>() : nullptr,
             d == 1);
      add_product(dw, 0, W, rows, z.pitch_x, dg, 0, z.pitch_g, z.C, W, K);
      dx[at] = dw;
    }
    if (dx.needs(at + 1)) {
      const Tensor dw = empty({H, W}, dtype);
      const int64_t columns = after || before ? 2 * H : W;
      const int64_t zeros = has_h0 || z.T == 0 ? 0 : z.N;  // rows of the first state
      add_product(dw, 0, W, h, z.pitch_h, dg, 0, z.pitch_g, H, columns, K, zeros);
      if (after) add_product(dw, columns, W, h, z.pitch_h, dg, 3 * H, z.pitch_g, H, H, K, zeros);
      if (before) {
        const Tensor rows = empty({z.T, z.N, z.pitch_h}, dtype);
        launch(kernels::rnn_reset, rows.raw(), z, gates.raw(), h.raw());
        add_product(dw, columns, W, rows, z.pitch_h, dg, 2 * H, z.pitch_g, H, H, K, zeros);
      }
      dx[at + 1] = dw;
    }
    if (biased && (dx.needs(at + 2) || dx.needs(at + 3))) {
      const Tensor db = sum(dg, {0, 1}, false);
      const Tensor first = slice(db, 0, 0, W, 1);
      if (dx.needs(at + 2)) dx[at + 2] = clone(first);
      if (dx.needs(at + 3))
        dx[at + 3] = after ? cat({slice(db, 0, 0, 2 * H, 1), slice(db, 0, 3 * H, H, 1)}, 0) : clone(first);
    }
    if (peepholes && dx.needs(at + 4)) {
      const auto block = [&](int64_t g) { return slice(dg, 2, g * H, H, 1); };
      const auto cells = [&](int64_t s) { return slice(slice(c, 0, s, z.T, 1), 2, 0, H, 1); };
      const auto product = [&](int64_t g, int64_t s) { return sum(mul(block(g), cells(s)), {0, 1}, false); };
      dx[at + 4] = cat({product(0, 0), product(1, 0), product(3, 1)}, 0);
    }
  }
};

void expect_shape(const char* op, const char* what, const Tensor& t, const Dims& shape, DType dtype) {
  if (t.dtype() != dtype) throw TypeError(str(op, ": ", what, " must be ", dtype, " as x is, got ", t.dtype()));
  if (t.shape() != shape) throw ValueError(str(op, ": ", what, " must be ", shape, ", got ", t.shape()));
}

}  // namespace

std::vector<Tensor> rnn(const RnnOptions& o, const Tensor& x, const std::vector<Tensor>& weights, const Tensor& h0,
                        const Tensor& c0, const Tensor& lengths) {
  const char* const op = o.op;
  if (!x.is_floating()) throw TypeError(str(op, ": x must be float32 or float64, got ", x.dtype()));
  if (x.dim() != 3) throw ValueError(str(op, ": x must be [N, T, C], got shape ", x.shape()));
  if (o.layers < 1) throw ValueError(str(op, ": num_layers must be at least 1, got ", o.layers));
  if (!(o.dropout >= 0 && o.dropout <= 1)) throw ValueError(str(op, ": dropout must be in [0, 1], got ", o.dropout));
  const int64_t D = o.bidirectional ? 2 : 1, sets = checked_mul(o.layers, D);
  const int64_t plain = 2 + o.peepholes, count = static_cast<int64_t>(weights.size());
  const bool biased = count == checked_mul(sets, plain + 2);
  if (!biased && count != checked_mul(sets, plain))
    throw ValueError(str(op, ": expected ", plain, " or, with biases, ", plain + 2,
                         " weights for each layer and direction, ", sets, " in all, got ", count, " tensors"));
  if (weights[1].dim() != 2) throw ValueError(str(op, ": W_h must be [H, G H], got shape ", weights[1].shape()));
  const int64_t N = x.shape()[0], T = x.shape()[1], H = weights[1].shape()[0], G = rnn_blocks(o.cell);
  const int64_t W = checked_mul(G, H), each = plain + (biased ? 2 : 0);
  // One layer needs T N rows of gates; what follows multiplies sizes that were checked here.
  checked_mul(checked_mul(checked_mul(checked_mul(T, 1) + 2, N), 2 * (W + H) + 512), 16);
  const Dims state{sets, N, H};
  if (h0.defined()) expect_shape(op, "the initial state h0", h0, state, x.dtype());
  if (c0.defined()) expect_shape(op, "the initial state c0", c0, state, x.dtype());
  for (int64_t i = 0; i < sets; ++i) {
    const Tensor* const w = &weights[static_cast<size_t>(i * each)];
    expect_shape(op, "W_x", w[0], {i < D ? x.shape()[2] : D * H, W}, x.dtype());
    expect_shape(op, "W_h", w[1], {H, W}, x.dtype());
    if (biased) expect_shape(op, "b_x", w[2], {W}, x.dtype()), expect_shape(op, "b_h", w[3], {W}, x.dtype());
    if (o.peepholes) expect_shape(op, "the peephole weights", w[each - 1], {3 * H}, x.dtype());
  }
  Tensor valid;
  if (lengths.defined()) {
    valid = as_index(op, lengths);
    if (valid.dim() != 1 || valid.shape()[0] != N)
      throw ValueError(str(op, ": lengths must be [N] = [", N, "], got shape ", valid.shape()));
    valid = clone(valid.detach());  // what the kernels read cannot change between check and use, nor before backward
    launch_host(&check_lengths, op, valid.data<int64_t>(), N, T);
  }

  const bool lstm = o.cell == RnnCell::lstm;
  std::vector<Tensor> hs, cs;
  Tensor y = x;
  for (int64_t l = 0; l < o.layers; ++l) {
    std::vector<Tensor> layer;
    for (int64_t d = 0; d < D; ++d) {
      const Tensor* const w = &weights[static_cast<size_t>((l * D + d) * each)];
      layer.insert(layer.end(), {w[0], w[1], biased ? w[2] : Tensor(), biased ? w[3] : Tensor(),
                                 o.peepholes ? w[each - 1] : Tensor()});
    }
    const auto part = [&](const Tensor& s) { return s.defined() && o.layers > 1 ? slice(s, 0, l * D, D, 1) : s; };
    if (l > 0 && o.dropout > 0) y = dropout(y, o.dropout, o.training);
    const std::vector<Tensor> out = apply<RnnLayer>(o, y, part(h0), part(c0), layer, valid);
    y = out[0];
    hs.push_back(out[1]);
    if (lstm) cs.push_back(out[2]);
  }
  std::vector<Tensor> out{y, o.layers > 1 ? cat(hs, 0) : hs[0]};
  if (lstm) out.push_back(o.layers > 1 ? cat(cs, 0) : cs[0]);
  return out;
}

}  // namespace fastnn
