#pragma once
// What a kernel source *_cuda.cu may use. nvcc compiles it for the device; with FASTNN_CUDA_EMULATED the host compiler
// compiles the same text against emulated.h, which runs blocks, barriers, shuffles and graphs on the CPU, so that every
// kernel is tested where there is no GPU. Inside these sources:
//  - a launcher fastnn::cuda::NAME has the signature that FASTNN_KERNEL(NAME, ...) declares; its pointers are device
//    memory. It starts its kernels with run(), in the order of the current stream, and never waits for them;
//  - kernels take their arguments by value (structs of plain data, no host pointers);
//  - working memory comes from Scratch; numbers of a draw from DeviceRandom.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

#ifdef FASTNN_CUDA_EMULATED
#include "cuda/emulated.h"
#else
#include <cuda_runtime.h>
#endif

#include "core/errors.h"
#include "core/random.h"
#include "kernels/dispatch.h"

namespace fastnn {
namespace cuda {

/// The stream that launches of this thread go to, and its device.
cudaStream_t stream();
int current_device();
/// Multiprocessors of the current device, for the size of grids whose threads loop.
int sm_count();
/// 10 major + minor of the current device: 90 is Hopper.
int compute_capability();
/// Throws DeviceError with what the runtime says; `what` names the call.
void check(cudaError_t code, const char* what);

/// Blocks of a grid-stride loop over n elements, `per_block` at a time: no more than the device runs at once.
inline unsigned grid_for(int64_t n, int64_t per_block) {
  const int64_t wanted = (n + per_block - 1) / per_block, most = static_cast<int64_t>(sm_count()) * 16;
  return static_cast<unsigned>(wanted < most ? (wanted < 1 ? 1 : wanted) : most);
}

/// The smallest power of two that is not below n, at most `most`.
inline int power_of_two(int64_t n, int most) {
  int p = 1;
  while (p < n && p < most) p *= 2;
  return p;
}

/// Device memory for the launches of one launcher: taken and given back in the order of the stream.
class Scratch {
 public:
  explicit Scratch(int64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as(int64_t byte_offset = 0) const {
    return reinterpret_cast<T*>(static_cast<char*>(data_) + byte_offset);
  }

 private:
  void* data_ = nullptr;
};

/// The state of a draw as a kernel sees it: by value now, from device memory where a graph is being recorded (every
/// launch of the graph draws anew). Kernels call get().
struct DeviceRandom {
  PhiloxState value;
  const PhiloxState* later;  // device memory, or null
  __host__ __device__ PhiloxState get() const { return later ? *later : value; }
};
DeviceRandom device_random(const PhiloxState* state);

/// kernel<<<grid, block, shared>>>(args...) in the current stream. Nothing where the grid is empty.
#ifdef FASTNN_CUDA_EMULATED
template <class... P, class... A>
void run(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A&&... args) {
  emulated::start(kernel, grid, block, shared, std::tuple<P...>(static_cast<P>(args)...));
}
#else
void start(const void* kernel, dim3 grid, dim3 block, size_t shared, void** arguments);
template <class... P, class... A>
void run(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, A&&... args) {
  std::tuple<P...> values(static_cast<P>(args)...);
  std::apply(
      [&](auto&... v) {
        void* pointers[sizeof...(P) + 1] = {static_cast<void*>(&v)...};
        start(reinterpret_cast<const void*>(kernel), grid, block, shared, pointers);
      },
      values);
}
#endif

/// Dynamic shared memory of a kernel, 16-byte aligned: FASTNN_SHARED(float, tile); then tile is a float*.
#ifdef FASTNN_CUDA_EMULATED
#define FASTNN_SHARED(T, name) T* name = static_cast<T*>(emulated::dynamic_shared())
#else
#define FASTNN_SHARED(T, name)                                          \
  extern __shared__ __align__(128) unsigned char fastnn_shared_bytes[]; \
  T* name = reinterpret_cast<T*>(fastnn_shared_bytes)
#endif

constexpr unsigned kFullWarp = 0xffffffffu;
constexpr int kWarp = 32;

/// The index of this thread in a one-dimensional grid, and its step.
__device__ inline int64_t thread_index() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t thread_count() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

/// The value of lane ^ `with`, for structs whose size is a multiple of 4.
template <class S>
__device__ inline S shuffle_xor(const S& s, int with) {
  static_assert(sizeof(S) % 4 == 0, "shuffles move words");
  uint32_t words[sizeof(S) / 4];
  memcpy(words, &s, sizeof(S));
#pragma unroll
  for (uint32_t& w : words) w = __shfl_xor_sync(kFullWarp, w, with);
  S out;
  memcpy(static_cast<void*>(&out), words, sizeof(S));
  return out;
}

// --- reductions in a fixed order: the same bits in every run ------------------------------------------------------

/// op over the 32 lanes, in all of them; every lane of the warp takes part.
template <class T, class Op>
__device__ inline T warp_reduce(T v, Op op) {
  for (int lane = kWarp / 2; lane > 0; lane /= 2) v = op(v, __shfl_xor_sync(kFullWarp, v, lane));
  return v;
}
/// op over the threads of the block (a multiple of 32, at most 1024), in all of them; `cells` is shared memory for 32
/// values, free again afterwards. T is plain data that shuffles take (4 or 8 bytes).
template <class T, class Op>
__device__ inline T block_reduce(T v, Op op, T identity, T* cells) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  v = warp_reduce(v, op);
  if (lane == 0) cells[warp] = v;
  __syncthreads();
  v = lane < warps ? cells[lane] : identity;
  v = warp_reduce(v, op);
  __syncthreads();
  return v;
}
struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
/// Largest and smallest; NaN wins, as in NumPy.
struct Max {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a != a ? a : b != b ? b : a > b ? a : b;
  }
};
struct Min {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a != a ? a : b != b ? b : a < b ? a : b;
  }
};

}  // namespace cuda
}  // namespace fastnn
