#pragma once
// FASTNN_KERNEL declares one kernel: the same function once in the namespace of every ISA, and a constant of the same
// name that holds their addresses. The sources `*_cpu.cpp` are compiled once per ISA with FASTNN_ISA set to that
// namespace; a kernel missing in one of them is a link error. Launch a kernel only through runtime/launch.h.

#include <cstdint>

#include "kernels/isa.h"

namespace fastnn {

template <class Fn>
struct Kernel {
  const char* name;
  Fn* by_isa[static_cast<int>(Isa::count)];
  void** on_device;  // the launcher of the CUDA version, once it was asked for
};

}  // namespace fastnn

/// The CUDA version, `*_cuda.cu` (see cuda/cuda.h): a launcher of the same signature in the plug-in. FASTNN_CPU_KERNEL
/// declares a kernel that has none.
#define FASTNN_KERNEL(name, ...)       \
  FASTNN_CPU_KERNEL(name, __VA_ARGS__) \
  FASTNN_DEVICE_KERNEL(name, __VA_ARGS__)
#ifdef FASTNN_CUDA
#define FASTNN_DEVICE_KERNEL(name, ...) \
  namespace cuda {                      \
  void name(__VA_ARGS__);               \
  }                                     \
  FASTNN_CUDA_ENTRY(name)
#ifndef FASTNN_CUDA_ENTRY
#define FASTNN_CUDA_ENTRY(name)
#endif
#else
#define FASTNN_DEVICE_KERNEL(name, ...)
#endif

#ifdef FASTNN_CUDA  // inside the plug-in there are no others
#define FASTNN_CPU_KERNEL(name, ...)
#elif defined(__x86_64__)
#define FASTNN_CPU_KERNEL(name, ...)                                            \
  namespace baseline {                                                          \
  void name(__VA_ARGS__);                                                       \
  }                                                                             \
  namespace avx2 {                                                              \
  void name(__VA_ARGS__);                                                       \
  }                                                                             \
  namespace avx512 {                                                            \
  void name(__VA_ARGS__);                                                       \
  }                                                                             \
  namespace kernels {                                                           \
  inline void* name##_on_device = nullptr;                                      \
  static constexpr Kernel<void(__VA_ARGS__)> name{                              \
      #name, {&baseline::name, &avx2::name, &avx512::name}, &name##_on_device}; \
  }
#elif defined(__aarch64__)
#define FASTNN_CPU_KERNEL(name, ...)                                                        \
  namespace neon {                                                                          \
  void name(__VA_ARGS__);                                                                   \
  }                                                                                         \
  namespace kernels {                                                                       \
  inline void* name##_on_device = nullptr;                                                  \
  static constexpr Kernel<void(__VA_ARGS__)> name{#name, {&neon::name}, &name##_on_device}; \
  }
#else
#define FASTNN_CPU_KERNEL(name, ...)                                                            \
  namespace baseline {                                                                          \
  void name(__VA_ARGS__);                                                                       \
  }                                                                                             \
  namespace kernels {                                                                           \
  inline void* name##_on_device = nullptr;                                                      \
  static constexpr Kernel<void(__VA_ARGS__)> name{#name, {&baseline::name}, &name##_on_device}; \
  }
#endif
