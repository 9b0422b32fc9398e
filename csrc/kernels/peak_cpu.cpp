// Loops that do nothing but meet one limit of the machine each. They are written with vector types and single
// instructions in asm, so that the compiler can neither drop, merge nor spill what is being counted.

#include "runtime/peak.h"

namespace fastnn {
namespace FASTNN_ISA {

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#define REG "v"
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#define REG "x"
#elif defined(__SSE2__)
constexpr int kBytes = 16;
#define REG "x"
#else
constexpr int kBytes = 16;
#define REG "w"
#endif
typedef float Vec __attribute__((vector_size(kBytes), may_alias));
constexpr int kLanes = kBytes / 4;

// y += a * b in one instruction.
#if defined(__AVX2__)
#define FMA(y, a, b) asm("vfmadd231ps %2, %1, %0" : "+" REG(y) : REG(a), REG(b))
#elif defined(__aarch64__)
#define FMA(y, a, b) asm("fmla %0.4s, %1.4s, %2.4s" : "+" REG(y) : REG(a), REG(b))
#endif

// The compiler must have the value in a register here, and knows nothing about it afterwards.
inline void opaque(Vec& v) { asm volatile("" : "+" REG(v)); }
// Memory may have changed: the next pass loads and stores again.
inline void next_pass() { asm volatile("" ::: "memory"); }

inline Vec splat(float s) {
  Vec v = {};
  v += s;
  opaque(v);
  return v;
}

}  // namespace

void peak_fma(double* flops, int64_t rounds) {
  Vec a = splat(0.5f), b = splat(0.5f);
#if defined(FMA)
  // Two FMA units of latency 4 (or 5) need 8 to 10 chains; 12 fit into 16 registers beside the two operands.
  constexpr int kChains = 12;
  Vec y[kChains] = {};
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) FMA(y[i], a, b);
  }
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) opaque(y[i]);
  *flops = 2.0 * kChains * kLanes * static_cast<double>(rounds);
#else
  // No FMA: as many multiplications as additions, in chains of their own because the units may be different ones.
  constexpr int kChains = 7;
  Vec y[kChains] = {}, z[kChains] = {};
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 7
    for (int i = 0; i < kChains; ++i) {
      y[i] += a;
      z[i] *= b;
      opaque(y[i]);
      opaque(z[i]);
    }
  }
  *flops = 2.0 * kChains * kLanes * static_cast<double>(rounds);
#endif
}

void peak_bf16_dot(double* flops, int64_t rounds) {
  // Each lane adds the products of two pairs of bfloat16. Whether the instruction exists, the caller has asked.
#if defined(__AVX512F__)
#define DOT(y, a, b) asm("vdpbf16ps %2, %1, %0" : "+v"(y) : "v"(a), "v"(b))
#elif defined(__aarch64__)
#define DOT(y, a, b) asm(".arch_extension bf16\n bfdot %0.4s, %1.8h, %2.8h" : "+w"(y) : "w"(a), "w"(b))
#endif
#if defined(DOT)
  Vec a = splat(0.5009613f), b = splat(0.5009613f);  // bits 0x3f003f00: 0.5 twice in bfloat16
  constexpr int kChains = 20;
  Vec y[kChains] = {};
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 20
    for (int i = 0; i < kChains; ++i) DOT(y[i], a, b);
  }
#pragma GCC unroll 20
  for (int i = 0; i < kChains; ++i) opaque(y[i]);
  *flops = 4.0 * kChains * kLanes * static_cast<double>(rounds);
#else
  (void)rounds;
  *flops = 0;
#endif
}

void peak_read(const float* x, int64_t n, int64_t rounds) {
  constexpr int kAhead = 8;
  Vec sum[kAhead] = {};
  for (int64_t r = 0; r < rounds; ++r) {
    for (int64_t i = 0; i < n; i += kAhead * kLanes) {
#pragma GCC unroll 8
      for (int j = 0; j < kAhead; ++j) sum[j] += *reinterpret_cast<const Vec*>(x + i + j * kLanes);
    }
    next_pass();
  }
#pragma GCC unroll 8
  for (int j = 0; j < kAhead; ++j) opaque(sum[j]);
}

void peak_copy(float* y, const float* x, int64_t n, int64_t rounds) {
  for (int64_t r = 0; r < rounds; ++r) {
    for (int64_t i = 0; i < n; i += 4 * kLanes) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        Vec v = *reinterpret_cast<const Vec*>(x + i + j * kLanes);
        opaque(v);  // or the loop becomes a call of memcpy, which has a strategy of its own
        *reinterpret_cast<Vec*>(y + i + j * kLanes) = v;
      }
    }
    next_pass();
  }
}

void peak_copy_streaming(float* y, const float* x, int64_t n, int64_t rounds) {
  for (int64_t r = 0; r < rounds; ++r) {
    for (int64_t i = 0; i < n; i += 4 * kLanes) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        Vec v = *reinterpret_cast<const Vec*>(x + i + j * kLanes);
        Vec* to = reinterpret_cast<Vec*>(y + i + j * kLanes);
#if defined(__AVX2__)
        asm volatile("vmovntps %1, %0" : "=m"(*to) : REG(v));
#elif defined(__SSE2__)
        asm volatile("movntps %1, %0" : "=m"(*to) : REG(v));
#else
        opaque(v);
        *to = v;
#endif
      }
    }
    next_pass();
  }
#if defined(__SSE2__)
  asm volatile("sfence" ::: "memory");
#endif
}

void peak_fill(float* y, int64_t n, int64_t rounds) {
  Vec v = splat(0.5f);
  for (int64_t r = 0; r < rounds; ++r) {
    for (int64_t i = 0; i < n; i += 4 * kLanes) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) *reinterpret_cast<Vec*>(y + i + j * kLanes) = v;
    }
    next_pass();
  }
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
