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
};

}  // namespace fastnn

#if defined(__x86_64__)
#define FASTNN_KERNEL(name, ...)                                                                         \
  namespace baseline {                                                                                   \
  void name(__VA_ARGS__);                                                                                \
  }                                                                                                      \
  namespace avx2 {                                                                                       \
  void name(__VA_ARGS__);                                                                                \
  }                                                                                                      \
  namespace avx512 {                                                                                     \
  void name(__VA_ARGS__);                                                                                \
  }                                                                                                      \
  namespace kernels {                                                                                    \
  static constexpr Kernel<void(__VA_ARGS__)> name{#name, {&baseline::name, &avx2::name, &avx512::name}}; \
  }
#elif defined(__aarch64__)
#define FASTNN_KERNEL(name, ...)                                         \
  namespace neon {                                                       \
  void name(__VA_ARGS__);                                                \
  }                                                                      \
  namespace kernels {                                                    \
  static constexpr Kernel<void(__VA_ARGS__)> name{#name, {&neon::name}}; \
  }
#else
#define FASTNN_KERNEL(name, ...)                                             \
  namespace baseline {                                                       \
  void name(__VA_ARGS__);                                                    \
  }                                                                          \
  namespace kernels {                                                        \
  static constexpr Kernel<void(__VA_ARGS__)> name{#name, {&baseline::name}}; \
  }
#endif
