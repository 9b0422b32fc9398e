#pragma once
// Several elements moved as one word of up to 16 bytes.

#include "cuda/cuda.h"

namespace fastnn {
namespace cuda {

/// N elements that lie together; N * sizeof(T) is a power of 2, at most 16, and so is the address.
template <class T, int N>
struct Pack {
  T v[N];
};
template <int Bytes>
struct WordOf;
template <>
struct WordOf<1> {
  typedef uint8_t type;
};
template <>
struct WordOf<2> {
  typedef uint16_t type;
};
template <>
struct WordOf<4> {
  typedef unsigned type;
};
template <>
struct WordOf<8> {
  typedef uint2 type;
};
template <>
struct WordOf<16> {
  typedef uint4 type;
};
template <class T, int N>
__device__ inline Pack<T, N> load_pack(const char* p) {
  typedef typename WordOf<static_cast<int>(sizeof(T)) * N>::type Word;
  const Word w = *reinterpret_cast<const Word*>(p);
  Pack<T, N> x;
  memcpy(&x, &w, sizeof w);
  return x;
}
template <class T, int N>
__device__ inline void store_pack(char* p, const Pack<T, N>& x) {
  typedef typename WordOf<static_cast<int>(sizeof(T)) * N>::type Word;
  Word w;
  memcpy(&w, &x, sizeof w);
  *reinterpret_cast<Word*>(p) = w;
}

}  // namespace cuda
}  // namespace fastnn
