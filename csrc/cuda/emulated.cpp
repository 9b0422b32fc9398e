#include "cuda/emulated.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "cuda/emulated_memory.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace fastnn {
namespace cuda {
namespace emulated {
namespace {

constexpr size_t kStack = 256 << 10;
constexpr int kMaxThreads = 1024;
constexpr size_t kMaxShared = 227 << 10;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "cuda emulator: %s (block %u %u %u, thread %u %u %u)\n", what, blockIdx.x, blockIdx.y,
               blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  std::abort();
}

// Saves the registers that a call keeps, changes the stack, restores those of the other.
extern "C" void fastnn_switch_stack(void** from, void* to);
asm(R"(
.text
.type fastnn_switch_stack, @function
fastnn_switch_stack:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size fastnn_switch_stack, .-fastnn_switch_stack
)");

struct Thread {
  void* sp = nullptr;
  bool done = false;
  uint64_t waits_block = 0;  // the generation of the barrier that it waits for; 0: none
  uint64_t waits_warp = 0;
};
struct Warp {
  uint64_t generation = 1;
  unsigned arrived = 0, mask = 0;
  alignas(64) char slots[32][64];
};

struct Block {
  char* stacks = nullptr;
  void* scheduler = nullptr;
  const std::function<void()>* kernel = nullptr;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  alignas(128) char shared[kMaxShared];
  int current = 0, alive = 0, arrived = 0;
  uint64_t generation = 1, spins = 0;
};
Block& block() {
  static Block b;
  return b;
}

void yield() {
  Block& b = block();
  fastnn_switch_stack(&b.threads[static_cast<size_t>(b.current)].sp, b.scheduler);
}

void thread_main() {
  Block& b = block();
  (*b.kernel)();
  b.threads[static_cast<size_t>(b.current)].done = true;
  --b.alive;
  if (b.arrived > 0) die("a thread ended while others wait at __syncthreads");
  yield();
  die("a thread that ended went on");
}

void prepare(Thread& t, char* stack) {
  // As fastnn_switch_stack leaves it: six registers, then the address to return to; aligned as after a call.
  auto* top = reinterpret_cast<void**>(stack + kStack);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&thread_main);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  t = Thread();
  t.sp = top;
}

bool runnable(const Thread& t, const Warp& w) {
  const Block& b = block();
  return !t.done && (t.waits_block == 0 || t.waits_block != b.generation) &&
         (t.waits_warp == 0 || t.waits_warp != w.generation);
}

void run_block(int threads, bool reverse) {
  Block& b = block();
  b.threads.resize(static_cast<size_t>(threads));
  b.warps.assign(static_cast<size_t>((threads + 31) / 32), Warp());
  b.alive = threads;
  b.arrived = 0;
  b.spins = 0;
  for (int i = 0; i < threads; ++i)
    prepare(b.threads[static_cast<size_t>(i)], b.stacks + static_cast<size_t>(i) * kStack);
  while (b.alive > 0) {
    bool any = false;
    for (int k = 0; k < threads; ++k) {
      const int i = reverse ? threads - 1 - k : k;
      Thread& t = b.threads[static_cast<size_t>(i)];
      if (!runnable(t, b.warps[static_cast<size_t>(i / 32)])) continue;
      t.waits_block = t.waits_warp = 0;
      any = true;
      b.current = i;
      const unsigned u = static_cast<unsigned>(i);
      threadIdx = {u % blockDim.x, u / blockDim.x % blockDim.y, u / (blockDim.x * blockDim.y)};
      fastnn_switch_stack(&b.scheduler, t.sp);
    }
    if (!any && b.alive > 0) die("all threads wait: a barrier or shuffle that some do not reach");
  }
}

void run_grid(const std::function<void()>& kernel, dim3 grid, dim3 threads, size_t shared) {
  Block& b = block();
  const uint64_t count = static_cast<uint64_t>(threads.x) * threads.y * threads.z;
  if (count == 0 || count > kMaxThreads || threads.z > 64 || grid.y > 65535 || grid.z > 65535 || shared > kMaxShared) {
    std::fprintf(stderr, "cuda emulator: launch of grid %u %u %u, block %u %u %u, %zu bytes: out of bounds\n", grid.x,
                 grid.y, grid.z, threads.x, threads.y, threads.z, shared);
    std::abort();
  }
  if (!b.stacks) {
    b.stacks = static_cast<char*>(mmap(nullptr, kStack * kMaxThreads, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (b.stacks == MAP_FAILED) die("no memory for stacks");
  }
  static const bool reverse = [] {
    const char* order = std::getenv("FASTNN_CUDA_ORDER");
    return order && std::string(order) == "reverse";
  }();
  open_memory();
  b.kernel = &kernel;
  gridDim = grid;
  blockDim = threads;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        std::memset(b.shared, 0xcd, shared);  // nobody may count on zeros
        run_block(static_cast<int>(count), reverse);
      }
  close_memory();
}

}  // namespace

// Words that look like addresses of this process but are not device memory: a kernel must not get them.
void check_argument(const void* name, const void* words, size_t bytes) {
  for (size_t k = 0; k + 8 <= bytes; k += 8) {
    uint64_t w;
    std::memcpy(&w, static_cast<const char*>(words) + k, 8);
    const bool heap = w >> 40 == 0x55 || w >> 40 == 0x56, mapped = w >> 40 == 0x7f || w >> 40 == 0x7e;
    if ((heap || mapped) && !is_device_memory(reinterpret_cast<void*>(w))) {
      std::fprintf(stderr, "cuda emulator: the kernel at %p gets the address %p of host memory in its arguments\n",
                   name, reinterpret_cast<void*>(w));
      std::abort();
    }
  }
}

void launch(std::function<void()> kernel, dim3 grid, dim3 threads, size_t shared) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  submit([=] { run_grid(kernel, grid, threads, shared); });
}

void* dynamic_shared() { return block().shared; }

void block_barrier() {
  Block& b = block();
  Thread& t = b.threads[static_cast<size_t>(b.current)];
  if (b.alive != static_cast<int>(b.threads.size())) die("__syncthreads after some threads have ended");
  if (++b.arrived == b.alive) {
    b.arrived = 0;
    ++b.generation;
    return;
  }
  t.waits_block = b.generation;
  yield();
}

void warp_barrier(unsigned mask) {
  Block& b = block();
  Thread& t = b.threads[static_cast<size_t>(b.current)];
  Warp& w = b.warps[static_cast<size_t>(b.current / 32)];
  const unsigned me = 1u << (b.current % 32);
  // A warp that is not whole: only its lanes can come.
  const int rest = static_cast<int>(b.threads.size()) - b.current / 32 * 32;
  if (rest < 32) mask &= (1u << rest) - 1;
  if (!(mask & me)) die("a warp operation whose mask does not name the calling lane");
  if (w.arrived != 0 && w.mask != mask) die("lanes of a warp name different masks");
  if (w.arrived & me) die("a lane arrives twice");
  w.mask = mask;
  w.arrived |= me;
  if (w.arrived == mask) {
    w.arrived = 0;
    ++w.generation;
    return;
  }
  t.waits_warp = w.generation;
  yield();
}

void spin() {
  if (++block().spins > 100000000) die("a loop waits for what no thread does");
  yield();
}

int lane() { return block().current % 32; }
void* lane_slot(int l) { return block().warps[static_cast<size_t>(block().current / 32)].slots[l]; }

}  // namespace emulated
}  // namespace cuda
}  // namespace fastnn
