#pragma once
// The one door to kernels: picks the ISA and runs the kernel now. Everything that changes memory goes through here, so
// recording a step (capture) needs no second list of operations.

#include <utility>

#include "kernels/kernel.h"

namespace fastnn {

template <class... P, class... A>
inline void launch(const Kernel<void(P...)>& kernel, A&&... args) {
  kernel.by_isa[detail::isa_index](static_cast<P>(std::forward<A>(args))...);
}

/// The same door for work that has no kernel per ISA: validation of indices, a value written by hand.
template <class... P, class... A>
inline void launch_host(void (*fn)(P...), A&&... args) {
  fn(static_cast<P>(std::forward<A>(args))...);
}

}  // namespace fastnn
