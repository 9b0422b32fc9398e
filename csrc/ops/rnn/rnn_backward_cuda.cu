// The backward sweep on a device: from the last step to the first, one kernel a step that turns the gradient of a state
// into those of the sums under its gates, and the product that carries them to the step before. After a block of steps
// the gradients of the weights and of x are plain products over its rows.

#include "ops/rnn/rnn_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

/// One step of a direction: element (n, j). dh holds the gradient that came through the step after, and takes what goes
/// straight to the state before.
template <class T>
struct BackStep {
  Rows rows;
  int64_t s, H, gates;
  const T *g, *h, *h_new, *c, *c_new;
  int64_t g_row, h_row, c_row;
  const T* dy;  // at the direction's first column, or null; null where a projection took it
  int64_t dy_row;
  const T* p;
  T *dh, *dc, *dg;  // rows H, H, g_row apart
  const T* v;       // the gradient of r h
  T* reset;         // takes r h, or null

  /// Zeros where the row is idle. True where there is no more to do.
  __device__ bool idle(int64_t n, int64_t j) const {
    if (rows.active(n, s)) return false;
    for (int64_t b = 0; b < gates; ++b) dg[n * g_row + b * H + j] = T(0);
    if (reset != nullptr) reset[n * c_row + j] = T(0);
    return true;
  }
  __device__ T gradient(int64_t n, int64_t j) const {
    const T above = dy != nullptr ? dy[(n * rows.T + rows.time(n, s)) * dy_row + j] : T(0);
    return dh[n * H + j] + above;
  }
};

template <class T>
struct LstmBack : BackStep<T> {
  __device__ void operator()(int64_t n, int64_t j) const {
    if (this->idle(n, j)) return;
    const int64_t H = this->H;
    const T* const u = this->g + n * this->g_row + j;
    T* const d = this->dg + n * this->g_row + j;
    const T *const p = this->p, i = u[0], f = u[H], g = u[2 * H], o = u[3 * H];
    const T c = this->c[n * this->c_row + j], t = tanh_of(this->c_new[n * this->c_row + j]);
    const T dh = this->gradient(n, j), d_o = dh * t * slope(o);
    T dc = this->dc[n * H + j] + dh * o * tanh_slope(t);
    if (p != nullptr) dc += d_o * p[2 * H + j];
    const T di = dc * g * slope(i), df = dc * c * slope(f);
    d[0] = di, d[H] = df, d[2 * H] = dc * i * tanh_slope(g), d[3 * H] = d_o;
    dc *= f;
    if (p != nullptr) dc += df * p[H + j] + di * p[j];
    this->dc[n * H + j] = dc;
    this->dh[n * H + j] = T(0);
  }
};

template <class T>
struct GruAfterBack : BackStep<T> {
  __device__ void operator()(int64_t n, int64_t j) const {
    if (this->idle(n, j)) return;
    const int64_t H = this->H;
    const T* const u = this->g + n * this->g_row + j;
    T* const d = this->dg + n * this->g_row + j;
    const T r = u[0], z = u[H], now = u[2 * H], a = u[3 * H], dh = this->gradient(n, j);
    const T dn = (dh - dh * z) * tanh_slope(now);
    d[0] = dn * a * slope(r);
    d[H] = dh * (this->h[n * this->h_row + j] - now) * slope(z);
    d[2 * H] = dn, d[3 * H] = dn * r;
    this->dh[n * H + j] = dh * z;
  }
};

/// z and n of gru_before and gru_simple; z is block `at`.
template <class T>
struct UpdateBack : BackStep<T> {
  int64_t at;
  __device__ void operator()(int64_t n, int64_t j) const {
    if (this->idle(n, j)) return;
    const int64_t H = this->H;
    const T* const u = this->g + n * this->g_row + at * H + j;
    T* const d = this->dg + n * this->g_row + at * H + j;
    const T z = u[0], now = u[H], dh = this->gradient(n, j);
    d[0] = dh * (this->h[n * this->h_row + j] - now) * slope(z);
    d[H] = (dh - dh * z) * tanh_slope(now);
    this->dh[n * H + j] = dh * z;
  }
};

/// gru_before, once v is the gradient of r h.
template <class T>
struct ResetBack : BackStep<T> {
  __device__ void operator()(int64_t n, int64_t j) const {
    if (!this->rows.active(n, this->s)) return;
    const int64_t H = this->H;
    const T r = this->g[n * this->g_row + j], v = this->v[n * H + j], h = this->h[n * this->h_row + j];
    this->dg[n * this->g_row + j] = v * h * slope(r);
    this->reset[n * this->c_row + j] = r * h;
    this->dh[n * H + j] += v * r;
  }
};

template <class T>
struct PlainBack : BackStep<T> {
  int64_t is_relu;
  __device__ void operator()(int64_t n, int64_t j) const {
    if (this->idle(n, j)) return;
    const T h = this->h_new[n * this->h_row + j], dh = this->gradient(n, j);
    this->dg[n * this->g_row + j] = is_relu ? (h > T(0) ? dh : T(0)) : dh * tanh_slope(h);
    this->dh[n * this->H + j] = T(0);
  }
};

/// The gradient of a projected state, which is all of dh: what is left of it is 0. An idle row passes it on.
template <class T>
struct ProjectedBack {
  Rows rows;
  int64_t s, P;
  T* dp;
  int64_t dp_row;
  T* dh;
  const T* dy;
  int64_t dy_row;
  __device__ void operator()(int64_t n, int64_t j) const {
    const bool active = rows.active(n, s);
    T sum = dh[n * P + j];
    if (dy != nullptr && active) sum += dy[(n * rows.T + rows.time(n, s)) * dy_row + j];
    dp[n * dp_row + j] = active ? sum : T(0);
    if (active) dh[n * P + j] = T(0);
  }
};

/// Rows in the order of steps [s0, ...) back to their times; 0 where a row is idle.
template <class T>
struct PutRows {
  Rows rows;
  T* x;
  int64_t x_row, s0;
  const T* from;
  int64_t from_row;
  __device__ void operator()(int64_t r, int64_t j) const {
    const int64_t n = r % rows.N, s = s0 + r / rows.N;
    x[(n * rows.T + rows.time(n, s)) * x_row + j] = rows.active(n, s) ? from[r * from_row + j] : T(0);
  }
};

/// Sums over the rows of columns of dG, or of its products with the rows of c, in two passes: each cell of the first
/// adds kRun rows in order, the second adds those sums.
constexpr int64_t kRun = 64;
template <class T>
struct SumRun {
  T* partial;
  int64_t columns;
  const T* dg;
  int64_t dg_row;
  const T* c;
  int64_t c_row, rows;
  __device__ void operator()(int64_t q, int64_t j) const {
    const int64_t end = (q + 1) * kRun < rows ? (q + 1) * kRun : rows;
    T sum = T(0);
    for (int64_t r = q * kRun; r < end; ++r)
      sum += c != nullptr ? dg[r * dg_row + j] * c[r * c_row + j] : dg[r * dg_row + j];
    partial[q * columns + j] = sum;
  }
};
template <class T>
struct SumRuns {
  T* out;
  const T* partial;
  int64_t columns, runs, add;
  __device__ void operator()(int64_t, int64_t j) const {
    T sum = add ? out[j] : T(0);
    for (int64_t q = 0; q < runs; ++q) sum += partial[q * columns + j];
    out[j] = sum;
  }
};

template <class T>
class Backward {
 public:
  Backward(const RnnBackward& args, int64_t direction)
      : a_(args),
        z_(args.z),
        d_(direction),
        w_(args.w[direction]),
        lstm_(z_.cell == RnnCell::lstm),
        carried_(z_.N * (z_.P + 3 * z_.H) * size()),
        rows_of_x_(args.dx[direction] == nullptr || z_.products ? 0 : z_.back * z_.N * z_.C * size()) {
    rows_ = {args.lengths, z_.N, z_.T, direction};
    dh_ = carried_.template as<T>();
    dc_ = dh_ + z_.N * z_.P, v_ = dc_ + z_.N * z_.H, dm_ = v_ + z_.N * z_.H;
    dg_ = at<T>(a_.dg, d_ * z_.back * z_.N * z_.pitch_g);
    dp_ = at<T>(a_.dp, d_ * z_.back * z_.N * z_.pitch_h);
    xs_ = at<T>(a_.xs, d_ * z_.back * z_.N * z_.pitch_x);
    reset_ = at<T>(a_.reset, d_ * z_.back * z_.N * z_.pitch_c);
  }

  void run() {
    const int64_t N = z_.N, H = z_.H, P = z_.P;
    run_cells(N, P, CopyRows<T>{dh_, P, at<T>(a_.dh_n, d_ * N * P), P});
    if (lstm_) run_cells(N, H, CopyRows<T>{dc_, H, at<T>(a_.dc_n, d_ * N * H), H});
    int64_t s1 = z_.T;
    do {
      const int64_t s0 = s1 > z_.back ? s1 - z_.back : 0;
      for (int64_t s = s1 - 1; s >= s0; --s) step(s, s - s0);
      block(s0, s1);
      s1 = s0;
    } while (s1 > 0);
    if (a_.dh0 != nullptr) run_cells(N, P, CopyRows<T>{at<T>(a_.dh0, d_ * N * P), P, dh_, P});
    if (a_.dc0 != nullptr) run_cells(N, H, CopyRows<T>{at<T>(a_.dc0, d_ * N * H), H, dc_, H});
  }

 private:
  static constexpr int64_t size() { return static_cast<int64_t>(sizeof(T)); }
  const T* h(int64_t s) const { return at<T>(a_.h, (d_ * z_.slots + s) * z_.N * z_.pitch_h); }
  const T* c(int64_t s) const { return at<T>(a_.c, (d_ * z_.slots + s) * z_.N * z_.pitch_c); }
  /// Columns of the weights before those of n where n goes a way of its own.
  int64_t columns_of_rz() const {
    return z_.cell == RnnCell::gru_after || z_.cell == RnnCell::gru_before ? 2 * z_.H : z_.W;
  }
  /// to = [to +] from W_h^T over columns [first, first + count) of W_h.
  void through(const T* from, int64_t first, int64_t count, T* to, bool add) const {
    multiply(z_.N, z_.P, count, from, z_.pitch_g, at<T>(w_.w_h, first), int64_t{1}, z_.W, to, z_.P, add);
  }

  void step(int64_t s, int64_t in_block) const {
    const int64_t N = z_.N, H = z_.H, P = z_.P, columns = columns_of_rz();
    const bool projected = dp_ != nullptr;
    T* const dg = dg_ + in_block * N * z_.pitch_g;
    const T* const dy = at<T>(a_.dy, d_ * P);
    if (projected) {
      T* const dp = dp_ + in_block * N * z_.pitch_h;
      run_cells(N, P, ProjectedBack<T>{rows_, s, P, dp, z_.pitch_h, dh_, dy, z_.D * P});
      multiply(N, H, P, dp, z_.pitch_h, at<T>(w_.w_r, 0), int64_t{1}, P, dm_, H, false);
    }
    const BackStep<T> base{rows_,
                           s,
                           H,
                           z_.gates,
                           at<T>(a_.gates, (d_ * z_.T + s) * N * z_.pitch_g),
                           h(s),
                           h(s + 1),
                           c(s),
                           c(s + 1),
                           z_.pitch_g,
                           z_.pitch_h,
                           z_.pitch_c,
                           projected ? nullptr : dy,
                           z_.D * P,
                           at<T>(w_.p, 0),
                           projected ? dm_ : dh_,
                           dc_,
                           dg,
                           v_,
                           reset_ != nullptr ? reset_ + in_block * N * z_.pitch_c : nullptr};
    switch (z_.cell) {
      case RnnCell::lstm:
        run_cells(N, H, LstmBack<T>{base});
        break;
      case RnnCell::gru_after:
        run_cells(N, H, GruAfterBack<T>{base});
        break;
      case RnnCell::gru_before:
        run_cells(N, H, UpdateBack<T>{base, 1});
        through(dg + columns, columns, H, v_, false);
        run_cells(N, H, ResetBack<T>{base});
        break;
      case RnnCell::gru_simple:
        run_cells(N, H, UpdateBack<T>{base, 0});
        break;
      default:
        run_cells(N, H, PlainBack<T>{base, z_.cell == RnnCell::relu});
    }
    if (s == 0 && a_.dh0 == nullptr) return;
    through(dg, 0, columns, dh_, true);
    if (z_.cell == RnnCell::gru_after) through(dg + 3 * H, columns, H, dh_, true);
  }

  /// C = [C +] A^T B over the rows of a block.
  void gradient(void* out, int64_t column, int64_t out_row, const T* A, int64_t a_row, const T* B, int64_t M, int64_t n,
                int64_t K, int64_t b_row, bool add) const {
    if (M == 0 || n == 0) return;
    GemmArgs<T> g;
    g.M = M, g.N = n, g.K = K;
    g.A = A, g.a_row = 1, g.a_col = a_row;
    g.B = B, g.b_row = b_row;
    g.C = at<T>(out, column), g.c_row = out_row;
    g.accumulate = add;
    run_gemm(g);
  }

  void sum_columns(void* out, int64_t offset, const T* dg, const T* c, int64_t columns, int64_t rows, bool add) const {
    const int64_t runs = (rows + kRun - 1) / kRun;
    const Scratch partial(runs * columns * size());
    T* const sums = partial.as<T>();
    run_cells(runs, columns, SumRun<T>{sums, columns, dg, z_.pitch_g, c, z_.pitch_c, rows});
    run_cells(1, columns, SumRuns<T>{at<T>(out, offset), sums, columns, runs, add});
  }

  /// What the steps [s0, s1) give to the gradients of x and of the weights.
  void block(int64_t s0, int64_t s1) const {
    const int64_t N = z_.N, H = z_.H, P = z_.P, W = z_.W, K = (s1 - s0) * N, columns = columns_of_rz();
    const bool add = s1 < z_.T;
    if (T* const dx = at<T>(a_.dx[d_], z_.products ? d_ * W : 0)) {
      T* const dxs = rows_of_x_.template as<T>();
      if (!z_.products) multiply(K, z_.C, W, dg_, z_.pitch_g, at<T>(w_.w_x, 0), int64_t{1}, W, dxs, z_.C, false);
      if (z_.products)
        run_cells(K, W, PutRows<T>{rows_, dx, z_.C, s0, dg_, z_.pitch_g});
      else
        run_cells(K, z_.C, PutRows<T>{rows_, dx, z_.C, s0, dxs, z_.C});
    }
    if (a_.dw_x[d_] != nullptr) {
      run_cells(K, z_.C, TakeRows<T>{rows_, xs_, z_.pitch_x, at<T>(a_.x, 0), z_.C, s0, nullptr});
      gradient(a_.dw_x[d_], 0, W, xs_, z_.pitch_x, dg_, z_.C, W, K, z_.pitch_g, add);
    }
    if (void* const dw = a_.dw_h[d_]) {
      const int64_t skip = s0 == 0 && s1 > 0 && !a_.has_h0 ? N : 0;  // rows of zeros
      const T *const hs = h(s0) + skip * z_.pitch_h, *const dg = dg_ + skip * z_.pitch_g;
      gradient(dw, 0, W, hs, z_.pitch_h, dg, P, columns, K - skip, z_.pitch_g, add);
      if (z_.cell == RnnCell::gru_after)
        gradient(dw, columns, W, hs, z_.pitch_h, dg + 3 * H, P, H, K - skip, z_.pitch_g, add);
      if (z_.cell == RnnCell::gru_before)
        gradient(dw, columns, W, reset_ + skip * z_.pitch_c, z_.pitch_c, dg + columns, P, H, K - skip, z_.pitch_g, add);
    }
    if (a_.dw_r[d_] != nullptr)
      gradient(a_.dw_r[d_], 0, P, at<T>(a_.m, (d_ * z_.T + s0) * N * z_.pitch_c), z_.pitch_c, dp_, H, P, K, z_.pitch_h,
               add);
    if (a_.db[d_] != nullptr) sum_columns(a_.db[d_], 0, dg_, nullptr, z_.gates * H, K, add);
    if (a_.dpeep[d_] == nullptr) return;
    sum_columns(a_.dpeep[d_], 0, dg_, c(s0), H, K, add);
    sum_columns(a_.dpeep[d_], H, dg_ + H, c(s0), H, K, add);
    sum_columns(a_.dpeep[d_], 2 * H, dg_ + 3 * H, c(s0 + 1), H, K, add);
  }

  const RnnBackward& a_;
  const RnnSizes& z_;
  const int64_t d_;
  const RnnWeights& w_;
  const bool lstm_;
  const Scratch carried_, rows_of_x_;  // dh, dc, d(r h) and d(o tanh c'); gradients of x in the order of the steps
  Rows rows_;
  T *dh_, *dc_, *v_, *dm_, *dg_, *dp_, *xs_, *reset_;
};

}  // namespace

void rnn_backward(const RnnBackward& args) {
  with_float(args.z.type, [&](auto* tag) {
    using T = decltype(of(tag));
    for (int64_t d = 0; d < args.z.D; ++d) Backward<T>(args, d).run();
  });
}

}  // namespace cuda
}  // namespace fastnn
