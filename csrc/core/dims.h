#pragma once
// A short inline list of int64: shapes, strides, axes. No allocation, so that making a tensor stays cheap.

#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "core/errors.h"

namespace fastnn {

constexpr int kMaxRank = 12;

class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<int64_t> v) {
    for (int64_t x : v) push_back(x);
  }
  Dims(int64_t n, int64_t fill) {
    for (int64_t i = 0; i < n; ++i) push_back(fill);
  }

  int size() const { return n_; }
  bool empty() const { return n_ == 0; }
  int64_t& operator[](int64_t i) { return d_[i]; }
  int64_t operator[](int64_t i) const { return d_[i]; }
  int64_t* begin() { return d_; }
  int64_t* end() { return d_ + n_; }
  const int64_t* begin() const { return d_; }
  const int64_t* end() const { return d_ + n_; }
  const int64_t* data() const { return d_; }
  int64_t back() const { return d_[n_ - 1]; }

  void push_back(int64_t x) {
    if (n_ == kMaxRank) throw ValueError(str("a tensor has at most ", kMaxRank, " dimensions"));
    d_[n_++] = x;
  }
  void insert(int64_t at, int64_t x) {
    push_back(x);
    for (int i = n_ - 1; i > at; --i) d_[i] = d_[i - 1];
    d_[at] = x;
  }
  void erase(int64_t at) {
    --n_;
    for (int64_t i = at; i < n_; ++i) d_[i] = d_[i + 1];
  }
  void clear() { n_ = 0; }

  friend bool operator==(const Dims& a, const Dims& b) {
    if (a.n_ != b.n_) return false;
    for (int i = 0; i < a.n_; ++i)
      if (a.d_[i] != b.d_[i]) return false;
    return true;
  }
  friend bool operator!=(const Dims& a, const Dims& b) { return !(a == b); }
  friend std::ostream& operator<<(std::ostream& s, const Dims& v) {
    s << '[';
    for (int i = 0; i < v.n_; ++i) s << (i ? ", " : "") << v.d_[i];
    return s << ']';
  }

 private:
  int n_ = 0;
  int64_t d_[kMaxRank];
};

// --- shape arithmetic, always checked ---------------------------------------------------------------------------

inline int64_t checked_mul(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r)) throw OverflowError(str("size overflows int64: ", a, " * ", b));
  return r;
}
inline int64_t checked_add(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r)) throw OverflowError(str("size overflows int64: ", a, " + ", b));
  return r;
}

/// Number of elements; throws on a negative size or when the product overflows.
int64_t numel_of(const Dims& shape);
/// Row-major strides, in elements.
Dims contiguous_strides(const Dims& shape);
/// The axis in [0, rank) that `axis` in [-rank, rank) means; IndexError naming `op` otherwise.
int64_t normalize_axis(const char* op, int64_t axis, int64_t rank);
/// Sorted, distinct axes; an empty list means all of them.
Dims normalize_axes(const char* op, const Dims& axes, int64_t rank);
/// NumPy broadcasting of two shapes; ValueError naming `op` when they do not fit.
Dims broadcast_shapes(const char* op, const Dims& a, const Dims& b);

}  // namespace fastnn
