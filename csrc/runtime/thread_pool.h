#pragma once
// Our own pool: workers spin briefly, then park. Fork-safe (a child builds its own), exceptions come back to the
// caller.

#include <cstdint>

namespace fastnn {

using TaskFn = void (*)(void* context, int64_t task);

/// Runs fn(context, 0..tasks-1), each exactly once, on up to num_threads() threads, and returns when all are done.
/// Which thread runs which task is not defined, so the cut into tasks must depend on the problem alone. A nested call
/// runs its tasks inline. The first exception thrown by a task is rethrown here.
void parallel_run(int64_t tasks, TaskFn fn, void* context);

/// Threads that parallel_run may use, the caller included. Default: FASTNN_NUM_THREADS, else the processors this
/// process may use (affinity mask and cgroup quota).
int num_threads();
/// Throws ValueError unless 1 <= n <= 1024.
void set_num_threads(int64_t n);

}  // namespace fastnn
