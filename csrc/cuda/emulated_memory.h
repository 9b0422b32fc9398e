#pragma once
// Memory and work of the emulated device.

#include <cstddef>
#include <functional>

namespace fastnn {
namespace cuda {
namespace emulated {

/// Runs `work` now, or keeps it for the graph that is being recorded.
void submit(std::function<void()> work);
bool is_device_memory(const void* p);
/// Device memory can be reached between the two.
void open_memory();
void close_memory();

}  // namespace emulated
}  // namespace cuda
}  // namespace fastnn
