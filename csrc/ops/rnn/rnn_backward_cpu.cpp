// The backward sweep: from the last step to the first, one pass that turns the gradient of a state into those of the
// sums under its gates, and the product that carries them to the step before. dW and db are made of dG afterwards.
#include "ops/rnn/rnn_step.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// One row of one step. dh holds the gradient that came through the step after, and takes what goes straight to the
/// state before; dy may be null.
template <class T>
struct GradRow {
  const T *g, *h, *h_new, *c, *c_new, *dy, *p;
  T *dh, *dc, *dg, *v;
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
                 c = get(r.c + j, k), t = tanh(get(r.c_new + j, k));
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
    const Vec<T> r = get(row.g + j, k), v = get(row.v + j, k);
    put(row.dg + j, v * get(row.h + j, k) * slope(r), k);
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
  const int64_t d;
  const Rows rows;
  const T *gates, *h, *c;
  T *dg, *dx;

  Backward(const RnnBackward& args, int64_t direction) : a(args), z(args.z), d(direction), rows{z, args.lengths, d} {
    const int64_t states = d * z.slots * z.N * z.pitch_h, sums = d * z.T * z.N * z.pitch_g;
    gates = static_cast<const T*>(a.gates) + sums;
    h = static_cast<const T*>(a.h) + states;
    c = a.c != nullptr ? static_cast<const T*>(a.c) + states : nullptr;
    dg = static_cast<T*>(a.dg) + sums;
    dx = static_cast<T*>(a.dx[d]);
  }

  GradRow<T> row(int64_t n, int64_t s, T* dh, T* dc, T* v) const {
    const int64_t at = (s * z.N + n) * z.pitch_h, next = at + z.N * z.pitch_h, sums = (s * z.N + n) * z.pitch_g;
    const T* const dy = static_cast<const T*>(a.dy);
    return {gates + sums,
            h + at,
            h + next,
            c != nullptr ? c + at : nullptr,
            c != nullptr ? c + next : nullptr,
            dy != nullptr ? dy + ((n * z.T + rows.time(n, s)) * z.D + d) * z.H : nullptr,
            static_cast<const T*>(a.w[d].p),
            dh,
            dc,
            dg + sums,
            v,
            z.H};
  }

  void run(int64_t n0, int64_t n1) const {
    const int64_t H = z.H, W = z.W, R = n1 - n0, last = rows.longest(n0, n1), columns = columns_of_rz(z);
    const RnnWeights& w = a.w[d];
    T* const dh = static_cast<T*>(a.scratch) + (d * z.N + n0) * rnn_scratch(z);
    T *const dc = dh + R * H, *const v = dc + R * H, *const xs = v + R * H;
    const T *w_x = static_cast<const T*>(w.w_x), *w_h = static_cast<const T*>(w.w_h);
    const T *pack_x = static_cast<const T*>(w.pack_x), *pack_h = static_cast<const T*>(w.pack_h);
    const Weight<T> to_x{pack_x, w_x, 1, W, W, z.C}, to_h{pack_h, w_h, 1, W, columns, H},
        to_n{pack_h != nullptr ? pack_h + rnn_padded(H) * columns : nullptr, w_h + columns, 1, W, H, H};
    const bool lstm = z.cell == RnnCell::lstm;
    for (int64_t n = n0; n < n1; ++n) {
      const int64_t at = (d * z.N + n) * H;
      copy_row(dh + (n - n0) * H, a.dh_n != nullptr ? static_cast<const T*>(a.dh_n) + at : nullptr, H);
      if (lstm) copy_row(dc + (n - n0) * H, a.dc_n != nullptr ? static_cast<const T*>(a.dc_n) + at : nullptr, H);
    }
    for (int64_t s = z.T - 1; s >= 0; --s) {
      T* const sums = dg + (s * z.N + n0) * z.pitch_g;
      for (int64_t n = n0; n < n1; ++n) {
        if (rows.active(n, s))
          back_row(z.cell, row(n, s, dh + (n - n0) * H, dc + (n - n0) * H, nullptr));
        else
          copy_row<T>(sums + (n - n0) * z.pitch_g, nullptr, z.gates * H);
      }
      if (s < last) {
        if (z.cell == RnnCell::gru_before) {
          multiply(to_n, 1, R, sums + columns, 0, z.pitch_g, v, 0, H);
          for (int64_t n = n0; n < n1; ++n)
            if (rows.active(n, s)) reset_back(row(n, s, dh + (n - n0) * H, nullptr, v + (n - n0) * H));
        }
        const bool wanted = s > 0 || a.dh0 != nullptr;
        if (wanted) multiply<T>(to_h, 1, R, sums, 0, z.pitch_g, dh, 0, H, nullptr, true);
        if (wanted && z.cell == RnnCell::gru_after)
          multiply<T>(to_n, 1, R, sums + 3 * H, 0, z.pitch_g, dh, 0, H, nullptr, true);
        if (dx != nullptr) multiply(to_x, 1, R, sums, 0, z.pitch_g, xs, 0, z.C);
      }
      if (dx != nullptr)
        for (int64_t n = n0; n < n1; ++n)
          copy_row(dx + (n * z.T + rows.time(n, s)) * z.C, rows.active(n, s) ? xs + (n - n0) * z.C : nullptr, z.C);
    }
    for (int64_t n = n0; n < n1; ++n) {
      const int64_t at = (d * z.N + n) * H;
      if (a.dh0 != nullptr) copy_row(static_cast<T*>(a.dh0) + at, dh + (n - n0) * H, H);
      if (a.dc0 != nullptr) copy_row(static_cast<T*>(a.dc0) + at, dc + (n - n0) * H, H);
    }
  }
};

template <class T>
void reset_states(T* out, const RnnSizes& z, const T* gates, const T* h) {
  parallel_range(z.T * z.N, max64(1, 16384 / max64(1, z.H)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      each_vector<T>(z.H, [&](int64_t j, int64_t k) {
        put(out + i * z.pitch_h + j, get(gates + i * z.pitch_g + j, k) * get(h + i * z.pitch_h + j, k), k);
      });
  });
}

}  // namespace

void rnn_backward(const RnnBackward& args) {
  with_float(args.z.type, [&](auto* tag) {
    using T = decltype(of(tag));
    each_run(args.z, [&](int64_t d, int64_t n0, int64_t n1) { Backward<T>(args, d).run(n0, n1); });
  });
}

void rnn_reset(void* out, const RnnSizes& z, const void* gates, const void* h) {
  with_float(z.type, [&](auto* tag) { reset_states(as(tag, out), z, as(tag, gates), as(tag, h)); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
