#pragma once
// Random numbers are f(seed, stream, index) by Philox4x32-10: element i of a draw depends on nothing else, so it is the
// same on every instruction set, thread count and device, and after every resume. (Salmon et al., SC 2011.)

#include <cstdint>
#include <memory>

#include "core/host_device.h"

namespace fastnn {

/// Key and position of one draw. Block j of the draw is philox4x32(key = seed, counter = (j, offset)).
struct PhiloxState {
  uint64_t seed;
  uint64_t offset;
};

/// Ten rounds: 128 bits of counter, 64 bits of key, 128 bits out.
FASTNN_HOST_DEVICE inline void philox4x32(uint64_t key, uint64_t counter_low, uint64_t counter_high, uint32_t out[4]) {
  uint32_t c0 = static_cast<uint32_t>(counter_low), c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high), c3 = static_cast<uint32_t>(counter_high >> 32);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * c0, p1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/// Seeds the default generator and starts it at offset 0.
void manual_seed(uint64_t seed);
/// The state of the next draw, which then belongs to the caller: every draw gets an offset of its own.
PhiloxState next_random();
/// The same, in memory that stays where it is: kernels take `random.get()`, and an operation that draws again in its
/// backward (dropout) keeps it.
using RandomState = std::shared_ptr<const PhiloxState>;
RandomState next_random_state();
PhiloxState get_rng_state();
void set_rng_state(PhiloxState state);

}  // namespace fastnn
