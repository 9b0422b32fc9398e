#pragma once
// Which instruction set the kernels run on. Chosen once at start from cpuid, lowered (never raised) by FASTNN_ISA.

namespace fastnn {

#if defined(__x86_64__)
#define FASTNN_ISA_LIST(X) X(baseline) X(avx2) X(avx512)
#elif defined(__aarch64__)
#define FASTNN_ISA_LIST(X) X(neon)
#else
#define FASTNN_ISA_LIST(X) X(baseline)
#endif

enum class Isa : int {
#define FASTNN_X(name) name,
  FASTNN_ISA_LIST(FASTNN_X)
#undef FASTNN_X
      count
};

const char* isa_name(Isa isa);
/// The best instruction set this machine has.
Isa isa_found();
/// The one in use: isa_found(), or the lower one that FASTNN_ISA names.
Isa isa_active();
/// Switches at run time (tests run all of them in one process); throws ValueError above isa_found().
void isa_set(const char* name);

namespace detail {
extern int isa_index;  // isa_active() as an index into Kernel::by_isa
}

}  // namespace fastnn
