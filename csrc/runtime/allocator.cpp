#include "runtime/allocator.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace fastnn {
namespace {

constexpr int64_t kAlign = 64;
constexpr int64_t kHuge = int64_t{2} << 20;      // a huge page; blocks from this size on are mapped on their own
constexpr int64_t kSmall = 4096;                 // up to here the classes are multiples of 64 bytes
constexpr int64_t kMaxBytes = int64_t{1} << 47;  // no machine's address space holds more

// Classes: 64, 128, ... 4096, then four steps per power of two, so at most a fifth of a block is wasted.
struct SizeClass {
  int index;
  int64_t bytes;
};

SizeClass size_class(int64_t bytes) {
  if (bytes <= kSmall) {
    const int64_t units = bytes <= kAlign ? 1 : (bytes + kAlign - 1) / kAlign;
    return {static_cast<int>(units - 1), units * kAlign};
  }
  const int log2 = 63 - __builtin_clzll(static_cast<uint64_t>(bytes - 1));
  const int64_t step = int64_t{1} << (log2 - 2);
  const int64_t rounded = (bytes + step - 1) / step * step;
  const int quarter = static_cast<int>((rounded - (int64_t{1} << log2)) / step);  // 1..4
  return {static_cast<int>(kSmall / kAlign) + (log2 - 12) * 4 + quarter - 1, rounded};
}

constexpr int kClasses = kSmall / kAlign + (48 - 12) * 4 + 4;

struct Pool {
  std::mutex mutex;
  std::vector<void*> free[kClasses];
  MemoryStats stats{};
  int64_t cache_limit = 0;
};

// Never destroyed: tensors in static storage may outlive every other static.
Pool& pool() {
  static Pool* p = [] {
    auto* made = new Pool;
    const int64_t physical = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
    made->cache_limit = physical > 0 ? physical / 4 : int64_t{1} << 30;
    // A child forked while another thread allocates must not inherit a locked mutex.
    pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });
    return made;
  }();
  return *p;
}

void* system_allocate(int64_t bytes) {
  if (bytes < kHuge) return std::aligned_alloc(kAlign, static_cast<size_t>(bytes));
  // Over-map and trim, so that the block starts on a huge page.
  const size_t size = static_cast<size_t>(bytes), slack = static_cast<size_t>(kHuge);
  void* raw = mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(raw), start = (begin + slack - 1) / slack * slack;
  if (start > begin) munmap(raw, start - begin);
  if (begin + slack > start) munmap(reinterpret_cast<void*>(start + size), begin + slack - start);
#ifdef MADV_HUGEPAGE
  madvise(reinterpret_cast<void*>(start), size, MADV_HUGEPAGE);
#endif
  return reinterpret_cast<void*>(start);
}

void system_free(void* p, int64_t bytes) {
  if (bytes < kHuge)
    std::free(p);
  else
    munmap(p, static_cast<size_t>(bytes));
}

// mmap works in pages, so large classes are rounded up to whole ones.
int64_t block_bytes(const SizeClass& c) { return c.bytes < kHuge ? c.bytes : (c.bytes + 4095) / 4096 * 4096; }

#if defined(__SANITIZE_ADDRESS__)
// The sanitizer sees an overrun only past the true end of a block, and a use after it was given back.
constexpr bool kExact = true;
#else
constexpr bool kExact = false;
#endif

void* allocate_exact(int64_t bytes) {
  void* block = nullptr;
  if (posix_memalign(&block, kAlign, static_cast<size_t>(bytes > 0 ? bytes : 1)) != 0) throw std::bad_alloc();
  std::lock_guard<std::mutex> lock(pool().mutex);
  MemoryStats& stats = pool().stats;
  ++stats.calls;
  stats.allocated += bytes;
  if (stats.allocated > stats.peak) stats.peak = stats.allocated;
  return block;
}

}  // namespace

namespace {

// Says how much was asked for; made without allocating.
struct OutOfMemory : std::bad_alloc {
  char text[64];
  explicit OutOfMemory(int64_t bytes) {
    std::snprintf(text, sizeof text, "out of memory: a tensor of %lld bytes", static_cast<long long>(bytes));
  }
  const char* what() const noexcept override { return text; }
};

}  // namespace

void* allocate(int64_t bytes) {
  if (bytes < 0 || bytes > kMaxBytes) throw OutOfMemory(bytes);
  if (kExact) return allocate_exact(bytes);
  const SizeClass c = size_class(bytes);
  const int64_t size = block_bytes(c);
  Pool& p = pool();
  {
    std::lock_guard<std::mutex> lock(p.mutex);
    ++p.stats.calls;
    if (!p.free[c.index].empty()) {
      void* block = p.free[c.index].back();
      p.free[c.index].pop_back();
      p.stats.cached -= size;
      p.stats.allocated += size;
      if (p.stats.allocated > p.stats.peak) p.stats.peak = p.stats.allocated;
      return block;
    }
  }
  void* block = system_allocate(size);
  if (!block) {
    empty_cache();
    block = system_allocate(size);
    if (!block) throw OutOfMemory(bytes);
  }
  std::lock_guard<std::mutex> lock(p.mutex);
  p.stats.allocated += size;
  if (p.stats.allocated > p.stats.peak) p.stats.peak = p.stats.allocated;
  return block;
}

void deallocate(void* block, int64_t bytes) noexcept {
  if (!block) return;
  if (kExact) {
    std::lock_guard<std::mutex> lock(pool().mutex);
    pool().stats.allocated -= bytes;
    std::free(block);
    return;
  }
  const SizeClass c = size_class(bytes);
  const int64_t size = block_bytes(c);
  Pool& p = pool();
  {
    std::lock_guard<std::mutex> lock(p.mutex);
    p.stats.allocated -= size;
    if (p.stats.cached + size <= p.cache_limit) {
      try {
        p.free[c.index].push_back(block);
        p.stats.cached += size;
        return;
      } catch (...) {  // the list itself could not grow: give the block back instead
      }
    }
  }
  system_free(block, size);
}

MemoryStats memory_stats() {
  std::lock_guard<std::mutex> lock(pool().mutex);
  return pool().stats;
}

void reset_peak_memory() {
  std::lock_guard<std::mutex> lock(pool().mutex);
  pool().stats.peak = pool().stats.allocated;
}

void empty_cache() {
  Pool& p = pool();
  std::lock_guard<std::mutex> lock(p.mutex);
  for (int i = 0; i < kClasses; ++i) {
    if (p.free[i].empty()) continue;
    // The class of any size in it is the same, so its block size follows from the index.
    int64_t bytes;
    if (i < kSmall / kAlign) {
      bytes = (i + 1) * kAlign;
    } else {
      const int k = i - static_cast<int>(kSmall / kAlign), log2 = 12 + k / 4, quarter = k % 4 + 1;
      bytes = (int64_t{1} << log2) + quarter * (int64_t{1} << (log2 - 2));
    }
    const int64_t size = block_bytes({i, bytes});
    for (void* block : p.free[i]) {
      system_free(block, size);
      p.stats.cached -= size;
    }
    p.free[i].clear();
  }
}

}  // namespace fastnn
