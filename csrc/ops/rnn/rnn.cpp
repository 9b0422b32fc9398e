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
int64_t cache_pitch(int64_t columns, int64_t itemsize) {
  return columns > 0 && columns * itemsize % 2048 == 0 ? columns + 16 : columns;
}

/// One layer in all its directions. Inputs: x, h0, c0, then kSet weights (absent ones undefined) a direction.
enum : int64_t { kWx, kWh, kBx, kBh, kP, kWr, kSet };
struct RnnLayer {
  const char* name = "rnn";
  RnnSizes z{};
  bool biased = false, peepholes = false, projected = false, has_h0 = false, has_c0 = false;

  void check(const RnnOptions& o, const Tensor& x, const Tensor& h0, const Tensor& c0, const std::vector<Tensor>& w,
             const Tensor&) {
    name = o.op;
    z.type = static_cast<int32_t>(x.dtype());
    z.cell = o.cell;
    z.N = x.shape()[0], z.T = x.shape()[1], z.C = x.shape()[2], z.P = w[kWh].shape()[0];
    z.H = w[kWh].shape()[1] / rnn_blocks(o.cell);
    z.D = o.bidirectional ? 2 : 1, z.W = rnn_blocks(o.cell) * z.H;
    z.gates = rnn_blocks(o.cell) + (o.cell == RnnCell::gru_after);
    z.products = !w[kWx].defined();
    biased = w[kBx].defined(), peepholes = w[kP].defined(), projected = w[kWr].defined();
    has_h0 = h0.defined(), has_c0 = c0.defined();
    const int64_t size = x.itemsize();
    const bool cpu = x.device() == kCpu;
    const auto pitch_of = [&](int64_t columns) { return cpu ? cache_pitch(columns, size) : columns; };
    z.pitch_x = pitch_of(z.C), z.pitch_h = pitch_of(z.P), z.pitch_c = pitch_of(z.H);
    z.pitch_g = pitch_of(checked_mul(z.gates, z.H));
    const auto steps = [&](int64_t block_rows) {
      return std::max<int64_t>(1, std::min<int64_t>(z.T, block_rows / std::max<int64_t>(z.N, 1)));
    };
    // On the CPU so many rows of x meet a panel of W_x at a time, and so many rows of dG stay in the caches; a device
    // wants products large enough to fill it.
    z.block = steps(cpu ? 128 : 16384), z.back = steps(cpu ? 512 : 16384);
    // Packing a weight costs as much as some rows of its product, and single rows want it as it is.
    z.packed = cpu && z.N >= 4 && z.N * z.T >= 32;
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
      const Tensor* const w = &weights[d * kSet];
      RnnWeights& r = out.w[d];
      r.w_x = z.products ? nullptr : held(w[kWx]), r.w_h = held(w[kWh]);
      r.b_h = biased ? held(w[kBh]) : nullptr;
      r.p = peepholes ? held(w[kP]) : nullptr;
      r.w_r = projected ? held(w[kWr]) : nullptr;
      if (biased && !transposed) r.b_x = held(w[kBx]), r.bias = held(empty({z.gates * z.H}, dtype));
      if (z.packed) {
        // Room for two separately padded parts of W_h.
        const int64_t n_x = transposed ? checked_mul(rnn_padded(z.C), z.W) : checked_mul(rnn_padded(z.W), z.C);
        const int64_t n_h = transposed ? checked_mul(rnn_padded(z.P), z.W) : checked_mul(rnn_padded(z.W) + 64, z.P);
        const int64_t n_r = transposed ? checked_mul(rnn_padded(z.H), z.P) : checked_mul(rnn_padded(z.P), z.H);
        if (with_x && !z.products) r.pack_x = held(empty({n_x}, dtype));
        r.pack_h = held(empty({n_h}, dtype));
        if (projected) r.pack_r = held(empty({n_r}, dtype));
      }
      if (z.packed || r.bias != nullptr) launch(kernels::rnn_pack, z, r, transposed);
    }
    return out;
  }
  /// Working memory; launchers of a device take their own.
  Tensor scratch(DType dtype) const {
    const int64_t each = current_device() == kCpu ? rnn_scratch(z) : 0;
    return empty({checked_mul(checked_mul(z.D, z.N), each)}, dtype);
  }

  std::vector<Tensor> forward(Saved& saved, const RnnOptions&, const Tensor& x, const Tensor& h0, const Tensor& c0,
                              const std::vector<Tensor>& w, const Tensor& lengths) {
    const DType dtype = x.dtype();
    const bool lstm = z.cell == RnnCell::lstm;
    const bool keep = saved.recording();
    z.slots = keep ? z.T + 1 : 2;
    std::vector<Tensor> weights;
    for (const Tensor& t : w) weights.push_back(t.defined() ? contiguous(t.detach()) : t);
    const auto rows = [](const Tensor& t) { return t.defined() ? contiguous(t.detach()) : t; };
    const Tensor xs = rows(x), hs = rows(h0), cs = rows(c0);
    const Tensor y = empty({z.N, z.T, z.D * z.P}, dtype), h_n = empty({z.D, z.N, z.P}, dtype),
                 c_n = lstm ? empty({z.D, z.N, z.H}, dtype) : Tensor();
    const Tensor h = empty({z.D, z.slots, z.N, z.pitch_h}, dtype),
                 c = lstm ? empty({z.D, z.slots, z.N, z.pitch_c}, dtype) : Tensor(),
                 gates = keep ? empty({z.D, z.T, z.N, z.pitch_g}, dtype) : Tensor(),
                 m = keep && projected ? empty({z.D, z.T, z.N, z.pitch_c}, dtype) : Tensor(), work = scratch(dtype);
    const Packed packed = pack(weights, dtype, false, true);
    RnnForward a{};
    a.z = z;
    for (int64_t d = 0; d < z.D; ++d) a.w[d] = packed.w[d];
    a.lengths = lengths.defined() ? lengths.data<int64_t>() : nullptr;
    a.x = xs.raw(), a.h0 = has_h0 ? hs.raw() : nullptr, a.c0 = has_c0 ? cs.raw() : nullptr;
    a.y = y.raw(), a.h_n = h_n.raw(), a.c_n = lstm ? c_n.raw() : nullptr;
    a.h = h.raw(), a.c = lstm ? c.raw() : nullptr, a.scratch = work.raw();
    a.gates = keep ? gates.raw() : nullptr, a.m = m.defined() ? m.raw() : nullptr;
    launch(kernels::rnn_forward, a);
    for (const Tensor& t : {xs, lengths, gates, h, c, m}) saved.keep(t);
    for (const Tensor& t : weights) saved.keep(t);
    std::vector<Tensor> out{y, h_n};
    if (lstm) out.push_back(c_n);
    return out;
  }

  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    const Tensor &x = saved[0], &lengths = saved[1], &gates = saved[2], &h = saved[3], &c = saved[4], &m = saved[5];
    const DType dtype = x.dtype();
    const bool lstm = z.cell == RnnCell::lstm;
    std::vector<Tensor> weights, dys, dxs;
    for (int64_t i = 0; i < kSet * z.D; ++i) weights.push_back(saved[6 + i]);
    for (const Tensor& g : dy) dys.push_back(g.defined() ? contiguous(g) : g);
    const Packed packed = pack(weights, dtype, true, dx.needs(0));
    const Tensor work = scratch(dtype);
    const Tensor dh0 = has_h0 ? empty({z.D, z.N, z.P}, dtype) : Tensor(),
                 dc0 = has_c0 ? empty({z.D, z.N, z.H}, dtype) : Tensor();
    RnnBackward a{};
    a.z = z;
    for (int64_t d = 0; d < z.D; ++d) {
      a.w[d] = packed.w[d];
      if (!dx.needs(0)) continue;
      if (d == 0 || !z.products) dxs.push_back(empty(x.shape(), dtype));
      a.dx[d] = dxs.back().raw();
    }
    a.lengths = lengths.defined() ? lengths.data<int64_t>() : nullptr;
    a.dy = dys[0].defined() ? dys[0].raw() : nullptr, a.dh_n = dys[1].defined() ? dys[1].raw() : nullptr;
    a.dc_n = lstm && dys[2].defined() ? dys[2].raw() : nullptr;
    a.gates = gates.raw(), a.h = h.raw(), a.c = lstm ? c.raw() : nullptr, a.scratch = work.raw();
    a.x = x.raw(), a.m = projected ? m.raw() : nullptr, a.has_h0 = has_h0;
    a.dh0 = has_h0 ? dh0.raw() : nullptr, a.dc0 = has_c0 ? dc0.raw() : nullptr;
    std::vector<Tensor> db(z.D), results(dx.size());
    for (int64_t d = 0; d < z.D; ++d) {
      const auto wanted = [&](int64_t kind, const Dims& shape) -> void* {
        const size_t i = static_cast<size_t>(3 + kSet * d + kind);
        if (!weights[i - 3].defined() || !dx.needs(i)) return nullptr;
        results[i] = empty(shape, dtype);
        return results[i].raw();
      };
      a.dw_x[d] = wanted(kWx, {z.C, z.W}), a.dw_h[d] = wanted(kWh, {z.P, z.W});
      a.dw_r[d] = wanted(kWr, {z.H, z.P}), a.dpeep[d] = wanted(kP, {3 * z.H});
      if (!biased || !(dx.needs(3 + kSet * d + kBx) || dx.needs(3 + kSet * d + kBh))) continue;
      db[d] = empty({z.gates * z.H}, dtype);
      a.db[d] = db[d].raw();
    }
    const auto of_block = [&](bool used, int64_t pitch) {
      return used ? empty({z.D, z.back, z.N, pitch}, dtype) : Tensor();
    };
    const bool rows_of_x = a.dw_x[0] != nullptr || a.dw_x[1] != nullptr;
    const Tensor dg = of_block(true, z.pitch_g), dp = of_block(projected, z.pitch_h),
                 xs = of_block(rows_of_x, z.pitch_x), reset = of_block(z.cell == RnnCell::gru_before, z.pitch_c);
    const auto raw = [](const Tensor& t) { return t.defined() ? t.raw() : nullptr; };
    a.dg = raw(dg), a.dp = raw(dp), a.xs = raw(xs), a.reset = raw(reset);
    launch(kernels::rnn_backward, a);
    if (dx.needs(0)) {
      if (dxs.size() == 2) add_into(dxs[0], dxs[1]);
      dx[0] = dxs[0];
    }
    if (has_h0) dx[1] = dh0;
    if (has_c0) dx[2] = dc0;
    for (size_t i = 3; i < results.size(); ++i)
      if (results[i].defined()) dx[i] = results[i];
    for (int64_t d = 0; d < z.D; ++d) {
      if (!db[d].defined()) continue;
      const size_t at = static_cast<size_t>(3 + kSet * d);
      const Tensor first = slice(db[d], 0, 0, z.W, 1);
      if (dx.needs(at + kBx)) dx[at + kBx] = clone(first);
      if (dx.needs(at + kBh))
        dx[at + kBh] = z.cell == RnnCell::gru_after
                           ? cat({slice(db[d], 0, 0, 2 * z.H, 1), slice(db[d], 0, 3 * z.H, z.H, 1)}, 0)
                           : clone(first);
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
  const int64_t plain = 2 + o.peepholes + o.projection, count = static_cast<int64_t>(weights.size());
  const int64_t absent = o.products ? D : 0;  // W_x of the first layer
  const bool biased = count + absent == checked_mul(sets, plain + 2);
  if (!biased && count + absent != checked_mul(sets, plain))
    throw ValueError(str(op, ": expected ", plain, " or, with biases, ", plain + 2,
                         " weights for each layer and direction, ", sets, " in all",
                         o.products ? " (but W_x of the first layer)" : "", ", got ", count, " tensors"));
  const int64_t each = plain + (biased ? 2 : 0);
  std::vector<Tensor> all = weights;  // with a place for every W_x
  for (int64_t d = 0; d < absent; ++d) all.insert(all.begin() + d * each, Tensor());
  if (all[1].dim() != 2) throw ValueError(str(op, ": W_h must be [H, G H], got shape ", all[1].shape()));
  const int64_t N = x.shape()[0], T = x.shape()[1], P = all[1].shape()[0], G = rnn_blocks(o.cell);
  const int64_t H = o.projection ? all[1].shape()[1] / G : P, W = checked_mul(G, H);
  // One layer needs T N rows of gates; what follows multiplies sizes that were checked here.
  checked_mul(checked_mul(checked_mul(checked_mul(T, 1) + 2, N), 2 * (W + H + P) + 512), 16);
  if (o.products && x.shape()[2] != D * W)
    throw ValueError(str(op, ": x must hold D G H = ", D * W, " products a step, got shape ", x.shape()));
  if (h0.defined()) expect_shape(op, "the initial state h0", h0, {sets, N, P}, x.dtype());
  if (c0.defined()) expect_shape(op, "the initial state c0", c0, {sets, N, H}, x.dtype());
  for (int64_t i = 0; i < sets; ++i) {
    const Tensor* const w = &all[static_cast<size_t>(i * each)];
    if (i >= absent) expect_shape(op, "W_x", w[0], {i < D ? x.shape()[2] : D * P, W}, x.dtype());
    expect_shape(op, "W_h", w[1], {P, W}, x.dtype());
    if (biased) expect_shape(op, "b_x", w[2], {W}, x.dtype()), expect_shape(op, "b_h", w[3], {W}, x.dtype());
    if (o.peepholes) expect_shape(op, "the peephole weights", w[each - 1 - o.projection], {3 * H}, x.dtype());
    if (o.projection) expect_shape(op, "the projection W_r", w[each - 1], {H, P}, x.dtype());
  }
  Tensor valid;
  if (lengths.defined()) {
    valid = as_index(op, lengths);
    if (valid.dim() != 1 || valid.shape()[0] != N)
      throw ValueError(str(op, ": lengths must be [N] = [", N, "], got shape ", valid.shape()));
    // What the kernels read cannot change between check and use, nor before backward.
    const Tensor own = clone(valid.detach());
    check_on_cpu(own, [&](const Tensor& l) { launch_host(&check_lengths, op, l.data<int64_t>(), N, T); });
    valid = to_device(own, x.device());
  }

  const bool lstm = o.cell == RnnCell::lstm;
  std::vector<Tensor> hs, cs;
  Tensor y = x;
  for (int64_t l = 0; l < o.layers; ++l) {
    std::vector<Tensor> layer;
    for (int64_t d = 0; d < D; ++d) {
      const Tensor* const w = &all[static_cast<size_t>((l * D + d) * each)];
      layer.insert(layer.end(),
                   {w[0], w[1], biased ? w[2] : Tensor(), biased ? w[3] : Tensor(),
                    o.peepholes ? w[each - 1 - o.projection] : Tensor(), o.projection ? w[each - 1] : Tensor()});
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
