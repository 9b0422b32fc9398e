#pragma once
// Errors are C++ exceptions; the Python module maps them: invalid_argument -> ValueError, out_of_range -> IndexError,
// overflow_error -> OverflowError, bad_alloc -> MemoryError, TypeError -> TypeError, runtime_error -> RuntimeError.

#include <sstream>
#include <stdexcept>
#include <string>

namespace fastnn {

using ValueError = std::invalid_argument;
using IndexError = std::out_of_range;
using OverflowError = std::overflow_error;
using RuntimeError = std::runtime_error;

struct TypeError : std::logic_error {
  using std::logic_error::logic_error;
};

/// Joins the arguments as text: str("conv2d: expects Cin=", 3).
template <class... A>
std::string str(const A&... a) {
  std::ostringstream s;
  (s << ... << a);
  return s.str();
}

}  // namespace fastnn
