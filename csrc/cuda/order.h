#pragma once
// Entries in the order of a key, equal keys in their own order: how sums over scattered places get an order of their
// own without atomics. A radix sort, eight bits a pass.

#include <cstdint>

#include "cuda/cuda.h"

namespace fastnn {
namespace cuda {

/// K: uint32_t or uint64_t. Write keys(), call sort(), then read keys() and entries().
template <class K>
class Order {
 public:
  /// DeviceError where n does not fit int32.
  explicit Order(int64_t n);
  K* keys() const { return keys_[now_]; }
  /// The numbers that the keys had before sorting.
  const int32_t* entries() const { return entries_[now_]; }
  /// By the lowest `bits`; all higher ones must be equal.
  void sort(int bits);

 private:
  int64_t n_, tiles_;
  int now_ = 0;
  Scratch scratch_;
  K* keys_[2];
  int32_t* entries_[2];
  uint32_t *counts_, *totals_;
};

/// Bits of the numbers from 0 to `most`.
inline int bits_of(uint64_t most) {
  int bits = 0;
  while (bits < 64 && (most >> bits) != 0) ++bits;
  return bits;
}
/// f(null pointer to the key type) for keys up to `most`.
template <class F>
void with_key(uint64_t most, const F& f) {
  if (most <= UINT32_MAX) return f(static_cast<uint32_t*>(nullptr));
  return f(static_cast<uint64_t*>(nullptr));
}

}  // namespace cuda
}  // namespace fastnn
