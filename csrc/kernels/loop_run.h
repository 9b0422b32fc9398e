// The driver of kernels/loop.h, kernel side: included inside per-ISA sources only.
#pragma once

#include "kernels/loop.h"
#include "kernels/parallel.h"
#include "kernels/stream.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Elements a task works on. Fixed, so that the cut does not depend on the number of threads; 32 Ki elements take some
/// 5-30 us, well above the cost of handing out a task.
constexpr int64_t kLoopGrain = 32768;
/// Elements staged at a time: four operands of 8 bytes fill half of L1.
constexpr int64_t kStage = 512;
/// Rows shorter than this are staged several at a time.
constexpr int64_t kShortRow = 64;

// --- dtype conversion ---------------------------------------------------------------------------------------------

/// Floating point to integer: truncates, saturates, NaN becomes 0 (C++ leaves both undefined). uint8 goes through
/// int64 and wraps, as PyTorch's does. To bool: x != 0, so NaN is true.
template <class To, class From>
struct Cast {
  static To of(From x) { return static_cast<To>(x); }
};
struct Bool {
  uint8_t v;
};
template <class From>
inline int64_t saturate64(From x) {
  return x >= static_cast<From>(9223372036854775808.0)    ? INT64_MAX
         : x <= static_cast<From>(-9223372036854775808.0) ? INT64_MIN
         : x != x                                         ? 0
                                                          : static_cast<int64_t>(x);
}
inline int32_t saturate32(double x) {
  return x >= 2147483647.0 ? INT32_MAX : x <= -2147483648.0 ? INT32_MIN : x != x ? 0 : static_cast<int32_t>(x);
}
template <>
struct Cast<int64_t, float> {
  static int64_t of(float x) { return saturate64(x); }
};
template <>
struct Cast<int64_t, double> {
  static int64_t of(double x) { return saturate64(x); }
};
template <>
struct Cast<int32_t, float> {
  static int32_t of(float x) { return saturate32(x); }
};
template <>
struct Cast<int32_t, double> {
  static int32_t of(double x) { return saturate32(x); }
};
template <>
struct Cast<uint8_t, float> {
  static uint8_t of(float x) { return static_cast<uint8_t>(saturate64(x)); }
};
template <>
struct Cast<uint8_t, double> {
  static uint8_t of(double x) { return static_cast<uint8_t>(saturate64(x)); }
};
template <class From>
struct Cast<Bool, From> {
  static Bool of(From x) { return {static_cast<uint8_t>(x != 0)}; }
};
template <class To>
struct Cast<To, Bool> {
  static To of(Bool x) { return static_cast<To>(x.v); }
};
template <>
struct Cast<Bool, Bool> {
  static Bool of(Bool x) { return x; }
};

template <class To, class From>
void convert_run(char* dst, const char* src, int64_t n) {
  To* d = reinterpret_cast<To*>(dst);
  const From* s = reinterpret_cast<const From*>(src);
  for (int64_t i = 0; i < n; ++i) d[i] = Cast<To, From>::of(s[i]);
}
template <class To>
void convert_to(char* dst, const char* src, Elem from, int64_t n) {
  switch (from) {
    case Elem::f32:
      return convert_run<To, float>(dst, src, n);
    case Elem::f64:
      return convert_run<To, double>(dst, src, n);
    case Elem::i64:
      return convert_run<To, int64_t>(dst, src, n);
    case Elem::i32:
      return convert_run<To, int32_t>(dst, src, n);
    case Elem::u8:
      return convert_run<To, uint8_t>(dst, src, n);
    case Elem::b8:
      return convert_run<To, Bool>(dst, src, n);
  }
}
/// n contiguous elements from one type to another.
__attribute__((noinline)) void convert(char* dst, Elem to, const char* src, Elem from, int64_t n) {
  switch (to) {
    case Elem::f32:
      return convert_to<float>(dst, src, from, n);
    case Elem::f64:
      return convert_to<double>(dst, src, from, n);
    case Elem::i64:
      return convert_to<int64_t>(dst, src, from, n);
    case Elem::i32:
      return convert_to<int32_t>(dst, src, from, n);
    case Elem::u8:
      return convert_to<uint8_t>(dst, src, from, n);
    case Elem::b8:
      return convert_to<Bool>(dst, src, from, n);
  }
}

// --- staging ------------------------------------------------------------------------------------------------------

template <class T>
void strided_copy(char* dst, int64_t ds, const char* src, int64_t ss, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T v;
    __builtin_memcpy(&v, src + i * ss, sizeof(T));
    __builtin_memcpy(dst + i * ds, &v, sizeof(T));
  }
}
__attribute__((noinline)) void strided_copy(char* dst, int64_t ds, const char* src, int64_t ss, int64_t n,
                                            int64_t size) {
  if (ds == size && ss == size) {
    __builtin_memcpy(dst, src, static_cast<size_t>(n * size));
  } else if (size == 4) {
    strided_copy<uint32_t>(dst, ds, src, ss, n);
  } else if (size == 8) {
    strided_copy<uint64_t>(dst, ds, src, ss, n);
  } else {
    strided_copy<uint8_t>(dst, ds, src, ss, n);
  }
}

/// A position in the shape; coord[rank - 1] moves fastest.
struct Cursor {
  int64_t coord[kLoopRank];
};
template <int N>
void seek(const Loop<N>& l, int64_t pos, Cursor& c) {
  for (int d = l.rank - 1; d >= 0; --d) {
    c.coord[d] = pos % l.shape[d];
    pos /= l.shape[d];
  }
}
template <int N>
int64_t offset_of(const Loop<N>& l, int k, const Cursor& c) {
  int64_t o = 0;
  for (int d = 0; d < l.rank; ++d) o += c.coord[d] * l.stride[k][d];
  return o;
}
/// Moves on by `step` elements within the row, or to the start of the next row.
template <int N>
void advance(const Loop<N>& l, Cursor& c, int64_t step) {
  int d = l.rank - 1;
  c.coord[d] += step;
  while (d > 0 && c.coord[d] >= l.shape[d]) {
    c.coord[d] = 0;
    ++c.coord[--d];
  }
}

/// Copies n elements of operand k, from position c on, between its place and a contiguous buffer.
template <int N>
void stage_rows(const Loop<N>& l, int k, char* base, Cursor c, char* buffer, int64_t n, bool scatter) {
  const int64_t size = elem_size(l.type[k]), inner = l.shape[l.rank - 1], s = l.stride[k][l.rank - 1];
  while (n > 0) {
    const int64_t left = inner - c.coord[l.rank - 1], run = left < n ? left : n;
    char* p = base + offset_of(l, k, c);
    if (scatter)
      strided_copy(p, s, buffer, size, run, size);
    else
      strided_copy(buffer, size, p, s, run, size);
    buffer += run * size;
    n -= run;
    advance(l, c, run);
  }
}

/// One task: elements [begin, end). Operands [0, Outs) are written, the others read; a null operand stays null.
template <int N, int Outs, class Body>
void loop_block(const Loop<N>& l, char* const (&base)[N], const Elem (&want)[N], int64_t begin, int64_t end,
                const Body& body) {
  const int inner = l.rank - 1;
  const bool by_row = l.rank == 1 || l.shape[inner] >= kShortRow;
  // An operand is used in place if its runs are contiguous and already of the wanted type.
  bool direct[N];
  bool all_direct = true;
  for (int k = 0; k < N; ++k) {
    direct[k] = base[k] == nullptr || l.type[k] == want[k];
    int64_t step = elem_size(l.type[k]);
    for (int d = inner; d >= (by_row ? inner : 0) && base[k] != nullptr; --d) {
      direct[k] = direct[k] && l.stride[k][d] == step;
      step *= l.shape[d];
    }
    all_direct = all_direct && direct[k];
  }
  Cursor c;
  seek(l, begin, c);
  alignas(64) char stage[N][kStage * 8];
  alignas(64) char raw[kStage * 8];
  char* p[N];
  for (int64_t pos = begin; pos < end;) {
    int64_t run = end - pos;
    if (by_row && run > l.shape[inner] - c.coord[inner]) run = l.shape[inner] - c.coord[inner];
    if (!all_direct && run > kStage) run = kStage;
    for (int k = 0; k < N; ++k) {
      const int64_t size = elem_size(l.type[k]);
      if (base[k] == nullptr) {
        p[k] = nullptr;
      } else if (direct[k]) {
        p[k] = base[k] + (by_row ? offset_of(l, k, c) : pos * size);
      } else {
        p[k] = stage[k];
        if (k < Outs) continue;
        // A broadcast row needs filling only once: later runs of the row, never longer, find it there.
        if (by_row && l.stride[k][inner] == 0 && pos != begin && c.coord[inner] != 0) continue;
        char* to = l.type[k] == want[k] ? stage[k] : raw;
        stage_rows(l, k, base[k], c, to, run, false);
        if (to == raw) convert(stage[k], want[k], raw, l.type[k], run);
      }
    }
    body(p, run, false);
    for (int k = 0; k < Outs; ++k) {
      if (direct[k]) continue;
      char* from = stage[k];
      if (l.type[k] != want[k]) convert(from = raw, l.type[k], stage[k], want[k], run);
      stage_rows(l, k, base[k], c, from, run, true);
    }
    pos += run;
    if (by_row)
      advance(l, c, run);
    else if (pos < end)
      seek(l, pos, c);
  }
}

/// Whether the results of a loop whose operands all lie in place go past the cache: they are too large for it, and
/// their vectors lie on the borders that streaming needs. What is overwritten in place has been fetched anyway.
template <int N>
bool loop_streams(const Loop<N>& l, char* const (&base)[N], int outs) {
  int64_t bytes = 0;
  bool aligned = outs == 1;
  for (int k = 0; k < N; ++k) {
    if (base[k] != nullptr && l.n > 1) bytes += l.n * elem_size(l.type[k]);
    aligned = aligned && (k < outs ? reinterpret_cast<uintptr_t>(base[k]) % kStreamAlign == 0 : base[k] != base[0]);
  }
  return aligned && past_cache(bytes);
}

/// body(pointers, n, streams) over the whole loop, in parallel blocks: pointers[k] is n contiguous elements of want[k].
/// `streams`: the whole vectors of operand 0 may be streamed.
template <int Outs, int N, class Body>
void run_loop(const Loop<N>& l, char* const (&base)[N], const Elem (&want)[N], const Body& body) {
  if (l.n <= 0) return;
  bool flat = l.rank <= 1;
  for (int k = 0; k < N; ++k)
    flat =
        flat && (base[k] == nullptr || (l.type[k] == want[k] && (l.n == 1 || l.stride[k][0] == elem_size(l.type[k]))));
  if (flat) {  // everything in place: no cursor, no staging
    const bool streams = loop_streams(l, base, Outs);
    parallel_range(l.n, kLoopGrain, [&](int64_t begin, int64_t end) {
      char* p[N];
      for (int k = 0; k < N; ++k) p[k] = base[k] == nullptr ? nullptr : base[k] + begin * elem_size(l.type[k]);
      body(p, end - begin, streams);
      if (streams) stream_fence();
    });
    return;
  }
  Loop<N> one;
  const Loop<N>* loop = &l;
  if (l.rank == 0) {
    one = l;
    one.rank = 1;
    one.shape[0] = 1;
    for (int k = 0; k < N; ++k) one.stride[k][0] = elem_size(l.type[k]);
    loop = &one;
  }
  parallel_range(l.n, kLoopGrain,
                 [&](int64_t begin, int64_t end) { loop_block<N, Outs>(*loop, base, want, begin, end, body); });
}

/// The number in an element of type T, for use as a broadcast operand.
inline void put_number(char* to, Elem type, const Number& v) {
  const Elem from = type == Elem::f32 || type == Elem::f64 ? Elem::f64 : Elem::i64;
  convert(to, type, from == Elem::f64 ? reinterpret_cast<const char*>(&v.f) : reinterpret_cast<const char*>(&v.i), from,
          1);
}

/// Replaces a null operand k by the number v, kept in `cell`.
template <int N>
void put_operand(char* (&base)[N], Loop<N>& loop, int k, char* cell, Elem type, const Number& v) {
  if (base[k] != nullptr) return;
  put_number(cell, type, v);
  base[k] = cell;
  loop.type[k] = type;
  for (int d = 0; d < kLoopRank; ++d) loop.stride[k][d] = 0;
}

inline char* mutable_bytes(const void* p) { return static_cast<char*>(const_cast<void*>(p)); }

}  // namespace
}  // namespace FASTNN_ISA
}  // namespace fastnn
