#include "kernels/parallel.h"
#include "ops/norm/batch_norm_kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

constexpr int64_t kRows = FASTNN_BN_ROWS;
constexpr int64_t kWidth = 64;  // channels handled at a time: their accumulators stay in registers or L1

inline int64_t blocks_of(int64_t rows) { return (rows + kRows - 1) / kRows; }

/// f(block of rows, first row, last row, first channel, last channel) over tiles of the matrix.
template <class F>
void for_tiles(int64_t rows, int64_t channels, const F& f) {
  const int64_t across = (channels + kWidth - 1) / kWidth;
  parallel_tasks(blocks_of(rows) * across, [&](int64_t task) {
    const int64_t block = task / across, c0 = task % across * kWidth, r0 = block * kRows;
    f(block, r0, r0 + kRows < rows ? r0 + kRows : rows, c0, c0 + kWidth < channels ? c0 + kWidth : channels);
  });
}

/// out_c = sum over blocks of partial[block, c], in order.
inline double total(const double* partial, int64_t blocks, int64_t channels, int64_t c) {
  double sum = 0;
  for (int64_t b = 0; b < blocks; b++) sum += partial[b * channels + c];
  return sum;
}

template <class T>
void stats(T* mean, T* rstd, T* running_mean, T* running_var, int64_t* batches, double* scratch, const T* x,
           int64_t rows, int64_t channels, double momentum, double eps) {
  const int64_t blocks = blocks_of(rows);
  const double count = double(rows);
  for_tiles(rows, channels, [=](int64_t block, int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
    double sum[kWidth] = {};
    for (int64_t r = r0; r < r1; r++) {
      for (int64_t c = c0; c < c1; c++) sum[c - c0] += double(x[r * channels + c]);
    }
    for (int64_t c = c0; c < c1; c++) scratch[block * channels + c] = sum[c - c0];
  });
  for (int64_t c = 0; c < channels; c++) mean[c] = T(total(scratch, blocks, channels, c) / count);
  // A second pass for the squares: sum x^2 - R mean^2 would cancel where the mean is large.
  for_tiles(rows, channels, [=](int64_t block, int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
    double sum[kWidth] = {};
    for (int64_t r = r0; r < r1; r++) {
      for (int64_t c = c0; c < c1; c++) {
        const double d = double(x[r * channels + c]) - double(mean[c]);
        sum[c - c0] += d * d;
      }
    }
    for (int64_t c = c0; c < c1; c++) scratch[block * channels + c] = sum[c - c0];
  });
  double share = momentum;
  if (batches != nullptr) {
    ++*batches;
    if (momentum < 0) share = 1 / double(*batches);
  }
  for (int64_t c = 0; c < channels; c++) {
    const double squares = total(scratch, blocks, channels, c);
    rstd[c] = T(1 / __builtin_sqrt(squares / count + eps));
    if (running_mean != nullptr) {
      running_mean[c] = T((1 - share) * double(running_mean[c]) + share * double(mean[c]));
      running_var[c] = T((1 - share) * double(running_var[c]) + share * (squares / (count - 1)));
    }
  }
}

template <class T>
void rstd_of(T* rstd, const T* var, int64_t channels, double eps) {
  for (int64_t c = 0; c < channels; c++) rstd[c] = T(1 / __builtin_sqrt(double(var[c]) + eps));
}

template <class T>
void apply(T* y, const T* x, const T* mean, const T* rstd, const T* weight, const T* bias, int64_t rows,
           int64_t channels) {
  for_tiles(rows, channels, [=](int64_t, int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
    T m[kWidth], scale[kWidth], shift[kWidth];
    for (int64_t c = c0; c < c1; c++) {
      m[c - c0] = mean[c];
      scale[c - c0] = weight != nullptr ? rstd[c] * weight[c] : rstd[c];
      shift[c - c0] = bias != nullptr ? bias[c] : T(0);
    }
    for (int64_t r = r0; r < r1; r++) {
      for (int64_t c = c0; c < c1; c++) {
        y[r * channels + c] = (x[r * channels + c] - m[c - c0]) * scale[c - c0] + shift[c - c0];
      }
    }
  });
}

template <class T>
void backward(T* dx, T* dweight, T* dbias, double* scratch, const T* dy, const T* x, const T* mean, const T* rstd,
              const T* weight, int64_t rows, int64_t channels, bool batch_stats) {
  const int64_t blocks = blocks_of(rows);
  double* sum_dy = scratch;
  double* sum_dyx = scratch + blocks * channels;
  for_tiles(rows, channels, [=](int64_t block, int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
    double s[kWidth] = {}, sx[kWidth] = {};
    for (int64_t r = r0; r < r1; r++) {
      for (int64_t c = c0; c < c1; c++) {
        const double d = double(dy[r * channels + c]);
        s[c - c0] += d;
        sx[c - c0] += d * double((x[r * channels + c] - mean[c]) * rstd[c]);
      }
    }
    for (int64_t c = c0; c < c1; c++) {
      sum_dy[block * channels + c] = s[c - c0];
      sum_dyx[block * channels + c] = sx[c - c0];
    }
  });
  for (int64_t c = 0; c < channels; c++) {
    dbias[c] = T(total(sum_dy, blocks, channels, c));
    dweight[c] = T(total(sum_dyx, blocks, channels, c));
  }
  if (dx == nullptr) return;
  for_tiles(rows, channels, [=](int64_t, int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
    T m[kWidth], s[kWidth], scale[kWidth], db[kWidth], dw[kWidth];
    for (int64_t c = c0; c < c1; c++) {
      m[c - c0] = mean[c];
      s[c - c0] = rstd[c];
      scale[c - c0] = weight != nullptr ? rstd[c] * weight[c] : rstd[c];
      db[c - c0] = batch_stats ? T(double(dbias[c]) / double(rows)) : T(0);
      dw[c - c0] = batch_stats ? T(double(dweight[c]) / double(rows)) : T(0);
    }
    for (int64_t r = r0; r < r1; r++) {
      for (int64_t c = c0; c < c1; c++) {
        const int64_t k = c - c0, i = r * channels + c;
        dx[i] = scale[k] * (dy[i] - db[k] - (x[i] - m[k]) * s[k] * dw[k]);
      }
    }
  });
}

}  // namespace

void batch_norm_stats_f32(float* mean, float* rstd, float* running_mean, float* running_var, int64_t* batches,
                          double* scratch, const float* x, int64_t rows, int64_t channels, double momentum,
                          double eps) {
  stats(mean, rstd, running_mean, running_var, batches, scratch, x, rows, channels, momentum, eps);
}
void batch_norm_stats_f64(double* mean, double* rstd, double* running_mean, double* running_var, int64_t* batches,
                          double* scratch, const double* x, int64_t rows, int64_t channels, double momentum,
                          double eps) {
  stats(mean, rstd, running_mean, running_var, batches, scratch, x, rows, channels, momentum, eps);
}
void batch_norm_rstd_f32(float* rstd, const float* var, int64_t channels, double eps) {
  rstd_of(rstd, var, channels, eps);
}
void batch_norm_rstd_f64(double* rstd, const double* var, int64_t channels, double eps) {
  rstd_of(rstd, var, channels, eps);
}
void batch_norm_apply_f32(float* y, const float* x, const float* mean, const float* rstd, const float* weight,
                          const float* bias, int64_t rows, int64_t channels) {
  apply(y, x, mean, rstd, weight, bias, rows, channels);
}
void batch_norm_apply_f64(double* y, const double* x, const double* mean, const double* rstd, const double* weight,
                          const double* bias, int64_t rows, int64_t channels) {
  apply(y, x, mean, rstd, weight, bias, rows, channels);
}
void batch_norm_backward_f32(float* dx, float* dweight, float* dbias, double* scratch, const float* dy, const float* x,
                             const float* mean, const float* rstd, const float* weight, int64_t rows, int64_t channels,
                             bool batch_stats) {
  backward(dx, dweight, dbias, scratch, dy, x, mean, rstd, weight, rows, channels, batch_stats);
}
void batch_norm_backward_f64(double* dx, double* dweight, double* dbias, double* scratch, const double* dy,
                             const double* x, const double* mean, const double* rstd, const double* weight,
                             int64_t rows, int64_t channels, bool batch_stats) {
  backward(dx, dweight, dbias, scratch, dy, x, mean, rstd, weight, rows, channels, batch_stats);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
