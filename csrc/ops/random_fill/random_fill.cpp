#include "ops/random_fill/random_fill.h"

#include "autograd/op.h"
#include "ops/elementwise/operands.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void check_parameters(const char* op, Distribution what, double a, double b) {
  switch (what) {
    case Distribution::uniform:
      if (!(a <= b) || !(b - a <= std::numeric_limits<double>::max()))
        throw ValueError(str(op, ": expected finite low <= high, got ", a, " and ", b));
      break;
    case Distribution::normal:
      if (!(b >= 0)) throw ValueError(str(op, ": expected std >= 0, got ", b));
      break;
    case Distribution::exponential:
      if (!(a > 0)) throw ValueError(str(op, ": expected lambd > 0, got ", a));
      break;
    case Distribution::bernoulli:
      if (!(a >= 0 && a <= 1)) throw ValueError(str(op, ": expected a probability in [0, 1], got ", a));
      break;
  }
}

void check_probabilities(const void* x, DType type, int64_t n) {
  const auto check = [n](auto* p) {
    for (int64_t i = 0; i < n; ++i)
      if (!(p[i] >= 0 && p[i] <= 1)) throw ValueError(str("bernoulli: expected probabilities in [0, 1], got ", p[i]));
  };
  if (type == DType::float32)
    check(static_cast<const float*>(x));
  else
    check(static_cast<const double*>(x));
}

// A few numbers for each example: not worth a kernel per instruction set.
void fill_examples(double* y, const int64_t* index, int64_t n, int64_t count, uint64_t seed, uint64_t stream) {
  for (int64_t k = 0; k < n; ++k) {
    uint32_t w[4];
    for (int64_t i = 0; i < count; ++i) {
      if (i % 2 == 0) philox4x32(seed, static_cast<uint64_t>(index[k]), stream + static_cast<uint64_t>(i / 2), w);
      const uint64_t bits = static_cast<uint64_t>(w[i % 2 * 2]) << 32 | w[i % 2 * 2 + 1];
      y[k * count + i] = static_cast<double>(bits >> 11) * 0x1p-53;
    }
  }
}

struct Dropout {
  static constexpr const char* name = "dropout";
  RandomState state;
  double p = 0;
  void check(const Tensor& x, double p_) {
    if (!x.is_floating()) throw TypeError(str("dropout: expected a floating tensor, got ", x.dtype()));
    p = p_;
    state = next_random_state();
  }
  Tensor run(const Tensor& x) const {
    const Tensor in = contiguous(x), y = empty_like(in);
    if (y.numel() != 0)
      launch(kernels::random_dropout, y.raw(), in.raw(), y.numel(), elem_of(y.dtype()), state.get(), p);
    return y;
  }
  Tensor forward(Saved&, const Tensor& x, double) {
    NoGrad guard;
    return run(x);
  }
  void backward(const Saved&, const std::vector<Tensor>& dy, Grads& dx) { dx[0] = run(dy[0]); }
};

}  // namespace

Tensor random_(const char* op, const Tensor& x, Distribution what, double a, double b) {
  check_parameters(op, what, a, b);
  if (!x.is_floating() && what != Distribution::bernoulli)
    throw TypeError(str(op, ": expected a floating tensor, got ", x.dtype()));
  const DeviceGuard here(x.device());
  begin_inplace(op, x);
  const RandomState state = next_random_state();
  const Tensor y = x.is_contiguous() ? x : empty_like(x);
  if (y.numel() != 0) launch(kernels::random_fill, y.raw(), y.numel(), elem_of(y.dtype()), state.get(), what, a, b);
  if (!x.is_contiguous()) copy_into(x, y);
  end_inplace(x, Tensor());
  return x;
}

Tensor random(const char* op, const Dims& shape, DType dtype, Distribution what, double a, double b) {
  return random_(op, empty(shape, dtype), what, a, b);
}

Tensor bernoulli(const Tensor& x) {
  if (!x.is_floating()) throw TypeError(str("bernoulli: expected a floating tensor of probabilities, got ", x.dtype()));
  NoGrad guard;
  const DeviceGuard here(x.device());
  const Tensor p = contiguous(x), y = empty_like(p);
  const RandomState state = next_random_state();
  check_on_cpu(p, [](const Tensor& q) { launch_host(&check_probabilities, q.raw(), q.dtype(), q.numel()); });
  if (y.numel() != 0) launch(kernels::random_bernoulli, y.raw(), p.raw(), y.numel(), elem_of(y.dtype()), state.get());
  return y;
}

Tensor randint(int64_t low, int64_t high, const Dims& shape, DType dtype) {
  if (low >= high) throw ValueError(str("randint: expected low < high, got ", low, " and ", high));
  if (dtype == DType::bool_) throw TypeError("randint: bool is not supported; use bernoulli");
  const int64_t least = dtype == DType::uint8 ? 0 : dtype == DType::int32 ? INT32_MIN : INT64_MIN;
  const int64_t most = dtype == DType::uint8 ? 255 : dtype == DType::int32 ? INT32_MAX : INT64_MAX;
  if (low < least || high - 1 > most) throw ValueError(str("randint: [", low, ", ", high, ") does not fit ", dtype));
  const Tensor y = empty(shape, dtype);
  const RandomState state = next_random_state();
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  if (y.numel() != 0) launch(kernels::random_integers, y.raw(), y.numel(), elem_of(dtype), state.get(), low, range);
  return y;
}

Tensor randperm(int64_t n, DType dtype) {
  if (n < 0) throw ValueError(str("randperm: expected n >= 0, got ", n));
  const Tensor y = empty({n}, DType::int64);
  const RandomState state = next_random_state();
  launch(kernels::random_permutation, y.data<int64_t>(), n, state.get());
  return to(y, dtype);
}

Tensor example_uniform(uint64_t seed, int64_t epoch, int64_t draw, const Tensor& index, int64_t count) {
  if (index.dtype() != DType::int64 || index.dim() != 1)
    throw TypeError(str("example_uniform: expected int64 indices [N], got ", index.dtype(), " ", index.shape()));
  if (epoch < 0 || epoch >= int64_t{1} << 32 || draw < 0 || draw >= 1 << 15 || count < 0 || count > 1 << 16)
    throw ValueError(
        str("example_uniform: expected an epoch below 2^32, a draw below 2^15 and at most 2^16 numbers, got ", epoch,
            ", ", draw, " and ", count));
  const uint64_t stream = uint64_t{1} << 63 | static_cast<uint64_t>(epoch) << 31 | static_cast<uint64_t>(draw) << 16;
  const Tensor i = contiguous(on_cpu(index));
  const DeviceGuard host(kCpu);
  const Tensor y = empty({i.shape()[0], count}, DType::float64);
  if (y.numel()) launch_host(&fill_examples, y.data<double>(), i.data<int64_t>(), i.shape()[0], count, seed, stream);
  return to_device(y, index.device());
}

Tensor dropout(const Tensor& x, double p, bool training) {
  if (!(p >= 0 && p <= 1)) throw ValueError(str("dropout: expected a probability in [0, 1], got ", p));
  return training && p > 0 ? apply<Dropout>(x, p) : x;
}

}  // namespace fastnn
