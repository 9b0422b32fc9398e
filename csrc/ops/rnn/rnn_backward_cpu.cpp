// The backward sweep: from the last step to the first, one pass that turns the gradient of a state into those of the
// sums under its gates, and the product that carries them to the step before. It stops after a block of steps for what
// their dG adds to the gradients of the weights, while it is in the caches.
#include "ops/rnn/rnn_cell.h"
#include "ops/rnn/rnn_step.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// One row of one step. dh holds the gradient that came through the step after, and takes what goes straight to the
/// state before; dy may be null.
template <class T>
struct GradRow {
  const T *g, *h, *h_new, *c, *c_new, *dy, *p;
  T *dh, *dc, *dg, *v, *reset;  // reset takes r h
  int64_t H;

  FASTNN_INLINE Vec<T> gradient(int64_t j, int64_t k) const {
    return dy != nullptr ? get(dh + j, k) + get(dy + j, k) : get(dh + j, k);
  }
};

template <class V>
FASTNN_INLINE V slope(V s) {
  return s * (splat<V>(1.0) - s);
}
template <class V>
FASTNN_INLINE V tanh_slope(V t) {
  return splat<V>(1.0) - t * t;
}

template <class T>
void lstm_back(const GradRow<T>& r) {
  const int64_t H = r.H;
  each_vector<T>(H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> i = get(r.g + j, k), f = get(r.g + H + j, k), g = get(r.g + 2 * H + j, k), o = get(r.g + 3 * H + j, k),
                 c = get(r.c + j, k), t = cell_tanh(get(r.c_new + j, k));
    const Vec<T> dh = r.gradient(j, k), d_o = dh * t * slope(o);
    Vec<T> dc = fma(dh * o, tanh_slope(t), get(r.dc + j, k));
    if (r.p != nullptr) dc = fma(d_o, get(r.p + 2 * H + j, k), dc);
    const Vec<T> di = dc * g * slope(i), df = dc * c * slope(f);
    put(r.dg + j, di, k), put(r.dg + H + j, df, k);
    put(r.dg + 2 * H + j, dc * i * tanh_slope(g), k), put(r.dg + 3 * H + j, d_o, k);
    dc = dc * f;
    if (r.p != nullptr) dc = fma(df, get(r.p + H + j, k), fma(di, get(r.p + j, k), dc));
    put(r.dc + j, dc, k);
    put(r.dh + j, Vec<T>{}, k);
  });
}

template <class T>
void gru_after_back(const GradRow<T>& row) {
  const int64_t H = row.H;
  each_vector<T>(H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> r = get(row.g + j, k), z = get(row.g + H + j, k), n = get(row.g + 2 * H + j, k),
                 a = get(row.g + 3 * H + j, k), dh = row.gradient(j, k);
    const Vec<T> dn = (dh - dh * z) * tanh_slope(n);
    put(row.dg + j, dn * a * slope(r), k);
    put(row.dg + H + j, dh * (get(row.h + j, k) - n) * slope(z), k);
    put(row.dg + 2 * H + j, dn, k), put(row.dg + 3 * H + j, dn * r, k);
    put(row.dh + j, dh * z, k);
  });
}

/// z and n of gru_before and gru_simple; `at` is the column of z.
template <class T>
void update_back(const GradRow<T>& row, int64_t at) {
  const int64_t H = row.H;
  each_vector<T>(H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> z = get(row.g + at + j, k), n = get(row.g + at + H + j, k), dh = row.gradient(j, k);
    put(row.dg + at + j, dh * (get(row.h + j, k) - n) * slope(z), k);
    put(row.dg + at + H + j, (dh - dh * z) * tanh_slope(n), k);
    put(row.dh + j, dh * z, k);
  });
}

/// gru_before, once v is the gradient of r h.
template <class T>
void reset_back(const GradRow<T>& row) {
  each_vector<T>(row.H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> r = get(row.g + j, k), v = get(row.v + j, k), h = get(row.h + j, k);
    put(row.dg + j, v * h * slope(r), k);
    if (row.reset != nullptr) put(row.reset + j, r * h, k);
    put(row.dh + j, fma(v, r, get(row.dh + j, k)), k);
  });
}

template <class T>
void plain_back(const GradRow<T>& row, bool is_relu) {
  each_vector<T>(row.H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> h = get(row.h_new + j, k), dh = row.gradient(j, k);
    put(row.dg + j, is_relu ? (h > Vec<T>{} ? dh : Vec<T>{}) : dh * tanh_slope(h), k);
    put(row.dh + j, Vec<T>{}, k);
  });
}

template <class T>
void back_row(RnnCell cell, const GradRow<T>& row) {
  switch (cell) {
    case RnnCell::lstm:
      return lstm_back(row);
    case RnnCell::gru_after:
      return gru_after_back(row);
    case RnnCell::gru_before:
      return update_back(row, row.H);
    case RnnCell::gru_simple:
      return update_back(row, 0);
    default:
      return plain_back(row, cell == RnnCell::relu);
  }
}

template <class T>
struct Backward {
  const RnnBackward& a;
  const RnnSizes& z;
  const int64_t d, s0, s1;  // a direction, a block of its steps
  const Rows rows;
  const T *gates, *h, *c;
  T *dg, *dp, *dx;

  Backward(const RnnBackward& args, int64_t direction, int64_t first, int64_t end)
      : a(args), z(args.z), d(direction), s0(first), s1(end), rows{z, args.lengths, d} {
    const int64_t states = d * z.slots * z.N, sums = d * z.back * z.N;
    gates = static_cast<const T*>(a.gates) + d * z.T * z.N * z.pitch_g;
    h = static_cast<const T*>(a.h) + states * z.pitch_h;
    c = a.c != nullptr ? static_cast<const T*>(a.c) + states * z.pitch_c : nullptr;
    dg = static_cast<T*>(a.dg) + sums * z.pitch_g;
    dp = a.dp != nullptr ? static_cast<T*>(a.dp) + sums * z.pitch_h : nullptr;
    dx = static_cast<T*>(a.dx[d]) + (z.products && a.dx[d] != nullptr ? d * z.W : 0);
  }

  int64_t in_block(int64_t s, int64_t n) const { return (s - s0) * z.N + n; }
  /// The gradient of the output of a step, or null.
  const T* above(int64_t n, int64_t s) const {
    return a.dy != nullptr ? static_cast<const T*>(a.dy) + ((n * z.T + rows.time(n, s)) * z.D + d) * z.P : nullptr;
  }
  /// The gradient of a projected state, which is all of dh: what is left of it is 0. An idle row passes it on.
  void projected(int64_t n, int64_t s, T* dh) const {
    const bool active = rows.active(n, s);
    const T* const dy = active ? above(n, s) : nullptr;
    T* const out = dp + in_block(s, n) * z.pitch_h;
    each_vector<T>(z.P, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
      const Vec<T> zero{}, sum = dy != nullptr ? get(dh + j, k) + get(dy + j, k) : get(dh + j, k);
      put(out + j, active ? sum : zero, k);
      if (active) put(dh + j, zero, k);
    });
  }
  GradRow<T> row(int64_t n, int64_t s, T* dh, T* dc, T* v) const {
    const int64_t at = s * z.N + n, next = at + z.N;
    return {gates + at * z.pitch_g,
            h + at * z.pitch_h,
            h + next * z.pitch_h,
            c != nullptr ? c + at * z.pitch_c : nullptr,
            c != nullptr ? c + next * z.pitch_c : nullptr,
            dp == nullptr ? above(n, s) : nullptr,
            static_cast<const T*>(a.w[d].p),
            dh,
            dc,
            dg + in_block(s, n) * z.pitch_g,
            v,
            a.reset != nullptr ? static_cast<T*>(a.reset) + (d * z.back * z.N + in_block(s, n)) * z.pitch_c : nullptr,
            z.H};
  }

  void run(int64_t n0, int64_t n1) const {
    const int64_t H = z.H, P = z.P, W = z.W, R = n1 - n0, last = rows.longest(n0, n1), columns = columns_of_rz(z);
    const RnnWeights& w = a.w[d];
    T* const dh = static_cast<T*>(a.scratch) + (d * z.N + n0) * rnn_scratch(z);
    T *const dc = dh + R * P, *const v = dc + R * H, *const xs = v + R * H, *const dm = xs + R * z.C;
    const T *w_x = static_cast<const T*>(w.w_x), *w_h = static_cast<const T*>(w.w_h);
    const T *pack_x = static_cast<const T*>(w.pack_x), *pack_h = static_cast<const T*>(w.pack_h);
    const Weight<T> to_x{pack_x, w_x, 1, W, W, z.C}, to_h{pack_h, w_h, 1, W, columns, P},
        to_n{pack_h != nullptr ? pack_h + rnn_padded(H) * columns : nullptr, w_h + columns, 1, W, H, H},
        to_m{static_cast<const T*>(w.pack_r), static_cast<const T*>(w.w_r), 1, P, P, H};
    const bool lstm = z.cell == RnnCell::lstm;
    for (int64_t n = n0; s1 == z.T && n < n1; ++n) {
      const int64_t i = n - n0, row = d * z.N + n;
      copy_row(dh + i * P, a.dh_n != nullptr ? static_cast<const T*>(a.dh_n) + row * P : nullptr, P);
      if (lstm) copy_row(dc + i * H, a.dc_n != nullptr ? static_cast<const T*>(a.dc_n) + row * H : nullptr, H);
    }
    for (int64_t s = s1 - 1; s >= s0; --s) {
      T* const sums = dg + in_block(s, n0) * z.pitch_g;
      if (dp != nullptr) {
        for (int64_t n = n0; n < n1; ++n) projected(n, s, dh + (n - n0) * P);
        if (s < last) multiply(to_m, R, dp + in_block(s, n0) * z.pitch_h, z.pitch_h, dm, H);
      }
      T* const from = dp != nullptr ? dm : dh;
      for (int64_t n = n0; n < n1; ++n) {
        const GradRow<T> r = row(n, s, from + (n - n0) * H, dc + (n - n0) * H, nullptr);
        if (rows.active(n, s)) {
          back_row(z.cell, r);
        } else {
          copy_row<T>(r.dg, nullptr, z.gates * H);
          if (r.reset != nullptr) copy_row<T>(r.reset, nullptr, H);
        }
        if (a.xs == nullptr) continue;
        const T* const x = static_cast<const T*>(a.x) + (n * z.T + rows.time(n, s)) * z.C;
        copy_row(static_cast<T*>(a.xs) + (d * z.back * z.N + in_block(s, n)) * z.pitch_x,
                 rows.active(n, s) ? x : nullptr, z.C);
      }
      if (s < last) {
        if (z.cell == RnnCell::gru_before) {
          multiply(to_n, R, sums + columns, z.pitch_g, v, H);
          for (int64_t n = n0; n < n1; ++n)
            if (rows.active(n, s)) reset_back(row(n, s, dh + (n - n0) * H, nullptr, v + (n - n0) * H));
        }
        const bool wanted = s > 0 || a.dh0 != nullptr;
        if (wanted) multiply<T>(to_h, R, sums, z.pitch_g, dh, P, nullptr, true);
        if (wanted && z.cell == RnnCell::gru_after) multiply<T>(to_n, R, sums + 3 * H, z.pitch_g, dh, H, nullptr, true);
        if (dx != nullptr && !z.products) multiply(to_x, R, sums, z.pitch_g, xs, z.C);
      }
      for (int64_t n = n0; dx != nullptr && n < n1; ++n) {
        const T* const from = z.products ? sums + (n - n0) * z.pitch_g : xs + (n - n0) * z.C;
        copy_row(dx + (n * z.T + rows.time(n, s)) * z.C, rows.active(n, s) ? from : nullptr, z.products ? W : z.C);
      }
    }
    for (int64_t n = n0; s0 == 0 && n < n1; ++n) {
      const int64_t i = n - n0, row = d * z.N + n;
      if (a.dh0 != nullptr) copy_row(static_cast<T*>(a.dh0) + row * P, dh + i * P, P);
      if (a.dc0 != nullptr) copy_row(static_cast<T*>(a.dc0) + row * H, dc + i * H, H);
    }
  }
};

/// What a block of steps adds to the gradients of the weights of a direction.
template <class T>
struct WeightGradients {
  const RnnBackward& a;
  const RnnSizes& z;
  const int64_t d, s0, s1;
  const int64_t K = (s1 - s0) * z.N, base = d * z.back * z.N;  // rows of the block, and where they begin
  const bool add = s1 < z.T;

  const T* dg(int64_t column) const { return static_cast<const T*>(a.dg) + base * z.pitch_g + column; }

  /// C = [C +] A^T B over the rows of the block; A [K, M], B [K, n] with the given pitches.
  void product(void* c, int64_t column, int64_t c_row, const T* A, int64_t a_row, const T* B, int64_t b_row, int64_t M,
               int64_t n, int64_t skip = 0) const {
    GemmArgs<T> g;
    g.M = M, g.N = n, g.K = K - skip;
    g.A = A + skip * a_row, g.a_row = 1, g.a_col = a_row;
    g.B = B + skip * b_row, g.b_row = b_row;
    g.C = static_cast<T*>(c) + column, g.c_row = c_row;
    g.accumulate = add;
    run_gemm(g);
  }

  void run() const {
    const int64_t H = z.H, W = z.W, P = z.P, states = (d * z.slots + s0) * z.N;
    const bool after = z.cell == RnnCell::gru_after, before = z.cell == RnnCell::gru_before;
    if (a.dw_x[d] != nullptr)
      product(a.dw_x[d], 0, W, static_cast<const T*>(a.xs) + base * z.pitch_x, z.pitch_x, dg(0), z.pitch_g, z.C, W);
    if (a.dw_h[d] != nullptr) {
      const T* const h = static_cast<const T*>(a.h) + states * z.pitch_h;
      const int64_t columns = columns_of_rz(z), zeros = s0 == 0 && s1 > 0 && !a.has_h0 ? z.N : 0;
      product(a.dw_h[d], 0, W, h, z.pitch_h, dg(0), z.pitch_g, P, columns, zeros);
      if (after) product(a.dw_h[d], columns, W, h, z.pitch_h, dg(3 * H), z.pitch_g, P, H, zeros);
      const T* const reset = static_cast<const T*>(a.reset) + (before ? base * z.pitch_c : 0);
      if (before) product(a.dw_h[d], columns, W, reset, z.pitch_c, dg(columns), z.pitch_g, P, H, zeros);
    }
    if (a.dw_r[d] != nullptr)
      product(a.dw_r[d], 0, P, static_cast<const T*>(a.m) + (d * z.T + s0) * z.N * z.pitch_c, z.pitch_c,
              static_cast<const T*>(a.dp) + base * z.pitch_h, z.pitch_h, H, P);
    if (a.db[d] != nullptr) columns_sum(static_cast<T*>(a.db[d]), dg(0), nullptr, z.gates * H);
    if (a.dpeep[d] == nullptr) return;
    T* const p = static_cast<T*>(a.dpeep[d]);
    const T *const c = static_cast<const T*>(a.c) + states * z.pitch_c, *const c_new = c + z.N * z.pitch_c;
    columns_sum(p, dg(0), c, H), columns_sum(p + H, dg(H), c, H), columns_sum(p + 2 * H, dg(3 * H), c_new, H);
  }

  /// out = [out +] the sums of the columns of dG, or of its products with the rows of c.
  void columns_sum(T* out, const T* from, const T* c, int64_t n) const {
    constexpr int64_t L = kLanes<T>, kStrip = 8;  // vectors side by side hide the latency of additions
    parallel_range(ceil_div(n, kStrip * L), max64(1, (1 << 15) / max64(1, K * kStrip * L)),
                   [&](int64_t q0, int64_t q1) {
                     for (int64_t q = q0; q < q1; ++q) {
                       const int64_t j0 = q * kStrip * L, columns = min64(kStrip * L, n - j0);
                       alignas(64) T sums[kStrip * L] = {};
                       for (int64_t i = 0; i < K; ++i)
                         each_vector<T>(columns, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
                           Vec<T> v = get(from + i * z.pitch_g + j0 + j, k);
                           if (c != nullptr) v = v * get(c + i * z.pitch_c + j0 + j, k);
                           store(sums + j, load(sums + j) + v);
                         });
                       for (int64_t j = 0; j < columns; ++j) out[j0 + j] = add ? out[j0 + j] + sums[j] : sums[j];
                     }
                   });
  }
};

}  // namespace

void rnn_backward(const RnnBackward& args) {
  with_float(args.z.type, [&](auto* tag) {
    using T = decltype(of(tag));
    const RnnSizes& z = args.z;
    const int64_t runs = count_runs(z);  // once: runs keep their gradients in scratch from block to block
    int64_t s1 = z.T;
    do {
      const int64_t s0 = max64(0, s1 - z.back);
      each_run(z, runs, [&](int64_t d, int64_t n0, int64_t n1) { Backward<T>(args, d, s0, s1).run(n0, n1); });
      for (int64_t d = 0; d < z.D; ++d) WeightGradients<T>{args, z, d, s0, s1}.run();
      s1 = s0;
    } while (s1 > 0);
  });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
