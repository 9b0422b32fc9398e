// Parallel loops for kernels. Included inside per-ISA sources, so everything here has internal linkage.
#pragma once

#include "runtime/thread_pool.h"

namespace fastnn {
namespace {

/// f(task) for task in [0, tasks). The cut must depend on shapes only (same bits on any number of threads).
template <class F>
inline void parallel_tasks(int64_t tasks, const F& f) {
  if (tasks <= 1) {
    if (tasks == 1) f(int64_t{0});
    return;
  }
  parallel_run(
      tasks, [](void* c, int64_t t) { (*static_cast<const F*>(c))(t); }, const_cast<F*>(&f));
}

/// f(begin, end) over [0, n) in blocks of `grain` (fixed by the caller from shapes only).
template <class F>
inline void parallel_range(int64_t n, int64_t grain, const F& f) {
  if (grain < 1) grain = 1;
  const int64_t tasks = n / grain + (n % grain != 0);
  parallel_tasks(tasks, [&](int64_t t) {
    const int64_t begin = t * grain;
    f(begin, begin + grain < n ? begin + grain : n);
  });
}

}  // namespace
}  // namespace fastnn
