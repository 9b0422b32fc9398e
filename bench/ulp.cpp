// Errors of the float32 functions in units in the last place (ulp), per instruction set, as the tables of
// docs/accuracy.md:
//
//   ulp [STEP] [FUNCTION ...]
//
// Every STEP-th of the 2^32 bit patterns (default 4999; 1 sweeps them all) goes through each function. The reference is
// float64: glibc's vector library where there is one, whose error is below 1e-7 ulp of float32, and the C library,
// which decides about every input that is worse than all before, and about every NaN, infinity or overflow that is in
// doubt. A NaN or infinity where there should be none, or the other way round, is reported as inf. Functions marked "of
// x" cancel or underflow where the result is of no weight: their error is counted in ulp of the larger of |x| and |y|.
// pow has two arguments and is swept over a grid of bit patterns. All processors take part.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/isa.h"
#include "kernels/kernel.h"
#include "kernels/parallel.h"
#include "ops/elementwise/elementwise.h"

namespace fastnn {
FASTNN_KERNEL(sweep_exp_below, float* y, const float* x, int64_t n)
}

namespace {

using fastnn::BinaryOp;
using fastnn::UnaryOp;

// The functions: name, whether the error is of x, the formula for a double and for a vector of them alike.
#define FUNCTIONS(X)                                                      \
  X(exp, false, exp(x))                                                   \
  X(exp2, false, exp2(x))                                                 \
  X(expm1, false, expm1(x))                                               \
  X(log, false, log(x))                                                   \
  X(log2, false, log2(x))                                                 \
  X(log10, false, log10(x))                                               \
  X(log1p, false, log1p(x))                                               \
  X(sin, false, sin(x))                                                   \
  X(cos, false, cos(x))                                                   \
  X(tan, false, tan(x))                                                   \
  X(asin, false, asin(x))                                                 \
  X(acos, false, acos(x))                                                 \
  X(atan, false, atan(x))                                                 \
  X(sinh, false, sinh(x))                                                 \
  X(cosh, false, cosh(x))                                                 \
  X(tanh, false, tanh(x))                                                 \
  X(asinh, false, asinh(x))                                               \
  X(acosh, false, acosh(x))                                               \
  X(atanh, false, atanh(x))                                               \
  X(erf, false, erf(x))                                                   \
  X(erfc, false, erfc(x))                                                 \
  X(sqrt, false, sqrt(x))                                                 \
  X(rsqrt, false, 1 / sqrt(x))                                            \
  X(reciprocal, false, 1 / x)                                             \
  X(sigmoid, false, logistic(x))                                          \
  X(silu, true, x* logistic(x))                                           \
  X(gelu, true, above(x, -1e3) * 0.5 * erfc(x * -0.70710678118654752440)) \
  X(gelu_tanh, true, x* logistic(1.59576912160573071 * (x + 0.044715 * x * x * x)))

namespace scalar {
using std::acos, std::acosh, std::asin, std::asinh, std::atan, std::atanh, std::cos, std::cosh, std::erf, std::erfc,
    std::exp, std::exp2, std::expm1, std::log, std::log10, std::log1p, std::log2, std::sin, std::sinh, std::sqrt,
    std::tan, std::tanh;
double above(double x, double low) { return x < low ? low : x; }
double logistic(double x) { return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)); }
#define FASTNN_X(name, of_x, formula) \
  double name##_of(double x) { return formula; }
FUNCTIONS(FASTNN_X)
#undef FASTNN_X
}  // namespace scalar

/// y[i] = f(x[i]) in float64, n a multiple of 8; null where there are no vectors for it.
typedef void (*Many)(double* y, const float* x, int64_t n);
/// Marks the groups of 8 in which a result may be worse than `limit` (>= 0.5) or is of another kind than wanted.
void suspects(std::vector<int64_t>& groups, const float* x, const float* got, const double* want, int64_t n,
              double limit, bool of_x);

#if defined(FASTNN_VECTORS)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq")
namespace vectors {
typedef double v8 __attribute__((vector_size(64)));
typedef float f8 __attribute__((vector_size(32)));
typedef int64_t i8 __attribute__((vector_size(64)));
#define FASTNN_X(name)                 \
  extern "C" v8 _ZGVeN8v_##name(v8 x); \
  inline v8 name(v8 x) { return _ZGVeN8v_##name(x); }
FASTNN_X(exp)
FASTNN_X(exp2)
FASTNN_X(expm1)
FASTNN_X(log)
FASTNN_X(log2)
FASTNN_X(log10)
FASTNN_X(log1p)
FASTNN_X(sin)
FASTNN_X(cos)
FASTNN_X(tan)
FASTNN_X(asin)
FASTNN_X(acos)
FASTNN_X(atan)
FASTNN_X(sinh)
FASTNN_X(cosh)
FASTNN_X(tanh)
FASTNN_X(asinh)
FASTNN_X(acosh)
FASTNN_X(atanh)
FASTNN_X(erf)
FASTNN_X(erfc)
#undef FASTNN_X
extern "C" v8 _ZGVeN8vv_pow(v8 x, v8 y);
inline v8 sqrt(v8 x) {
  asm("vsqrtpd %1, %0" : "=v"(x) : "v"(x));
  return x;
}
inline v8 above(v8 x, double low) { return x < low ? v8{} + low : x; }
inline v8 logistic(v8 x) {
  const v8 z = exp(x < 0 ? x : -x);
  return (x < 0 ? z : z * 0 + 1) / (1 + z);
}
inline v8 widen(const float* p) {
  f8 x;
  std::memcpy(&x, p, sizeof(x));
  return __builtin_convertvector(x, v8);
}
#define FASTNN_X(name, of_x, formula)                       \
  void name##_of(double* y, const float* from, int64_t n) { \
    for (int64_t i = 0; i < n; i += 8) {                    \
      const v8 x = widen(from + i), r = formula;            \
      std::memcpy(y + i, &r, sizeof(r));                    \
    }                                                       \
  }
FUNCTIONS(FASTNN_X)
#undef FASTNN_X
void pow_of(double* z, const float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += 8) {
    const v8 r = _ZGVeN8vv_pow(widen(x + i), widen(y + i));
    std::memcpy(z + i, &r, sizeof(r));
  }
}
void suspects(std::vector<int64_t>& groups, const float* x, const float* got, const double* want, int64_t n,
              double limit, bool of_x) {
  for (int64_t i = 0; i < n; i += 8) {
    v8 w;
    std::memcpy(&w, want + i, sizeof(w));
    const v8 g = widen(got + i), a = widen(x + i),
             rounded = __builtin_convertvector(__builtin_convertvector(w, f8), v8);
    const v8 size = (v8)((i8)w & INT64_MAX), side = (v8)((i8)a & INT64_MAX),
             measure = of_x ? (side > size ? side : size) : size;
    i8 e = (i8)measure >> 52;
    e = e < 897 ? e * 0 + 897 : e;  // the smallest normal float32
    const v8 error = (v8)((i8)(g - w) & INT64_MAX) * (v8)((2069 - e) << 52);
    const i8 fine = (g == rounded) | ((w != w) & (g != g)) | (error <= limit);
    bool all = true;
    for (int k = 0; k < 8; ++k) all &= fine[k] != 0;
    if (!all) groups.push_back(i);
  }
}
}  // namespace vectors
#pragma GCC pop_options
#endif

bool with_vectors() {
#if defined(FASTNN_VECTORS)
  static const bool found = fastnn::isa_found() == fastnn::Isa::avx512;
  return found;
#else
  return false;
#endif
}

void suspects(std::vector<int64_t>& groups, const float* x, const float* got, const double* want, int64_t n,
              double limit, bool of_x) {
#if defined(FASTNN_VECTORS)
  if (with_vectors()) return vectors::suspects(groups, x, got, want, n, limit, of_x);
#endif
  for (int64_t i = 0; i < n; i += 8) groups.push_back(i);
}

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

/// Where the error is largest. 0.5 is what the nearest float32 may be off, so only what is worse is looked for.
struct Worst {
  double error = 0.5;
  float at = 1, at_y = 0;
};

constexpr int64_t kChunk = 1 << 18, kPart = 8192;  // inputs at a time, and of a task
constexpr uint64_t kAll = uint64_t{1} << 32;

float pattern(uint64_t k) {
  const uint32_t bits = static_cast<uint32_t>(std::min(k, kAll - 1));
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

/// Compares kChunk results; exact(i) is the C library's.
template <class Exact>
void compare(Worst& worst, const float* x, const float* y, const float* got, const double* want, bool of_x,
             const Exact& exact) {
  std::mutex mutex;
  fastnn::parallel_range(kChunk, kPart, [&](int64_t begin, int64_t) {
    std::vector<int64_t> groups;
    suspects(groups, x + begin, got + begin, want + begin, kPart, worst.error, of_x);
    std::lock_guard<std::mutex> lock(mutex);
    for (int64_t group : groups)
      for (int64_t i = begin + group; i < begin + group + 8; ++i) {
        const double e = error(x[i], got[i], exact(i), of_x);
        if (e > worst.error) worst = {e, x[i], y ? y[i] : 0};
      }
  });
}

std::vector<std::string> isas() {
  std::vector<std::string> names{"baseline", "avx2", "avx512"};
  const std::string found = fastnn::isa_name(fastnn::isa_found());
  const auto last = std::find(names.begin(), names.end(), found);
  if (last == names.end()) return {found};
  names.erase(last + 1, names.end());
  return names;
}

struct Sweep {
  std::vector<std::string> isa = isas();
  fastnn::Tensor x = fastnn::empty({kChunk}), y = fastnn::empty({kChunk}), z = fastnn::empty({kChunk});
  std::vector<double> want = std::vector<double>(kChunk);

  /// run(): the results of the active instruction set, for the inputs in x.
  template <class Exact, class Run>
  std::vector<Worst> unary(uint64_t step, uint64_t first, uint64_t last, bool of_x, Many many, const Exact& exact,
                           const Run& run) {
    std::vector<Worst> worst(isa.size());
    float* const in = x.data<float>();
    for (; first < last; first += step * kChunk) {
      fastnn::parallel_range(kChunk, kPart, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          in[i] = pattern(std::min(first + static_cast<uint64_t>(i) * step, last - 1));
        if (many && with_vectors())
          many(want.data() + begin, in + begin, end - begin);
        else
          for (int64_t i = begin; i < end; ++i) want[i] = exact(in[i]);
      });
      for (size_t k = 0; k < isa.size(); ++k) {
        fastnn::isa_set(isa[k].c_str());
        const fastnn::Tensor got = run();
        compare(worst[k], in, nullptr, got.data<float>(), want.data(), of_x, [&](int64_t i) { return exact(in[i]); });
      }
    }
    return worst;
  }

  /// Every pattern of x that is a multiple of 65537 with every pattern of y that is one of 1048583.
  std::vector<Worst> pow(uint64_t step) {
    std::vector<Worst> worst(isa.size());
    float *const a = x.data<float>(), *const b = y.data<float>();
    const uint64_t columns = kAll / 65537 + 1, rows = kAll / 1048583 + 1;
    for (uint64_t first = 0; first < columns * rows; first += step * kChunk) {
      fastnn::parallel_range(kChunk, kPart, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const uint64_t k = std::min(first + static_cast<uint64_t>(i) * step, columns * rows - 1);
          a[i] = pattern(k % columns * 65537), b[i] = pattern(k / columns * 1048583);
        }
#if defined(FASTNN_VECTORS)
        if (with_vectors()) return vectors::pow_of(want.data() + begin, a + begin, b + begin, end - begin);
#endif
        for (int64_t i = begin; i < end; ++i) want[i] = std::pow(static_cast<double>(a[i]), static_cast<double>(b[i]));
      });
      for (size_t k = 0; k < isa.size(); ++k) {
        fastnn::isa_set(isa[k].c_str());
        const fastnn::Tensor got = fastnn::binary(BinaryOp::pow, x, y);
        compare(worst[k], a, b, got.data<float>(), want.data(), false,
                [&](int64_t i) { return std::pow(static_cast<double>(a[i]), static_cast<double>(b[i])); });
      }
    }
    return worst;
  }
};

struct Function {
  const char* name;
  UnaryOp op;
  bool of_x;
  double (*exact)(double);
  Many many;
};
#if defined(FASTNN_VECTORS)
#define FASTNN_X(name, of_x, formula) {#name, UnaryOp::name, of_x, scalar::name##_of, vectors::name##_of},
#else
#define FASTNN_X(name, of_x, formula) {#name, UnaryOp::name, of_x, scalar::name##_of, nullptr},
#endif
const Function kFunctions[] = {FUNCTIONS(FASTNN_X)};
#undef FASTNN_X

void print_head(const std::vector<std::string>& isa) {
  std::printf("| function |");
  for (const std::string& name : isa) std::printf(" %s | at |", name.c_str());
  std::printf("\n|---|");
  for (size_t i = 0; i < isa.size(); ++i) std::printf("---|---|");
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t step = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 4999;
  if (step == 0) return std::fprintf(stderr, "usage: ulp [STEP] [FUNCTION ...]\n"), 2;
  const auto wanted = [&](const char* name) {
    return argc <= 2 || std::find(argv + 2, argv + argc, std::string(name)) != argv + argc;
  };
  Sweep sweep;
  print_head(sweep.isa);
  for (const Function& f : kFunctions) {
    if (!wanted(f.name)) continue;
    std::printf("| %s%s |", f.name, f.of_x ? " (of x)" : "");
    for (const Worst& w :
         sweep.unary(step, 0, kAll, f.of_x, f.many, f.exact, [&] { return fastnn::unary(f.op, sweep.x); }))
      std::printf(" %.2f | %.9g |", w.error, static_cast<double>(w.at));
    std::printf("\n");
    std::fflush(stdout);
  }
  if (wanted("exp_below")) {
    // For x in [-86.5, -0]: the patterns from -0 on. Below, it gives 0.
    const auto run = [&] {
      const float* from = sweep.x.data<float>();
      float* to = sweep.z.data<float>();
      fastnn::kernels::sweep_exp_below.by_isa[fastnn::detail::isa_index](to, from, kChunk);
      return sweep.z;
    };
    std::printf("| exp_below, all x in [-86.5, 0] |");
    for (const Worst& w :
         sweep.unary(step, 0x80000000u, 0xc2ad0000u + 1, false, kFunctions[0].many, kFunctions[0].exact, run))
      std::printf(" %.2f | %.9g |", w.error, static_cast<double>(w.at));
    std::printf("\n");
  }
  if (wanted("pow")) {
    std::printf("| pow |");
    for (const Worst& w : sweep.pow(step))
      std::printf(" %.2f | %.9g ** %.9g |", w.error, static_cast<double>(w.at), static_cast<double>(w.at_y));
    std::printf("\n");
  }
}
