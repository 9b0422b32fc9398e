// Errors of the float32 functions in units in the last place (ulp), per instruction set, as the table of
// docs/accuracy.md:
//
//   ulp [STEP] [FUNCTION ...]
//
// Every STEP-th of the 2^32 bit patterns (default 4999; 1 sweeps them all) goes through each function; the reference is
// the C math library in float64, whose own error is below 1e-7 ulp of float32. A NaN or infinity where there should be
// none, or the other way round, is reported as inf. Functions marked "of x" cancel or underflow where the result is of
// no weight: their error is counted in ulp of the larger of |x| and |y|.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/isa.h"
#include "ops/elementwise/elementwise.h"

namespace {

using fastnn::UnaryOp;

double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double gelu(double x) { return x * 0.5 * std::erfc(-x * 0.70710678118654752440); }
double gelu_tanh(double x) { return x * sigmoid(1.59576912160573071 * (x + 0.044715 * x * x * x)); }

struct Function {
  const char* name;
  UnaryOp op;
  double (*reference)(double);
  bool of_x;
};

#define FASTNN_STD(name)                                               \
  {                                                                    \
#name, UnaryOp::name, [](double x) { return std::name(x); }, false \
  }
const Function kFunctions[] = {
    FASTNN_STD(exp),
    FASTNN_STD(exp2),
    FASTNN_STD(expm1),
    FASTNN_STD(log),
    FASTNN_STD(log2),
    FASTNN_STD(log10),
    FASTNN_STD(log1p),
    FASTNN_STD(sin),
    FASTNN_STD(cos),
    FASTNN_STD(tan),
    FASTNN_STD(asin),
    FASTNN_STD(acos),
    FASTNN_STD(atan),
    FASTNN_STD(sinh),
    FASTNN_STD(cosh),
    FASTNN_STD(tanh),
    FASTNN_STD(asinh),
    FASTNN_STD(acosh),
    FASTNN_STD(atanh),
    FASTNN_STD(erf),
    FASTNN_STD(erfc),
    FASTNN_STD(sqrt),
    {"rsqrt", UnaryOp::rsqrt, [](double x) { return 1 / std::sqrt(x); }, false},
    {"reciprocal", UnaryOp::reciprocal, [](double x) { return 1 / x; }, false},
    {"sigmoid", UnaryOp::sigmoid, sigmoid, false},
    {"silu", UnaryOp::silu, [](double x) { return x * sigmoid(x); }, true},
    {"gelu", UnaryOp::gelu, gelu, true},
    {"gelu_tanh", UnaryOp::gelu_tanh, gelu_tanh, true},
};
#undef FASTNN_STD

/// 2^23 / (the power of two at or below |v|), for v at least the smallest normal float32.
double per_ulp(double v) {
  uint64_t bits;
  std::memcpy(&bits, &v, sizeof(bits));
  const int64_t e = std::max<int64_t>(static_cast<int64_t>(bits >> 52 & 0x7ff) - 1023, -126);
  const uint64_t scale = static_cast<uint64_t>(23 - e + 1023) << 52;
  double out;
  std::memcpy(&out, &scale, sizeof(out));
  return out;
}

double error(float x, float got, double want, bool of_x) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : HUGE_VAL;
  const float rounded = static_cast<float>(want);
  if (std::isinf(got) || std::isinf(rounded)) {
    if (got == rounded) return 0;
    // Overflow is decided by rounding: one step is allowed at the border.
    return std::isinf(got) != std::isinf(rounded) && std::fabs(want) > 3.4028e38 ? 1 : HUGE_VAL;
  }
  const double measure = of_x ? std::max(std::fabs(want), static_cast<double>(std::fabs(x))) : std::fabs(want);
  const double e = std::fabs(static_cast<double>(got) - want) * per_ulp(measure);
  return got == rounded ? std::min(e, 0.5) : e;
}

struct Worst {
  double error = 0;
  float at = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const uint64_t step = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4999;
  if (step == 0) return std::fprintf(stderr, "usage: ulp [STEP] [FUNCTION ...]\n"), 2;
  std::vector<std::string> isas{"baseline", "avx2", "avx512"};
  const std::string found = fastnn::isa_name(fastnn::isa_found());
  const auto last = std::find(isas.begin(), isas.end(), found);
  if (last == isas.end())
    isas = {found};
  else
    isas.erase(last + 1, isas.end());
  std::printf("| function |");
  for (const std::string& isa : isas) std::printf(" %s | at |", isa.c_str());
  std::printf("\n|---|");
  for (size_t i = 0; i < isas.size(); ++i) std::printf("---|---|");
  std::printf("\n");
  constexpr uint64_t kChunk = 32768, kAll = uint64_t{1} << 32;
  std::vector<double> want(kChunk);
  const fastnn::Tensor x = fastnn::empty({static_cast<int64_t>(kChunk)});
  float* in = x.data<float>();
  for (const Function& f : kFunctions) {
    if (argc > 2 && std::find(argv + 2, argv + argc, std::string(f.name)) == argv + argc) continue;
    std::vector<Worst> worst(isas.size());
    for (uint64_t first = 0; first < kAll; first += step * kChunk) {
      for (uint64_t i = 0; i < kChunk; ++i) {
        const uint32_t bits = static_cast<uint32_t>(std::min(first + i * step, kAll - 1));
        std::memcpy(in + i, &bits, sizeof(bits));
        want[i] = f.reference(in[i]);
      }
      for (size_t k = 0; k < isas.size(); ++k) {
        fastnn::isa_set(isas[k].c_str());
        const fastnn::Tensor y = fastnn::unary(f.op, x);
        const float* out = y.data<float>();
        for (uint64_t i = 0; i < kChunk; ++i) {
          const double e = error(in[i], out[i], want[i], f.of_x);
          if (e > worst[k].error) worst[k] = {e, in[i]};
        }
      }
    }
    std::printf("| %s%s |", f.name, f.of_x ? " (of x)" : "");
    for (const Worst& w : worst) std::printf(" %.2f | %.6g |", w.error, static_cast<double>(w.at));
    std::printf("\n");
    std::fflush(stdout);
  }
}
