// The forward sweep. For a block of steps the products with x are made at once; then, step by step, the product with
// h and one pass that turns sums into gates, states and outputs.
#include "ops/rnn/rnn_step.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// One row of one step: sums a = a_x (in the row of gates, replaced by the gates) and u = a_h.
template <class T>
struct CellRow {
  T* g;
  const T *u, *h, *c, *b_h, *p;
  T *h_new, *c_new, *y, *reset;
  int64_t H;
};

template <class T>
FASTNN_INLINE void put_state(const CellRow<T>& r, int64_t j, int64_t k, Vec<T> h) {
  put(r.h_new + j, h, k);
  put(r.y + j, h, k);
}

template <class T>
void lstm_row(const CellRow<T>& r) {
  const int64_t H = r.H;
  each_vector<T>(H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> c = get(r.c + j, k);
    Vec<T> i = get(r.g + j, k) + get(r.u + j, k), f = get(r.g + H + j, k) + get(r.u + H + j, k);
    if (r.p != nullptr) i = fma(get(r.p + j, k), c, i), f = fma(get(r.p + H + j, k), c, f);
    i = sigmoid(i), f = sigmoid(f);
    const Vec<T> g = tanh(get(r.g + 2 * H + j, k) + get(r.u + 2 * H + j, k));
    const Vec<T> now = fma(f, c, i * g);
    Vec<T> o = get(r.g + 3 * H + j, k) + get(r.u + 3 * H + j, k);
    if (r.p != nullptr) o = fma(get(r.p + 2 * H + j, k), now, o);
    o = sigmoid(o);
    put(r.g + j, i, k), put(r.g + H + j, f, k), put(r.g + 2 * H + j, g, k), put(r.g + 3 * H + j, o, k);
    put(r.c_new + j, now, k);
    put_state(r, j, k, o * tanh(now));
  });
}

template <class T>
void gru_after_row(const CellRow<T>& row) {
  const int64_t H = row.H;
  each_vector<T>(H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> r = sigmoid(get(row.g + j, k) + get(row.u + j, k));
    const Vec<T> z = sigmoid(get(row.g + H + j, k) + get(row.u + H + j, k));
    Vec<T> a = get(row.u + 2 * H + j, k);
    if (row.b_h != nullptr) a = a + get(row.b_h + 2 * H + j, k);
    const Vec<T> n = tanh(fma(r, a, get(row.g + 2 * H + j, k)));
    put(row.g + j, r, k), put(row.g + H + j, z, k), put(row.g + 2 * H + j, n, k), put(row.g + 3 * H + j, a, k);
    put_state(row, j, k, fma(z, get(row.h + j, k) - n, n));
  });
}

/// z and n of gru_before (after its second product) and of gru_simple; `at` is the column of z.
template <class T>
void update_row(const CellRow<T>& row, int64_t at, bool has_z) {
  const int64_t H = row.H;
  each_vector<T>(H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    Vec<T> z = get(row.g + at + j, k);
    if (!has_z) z = sigmoid(z + get(row.u + at + j, k));
    const Vec<T> n = tanh(get(row.g + at + H + j, k) + get(row.u + at + H + j, k));
    put(row.g + at + j, z, k), put(row.g + at + H + j, n, k);
    put_state(row, j, k, fma(z, get(row.h + j, k) - n, n));
  });
}

/// r, z and r h of gru_before.
template <class T>
void reset_row(const CellRow<T>& row) {
  const int64_t H = row.H;
  each_vector<T>(H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> r = sigmoid(get(row.g + j, k) + get(row.u + j, k));
    put(row.g + j, r, k);
    put(row.g + H + j, sigmoid(get(row.g + H + j, k) + get(row.u + H + j, k)), k);
    put(row.reset + j, r * get(row.h + j, k), k);
  });
}

template <class T>
void plain_row(const CellRow<T>& row, bool is_relu) {
  each_vector<T>(row.H, [&](int64_t j, int64_t k) FASTNN_LAMBDA_INLINE {
    const Vec<T> a = get(row.g + j, k) + get(row.u + j, k);
    put_state(row, j, k, is_relu ? (a < Vec<T>{} ? Vec<T>{} : a) : tanh(a));
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
      return update_row(row, row.H, true);
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
  const int64_t d;
  const Rows rows;
  const T *w_x, *w_h;
  T *gates, *h, *c;

  Forward(const RnnForward& args, int64_t direction) : a(args), z(args.z), d(direction), rows{z, args.lengths, d} {
    gates = static_cast<T*>(a.gates) + d * z.g_slots * z.N * z.pitch_g;
    h = static_cast<T*>(a.h) + d * z.slots * z.N * z.pitch_h;
    c = static_cast<T*>(a.c) + (a.c != nullptr ? d * z.slots * z.N * z.pitch_h : 0);
    w_x = static_cast<const T*>(a.w[d].w_x), w_h = static_cast<const T*>(a.w[d].w_h);
  }
  T* state(T* base, int64_t s, int64_t n) const { return base + (s % z.slots * z.N + n) * z.pitch_h; }
  T* gate_row(int64_t s, int64_t n) const { return gates + (s % z.g_slots * z.N + n) * z.pitch_g; }

  void run(int64_t n0, int64_t n1) const {
    const int64_t H = z.H, R = n1 - n0, last = rows.longest(n0, n1);
    const RnnWeights& w = a.w[d];
    T* const u = static_cast<T*>(a.scratch) + (d * z.N + n0) * rnn_scratch(z);
    T* const reset = u + R * z.W;
    T* const xs = reset + R * H;
    const T *pack_x = static_cast<const T*>(w.pack_x), *pack_h = static_cast<const T*>(w.pack_h);
    const int64_t columns = columns_of_h(z);
    const Weight<T> by_x{pack_x, w_x, z.W, 1, z.C, z.W}, by_h{pack_h, w_h, z.W, 1, H, columns},
        by_reset{pack_h != nullptr ? pack_h + rnn_padded(columns) * H : nullptr, w_h + columns, z.W, 1, H, H};
    const bool lstm = z.cell == RnnCell::lstm;
    for (int64_t n = n0; n < n1; ++n) {
      copy_row(state(h, 0, n), a.h0 != nullptr ? static_cast<const T*>(a.h0) + (d * z.N + n) * H : nullptr, H);
      if (lstm)
        copy_row(state(c, 0, n), a.c0 != nullptr ? static_cast<const T*>(a.c0) + (d * z.N + n) * H : nullptr, H);
    }
    for (int64_t s0 = 0; s0 < z.T; s0 += z.block) {
      const int64_t s1 = min64(s0 + z.block, z.T), used = min64(s1, last);
      if (s0 < used) {
        for (int64_t s = s0; s < used; ++s)
          for (int64_t n = n0; n < n1; ++n)
            copy_row(xs + ((s - s0) * R + n - n0) * z.pitch_x, rows.active(n, s) ? input(n, s) : nullptr, z.C);
        multiply(by_x, used - s0, R, xs, R * z.pitch_x, z.pitch_x, gate_row(s0, n0), z.N * z.pitch_g, z.pitch_g,
                 static_cast<const T*>(w.bias));
      }
      for (int64_t s = s0; s < s1; ++s) {
        if (s < used) {
          const bool nothing = s == 0 && a.h0 == nullptr;  // the first state is 0, and so is its product
          if (nothing)
            copy_row<T>(u, nullptr, R * z.W);
          else
            multiply(by_h, 1, R, state(h, s, n0), 0, z.pitch_h, u, 0, z.W);
          if (z.cell == RnnCell::gru_before) {
            for (int64_t n = n0; n < n1; ++n) reset_row(cell(s, n, u + (n - n0) * z.W, reset + (n - n0) * H));
            if (!nothing) multiply(by_reset, 1, R, reset, 0, H, u + columns, 0, z.W);
          }
        }
        for (int64_t n = n0; n < n1; ++n) {
          if (rows.active(n, s)) {
            cell_row(z.cell, cell(s, n, u + (n - n0) * z.W, static_cast<T*>(nullptr)));
          } else {
            copy_row(state(h, s + 1, n), state(h, s, n), H);
            if (lstm) copy_row(state(c, s + 1, n), state(c, s, n), H);
            copy_row<T>(output(n, s), nullptr, H);
            // dW_h multiplies r h by gradients that are 0 here: r must be a number.
            if (z.cell == RnnCell::gru_before) copy_row<T>(gate_row(s, n), nullptr, z.W);
          }
        }
      }
    }
    for (int64_t n = n0; n < n1; ++n) {
      copy_row(static_cast<T*>(a.h_n) + (d * z.N + n) * H, state(h, z.T, n), H);
      if (lstm) copy_row(static_cast<T*>(a.c_n) + (d * z.N + n) * H, state(c, z.T, n), H);
    }
  }

  const T* input(int64_t n, int64_t s) const { return static_cast<const T*>(a.x) + (n * z.T + rows.time(n, s)) * z.C; }
  T* output(int64_t n, int64_t s) const { return static_cast<T*>(a.y) + ((n * z.T + rows.time(n, s)) * z.D + d) * z.H; }
  CellRow<T> cell(int64_t s, int64_t n, const T* u, T* reset) const {
    const bool lstm = z.cell == RnnCell::lstm;
    return {gate_row(s, n),
            u,
            state(h, s, n),
            lstm ? state(c, s, n) : nullptr,
            static_cast<const T*>(a.w[d].b_h),
            static_cast<const T*>(a.w[d].p),
            state(h, s + 1, n),
            lstm ? state(c, s + 1, n) : nullptr,
            output(n, s),
            reset,
            z.H};
  }
};

template <class T>
void pack_weights(const RnnSizes& z, const RnnWeights& w, bool transposed) {
  const T *w_x = static_cast<const T*>(w.w_x), *w_h = static_cast<const T*>(w.w_h);
  T *pack_x = static_cast<T*>(w.pack_x), *pack_h = static_cast<T*>(w.pack_h);
  const int64_t H = z.H, W = z.W, columns = transposed ? columns_of_rz(z) : columns_of_h(z);
  if (transposed) {
    if (pack_x != nullptr) pack_weight(pack_x, w_x, int64_t{1}, W, W, z.C);
    if (pack_h == nullptr) return;
    if (columns < W) pack_weight(pack_h + rnn_padded(H) * columns, w_h + columns, int64_t{1}, W, H, H);
    pack_weight(pack_h, w_h, int64_t{1}, W, columns, H);
    return;
  }
  if (pack_x != nullptr) pack_weight(pack_x, w_x, W, int64_t{1}, z.C, W);
  if (pack_h != nullptr) pack_weight(pack_h, w_h, W, int64_t{1}, H, columns);
  if (pack_h != nullptr && columns < W)
    pack_weight(pack_h + rnn_padded(columns) * H, w_h + columns, W, int64_t{1}, H, W - columns);
  if (w.bias == nullptr) return;
  const T *b_x = static_cast<const T*>(w.b_x), *b_h = static_cast<const T*>(w.b_h);
  const int64_t shared = z.cell == RnnCell::gru_after ? 2 * H : W;
  for (int64_t j = 0; j < W; ++j) static_cast<T*>(w.bias)[j] = j < shared ? b_x[j] + b_h[j] : b_x[j];
}

template <class T>
void gather(T* out, const RnnSizes& z, const T* x, const int64_t* lengths, bool reverse) {
  const Rows rows{z, lengths, reverse};
  parallel_range(z.T, max64(1, 65536 / max64(1, z.N * z.C)), [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s)
      for (int64_t n = 0; n < z.N; ++n)
        copy_row(out + (s * z.N + n) * z.pitch_x, rows.active(n, s) ? x + (n * z.T + rows.time(n, s)) * z.C : nullptr,
                 z.C);
  });
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
    each_run(args.z, [&](int64_t d, int64_t n0, int64_t n1) { Forward<T>(args, d).run(n0, n1); });
  });
}

void rnn_gather(void* out, const RnnSizes& z, const void* x, const int64_t* lengths, bool reverse) {
  with_float(z.type, [&](auto* tag) { gather(as(tag, out), z, as(tag, x), lengths, reverse); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
