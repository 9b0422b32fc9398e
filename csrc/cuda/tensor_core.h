#pragma once
// The matrix instructions of a warp (mma.sync, sm_80 and up): d += a b, a 16 x K by rows, b K x 8 by columns, d 16 x 8.
// With g = lane / 4 and t = lane % 4 a lane holds (PTX ISA, "Matrix fragments for mma"):
//   d: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
//   bf16, K = 16, a pair in each word, the lower k in its lower half:
//     a: (g, 2t..), (g + 8, 2t..), (g, 2t + 8..), (g + 8, 2t + 8..)   b: (2t.., g), (2t + 8.., g)
//   TF32, K = 8:
//     a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4)               b: (t, g), (t + 4, g)
// The emulator gathers what all lanes hold and multiplies by that table.

#include "cuda/cuda.h"

namespace fastnn {
namespace cuda {

/// Two floats as bfloat16, to nearest even, `low` in the lower half.
__device__ inline uint32_t bf16_pair(float low, float high) {
#ifdef FASTNN_CUDA_EMULATED
  const auto rounded = [](float x) -> uint32_t {
    const uint32_t bits = __float_as_uint(x);
    return x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  };
  return rounded(low) | rounded(high) << 16;
#else
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}
/// To 11 significant bits, to nearest, ties away from zero.
__device__ inline uint32_t tf32_bits(float x) {
#ifdef FASTNN_CUDA_EMULATED
  const uint32_t bits = __float_as_uint(x);
  return (bits & 0x7f800000) == 0x7f800000 ? bits : (bits + 0x1000) & ~0x1fffu;
#else
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
#endif
}

#ifdef FASTNN_CUDA_EMULATED
namespace emulated {
struct Fragments {
  uint32_t a[4], b[2];
};
inline float bf16_value(uint32_t pair, int half) { return __uint_as_float(half ? pair & 0xffff0000u : pair << 16); }
/// Adds this lane's four elements of a b; `element(word, half)` is a factor of it, PER_WORD of them in a word.
template <int PER_WORD, class Element>
void multiply_fragments(float (&d)[4], const Fragments& mine, const Element& element) {
  Fragments all[32];
  exchange(0xffffffffu, mine, all);
  const int g = lane() / 4, t = lane() % 4;
  constexpr int kHalf = 4 * PER_WORD;  // terms of one word of all lanes
  for (int i = 0; i < 4; ++i) {
    const int column = 2 * t + i % 2;
    double sum = 0;
    for (int k = 0; k < 2 * kHalf; ++k) {
      const int holder = k % kHalf / PER_WORD, part = k % PER_WORD, upper = k / kHalf;
      sum += static_cast<double>(element(all[g * 4 + holder].a[2 * upper + i / 2], part)) *
             static_cast<double>(element(all[column * 4 + holder].b[upper], part));
    }
    d[i] += static_cast<float>(sum);
  }
}
}  // namespace emulated
#endif

__device__ inline void multiply_bf16(float& d0, float& d1, float& d2, float& d3, const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]) {
#ifdef FASTNN_CUDA_EMULATED
  float d[4] = {d0, d1, d2, d3};
  emulated::multiply_fragments<2>(d, {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}}, emulated::bf16_value);
  d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}
__device__ inline void multiply_tf32(float& d0, float& d1, float& d2, float& d3, const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]) {
#ifdef FASTNN_CUDA_EMULATED
  float d[4] = {d0, d1, d2, d3};
  emulated::multiply_fragments<1>(d, {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}},
                                  [](uint32_t word, int) { return __uint_as_float(word); });
  d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
#else
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

}  // namespace cuda
}  // namespace fastnn
