#pragma once
// The one door to kernels: picks the ISA, runs the kernel now and, while a step is captured, records the call. All that
// changes memory goes through here, so capture needs no second list of operations.

#include <cstring>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/device.h"
#include "core/recording.h"
#include "kernels/kernel.h"
#include "kernels/loop.h"

namespace fastnn {

/// Arguments of a launch are plain data, so that a replay finds the addresses of the step's inputs among their bytes.
/// The exception is a list that the call owns, true here for its type: it must never hold an input of a step.
template <class T>
struct OwnedList : std::false_type {};

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

#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define FASTNN_CLEAR_PADDING 1
#endif
#endif

// Padding holds whatever the stack held, which may well be the address of an input.
template <class T>
void clear_padding(T& x) {
#ifdef FASTNN_CLEAR_PADDING
  if constexpr (std::is_class_v<T> && std::is_trivially_copyable_v<T>) __builtin_clear_padding(&x);
#else
  (void)x;
#endif
}

template <class... P, class... A>
__attribute__((noinline)) void record(const char* name, void (*fn)(P...), const A&... args) {
  static_assert(((std::is_trivially_copyable_v<std::decay_t<P>> || OwnedList<std::decay_t<P>>::value) && ...),
                "a launch takes plain data");
  constexpr int rank = (0 + ... + LoopRank<std::decay_t<P>>::value);
  ElementwiseOperands operands;
  if constexpr (rank > 1) (note_operand(operands, static_cast<std::decay_t<P>>(args)), ...);
  using Call = Recorded<P...>;
  void* memory = ::operator new(sizeof(Call));
  std::memset(memory, 0, sizeof(Call));
  auto* call = new (memory) Call{fn, std::tuple<std::decay_t<P>...>(static_cast<std::decay_t<P>>(args)...)};
  std::apply([](auto&... a) { (clear_padding(a), ...); }, call->arguments);
#ifdef FASTNN_CLEAR_PADDING
  constexpr size_t bytes = sizeof(Call);
#else
  constexpr size_t bytes = 0;  // not to be searched for addresses
#endif
  recorder->launched(name, &Call::run, &Call::destroy, call, bytes, operands.complete ? &operands : nullptr);
}

/// The kernel for the current device.
template <class... P>
inline auto resolve(const Kernel<void(P...)>& kernel) -> void (*)(P...) {
  if (__builtin_expect(device != kCpu, 0))
    return reinterpret_cast<void (*)(P...)>(device_kernel(kernel.name, *kernel.on_device));
  return kernel.by_isa[isa_index];
}

}  // namespace detail

template <class... P, class... A>
inline void launch(const Kernel<void(P...)>& kernel, A&&... args) {
  void (*fn)(P...) = detail::resolve(kernel);
  fn(static_cast<P>(args)...);
  if (capturing()) detail::record(kernel.name, fn, args...);
}

/// The same door for work on the CPU that has no kernel per ISA: validation of indices, a value written by hand. What
/// it points to is in the CPU's memory (on_cpu()), whatever the device.
template <class... P, class... A>
inline void launch_host(void (*fn)(P...), A&&... args) {
  fn(static_cast<P>(args)...);
  if (capturing()) detail::record("host", fn, args...);
}

}  // namespace fastnn
