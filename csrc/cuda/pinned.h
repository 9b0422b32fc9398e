#pragma once
// Page-locked memory of the host: taken from the driver once (that is slow), reused when the copies from it are done.

#include <cstdint>

namespace fastnn {
namespace cuda {

void* host_allocate(int64_t bytes);
void host_deallocate(void* p) noexcept;
/// A copy from here to a device was put into the current stream and not waited for.
void pinned_copied(const void* from);
/// Gives what no tensor holds back to the driver.
void free_pinned();

}  // namespace cuda
}  // namespace fastnn
