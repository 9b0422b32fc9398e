// Pieces of one block of scratch memory, each at a multiple of 64 bytes.
#pragma once

#include <cstdint>

namespace fastnn {
namespace FASTNN_ISA {
namespace {

class Scratch {
 public:
  explicit Scratch(void* memory) : at_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(int64_t n) {
    T* const p = reinterpret_cast<T*>(at_);
    at_ += (n * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return p;
  }
  char* here() const { return at_; }

 private:
  char* at_;
};

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
