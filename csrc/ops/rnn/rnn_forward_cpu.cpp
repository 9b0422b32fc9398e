// The forward sweep. For a block of steps the products with x are made at once; then, step by step and group by group
// of units, the product with h is added to them and the sums become gates, states and outputs.
#include "ops/rnn/rnn_cell.h"
#include "ops/rnn/rnn_step.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// One row of one step, the w units of a group: u holds their sums, block beside block.
template <class T>
struct CellRow {
  T* u;
  T* g;  // the gates are kept here, H apart; or null
  const T *h, *c, *b_n, *p;
  T *h_new, *c_new, *y, *reset;  // y may be null
  int64_t w, H;

  FASTNN_INLINE Vec<T> sum(int64_t block, int64_t j, int64_t k) const { return get(u + block * w + j, k); }
  FASTNN_INLINE void keep(int64_t block, int64_t j, int64_t k, Vec<T> v) const {
    if (g != nullptr) put(g + block * H + j, v, k);
  }
  FASTNN_INLINE void put_state(int64_t j, int64_t k, Vec<T> v) const {
    put(h_new + j, v, k);
    if (y != nullptr) put(y + j, v, k);
  }
};

template <class T>
void lstm_row(const CellRow<T>& r) {
  const int64_t H = r.H;
  each_vector<T>(r.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> c = get(r.c + j, k);
    Vec<T> i = r.sum(0, j, k), f = r.sum(1, j, k), o = r.sum(3, j, k);
    if (r.p != nullptr) i = fma(get(r.p + j, k), c, i), f = fma(get(r.p + H + j, k), c, f);
    cell_sigmoids(i, f);
    const Vec<T> g = cell_tanh(r.sum(2, j, k)), now = fma(f, c, i * g);
    if (r.p != nullptr) o = fma(get(r.p + 2 * H + j, k), now, o);
    const Vec<T> h = cell_sigmoid_tanh(o, now);
    r.keep(0, j, k, i), r.keep(1, j, k, f), r.keep(2, j, k, g), r.keep(3, j, k, o);
    put(r.c_new + j, now, k);
    r.put_state(j, k, h);
  });
}

template <class T>
void gru_after_row(const CellRow<T>& row) {
  each_vector<T>(row.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    Vec<T> r = row.sum(0, j, k), z = row.sum(1, j, k), a = row.sum(3, j, k);
    cell_sigmoids(r, z);
    if (row.b_n != nullptr) a = a + get(row.b_n + j, k);
    const Vec<T> n = cell_tanh(fma(r, a, row.sum(2, j, k)));
    row.keep(0, j, k, r), row.keep(1, j, k, z), row.keep(2, j, k, n), row.keep(3, j, k, a);
    row.put_state(j, k, fma(z, get(row.h + j, k) - n, n));
  });
}

/// z and n of gru_before (where reset_row made z) and of gru_simple; z is block `at`.
template <class T>
void update_row(const CellRow<T>& row, int64_t at, bool has_z) {
  each_vector<T>(row.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    Vec<T> z = row.sum(at, j, k);
    if (!has_z) z = cell_sigmoid(z);
    const Vec<T> n = cell_tanh(row.sum(at + 1, j, k));
    row.keep(at, j, k, z), row.keep(at + 1, j, k, n);
    row.put_state(j, k, fma(z, get(row.h + j, k) - n, n));
  });
}

/// r, z and r h of gru_before.
template <class T>
void reset_row(const CellRow<T>& row) {
  each_vector<T>(row.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    Vec<T> r = row.sum(0, j, k), z = row.sum(1, j, k);
    cell_sigmoids(r, z);
    row.keep(0, j, k, r);
    put(row.u + row.w + j, z, k);
    put(row.reset + j, r * get(row.h + j, k), k);
  });
}

template <class T>
void plain_row(const CellRow<T>& row, bool is_relu) {
  each_vector<T>(row.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> a = row.sum(0, j, k);
    row.put_state(j, k, is_relu ? (a < Vec<T>{} ? Vec<T>{} : a) : cell_tanh(a));
  });
}

template <class T>
void cell_row(RnnCell cell, const CellRow<T>& row) {
  switch (cell) {
    case RnnCell::lstm:
      return lstm_row(row);
    case RnnCell::gru_after:
      return gru_after_row(row);
    case RnnCell::gru_before:
      return update_row(row, 1, true);
    case RnnCell::gru_simple:
      return update_row(row, 0, false);
    default:
      return plain_row(row, cell == RnnCell::relu);
  }
}

template <class T>
struct Forward {
  const RnnForward& a;
  const RnnSizes& z;
  const int64_t d, n0, n1, R;  // a direction, a run of rows
  const Rows rows;
  const bool lstm;
  T *gates, *h, *c, *m;
  T *u, *reset, *xs, *m_row;

  Forward(const RnnForward& args, int64_t direction, int64_t first, int64_t end)
      : a(args),
        z(args.z),
        d(direction),
        n0(first),
        n1(end),
        R(end - first),
        rows{z, args.lengths, d},
        lstm(z.cell == RnnCell::lstm) {
    gates = at(a.gates, d * z.T * z.N * z.pitch_g);
    h = at(a.h, d * z.slots * z.N * z.pitch_h);
    c = at(a.c, d * z.slots * z.N * z.pitch_c);
    m = at(a.m, d * z.T * z.N * z.pitch_c);
    u = at(a.scratch, (d * z.N + n0) * rnn_scratch(z));
    reset = u + z.block * R * z.pitch_g;
    xs = reset + R * z.H;
    m_row = xs + z.block * R * z.pitch_x;
  }
  static T* at(void* base, int64_t offset) { return base != nullptr ? static_cast<T*>(base) + offset : nullptr; }
  static const T* at(const void* base, int64_t offset) {
    return base != nullptr ? static_cast<const T*>(base) + offset : nullptr;
  }
  T* state(int64_t s, int64_t n) const { return h + (s % z.slots * z.N + n) * z.pitch_h; }
  T* cell(int64_t s, int64_t n) const { return c + (s % z.slots * z.N + n) * z.pitch_c; }
  /// What the projection takes: o tanh(c').
  T* inner(int64_t s, int64_t n) const {
    return m != nullptr ? m + (s * z.N + n) * z.pitch_c : m_row + (n - n0) * z.pitch_c;
  }
  T* output(int64_t n, int64_t s) const { return static_cast<T*>(a.y) + ((n * z.T + rows.time(n, s)) * z.D + d) * z.P; }
  T* sums(int64_t s, int64_t n) const { return u + (s % z.block * R + n - n0) * z.pitch_g; }

  void run() const {
    const int64_t last = rows.longest(n0, n1), groups = ceil_div(z.H, group_of<T>(z));
    const RnnWeights& w = a.w[d];
    const Blocks<T> by_x{at(w.pack_x, 0), at(w.w_x, 0), z.C, 0, rnn_blocks(z.cell)};
    for (int64_t n = n0; n < n1; ++n) {
      copy_row(state(0, n), at(a.h0, (d * z.N + n) * z.P), z.P);
      if (lstm) copy_row(cell(0, n), at(a.c0, (d * z.N + n) * z.H), z.H);
    }
    for (int64_t s0 = 0; s0 < z.T; s0 += z.block) {
      const int64_t s1 = min64(s0 + z.block, z.T), used = min64(s1, last);
      for (int64_t s = s0; z.products && s < used; ++s)
        for (int64_t n = n0; n < n1; ++n)
          if (rows.active(n, s)) take_products(s, n, groups);
      for (int64_t s = s0; !z.products && s < used; ++s)
        for (int64_t n = n0; n < n1; ++n)
          copy_row(xs + ((s - s0) * R + n - n0) * z.pitch_x,
                   rows.active(n, s) ? at(a.x, (n * z.T + rows.time(n, s)) * z.C) : nullptr, z.C);
      for (int64_t q = 0; !z.products && s0 < used && q < groups; ++q) {
        const Group g = group<T>(z, q);
        multiply(by_x.of(z, g), (used - s0) * R, xs, z.pitch_x, u + g.at, z.pitch_g,
                 w.bias != nullptr ? at(w.bias, g.at) : nullptr);
      }
      for (int64_t s = s0; s < s1; ++s) {
        if (s < used) step(s, groups);
        for (int64_t n = n0; n < n1; ++n)
          if (!rows.active(n, s)) idle(s, n);
      }
    }
    for (int64_t n = n0; n < n1; ++n) {
      copy_row(at(a.h_n, (d * z.N + n) * z.P), state(z.T, n), z.P);
      if (lstm) copy_row(at(a.c_n, (d * z.N + n) * z.H), cell(z.T, n), z.H);
    }
  }

  /// The sums of a row are its products with x, which are given, and the bias.
  void take_products(int64_t s, int64_t n, int64_t groups) const {
    const T* const from = at(a.x, (n * z.T + rows.time(n, s)) * z.C + d * z.W);
    for (int64_t q = 0; q < groups; ++q) {
      const Group g = group<T>(z, q);
      T* const to = sums(s, n) + g.at;
      for (int64_t b = 0; b < rnn_blocks(z.cell); ++b) {
        const T *const x = from + b * z.H + g.j0, *const bias = at(a.w[d].bias, g.at + b * g.w);
        each_vector<T>(g.w, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
          put(to + b * g.w + j, bias != nullptr ? get(x + j, k) + get(bias + j, k) : get(x + j, k), k);
        });
      }
    }
  }

  void step(int64_t s, int64_t groups) const {
    const RnnWeights& w = a.w[d];
    const T *const w_h = at(w.w_h, 0), *const pack_h = at(w.pack_h, 0);
    const bool nothing = s == 0 && a.h0 == nullptr;  // the first state is 0, and so is its product
    const bool after = z.cell == RnnCell::gru_after, before = z.cell == RnnCell::gru_before;
    const int64_t blocks = blocks_of_h(z);
    const Blocks<T> by_h{pack_h, w_h, z.P, 0, blocks},
        by_n{pack_h != nullptr ? pack_h + rnn_padded(blocks * z.H) * z.P : nullptr, w_h, z.P, 2, 3};
    T* const to = sums(s, n0);
    for (int64_t q = 0; q < groups; ++q) {
      const Group g = group<T>(z, q);
      T* const here = to + g.at;
      if (!nothing) {
        multiply<T>(by_h.of(z, g), R, state(s, n0), z.pitch_h, here, z.pitch_g, nullptr, true);
        if (after) multiply<T>(by_n.of(z, g), R, state(s, n0), z.pitch_h, here + 3 * g.w, z.pitch_g);
      } else if (after) {
        for (int64_t i = 0; i < R; ++i) copy_row<T>(here + i * z.pitch_g + 3 * g.w, nullptr, g.w);
      }
      for (int64_t n = n0; n < n1; ++n)
        if (rows.active(n, s)) before ? reset_row(row(s, n, g)) : cell_row(z.cell, row(s, n, g));
    }
    for (int64_t q = 0; before && q < groups; ++q) {
      const Group g = group<T>(z, q);
      if (!nothing) multiply<T>(by_n.of(z, g), R, reset, z.H, to + g.at + 2 * g.w, z.pitch_g, nullptr, true);
      for (int64_t n = n0; n < n1; ++n)
        if (rows.active(n, s)) cell_row(z.cell, row(s, n, g));
    }
    if (w.w_r == nullptr) return;
    const Weight<T> by_r{at(w.pack_r, 0), at(w.w_r, 0), z.P, 1, z.H, z.P};
    multiply<T>(by_r, R, inner(s, n0), z.pitch_c, state(s + 1, n0), z.pitch_h);
    for (int64_t n = n0; n < n1; ++n)
      if (rows.active(n, s)) copy_row(output(n, s), state(s + 1, n), z.P);
  }

  /// The state stays, the output is 0.
  void idle(int64_t s, int64_t n) const {
    copy_row(state(s + 1, n), state(s, n), z.P);
    if (lstm) copy_row(cell(s + 1, n), cell(s, n), z.H);
    copy_row<T>(output(n, s), nullptr, z.P);
    if (m != nullptr) copy_row<T>(inner(s, n), nullptr, z.H);  // dW_r multiplies it by 0
    // dW_h multiplies r h by gradients that are 0 here: r must be a number.
    if (gates != nullptr && z.cell == RnnCell::gru_before) copy_row<T>(gates + (s * z.N + n) * z.pitch_g, nullptr, z.H);
  }

  CellRow<T> row(int64_t s, int64_t n, const Group& g) const {
    const RnnWeights& w = a.w[d];
    const bool projected = w.w_r != nullptr;
    return {sums(s, n) + g.at,
            gates != nullptr ? gates + (s * z.N + n) * z.pitch_g + g.j0 : nullptr,
            state(s, n) + (projected ? 0 : g.j0),
            lstm ? cell(s, n) + g.j0 : nullptr,
            w.b_h != nullptr && z.cell == RnnCell::gru_after ? at(w.b_h, 2 * z.H + g.j0) : nullptr,
            w.p != nullptr ? at(w.p, g.j0) : nullptr,
            (projected ? inner(s, n) : state(s + 1, n)) + g.j0,
            lstm ? cell(s + 1, n) + g.j0 : nullptr,
            projected ? nullptr : output(n, s) + g.j0,
            reset + (n - n0) * z.H + g.j0,
            g.w,
            z.H};
  }
};

template <class T>
void pack_weights(const RnnSizes& z, const RnnWeights& w, bool transposed) {
  const T *w_x = static_cast<const T*>(w.w_x), *w_h = static_cast<const T*>(w.w_h), *w_r = static_cast<const T*>(w.w_r);
  T *pack_x = static_cast<T*>(w.pack_x), *pack_h = static_cast<T*>(w.pack_h), *pack_r = static_cast<T*>(w.pack_r);
  const int64_t H = z.H, W = z.W, P = z.P;
  if (transposed) {
    const int64_t columns = columns_of_rz(z);
    if (pack_x != nullptr) pack_weight(pack_x, w_x, int64_t{1}, W, W, z.C);
    if (pack_r != nullptr) pack_weight(pack_r, w_r, int64_t{1}, P, P, H);
    if (pack_h == nullptr) return;
    if (columns < W) pack_weight(pack_h + rnn_padded(H) * columns, w_h + columns, int64_t{1}, W, H, H);
    pack_weight(pack_h, w_h, int64_t{1}, W, columns, P);
    return;
  }
  if (pack_x != nullptr) pack_blocks(pack_x, z, w_x, z.C, 0, rnn_blocks(z.cell));
  if (pack_r != nullptr) pack_weight(pack_r, w_r, P, int64_t{1}, H, P);
  if (pack_h != nullptr) {
    const int64_t blocks = blocks_of_h(z), all = rnn_blocks(z.cell);
    pack_blocks(pack_h, z, w_h, P, 0, blocks);
    if (blocks < all) pack_blocks(pack_h + rnn_padded(blocks * H) * P, z, w_h, P, blocks, all);
  }
  if (w.bias == nullptr) return;
  // In the order of the sums. b_hn of gru_after stays apart: r multiplies it.
  const T *b_x = static_cast<const T*>(w.b_x), *b_h = static_cast<const T*>(w.b_h);
  const int64_t shared = z.cell == RnnCell::gru_after ? 2 : rnn_blocks(z.cell);
  for (int64_t q = 0; q * group_of<T>(z) < H; ++q) {
    const Group g = group<T>(z, q);
    for (int64_t b = 0; b < rnn_blocks(z.cell); ++b)
      for (int64_t j = 0; j < g.w; ++j) {
        const int64_t from = b * H + g.j0 + j;
        static_cast<T*>(w.bias)[g.at + b * g.w + j] = b < shared ? b_x[from] + b_h[from] : b_x[from];
      }
  }
}

}  // namespace

void rnn_pack(const RnnSizes& z, const RnnWeights& w, bool transposed) {
  with_float(z.type, [&](auto* tag) {
    using T = decltype(of(tag));
    pack_weights<T>(z, w, transposed);
  });
}

void rnn_forward(const RnnForward& args) {
  with_float(args.z.type, [&](auto* tag) {
    using T = decltype(of(tag));
    each_run(args.z, count_runs(args.z), [&](int64_t d, int64_t n0, int64_t n1) { Forward<T>(args, d, n0, n1).run(); });
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
