#include "ops/matmul/matmul.h"

#include "autograd/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/reduce/reduce.h"
#include "ops/view/view.h"

namespace fastnn {
namespace {

struct Matmul {
  static constexpr const char* name = "matmul";
  void check(const Tensor& a, const Tensor& b) {
    if (a.dim() != 2 || b.dim() != 2 || a.shape()[1] != b.shape()[0])
      throw ValueError(str("matmul: expected [M, K] and [K, N], got ", a.shape(), " and ", b.shape()));
  }
  static Tensor product(const Tensor& a, const Tensor& b) {
    const int64_t M = a.shape()[0], K = a.shape()[1], N = b.shape()[1];
    const Tensor x = to(contiguous(a), DType::float64), y = to(contiguous(b), DType::float64);
    Tensor c = empty({M, N}, DType::float64);
    double* cp = c.data<double>();
    for (int64_t i = 0; i < M; ++i)
      for (int64_t j = 0; j < N; ++j) {
        double s = 0;
        for (int64_t k = 0; k < K; ++k) s += x.data<double>()[i * K + k] * y.data<double>()[k * N + j];
        cp[i * N + j] = s;
      }
    return to(c, a.dtype());
  }
  Tensor forward(Saved& saved, const Tensor& a, const Tensor& b) {
    saved.keep(a);
    saved.keep(b);
    return product(a, b);
  }
  void backward(const Saved& saved, const std::vector<Tensor>& dy, Grads& dx) {
    if (dx.needs(0)) dx[0] = product(dy[0], transpose(saved[1], 0, 1));
    if (dx.needs(1)) dx[1] = product(transpose(saved[0], 0, 1), dy[0]);
  }
};

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) { return apply<Matmul>(a, b); }

}  // namespace fastnn
