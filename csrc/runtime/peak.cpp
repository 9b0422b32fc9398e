#include "runtime/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace fastnn {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// --- what the machine says about itself -------------------------------------------------------------------------

std::vector<int> usable_processors() {
  std::vector<int> processors;
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int i = 0; i < CPU_SETSIZE; ++i)
      if (CPU_ISSET(i, &set)) processors.push_back(i);
#endif
  if (processors.empty()) processors.resize(std::max(1u, std::thread::hardware_concurrency()));
  return processors;
}

// Pinned, because two threads that share a core for one repeat make a roof that is too low.
void pin_to(int processor) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  sched_setaffinity(0, sizeof set, &set);
#else
  (void)processor;
#endif
}

struct Caches {
  int64_t l1 = 32 << 10, l2 = 512 << 10, l3 = 0;
  int l3_sharers = 1;
};

// "0-3,8" names five processors.
int count_listed(const std::string& list) {
  int count = 0;
  const char* p = list.c_str();
  while (*p) {
    char* end;
    const long first = std::strtol(p, &end, 10);
    if (end == p) break;
    long last = first;
    if (*end == '-') last = std::strtol(end + 1, &end, 10);
    count += static_cast<int>(last - first + 1);
    p = *end == ',' ? end + 1 : end;
  }
  return std::max(1, count);
}

Caches caches() {
  Caches found;
  for (int i = 0; i < 8; ++i) {
    const std::string dir = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(i) + "/";
    std::string level, type, size, sharers;
    if (!(std::ifstream(dir + "level") >> level && std::ifstream(dir + "type") >> type)) break;
    if (type == "Instruction" || !(std::ifstream(dir + "size") >> size)) continue;
    const int64_t bytes = std::atoll(size.c_str()) * (size.back() == 'M' ? 1 << 20 : size.back() == 'K' ? 1 << 10 : 1);
    if (bytes <= 0) continue;
    if (level == "1") found.l1 = bytes;
    if (level == "2") found.l2 = bytes;
    if (level == "3") {
      found.l3 = bytes;
      if (std::ifstream(dir + "shared_cpu_list") >> sharers) found.l3_sharers = count_listed(sharers);
    }
  }
  return found;
}

int64_t physical_memory() {
#if defined(_SC_PHYS_PAGES)
  const int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) return pages * page;
#endif
  return int64_t{4} << 30;
}

bool has_bf16_dot() {
#if defined(__x86_64__)
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 5 & 1);
#elif defined(__aarch64__) && defined(__linux__)
  return getauxval(AT_HWCAP2) >> 14 & 1;  // HWCAP2_BF16
#else
  return false;
#endif
}

// --- the clockwork ----------------------------------------------------------------------------------------------

class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}
  void wait() {
    const int round = round_.load();
    if (waiting_.fetch_add(1) + 1 == count_) {
      waiting_ = 0;
      round_ = round + 1;
      return;
    }
    while (round_.load() == round) std::this_thread::yield();
  }

 private:
  const int count_;
  std::atomic<int> waiting_{0}, round_{0};
};

struct FreeMemory {
  void operator()(void* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<float, FreeMemory>;

constexpr int64_t kHugePage = 2 << 20;
// Short repeats, and many: the best of them falls between the interruptions of a machine that is not quiet.
constexpr double kRepeatSeconds = 2e-3;
constexpr int kMinRepeats = 5, kMaxRepeats = 1000;

// Huge pages, as the library's own allocator asks for: otherwise misses of the TLB hide what the caches can do.
Buffer touched_buffer(int64_t bytes) {
  const int64_t size = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  Buffer p(static_cast<float*>(std::aligned_alloc(kHugePage, size)));
  if (!p) throw std::bad_alloc();
#if defined(__linux__)
  madvise(p.get(), size, MADV_HUGEPAGE);
#endif
  std::memset(p.get(), 0, size);
  return p;
}

// One thread's share of a measurement: runs the loop `rounds` times, returns the units (operations, bytes) it did.
using Work = std::function<double(int64_t rounds)>;

struct Rate {
  double median, best;
};

Rate summarise(std::vector<double> rates) {
  std::sort(rates.begin(), rates.end());
  return {rates[rates.size() / 2], rates.back()};
}

// Units per second of `threads` threads that start together; a repeat lasts from the first start to the last end.
Rate rate_of(int threads, double seconds, const std::function<Work()>& make_work) {
  const std::vector<int> processors = usable_processors();
  Barrier barrier(threads);
  std::atomic<bool> failed{false};
  std::exception_ptr failure;
  std::atomic<int64_t> rounds{1};
  std::atomic<int> repeats{0};
  std::vector<Clock::time_point> start(threads), end(threads);
  std::vector<double> units(threads), rates;

  const auto run = [&](int me) {
    pin_to(processors[me % processors.size()]);
    Work work;
    try {
      work = make_work();  // buffers are touched first by the thread that uses them
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
    barrier.wait();
    if (failed) return;
    if (me == 0) {
      // Doubling also warms up.
      double took = 0;
      while (true) {
        const auto t = Clock::now();
        work(rounds);
        took = seconds_since(t);
        if (took >= kRepeatSeconds) break;
        rounds = rounds * 2;
      }
      repeats = std::max(kMinRepeats, static_cast<int>(std::min<double>(kMaxRepeats, seconds / took)));
    }
    barrier.wait();
    for (int k = 0, n = repeats; k < n; ++k) {
      barrier.wait();
      start[me] = Clock::now();
      units[me] = work(rounds);
      end[me] = Clock::now();
      barrier.wait();
      if (me == 0) {
        double total = 0;
        for (double u : units) total += u;
        const auto took = *std::max_element(end.begin(), end.end()) - *std::min_element(start.begin(), start.end());
        rates.push_back(total / std::chrono::duration<double>(took).count());
      }
    }
  };
  std::vector<std::thread> team;
  for (int i = 0; i < threads; ++i) team.emplace_back(run, i);
  for (auto& t : team) t.join();
  if (failure) std::rethrow_exception(failure);
  return summarise(rates);
}

// --- the three kinds of roof ------------------------------------------------------------------------------------

template <class Fn>
Rate arithmetic(const Kernel<Fn>& kernel, Isa isa, int threads, double seconds) {
  // By address, not through launch(): every instruction set is measured, not only the active one.
  Fn* loop = kernel.by_isa[static_cast<int>(isa)];
  return rate_of(threads, seconds, [loop]() -> Work {
    return [loop](int64_t rounds) {
      double flops = 0;
      loop(&flops, rounds * 1024);
      return flops;
    };
  });
}

enum class Pass { read, copy, copy_streaming, fill };

/// GB/s counts every byte read and every byte written once. `bytes` is the footprint of one thread, all arrays
/// together.
Rate bandwidth(Pass pass, int64_t bytes, int threads, double seconds) {
  const int isa = static_cast<int>(isa_active());
  const bool two = pass == Pass::copy || pass == Pass::copy_streaming;
  const int64_t n = std::max<int64_t>(256, bytes / (two ? 2 : 1) / 4 / 256 * 256);
  return rate_of(threads, seconds, [=]() -> Work {
    std::shared_ptr<float> x = touched_buffer(n * 4), y;
    if (two) y = touched_buffer(n * 4 + 4096);
    return [=](int64_t rounds) {
      // At the same offset in their pages, loads would wait for stores that only look like theirs (4K aliasing).
      float* to = two ? y.get() + 512 : nullptr;
      if (pass == Pass::read) kernels::peak_read.by_isa[isa](x.get(), n, rounds);
      if (pass == Pass::fill) kernels::peak_fill.by_isa[isa](x.get(), n, rounds);
      if (pass == Pass::copy) kernels::peak_copy.by_isa[isa](to, x.get(), n, rounds);
      if (pass == Pass::copy_streaming) kernels::peak_copy_streaming.by_isa[isa](to, x.get(), n, rounds);
      return 4.0 * n * (two ? 2 : 1) * rounds;
    };
  });
}

/// What a large tensor costs where no allocator keeps freed memory: map, write once, unmap.
Rate first_touch(bool huge, int64_t bytes, double seconds) {
  std::vector<double> rates;
#if defined(__linux__)
  const auto begin = Clock::now();
  while (rates.size() < 3 || seconds_since(begin) < seconds) {
    const auto t = Clock::now();
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    std::memset(p, 1, bytes);
    munmap(p, bytes);
    rates.push_back(bytes / seconds_since(t));
  }
#else
  (void)huge, (void)bytes, (void)seconds;
  rates.push_back(0);
#endif
  return summarise(rates);
}

struct Level {
  const char* name;
  int64_t bytes;  // of one thread
};

// Each level is measured well inside itself and well outside the one above.
std::vector<Level> levels(int threads) {
  const Caches c = caches();
  std::vector<Level> list = {{"L1", c.l1 / 4 * 3}, {"L2", c.l2 / 2}};
  if (c.l3) {
    const int64_t share = c.l3 / std::min(threads, c.l3_sharers);
    list.push_back({"L3", std::max(share / 3, std::min(share, c.l2 * 2))});
  }
  const int64_t wanted = std::max<int64_t>(256 << 20, 4 * c.l3) / threads;
  const int64_t beyond_cache = std::max<int64_t>(wanted, 32 << 20);
  list.push_back({"DRAM", std::min(beyond_cache, physical_memory() / 8 / threads)});
  return list;
}

}  // namespace

std::vector<Peak> measure_peaks(const PeakOptions& options) {
  if (!(options.seconds > 0)) throw std::invalid_argument("measure_peaks: seconds must be > 0");
  const int processors = static_cast<int>(usable_processors().size());
  std::vector<int> counts = options.threads;
  if (counts.empty()) {
    counts = {1};
    if (processors > 1) counts.push_back(processors);
  }
  for (int t : counts)
    if (t < 1 || t > processors)  // more threads than processors measure the scheduler
      throw std::invalid_argument("measure_peaks: threads expects 1 to " + std::to_string(processors) +
                                  " (the processors this process may use), got " + std::to_string(t));

  struct Job {
    const char *kind, *where;
    int threads;
    int64_t bytes;
    std::function<Rate(double seconds)> run;
  };
  std::vector<Job> jobs;
  for (int t : counts) {
    for (int i = 0; i <= static_cast<int>(isa_found()); ++i) {
      const Isa isa = static_cast<Isa>(i);
      jobs.push_back(
          {"fma f32", isa_name(isa), t, 0, [=](double s) { return arithmetic(kernels::peak_fma, isa, t, s); }});
    }
    double flops = 0;
    const Isa isa = isa_found();
    if (has_bf16_dot()) kernels::peak_bf16_dot.by_isa[static_cast<int>(isa)](&flops, 1);
    if (flops > 0)
      jobs.push_back(
          {"bf16 dot", isa_name(isa), t, 0, [=](double s) { return arithmetic(kernels::peak_bf16_dot, isa, t, s); }});
    for (const Level& level : levels(t)) {
      const auto add = [&](const char* kind, Pass pass) {
        const int64_t bytes = level.bytes;
        jobs.push_back({kind, level.name, t, bytes, [=](double s) { return bandwidth(pass, bytes, t, s); }});
      };
      add("read", Pass::read);
      add("copy", Pass::copy);
      add("fill", Pass::fill);
#if defined(__x86_64__)  // stores that bypass the caches
      if (level.name == std::string("DRAM")) add("copy streaming", Pass::copy_streaming);
#endif
    }
  }
  for (const bool huge : {false, true}) {
    constexpr int64_t kBytes = 64 << 20;
    jobs.push_back({"first touch", huge ? "2 MB pages" : "4 KB pages", 1, kBytes,
                    [=](double s) { return first_touch(huge, kBytes, s); }});
  }

  if (!options.only.empty()) {
    const auto is = [](const Job& job, const auto& name) { return job.kind == name.first && job.where == name.second; };
    for (const auto& name : options.only)
      if (std::none_of(jobs.begin(), jobs.end(), [&](const Job& job) { return is(job, name); }))
        throw std::invalid_argument("measure_peaks: this machine has no roof \"" + name.first + "\" of \"" +
                                    name.second + "\"");
    const auto unwanted = [&](const Job& job) {
      return std::none_of(options.only.begin(), options.only.end(), [&](const auto& name) { return is(job, name); });
    };
    jobs.erase(std::remove_if(jobs.begin(), jobs.end(), unwanted), jobs.end());
  }
  std::vector<Peak> peaks;
  for (const Job& job : jobs) {
    const Rate r = job.run(options.seconds / static_cast<double>(jobs.size()));
    peaks.push_back({job.kind, job.where, job.threads, job.bytes, r.median / 1e9, r.best / 1e9,
                     job.bytes == 0 ? "GFLOP/s" : "GB/s"});
  }
  return peaks;
}

}  // namespace fastnn
