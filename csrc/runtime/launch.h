#pragma once
// The one door to kernels: picks the ISA, runs the kernel now and, while a step is captured, records the call. All that
// changes memory goes through here, so capture needs no second list of operations.

#include <tuple>
#include <type_traits>
#include <utility>

#include "core/recording.h"
#include "kernels/kernel.h"

namespace fastnn {
namespace detail {

// A call with its arguments by value.
template <class... P>
struct Recorded {
  void (*fn)(P...);
  std::tuple<std::decay_t<P>...> arguments;

  static void run(void* self) {
    auto* r = static_cast<Recorded*>(self);
    std::apply([r](auto&... a) { r->fn(static_cast<P>(a)...); }, r->arguments);
  }
  static void destroy(void* self) { delete static_cast<Recorded*>(self); }
};

template <class... P, class... A>
__attribute__((noinline)) void record(const char* name, void (*fn)(P...), const A&... args) {
  recorder->launched(name, &Recorded<P...>::run, &Recorded<P...>::destroy,
                     new Recorded<P...>{fn, std::tuple<std::decay_t<P>...>(static_cast<std::decay_t<P>>(args)...)});
}

}  // namespace detail

template <class... P, class... A>
inline void launch(const Kernel<void(P...)>& kernel, A&&... args) {
  void (*fn)(P...) = kernel.by_isa[detail::isa_index];
  fn(static_cast<P>(args)...);
  if (capturing()) detail::record(kernel.name, fn, args...);
}

/// The same door for work that has no kernel per ISA: validation of indices, a value written by hand.
template <class... P, class... A>
inline void launch_host(void (*fn)(P...), A&&... args) {
  fn(static_cast<P>(args)...);
  if (capturing()) detail::record("host", fn, args...);
}

}  // namespace fastnn
