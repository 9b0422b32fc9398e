// The forward sweep on a device. The products with x of a block of steps are one product, written where the gates of
// these steps will be; then, step by step, the product with h is added to them and a kernel turns the sums into gates
// (kept in their place), states and outputs.

#include "ops/rnn/rnn_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

/// One step of a direction: element (n, j) of every state. u holds the sums [N, gates H] and takes the gates.
template <class T>
struct Step {
  Rows rows;
  int64_t s, H;
  T* u;
  int64_t u_row;
  const T *h, *c;
  T *h_new, *c_new;
  int64_t h_row, c_row;
  T* y;  // at the direction's first column; null where a projection follows
  int64_t y_row;
  const T *b_n, *p;
  T* m;  // what the projection takes, rows c_row apart; or null
  T* reset;
  int64_t nothing;  // the state before is 0 and its product was not made

  __device__ T* sums(int64_t n) const { return u + n * u_row; }
  __device__ T* output(int64_t n) const { return y + (n * rows.T + rows.time(n, s)) * y_row; }
  __device__ void put_state(int64_t n, int64_t j, T v) const {
    h_new[n * h_row + j] = v;
    if (y != nullptr) output(n)[j] = v;
  }
  /// The state stays, the output is 0. True where there is no more to do.
  __device__ bool idle(int64_t n, int64_t j) const {
    if (rows.active(n, s)) return false;
    if (c != nullptr) c_new[n * c_row + j] = c[n * c_row + j];
    if (m != nullptr) {
      m[n * c_row + j] = T(0);  // dW_r multiplies it by 0
    } else {
      h_new[n * h_row + j] = h[n * h_row + j];
    }
    if (y != nullptr) output(n)[j] = T(0);
    return true;
  }
};

template <class T>
struct LstmStep : Step<T> {
  __device__ void operator()(int64_t n, int64_t j) const {
    if (this->idle(n, j)) return;
    T* const u = this->sums(n) + j;
    const int64_t H = this->H;
    const T *const p = this->p, c = this->c[n * this->c_row + j];
    T i = u[0], f = u[H], o = u[3 * H];
    if (p != nullptr) i += p[j] * c, f += p[H + j] * c;
    i = sigmoid(i), f = sigmoid(f);
    const T g = tanh_of(u[2 * H]), now = f * c + i * g;
    if (p != nullptr) o += p[2 * H + j] * now;
    o = sigmoid(o);
    u[0] = i, u[H] = f, u[2 * H] = g, u[3 * H] = o;
    this->c_new[n * this->c_row + j] = now;
    const T h = o * tanh_of(now);
    if (this->m != nullptr) {
      this->m[n * this->c_row + j] = h;
    } else {
      this->put_state(n, j, h);
    }
  }
};

template <class T>
struct GruAfterStep : Step<T> {
  __device__ void operator()(int64_t n, int64_t j) const {
    if (this->idle(n, j)) return;
    T* const u = this->sums(n) + j;
    const int64_t H = this->H;
    const T r = sigmoid(u[0]), z = sigmoid(u[H]);
    T a = this->nothing ? T(0) : u[3 * H];
    if (this->b_n != nullptr) a += this->b_n[j];
    const T now = tanh_of(u[2 * H] + r * a);
    u[0] = r, u[H] = z, u[2 * H] = now, u[3 * H] = a;
    this->put_state(n, j, now + z * (this->h[n * this->h_row + j] - now));
  }
};

/// r, z and r h of gru_before.
template <class T>
struct ResetStep : Step<T> {
  __device__ void operator()(int64_t n, int64_t j) const {
    T* const u = this->sums(n) + j;
    const bool active = this->rows.active(n, this->s);
    const T r = sigmoid(u[0]);
    u[0] = r, u[this->H] = sigmoid(u[this->H]);
    this->reset[n * this->H + j] = active ? r * this->h[n * this->h_row + j] : T(0);
  }
};

/// z and n of gru_before (where z is made already) and of gru_simple; z is block `at`.
template <class T>
struct UpdateStep : Step<T> {
  int64_t at, has_z;
  __device__ void operator()(int64_t n, int64_t j) const {
    if (this->idle(n, j)) return;
    T* const u = this->sums(n) + at * this->H + j;
    const T z = has_z ? u[0] : sigmoid(u[0]), now = tanh_of(u[this->H]);
    u[0] = z, u[this->H] = now;
    this->put_state(n, j, now + z * (this->h[n * this->h_row + j] - now));
  }
};

template <class T>
struct PlainStep : Step<T> {
  int64_t is_relu;
  __device__ void operator()(int64_t n, int64_t j) const {
    if (this->idle(n, j)) return;
    const T a = this->sums(n)[j];
    this->put_state(n, j, is_relu ? (a < T(0) ? T(0) : a) : tanh_of(a));
  }
};

/// A projected state: the output, or, where a row is idle, the state before.
template <class T>
struct ProjectedStep : Step<T> {
  T* out;
  int64_t out_row;
  __device__ void operator()(int64_t n, int64_t j) const {
    const bool active = this->rows.active(n, this->s);
    T* const h = this->h_new + n * this->h_row + j;
    if (!active) *h = this->h[n * this->h_row + j];
    out[(n * this->rows.T + this->rows.time(n, this->s)) * out_row + j] = active ? *h : T(0);
  }
};

template <class T>
class Forward {
 public:
  Forward(const RnnForward& args, int64_t direction)
      : a_(args),
        z_(args.z),
        d_(direction),
        w_(args.w[direction]),
        lstm_(z_.cell == RnnCell::lstm),
        keep_(args.gates != nullptr),
        u_(keep_ ? 0 : z_.block * z_.N * z_.pitch_g * size()),
        xs_(z_.products ? 0 : z_.block * z_.N * z_.pitch_x * size()),
        small_(z_.N * (z_.H + z_.pitch_c) * size()) {
    rows_ = {args.lengths, z_.N, z_.T, direction};
    h_ = at<T>(a_.h, d_ * z_.slots * z_.N * z_.pitch_h);
    c_ = at<T>(a_.c, d_ * z_.slots * z_.N * z_.pitch_c);
    m_ = at<T>(a_.m, d_ * z_.T * z_.N * z_.pitch_c);
  }

  void run() {
    const int64_t N = z_.N;
    copy(h(0), z_.pitch_h, at<T>(a_.h0, d_ * N * z_.P), z_.P);
    if (lstm_) copy(c(0), z_.pitch_c, at<T>(a_.c0, d_ * N * z_.H), z_.H);
    for (int64_t s0 = 0; s0 < z_.T; s0 += z_.block) {
      const int64_t s1 = s0 + z_.block < z_.T ? s0 + z_.block : z_.T;
      inputs(s0, s1);
      for (int64_t s = s0; s < s1; ++s) step(s);
    }
    copy_out(at<T>(a_.h_n, d_ * N * z_.P), h(z_.T), z_.pitch_h, z_.P);
    if (lstm_) copy_out(at<T>(a_.c_n, d_ * N * z_.H), c(z_.T), z_.pitch_c, z_.H);
  }

 private:
  static constexpr int64_t size() { return static_cast<int64_t>(sizeof(T)); }
  T* h(int64_t s) const { return h_ + s % z_.slots * z_.N * z_.pitch_h; }
  T* c(int64_t s) const { return lstm_ ? c_ + s % z_.slots * z_.N * z_.pitch_c : nullptr; }
  /// The sums of a step, later its gates.
  T* u(int64_t s) const {
    return keep_ ? at<T>(a_.gates, (d_ * z_.T + s) * z_.N * z_.pitch_g)
                 : u_.template as<T>() + s % z_.block * z_.N * z_.pitch_g;
  }
  T* inner(int64_t s) const {
    return m_ != nullptr ? m_ + s * z_.N * z_.pitch_c : small_.template as<T>() + z_.N * z_.H;
  }
  void copy(T* to, int64_t to_row, const T* from, int64_t columns) const {
    run_cells(z_.N, columns, CopyRows<T>{to, to_row, from, columns});
  }
  void copy_out(T* to, const T* from, int64_t from_row, int64_t columns) const {
    run_cells(z_.N, columns, CopyRows<T>{to, columns, from, from_row});
  }

  void inputs(int64_t s0, int64_t s1) const {
    const int64_t count = (s1 - s0) * z_.N;
    const T* const bias = at<T>(w_.bias, 0);
    if (z_.products) {
      const T* const x = at<T>(a_.x, d_ * z_.W);
      return run_cells(count, z_.W, TakeRows<T>{rows_, u(s0), z_.pitch_g, x, z_.C, s0, bias});
    }
    T* const xs = xs_.template as<T>();
    run_cells(count, z_.C, TakeRows<T>{rows_, xs, z_.pitch_x, at<T>(a_.x, 0), z_.C, s0, nullptr});
    multiply(count, z_.W, z_.C, xs, z_.pitch_x, at<T>(w_.w_x, 0), z_.W, int64_t{1}, u(s0), z_.pitch_g, false, bias);
  }

  /// The product with h, or with r h, of blocks [b0, b1) into block `to` of the sums.
  void by_state(int64_t s, const T* state, int64_t state_row, int64_t b0, int64_t b1, int64_t to, bool add) const {
    multiply(z_.N, (b1 - b0) * z_.H, z_.P, state, state_row, at<T>(w_.w_h, b0 * z_.H), z_.W, int64_t{1},
             u(s) + to * z_.H, z_.pitch_g, add);
  }

  void step(int64_t s) const {
    const int64_t N = z_.N, H = z_.H;
    const bool nothing = s == 0 && a_.h0 == nullptr;  // the first state is 0, and so is its product
    const bool after = z_.cell == RnnCell::gru_after, before = z_.cell == RnnCell::gru_before;
    const bool projected = w_.w_r != nullptr;
    T* const reset = small_.template as<T>();
    const Step<T> base{rows_,
                       s,
                       H,
                       u(s),
                       z_.pitch_g,
                       h(s),
                       c(s),
                       h(s + 1),
                       c(s + 1),
                       z_.pitch_h,
                       z_.pitch_c,
                       projected ? nullptr : at<T>(a_.y, d_ * z_.P),
                       z_.D * z_.P,
                       after && w_.b_h != nullptr ? at<T>(w_.b_h, 2 * H) : nullptr,
                       at<T>(w_.p, 0),
                       projected ? inner(s) : nullptr,
                       reset,
                       nothing};
    if (!nothing) by_state(s, h(s), z_.pitch_h, 0, after || before ? 2 : rnn_blocks(z_.cell), 0, true);
    switch (z_.cell) {
      case RnnCell::lstm:
        run_cells(N, H, LstmStep<T>{base});
        break;
      case RnnCell::gru_after:
        if (!nothing) by_state(s, h(s), z_.pitch_h, 2, 3, 3, false);
        run_cells(N, H, GruAfterStep<T>{base});
        break;
      case RnnCell::gru_before:
        run_cells(N, H, ResetStep<T>{base});
        if (!nothing) by_state(s, reset, H, 2, 3, 2, true);
        run_cells(N, H, UpdateStep<T>{base, 1, true});
        break;
      case RnnCell::gru_simple:
        run_cells(N, H, UpdateStep<T>{base, 0, false});
        break;
      default:
        run_cells(N, H, PlainStep<T>{base, z_.cell == RnnCell::relu});
    }
    if (!projected) return;
    multiply<T>(N, z_.P, H, inner(s), z_.pitch_c, at<T>(w_.w_r, 0), z_.P, 1, h(s + 1), z_.pitch_h, false);
    run_cells(N, z_.P, ProjectedStep<T>{base, at<T>(a_.y, d_ * z_.P), z_.D * z_.P});
  }

  const RnnForward& a_;
  const RnnSizes& z_;
  const int64_t d_;
  const RnnWeights& w_;
  const bool lstm_, keep_;
  const Scratch u_, xs_, small_;  // small: r h, then what a projection takes
  Rows rows_;
  T *h_, *c_, *m_;
};

/// b_x + b_h, but b_hn of gru_after stays apart: r multiplies it.
template <class T>
struct JoinBias {
  T* bias;
  const T *b_x, *b_h;
  int64_t shared;
  __device__ void operator()(int64_t, int64_t j) const { bias[j] = j < shared ? b_x[j] + b_h[j] : b_x[j]; }
};

}  // namespace

void rnn_pack(const RnnSizes& z, const RnnWeights& w, bool) {
  if (w.bias == nullptr) return;
  with_float(z.type, [&](auto* tag) {
    using T = decltype(of(tag));
    const int64_t shared = z.cell == RnnCell::gru_after ? 2 * z.H : z.W;
    run_cells(1, z.W, JoinBias<T>{at<T>(w.bias, 0), at<T>(w.b_x, 0), at<T>(w.b_h, 0), shared});
  });
}

void rnn_forward(const RnnForward& args) {
  with_float(args.z.type, [&](auto* tag) {
    using T = decltype(of(tag));
    for (int64_t d = 0; d < args.z.D; ++d) Forward<T>(args, d).run();
  });
}

}  // namespace cuda
}  // namespace fastnn
