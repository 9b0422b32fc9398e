// Threads, instruction sets, memory and the random state in Python.

#include "core/random.h"
#include "kernels/isa.h"
#include "python/tensor_type.h"
#include "runtime/allocator.h"
#include "runtime/thread_pool.h"

namespace fastnn {

void bind_runtime(Binder& b) {
  b.python_function("get_num_threads", &num_threads, "Threads that kernels may use.");
  b.function("set_num_threads", &set_num_threads, "n"_a,
             "Sets how many threads kernels may use; results do not depend on it.");
  b.python_function(
      "isa", [] { return isa_name(isa_active()); }, "Name of the instruction set in use.");
  b.python_function(
      "isa_found", [] { return isa_name(isa_found()); }, "Name of the best instruction set of this machine.");
  b.python_function(
      "set_isa", [](const std::string& name) { isa_set(name.c_str()); }, "name"_a,
      "Switches kernels to another instruction set of this machine: baseline, avx2 or avx512 (neon on Arm).");
  b.python_function(
      "memory_stats",
      [] {
        const MemoryStats s = memory_stats();
        return py::dict("allocated"_a = s.allocated, "cached"_a = s.cached, "peak"_a = s.peak, "calls"_a = s.calls);
      },
      "Bytes of tensors now, bytes kept for reuse, the peak, and the number of allocations.");
  b.python_function("reset_peak_memory", &reset_peak_memory, "Starts the peak of memory_stats() anew.");
  b.function("empty_cache", &empty_cache, "Returns the memory kept for reuse to the system.");
  b.python_function(
      "manual_seed",
      [](const py::int_& seed) {
        const py::int_ mask(UINT64_MAX);
        manual_seed(py::int_(seed & mask).cast<uint64_t>());
      },
      "seed"_a, "Seeds the random numbers; the seed is taken modulo 2**64.");
  b.python_function(
      "get_rng_state",
      [] {
        const PhiloxState s = get_rng_state();
        return py::make_tuple(s.seed, s.offset);
      },
      "(seed, offset): all that the random numbers depend on.");
  b.python_function(
      "set_rng_state",
      [](std::pair<uint64_t, uint64_t> s) {
        set_rng_state({s.first, s.second});
      },
      "state"_a, "Sets the state that get_rng_state() gave.");
}

}  // namespace fastnn
