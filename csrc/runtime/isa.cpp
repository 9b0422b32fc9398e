#include "kernels/isa.h"

#include <cstdlib>
#include <cstring>

#include "core/errors.h"

namespace fastnn {
namespace {

constexpr const char* kNames[] = {
#define FASTNN_X(name) #name,
    FASTNN_ISA_LIST(FASTNN_X)
#undef FASTNN_X
};

Isa detect() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  return v4 ? Isa::avx512 : v3 ? Isa::avx2 : Isa::baseline;
#else
  return static_cast<Isa>(0);
#endif
}

int index_of(const char* name) {
  for (int i = 0; i < static_cast<int>(Isa::count); ++i)
    if (std::strcmp(kNames[i], name) == 0) return i;
  return -1;
}

// FASTNN_ISA can only lower the choice; an unknown name is ignored here (import must not fail) and shown by `info`.
int initial() {
  const int found = static_cast<int>(detect());
  const char* wanted = std::getenv("FASTNN_ISA");
  const int asked = wanted ? index_of(wanted) : -1;
  return asked >= 0 && asked < found ? asked : found;
}

}  // namespace

namespace detail {
int isa_index = initial();
}

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }
Isa isa_found() {
  static const Isa found = detect();
  return found;
}
Isa isa_active() { return static_cast<Isa>(detail::isa_index); }

void isa_set(const char* name) {
  const int i = index_of(name);
  if (i < 0 || i > static_cast<int>(isa_found()))
    throw ValueError(
        str("set_isa: expected one of this machine's instruction sets up to ", isa_name(isa_found()), ", got ", name));
  detail::isa_index = i;
}

}  // namespace fastnn
