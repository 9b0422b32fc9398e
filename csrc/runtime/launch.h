#pragma once
// The one door to kernels: picks the ISA, runs the kernel now and, while a step is captured, records the call. All that
// changes memory goes through here, so capture needs no second list of operations.

#include <tuple>
#include <type_traits>
#include <utility>

#include "core/recording.h"
#include "kernels/kernel.h"
#include "kernels/loop.h"

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

// An elementwise kernel takes a Loop<N> and, before it, the pointers of its N operands.
template <class T>
struct LoopRank : std::integral_constant<int, 0> {};
template <int N>
struct LoopRank<Loop<N>> : std::integral_constant<int, N> {};

inline void note_operand(ElementwiseOperands& o, const void* p) {
  if (!o.complete && o.count < ElementwiseOperands::kMax) o.data[o.count++] = p;
}
template <int N>
void note_operand(ElementwiseOperands& o, const Loop<N>& l) {
  o.complete = o.count == N;
  for (int k = 0; k < o.count && k < N; ++k)
    o.in_step[k] = l.rank == 1 && l.stride[k][0] == l.stride[0][0] && l.stride[k][0] == elem_size(l.type[k]);
}
template <class T>
std::enable_if_t<!std::is_pointer_v<T> && LoopRank<T>::value == 0> note_operand(ElementwiseOperands&, const T&) {}

template <class... P, class... A>
__attribute__((noinline)) void record(const char* name, void (*fn)(P...), const A&... args) {
  constexpr int rank = (0 + ... + LoopRank<std::decay_t<P>>::value);
  ElementwiseOperands operands;
  if constexpr (rank > 1) (note_operand(operands, static_cast<std::decay_t<P>>(args)), ...);
  recorder->launched(name, &Recorded<P...>::run, &Recorded<P...>::destroy,
                     new Recorded<P...>{fn, std::tuple<std::decay_t<P>...>(static_cast<std::decay_t<P>>(args)...)},
                     operands.complete ? &operands : nullptr);
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
