#pragma once

#include <cstdint>

#include "core/errors.h"

namespace fastnn {

enum class DType : uint8_t { bool_, uint8, int32, int64, float32, float64 };
constexpr int kDTypes = 6;

constexpr int64_t dtype_size(DType t) {
  constexpr int64_t sizes[kDTypes] = {1, 1, 4, 8, 4, 8};
  return sizes[static_cast<int>(t)];
}
constexpr const char* dtype_name(DType t) {
  constexpr const char* names[kDTypes] = {"bool", "uint8", "int32", "int64", "float32", "float64"};
  return names[static_cast<int>(t)];
}
constexpr bool is_floating(DType t) { return t >= DType::float32; }
constexpr bool is_integral(DType t) { return t < DType::float32 && t != DType::bool_; }
inline std::ostream& operator<<(std::ostream& s, DType t) { return s << dtype_name(t); }

template <class T>
struct dtype_of;
template <>
struct dtype_of<bool> {
  static constexpr DType value = DType::bool_;
};
template <>
struct dtype_of<uint8_t> {
  static constexpr DType value = DType::uint8;
};
template <>
struct dtype_of<int32_t> {
  static constexpr DType value = DType::int32;
};
template <>
struct dtype_of<int64_t> {
  static constexpr DType value = DType::int64;
};
template <>
struct dtype_of<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct dtype_of<double> {
  static constexpr DType value = DType::float64;
};

/// A Python number: it takes the dtype of the tensor it meets (it is "weak") unless its kind is higher.
struct Scalar {
  enum Kind : uint8_t { boolean, integer, floating } kind = floating;
  double d = 0;
  int64_t i = 0;

  Scalar() = default;
  Scalar(bool v) : kind(boolean), d(v), i(v) {}
  Scalar(int v) : kind(integer), d(v), i(v) {}
  Scalar(int64_t v) : kind(integer), d(static_cast<double>(v)), i(v) {}
  Scalar(double v) : kind(floating), d(v), i(0) {}

  double to_double() const { return d; }
  /// The integer value; ValueError for a fraction, NaN or a number outside int64.
  int64_t to_int64() const;
  DType default_dtype() const {
    return kind == boolean ? DType::bool_ : kind == integer ? DType::int64 : DType::float32;
  }
};

/// PyTorch's promotion of two dtypes: bool < uint8 < int32 < int64 < float32 < float64 (uint8 with int32 is int32, an
/// integer with a float is the float).
constexpr DType promote(DType a, DType b) { return a > b ? a : b; }

}  // namespace fastnn
