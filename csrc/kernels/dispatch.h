#pragma once
// From a dtype or an item size known at run time to a type, for the kernels of the CPU and of CUDA devices.

#include <cstdint>

#include "kernels/loop.h"

namespace fastnn {
namespace {

/// f(null pointer to the element type) for a DType given as int.
template <class F>
void with_type(int type, const F& f) {
  switch (type) {
    case 0:
      return f(static_cast<bool*>(nullptr));
    case 1:
      return f(static_cast<uint8_t*>(nullptr));
    case 2:
      return f(static_cast<int32_t*>(nullptr));
    case 3:
      return f(static_cast<int64_t*>(nullptr));
    case 4:
      return f(static_cast<float*>(nullptr));
    case 5:
      return f(static_cast<double*>(nullptr));
  }
}

/// The same for the two floating types.
template <class F>
void with_float(int type, const F& f) {
  if (type == 4) return f(static_cast<float*>(nullptr));
  return f(static_cast<double*>(nullptr));
}
template <class F>
void with_float(Elem type, const F& f) {
  if (type == Elem::f32) return f(static_cast<float*>(nullptr));
  return f(static_cast<double*>(nullptr));
}

/// f(null pointer to an unsigned integer of that size), for code that moves elements as bits.
template <class F>
void with_size(int64_t itemsize, const F& f) {
  if (itemsize == 1) return f(static_cast<uint8_t*>(nullptr));
  if (itemsize == 4) return f(static_cast<uint32_t*>(nullptr));
  return f(static_cast<uint64_t*>(nullptr));
}

/// The type behind the null pointer: decltype(of(tag)).
template <class T>
T of(T*);

}  // namespace
}  // namespace fastnn
