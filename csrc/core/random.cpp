#include "core/random.h"

#include <pthread.h>

#include <mutex>
#include <new>

#include "core/recording.h"

namespace fastnn {
namespace {
PhiloxState state{0, 0};

// A child forked while another thread draws must not inherit a locked mutex.
std::mutex& guard() {
  static std::mutex* m = [] {
    auto* made = new std::mutex;
    pthread_atfork(nullptr, nullptr, [] { new (&guard()) std::mutex; });
    return made;
  }();
  return *m;
}
}  // namespace

void manual_seed(uint64_t seed) { set_rng_state({seed, 0}); }

PhiloxState next_random() {
  std::lock_guard<std::mutex> lock(guard());
  PhiloxState s = state;
  ++state.offset;
  return s;
}

RandomState next_random_state() {
  if (capturing()) return detail::recorder->next_random();
  return std::make_shared<const PhiloxState>(next_random());
}

PhiloxState get_rng_state() {
  std::lock_guard<std::mutex> lock(guard());
  return state;
}

void set_rng_state(PhiloxState s) {
  refuse_in_capture("manual_seed: the random state is set");
  std::lock_guard<std::mutex> lock(guard());
  state = s;
}

}  // namespace fastnn
