#include "core/random.h"

#include <mutex>

#include "core/recording.h"

namespace fastnn {
namespace {
std::mutex mutex;
PhiloxState state{0, 0};
}  // namespace

void manual_seed(uint64_t seed) { set_rng_state({seed, 0}); }

PhiloxState next_random() {
  std::lock_guard<std::mutex> lock(mutex);
  PhiloxState s = state;
  ++state.offset;
  return s;
}

RandomState next_random_state() {
  if (capturing()) return detail::recorder->next_random();
  return std::make_shared<const PhiloxState>(next_random());
}

PhiloxState get_rng_state() {
  std::lock_guard<std::mutex> lock(mutex);
  return state;
}

void set_rng_state(PhiloxState s) {
  std::lock_guard<std::mutex> lock(mutex);
  state = s;
}

}  // namespace fastnn
