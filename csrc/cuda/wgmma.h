#pragma once
// What Hopper has for matrix products (sm_90a): barriers in shared memory that count arrivals and bytes, bulk copies
// that report to them, and matrix instructions of a warpgroup (four warps) on operands in shared memory.
//
// An operand is rows of 128 bytes, eight rows one after the other (1024 bytes, aligned to them), the next eight behind;
// in row r the 16 bytes number c lie at c ^ (r % 8), the 128-byte swizzle. d is 64 x 128: thread t of the warpgroup has
// rows t / 32 * 16 + t % 32 / 4 (+ 8) and columns 8 j + t % 4 * 2 (+ 1), d[row][2 j (+ 1)].

#include "cuda/cuda.h"
#include "cuda/tensor_core.h"

// Where there is a body for kernels that use them.
#if defined(FASTNN_CUDA_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define FASTNN_WGMMA 1
#endif

namespace fastnn {
namespace cuda {

#ifdef FASTNN_CUDA_EMULATED
namespace emulated {
struct Counter {  // of a barrier
  int16_t expected, left;
  int32_t phase_and_bytes;  // the phase in the lowest bit
  void settle() {
    if (left != 0 || phase_and_bytes >> 1 != 0) return;
    phase_and_bytes ^= 1;
    left = expected;
  }
};
static_assert(sizeof(Counter) == 8, "");
inline Counter& counter(uint64_t* barrier) { return *reinterpret_cast<Counter*>(barrier); }

/// Element (row, byte) of the operand that a descriptor names, by the address that the hardware would use.
inline const char* element_at(uint64_t descriptor, int row, int byte) {
  char* const shared = static_cast<char*>(dynamic_shared());
  const int start = static_cast<int>(descriptor & 0x3fff) * 16,
            stride = static_cast<int>(descriptor >> 32 & 0x3fff) * 16;
  int at = start + row / 8 * stride + row % 8 * 128 + byte;
  at ^= (at >> 7 & 7) << 4;
  return shared + at;
}
template <class Value>
void multiply_shared(float (&d)[2][32], uint64_t a, uint64_t b, int add, int terms, const Value& value) {
  const int thread = static_cast<int>(threadIdx.x) % 128, g = thread / 32 * 16 + thread % 32 / 4, t = thread % 4 * 2;
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 32; ++j) {
      const int row = g + 8 * i, column = j / 2 * 8 + t + j % 2;
      float sum = add ? d[i][j] : 0.0f;
      for (int k = 0; k < terms; ++k) sum += value(a, row, k) * value(b, column, k);
      d[i][j] = sum;
    }
}
}  // namespace emulated
#endif

__device__ inline unsigned shared_address(const void* p) {
#ifdef FASTNN_CUDA_EMULATED
  return static_cast<unsigned>(static_cast<const char*>(p) - static_cast<char*>(emulated::dynamic_shared()));
#else
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
#endif
}
/// The descriptor of an operand (see above) from `p` on; 32 bytes further along the rows is + 2.
__device__ inline uint64_t operand_descriptor(const void* p) {
  constexpr uint64_t kEightRows = 1024 / 16, kSwizzle128 = 1;
  return static_cast<uint64_t>((shared_address(p) & 0x3ffff) >> 4) | uint64_t{1} << 16 | kEightRows << 32 |
         kSwizzle128 << 62;
}

#ifdef FASTNN_WGMMA
__device__ inline void barrier_init(uint64_t* barrier, int arrivals) {
#ifdef FASTNN_CUDA_EMULATED
  emulated::counter(barrier) = {static_cast<int16_t>(arrivals), static_cast<int16_t>(arrivals), 0};
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
#endif
}
/// Makes barriers known to the copy engine; then __syncthreads().
__device__ inline void barriers_made() {
#ifndef FASTNN_CUDA_EMULATED
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}
__device__ inline void barrier_arrive(uint64_t* barrier) {
#ifdef FASTNN_CUDA_EMULATED
  emulated::Counter& c = emulated::counter(barrier);
  --c.left;
  c.settle();
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
#endif
}
/// Arrives, and has the phase wait for so many bytes of copies too.
__device__ inline void barrier_expect(uint64_t* barrier, int bytes) {
#ifdef FASTNN_CUDA_EMULATED
  emulated::Counter& c = emulated::counter(barrier);
  c.phase_and_bytes += 2 * bytes;
  --c.left;
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
#endif
}
/// Until the phase of this parity is over.
__device__ inline void barrier_wait(uint64_t* barrier, int parity) {
#ifdef FASTNN_CUDA_EMULATED
  while ((emulated::counter(barrier).phase_and_bytes & 1) == parity) emulated::spin();
#else
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
#endif
}
/// `bytes` (a multiple of 16, as the addresses) to shared memory; the barrier counts them.
__device__ inline void bulk_copy(void* to, const void* from, int bytes, uint64_t* barrier) {
#ifdef FASTNN_CUDA_EMULATED
  std::memcpy(to, from, static_cast<size_t>(bytes));
  emulated::Counter& c = emulated::counter(barrier);
  c.phase_and_bytes -= 2 * bytes;
  c.settle();
#else
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
#endif
}

/// Before the first of a row of matrix instructions; after it; until all but the newest LEFT rows are done.
__device__ inline void wgmma_begin() {
#ifndef FASTNN_CUDA_EMULATED
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ inline void wgmma_commit() {
#ifndef FASTNN_CUDA_EMULATED
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
template <int LEFT>
__device__ inline void wgmma_wait() {
#ifndef FASTNN_CUDA_EMULATED
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
#endif
}

/// After the wait and before the first use of d: the compiler takes no element for known before.
template <int R, int C>
__device__ inline void wgmma_made(float (&d)[R][C]) {
#ifndef FASTNN_CUDA_EMULATED
#pragma unroll
  for (int i = 0; i < R; ++i)
#pragma unroll
    for (int j = 0; j < C; ++j) asm volatile("" : "+f"(d[i][j])::"memory");
#else
  (void)d;
#endif
}

#define FASTNN_PLACES(j) "+f"(d[0][2 * j]), "+f"(d[0][2 * j + 1]), "+f"(d[1][2 * j]), "+f"(d[1][2 * j + 1])
#define FASTNN_MULTIPLY(types, scales)                                                                                \
  asm volatile(                                                                                                       \
      "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\nwgmma.mma_async.sync.aligned." types                                 \
      " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                                      \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                              \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                              \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, p, " scales ";\n}"  \
      : FASTNN_PLACES(0), FASTNN_PLACES(1), FASTNN_PLACES(2), FASTNN_PLACES(3), FASTNN_PLACES(4), FASTNN_PLACES(5),   \
        FASTNN_PLACES(6), FASTNN_PLACES(7), FASTNN_PLACES(8), FASTNN_PLACES(9), FASTNN_PLACES(10), FASTNN_PLACES(11), \
        FASTNN_PLACES(12), FASTNN_PLACES(13), FASTNN_PLACES(14), FASTNN_PLACES(15)                                    \
      : "l"(a), "l"(b), "r"(add))
/// d = [d +] a b^T over 32 bytes of the rows of a (64) and b (128).
__device__ inline void wgmma_bf16(float (&d)[2][32], uint64_t a, uint64_t b, int add) {
#ifdef FASTNN_CUDA_EMULATED
  emulated::multiply_shared(d, a, b, add, 16, [](uint64_t x, int row, int k) {
    uint16_t bits;
    std::memcpy(&bits, emulated::element_at(x, row, 2 * k), 2);
    return emulated::bf16_value(bits, 0);
  });
#else
  FASTNN_MULTIPLY("m64n128k16.f32.bf16.bf16", "1, 1, 0, 0");
#endif
}
__device__ inline void wgmma_tf32(float (&d)[2][32], uint64_t a, uint64_t b, int add) {
#ifdef FASTNN_CUDA_EMULATED
  emulated::multiply_shared(d, a, b, add, 8, [](uint64_t x, int row, int k) {
    float value;
    std::memcpy(&value, emulated::element_at(x, row, 4 * k), 4);
    return value;
  });
#else
  FASTNN_MULTIPLY("m64n128k8.f32.tf32.tf32", "1, 1");
#endif
}
#undef FASTNN_MULTIPLY
#undef FASTNN_PLACES
#endif

}  // namespace cuda
}  // namespace fastnn
