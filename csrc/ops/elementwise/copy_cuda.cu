// Copies between any two layouts and dtypes, and fills.
#include "ops/elementwise/loop_cuda.h"

namespace fastnn {
namespace cuda {
namespace {

// --- conversion: kernels/loop_run.h says what it does --------------------------------------------------------------

struct Bool {};

__device__ inline int64_t saturate64(double x) {
  return x >= 9223372036854775808.0    ? INT64_MAX
         : x <= -9223372036854775808.0 ? INT64_MIN
         : x != x                      ? 0
                                       : static_cast<int64_t>(x);
}
__device__ inline int32_t saturate32(double x) {
  return x >= 2147483647.0 ? INT32_MAX : x <= -2147483648.0 ? INT32_MIN : x != x ? 0 : static_cast<int32_t>(x);
}

template <class T>
struct MemoryOf {
  typedef T type;
};
template <>
struct MemoryOf<Bool> {
  typedef uint8_t type;
};
template <class To, class From>
struct Convert {
  static constexpr int arity = 1, mask = -1;
  typedef typename MemoryOf<From>::type In;
  typedef typename MemoryOf<To>::type Out;
  __device__ Out operator()(const In* x) const {
    if constexpr (std::is_same<To, Bool>::value)
      return x[0] != 0;
    else if constexpr (!std::is_floating_point<From>::value || std::is_floating_point<To>::value)
      return static_cast<To>(x[0]);
    else if constexpr (sizeof(To) == 4)
      return saturate32(x[0]);
    else
      return static_cast<To>(saturate64(x[0]));
  }
};

/// The same type on both sides: moved as bits.
template <class Word>
struct Move {
  static constexpr int arity = 1, mask = -1;
  typedef Word In;
  typedef Word Out;
  __device__ Out operator()(const In* x) const { return x[0]; }
};

template <class F>
void copy_with(void* y, const void* x, const Loop<2>& l) {
  start_loop(F{}, l, {y, const_cast<void*>(x)}, {0, 0});
}
template <class To>
void copy_to(void* y, const void* x, const Loop<2>& l) {
  switch (l.type[1]) {
    case Elem::f32:
      return copy_with<Convert<To, float>>(y, x, l);
    case Elem::f64:
      return copy_with<Convert<To, double>>(y, x, l);
    case Elem::i64:
      return copy_with<Convert<To, int64_t>>(y, x, l);
    case Elem::i32:
      return copy_with<Convert<To, int32_t>>(y, x, l);
    case Elem::u8:
      return copy_with<Convert<To, uint8_t>>(y, x, l);
    case Elem::b8:
      return copy_with<Convert<To, Bool>>(y, x, l);
  }
}
void convert(void* y, const void* x, const Loop<2>& l) {
  switch (l.type[0]) {
    case Elem::f32:
      return copy_to<float>(y, x, l);
    case Elem::f64:
      return copy_to<double>(y, x, l);
    case Elem::i64:
      return copy_to<int64_t>(y, x, l);
    case Elem::i32:
      return copy_to<int32_t>(y, x, l);
    case Elem::u8:
      return copy_to<uint8_t>(y, x, l);
    case Elem::b8:
      return copy_to<Bool>(y, x, l);
  }
}

// --- transposition ------------------------------------------------------------------------------------------------

constexpr int kTile = 32, kTileRows = 8;

/// Matrices y[i, j] = x[i, j] where y is contiguous along j and x along i, by tiles in shared memory; the dimensions
/// before them are in the order of the loop.
struct Transposition {
  int64_t outer_rank;
  int64_t rows, columns, tiles_down, tiles_across, tiles;
  int64_t y_row, x_column;  // strides in bytes
  int64_t shape[kLoopRank], y_stride[kLoopRank], x_stride[kLoopRank];
};

template <class Word>
__global__ void __launch_bounds__(kTile* kTileRows) transpose_kernel(char* y, const char* x, Transposition t) {
  __shared__ Word tile[kTile][kTile + 1];  // a column more: no bank twice
  const int lane = threadIdx.x % kTile, first = threadIdx.x / kTile;
  for (int64_t at = blockIdx.x; at < t.tiles; at += gridDim.x) {
    int64_t rest = at;
    const int64_t j0 = split(rest, t.tiles_across) * kTile, i0 = split(rest, t.tiles_down) * kTile;
    int64_t yo = 0, xo = 0;
    for (int d = static_cast<int>(t.outer_rank) - 1; d >= 0; --d) {
      const int64_t c = split(rest, t.shape[d]);
      yo += c * t.y_stride[d];
      xo += c * t.x_stride[d];
    }
    for (int r = first; r < kTile; r += kTileRows) {
      const int64_t i = i0 + lane, j = j0 + r;
      if (i < t.rows && j < t.columns)
        tile[r][lane] =
            *reinterpret_cast<const Word*>(x + xo + j * t.x_column + i * static_cast<int64_t>(sizeof(Word)));
    }
    __syncthreads();
    for (int r = first; r < kTile; r += kTileRows) {
      const int64_t i = i0 + r, j = j0 + lane;
      if (i < t.rows && j < t.columns)
        *reinterpret_cast<Word*>(y + yo + i * t.y_row + j * static_cast<int64_t>(sizeof(Word))) = tile[lane][r];
    }
    __syncthreads();
  }
}

template <class Word>
bool copy_transposed(void* y, const void* x, const Loop<2>& l) {
  const int last = l.rank - 1;
  const int64_t size = sizeof(Word);
  if (l.rank < 2 || l.stride[0][last] != size) return false;
  int rows_at = last - 1;
  while (rows_at > 0 && l.stride[1][rows_at] != size) --rows_at;
  if (l.stride[1][rows_at] != size || l.shape[rows_at] < 8 || l.shape[last] < 8) return false;
  Transposition t;
  std::memset(static_cast<void*>(&t), 0, sizeof t);
  t.rows = l.shape[rows_at];
  t.columns = l.shape[last];
  t.y_row = l.stride[0][rows_at];
  t.x_column = l.stride[1][last];
  t.tiles_down = (t.rows + kTile - 1) / kTile;
  t.tiles_across = (t.columns + kTile - 1) / kTile;
  t.tiles = t.tiles_down * t.tiles_across;
  for (int d = 0; d < last; ++d) {
    if (d == rows_at) continue;
    t.shape[t.outer_rank] = l.shape[d];
    t.y_stride[t.outer_rank] = l.stride[0][d];
    t.x_stride[t.outer_rank++] = l.stride[1][d];
    t.tiles *= l.shape[d];
  }
  cuda::run(&transpose_kernel<Word>, grid_for(t.tiles, 1), kTile * kTileRows, 0, y, x, t);
  return true;
}

template <class T>
struct Fill {
  static constexpr int arity = 1, mask = -1;
  typedef T In;
  typedef T Out;
  __device__ Out operator()(const In* x) const { return x[0]; }
};

template <class T>
void fill_with(void* y, const Loop<1>& l, T v) {
  Loop<2> two;
  std::memset(&two, 0, sizeof two);
  two.rank = l.rank;
  two.n = l.n;
  two.type[0] = two.type[1] = l.type[0];
  for (int d = 0; d < kLoopRank; ++d) two.shape[d] = l.shape[d], two.stride[0][d] = l.stride[0][d];
  start_loop(Fill<T>{}, two, {y, nullptr}, {v, v});
}

}  // namespace

void copy(void* y, const void* x, Loop<2> loop) {
  if (loop.n <= 0) return;
  if (loop.type[0] != loop.type[1]) return convert(y, x, loop);
  with_size(elem_size(loop.type[0]), [&](auto tag) {
    typedef decltype(of(tag)) Word;
    if (!copy_transposed<Word>(y, x, loop)) copy_with<Move<Word>>(y, x, loop);
  });
}

void fill(void* y, Loop<1> loop, Number v) {
  if (loop.n <= 0) return;
  switch (loop.type[0]) {
    case Elem::f32:
      return fill_with(y, loop, static_cast<float>(v.f));
    case Elem::f64:
      return fill_with(y, loop, v.f);
    case Elem::i64:
      return fill_with(y, loop, v.i);
    case Elem::i32:
      return fill_with(y, loop, static_cast<int32_t>(v.i));
    case Elem::u8:
      return fill_with(y, loop, static_cast<uint8_t>(v.i));
    case Elem::b8:
      return fill_with(y, loop, static_cast<uint8_t>(v.i != 0));
  }
}

}  // namespace cuda
}  // namespace fastnn
