#include "ops/random_fill/random_fill.h"
#include "python/device_py.h"

namespace fastnn {
namespace {

using Where = std::optional<Place>;  // `device=`; the current one where None

// rand(2, 3) and rand((2, 3)), with dtype and requires_grad by name.
template <Distribution what>
void bind_sized(Binder& b, const char* name, const char* like, double p, double q, const char* doc) {
  b.python_function(
      name,
      [=](const py::args& size, DType dtype, bool requires_grad, Where device) {
        const Made made(device);
        const Tensor y = random(name, dims_from_args(name, size), dtype, what, p, q);
        if (requires_grad) set_requires_grad(y, true);
        return y;
      },
      "dtype"_a = DType::float32, "requires_grad"_a = false, "device"_a = py::none(), doc);
  b.function(
      like,
      [=](const Tensor& x, std::optional<DType> dtype, Where device) {
        const Made made(device ? device : Where(Place{x.device()}));
        return random(like, x.shape(), dtype ? *dtype : x.dtype(), what, p, q);
      },
      "x"_a, py::kw_only(), "dtype"_a = py::none(), "device"_a = py::none(), doc);
}

}  // namespace

void bind_random_fill(Binder& b) {
  bind_sized<Distribution::uniform>(b, "rand", "rand_like", 0, 1, "Uniform random numbers in [0, 1).");
  bind_sized<Distribution::normal>(b, "randn", "randn_like", 0, 1,
                                   "Normal random numbers, mean 0, standard deviation 1.");
  b.function(
      "normal",
      [](double mean, double std, const Dims& size, DType dtype, Where device) {
        const Made made(device);
        return random("normal", size, dtype, Distribution::normal, mean, std);
      },
      "mean"_a, "std"_a, "size"_a, py::kw_only(), "dtype"_a = DType::float32, "device"_a = py::none(),
      "Normal random numbers.");
  const char* integers = "Random integers in [low, high).";
  b.function(
      "randint",
      [](int64_t low, int64_t high, const Dims& size, DType dtype, Where device) {
        const Made made(device);
        return randint(low, high, size, dtype);
      },
      "low"_a, "high"_a, "size"_a, py::kw_only(), "dtype"_a = DType::int64, "device"_a = py::none(), integers);
  b.function(
      "randint",
      [](int64_t high, const Dims& size, DType dtype, Where device) {
        const Made made(device);
        return randint(0, high, size, dtype);
      },
      "high"_a, "size"_a, py::kw_only(), "dtype"_a = DType::int64, "device"_a = py::none(), integers);
  b.function(
      "randperm",
      [](int64_t n, DType dtype, Where device) {
        const Made made(device);
        return randperm(n, dtype);
      },
      "n"_a, py::kw_only(), "dtype"_a = DType::int64, "device"_a = py::none(),
      "The numbers 0 ... n - 1 in random order.");
  b.function("_example_uniform", &example_uniform, "seed"_a, "epoch"_a, "draw"_a, "index"_a, "count"_a,
             "Numbers in [0, 1) that belong to examples, float64 [N, count].");
  b.both("bernoulli", &bernoulli, "x"_a, "1 with the probability that x says, else 0.");
  b.function("dropout", &dropout, "x"_a, "p"_a = 0.5, "training"_a = true,
             "While training, zeroes each element with probability p and scales the others by 1 / (1 - p).");
  b.method(
      "uniform_",
      [](const Tensor& x, double low, double high) { return random_("uniform_", x, Distribution::uniform, low, high); },
      "low"_a = 0.0, "high"_a = 1.0, "Fills with uniform random numbers in [low, high).");
  b.method(
      "normal_",
      [](const Tensor& x, double mean, double std) { return random_("normal_", x, Distribution::normal, mean, std); },
      "mean"_a = 0.0, "std"_a = 1.0, "Fills with normal random numbers.");
  b.method(
      "exponential_",
      [](const Tensor& x, double lambd) { return random_("exponential_", x, Distribution::exponential, lambd, 0); },
      "lambd"_a = 1.0, "Fills with exponential random numbers of rate `lambd`.");
  b.method(
      "bernoulli_", [](const Tensor& x, double p) { return random_("bernoulli_", x, Distribution::bernoulli, p, 0); },
      "p"_a = 0.5, "Fills with 1 with probability p, else 0.");
}

}  // namespace fastnn
