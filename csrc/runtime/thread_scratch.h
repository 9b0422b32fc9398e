#pragma once
// Working memory of kernels, so that they need not allocate in every call.

#include <cstdint>

namespace fastnn {

/// The slots are for what a task uses alone (packed operands, a line between its passes), for partial sums that it
/// shares with the tasks it starts, and for a result that is not in place yet.
enum class ThreadScratch : int { local, shared, result, count };

/// Memory of the calling thread, 64-byte aligned, kept and grown between calls: what the last call of the same slot
/// gave is lost. Throws std::bad_alloc.
void* thread_scratch(ThreadScratch slot, int64_t bytes);

}  // namespace fastnn
