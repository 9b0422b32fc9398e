#include "runtime/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/errors.h"

namespace fastnn {
namespace {

constexpr int kMaxThreads = 1024;
constexpr uint32_t kNoTask = 0xffffffffu;
constexpr int64_t kMaxTasks = int64_t{1} << 30;  // the task number must fit the low half of `state`
constexpr int kSpins = 4000;                     // about 40 us of pauses before a worker parks

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool inside_task = false;

// One job at a time. `state` holds (job number << 32 | next task): a worker claims a task by compare-and-swap, which
// succeeds only while the job it read the fields of is still the current one, so a late worker can never run a task of
// a finished job.
struct Pool {
  std::atomic<uint64_t> state{kNoTask};
  std::atomic<TaskFn> fn{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<uint32_t> tasks{0};
  std::atomic<uint32_t> remaining{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};
  std::mutex park_mutex;
  std::condition_variable park;
  std::mutex owner;  // held by the caller whose job runs
  std::mutex error_mutex;
  std::exception_ptr error;
  std::vector<std::thread> workers;

  // Runs one task if there is one.
  bool step() {
    uint64_t s = state.load(std::memory_order_acquire);
    for (;;) {
      const uint32_t next = static_cast<uint32_t>(s);
      if (next == kNoTask || next >= tasks.load(std::memory_order_acquire)) return false;
      const TaskFn f = fn.load(std::memory_order_acquire);
      void* const c = context.load(std::memory_order_acquire);
      if (state.compare_exchange_weak(s, s + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
        try {
          f(c, next);
        } catch (...) {
          std::lock_guard<std::mutex> lock(error_mutex);
          if (!error) error = std::current_exception();
        }
        remaining.fetch_sub(1, std::memory_order_acq_rel);
        return true;
      }
    }
  }

  void work() {
    inside_task = true;  // a nested call from a task runs inline
    uint64_t seen = 0, s = 0;
    // A new job counts once its fields are set: one seen while still closed would be taken for one that is done.
    const auto idle = [&](uint64_t now) { return (now >> 32) == seen || static_cast<uint32_t>(now) == kNoTask; };
    for (;;) {
      while (step()) {
      }
      int spins = 0;
      while (idle(s = state.load(std::memory_order_acquire)) && !stop.load(std::memory_order_relaxed)) {
        if (++spins < kSpins) {
          pause_cpu();
          continue;
        }
        std::unique_lock<std::mutex> lock(park_mutex);
        sleepers.fetch_add(1);
        park.wait(lock, [&] { return !idle(state.load()) || stop.load(); });
        sleepers.fetch_sub(1);
      }
      if (stop.load(std::memory_order_relaxed)) return;
      seen = s >> 32;
    }
  }

  void run(int64_t count, TaskFn f, void* c) {
    const uint64_t job = ((state.load(std::memory_order_relaxed) >> 32) + 1) << 32;
    state.store(job | kNoTask, std::memory_order_release);  // close the old job before its fields change
    // Release and acquire: whoever sees a new field also sees that the old job is closed, on every processor.
    fn.store(f, std::memory_order_release);
    context.store(c, std::memory_order_release);
    tasks.store(static_cast<uint32_t>(count), std::memory_order_release);
    remaining.store(static_cast<uint32_t>(count), std::memory_order_release);
    state.store(job);
    if (sleepers.load() > 0) {
      std::lock_guard<std::mutex> lock(park_mutex);
      park.notify_all();
    }
    inside_task = true;
    while (step()) {
    }
    inside_task = false;
    for (int spins = 0; remaining.load(std::memory_order_acquire) != 0; ++spins) {
      if (spins < 20000)
        pause_cpu();
      else
        sched_yield();
    }
    if (error) {
      std::exception_ptr e = error;
      error = nullptr;
      std::rethrow_exception(e);
    }
  }

  void start(int threads) {
    try {
      for (int i = 1; i < threads; ++i) workers.emplace_back([this] { work(); });
    } catch (const std::system_error&) {  // no more threads to be had: those that started do, results are the same
    }
  }

  void join() {
    {
      std::lock_guard<std::mutex> lock(park_mutex);
      stop.store(true);
      park.notify_all();
    }
    for (auto& w : workers) w.join();
    workers.clear();
    stop.store(false);
  }
};

// The cgroup's CPU quota in whole processors, or a large number where there is none.
int cgroup_quota() {
  long quota = -1, period = -1;
  if (FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    char text[64] = {};
    if (std::fscanf(f, "%63s %ld", text, &period) == 2 && text[0] != 'm') quota = std::atol(text);
    std::fclose(f);
  } else if (FILE* q = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
    if (std::fscanf(q, "%ld", &quota) != 1) quota = -1;
    std::fclose(q);
    if (FILE* p = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r")) {
      if (std::fscanf(p, "%ld", &period) != 1) period = -1;
      std::fclose(p);
    }
  }
  if (quota <= 0 || period <= 0) return kMaxThreads;
  const long cpus = (quota + period - 1) / period;
  return cpus < 1 ? 1 : cpus > kMaxThreads ? kMaxThreads : static_cast<int>(cpus);
}

int default_threads() {
  if (const char* text = std::getenv("FASTNN_NUM_THREADS")) {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    if (end != text && *end == 0 && n >= 1 && n <= kMaxThreads) return static_cast<int>(n);
  }
  int n = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) n = CPU_COUNT(&set);
  const int quota = cgroup_quota();
  if (quota < n) n = quota;
  return n < 1 ? 1 : n > kMaxThreads ? kMaxThreads : n;
}

std::atomic<int> threads{0};
std::atomic<Pool*> current{nullptr};
std::mutex create_mutex;

// A forked child has none of the parent's workers: it forgets the pool (its mutexes may be held by threads that do not
// exist here) and builds its own at the first use.
void after_fork_in_child() {
  current.store(nullptr);
  new (&create_mutex) std::mutex;
  inside_task = false;
}

Pool* get_pool() {
  Pool* p = current.load(std::memory_order_acquire);
  if (p) return p;
  std::lock_guard<std::mutex> lock(create_mutex);
  p = current.load();
  if (!p) {
    static bool registered = (pthread_atfork(nullptr, nullptr, after_fork_in_child), true);
    (void)registered;
    p = new Pool;  // never destroyed: workers may outlive static destruction
    p->start(num_threads());
    current.store(p, std::memory_order_release);
  }
  return p;
}

void run_inline(int64_t tasks, TaskFn fn, void* context) {
  for (int64_t t = 0; t < tasks; ++t) fn(context, t);
}

}  // namespace

int num_threads() {
  int n = threads.load(std::memory_order_relaxed);
  if (n == 0) {
    n = default_threads();
    threads.store(n);
  }
  return n;
}

void set_num_threads(int64_t n) {
  if (n < 1 || n > kMaxThreads)
    throw ValueError(str("set_num_threads: expected a number from 1 to ", kMaxThreads, ", got ", n));
  if (n == num_threads()) return;
  std::lock_guard<std::mutex> lock(create_mutex);
  Pool* p = current.load();
  if (p) {
    std::lock_guard<std::mutex> busy(p->owner);  // wait for a job of another thread
    p->join();
    threads.store(static_cast<int>(n));
    p->start(static_cast<int>(n));
  } else {
    threads.store(static_cast<int>(n));
  }
}

void parallel_run(int64_t tasks, TaskFn fn, void* context) {
  if (tasks <= 1 || inside_task || num_threads() == 1) return run_inline(tasks, fn, context);
  Pool* p = get_pool();
  // Another Python thread's job is running: do this one here rather than wait for it.
  std::unique_lock<std::mutex> mine(p->owner, std::try_to_lock);
  if (!mine.owns_lock()) return run_inline(tasks, fn, context);
  struct Batch {
    TaskFn fn;
    void* context;
    int64_t first;
  };
  for (int64_t first = 0; first < tasks; first += kMaxTasks) {
    const int64_t count = tasks - first < kMaxTasks ? tasks - first : kMaxTasks;
    if (first == 0) {
      p->run(count, fn, context);
    } else {
      Batch b{fn, context, first};
      p->run(
          count,
          [](void* c, int64_t t) {
            auto* batch = static_cast<Batch*>(c);
            batch->fn(batch->context, batch->first + t);
          },
          &b);
    }
  }
}

}  // namespace fastnn
