// Copies between any two layouts and dtypes, and fills.
#include "kernels/loop_run.h"
#include "ops/elementwise/kernels.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

/// Side of the square tiles in which a transposing copy moves: 32 rows of 128 bytes stay in L1 on both sides.
constexpr int64_t kTile = 32;

/// y[i, j] = x[i, j] where y is contiguous along j and x along i.
template <class T>
void transpose_tile(char* y, int64_t y_row, const char* x, int64_t x_column, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    strided_copy<T>(y + i * y_row, sizeof(T), x + i * static_cast<int64_t>(sizeof(T)), x_column, columns);
}

/// A copy whose input is contiguous along the dimension before the last: in tiles, one task a strip of tiles.
bool copy_transposed(char* y, const char* x, const Loop<2>& l) {
  const int last = l.rank - 1, rows_at = last - 1;
  if (l.rank < 2 || l.type[0] != l.type[1]) return false;
  const int64_t size = elem_size(l.type[0]);
  if (l.stride[0][last] != size || l.stride[1][rows_at] != size) return false;
  const int64_t rows = l.shape[rows_at], columns = l.shape[last];
  if (rows < 8 || columns < 8) return false;
  const int64_t strips = (rows + kTile - 1) / kTile;
  int64_t outer = 1;
  for (int d = 0; d < rows_at; ++d) outer *= l.shape[d];
  // Strips of several matrices go into one task when they are small.
  const int64_t grain = 1 + kLoopGrain / (kTile * columns);
  parallel_range(outer * strips, grain, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      int64_t rest = s / strips, yo = 0, xo = 0;
      for (int d = rows_at - 1; d >= 0; --d) {
        yo += rest % l.shape[d] * l.stride[0][d];
        xo += rest % l.shape[d] * l.stride[1][d];
        rest /= l.shape[d];
      }
      const int64_t i = s % strips * kTile, m = rows - i < kTile ? rows - i : kTile;
      for (int64_t j = 0; j < columns; j += kTile) {
        const int64_t n = columns - j < kTile ? columns - j : kTile;
        char* to = y + yo + i * l.stride[0][rows_at] + j * size;
        const char* from = x + xo + i * size + j * l.stride[1][last];
        if (size == 4)
          transpose_tile<uint32_t>(to, l.stride[0][rows_at], from, l.stride[1][last], m, n);
        else if (size == 8)
          transpose_tile<uint64_t>(to, l.stride[0][rows_at], from, l.stride[1][last], m, n);
        else
          transpose_tile<uint8_t>(to, l.stride[0][rows_at], from, l.stride[1][last], m, n);
      }
    }
  });
  return true;
}

}  // namespace

void copy(void* y, const void* x, Loop<2> loop) {
  char* const base[2] = {static_cast<char*>(y), static_cast<char*>(const_cast<void*>(x))};
  if (loop.n <= 0 || copy_transposed(base[0], base[1], loop)) return;
  const Elem from = loop.type[1], to = loop.type[0];
  // Converting in the body spares a pass through a staging buffer when both sides are contiguous.
  const int64_t size = elem_size(from);
  run_loop<1>(loop, base, {to, from}, [&](char* const* p, int64_t n, bool streams) {
    if (from == to && streams && size >= 4)
      stream_copy(reinterpret_cast<float*>(p[0]), reinterpret_cast<const float*>(p[1]), n * size / 4);
    else if (from == to)
      __builtin_memmove(p[0], p[1], static_cast<size_t>(n * size));
    else
      convert(p[0], to, p[1], from, n);
  });
}

void fill(void* y, Loop<1> loop, Number v) {
  const Elem type = loop.type[0];
  const int64_t size = elem_size(type);
  alignas(8) char cell[8];
  put_number(cell, type, v);
  char* const base[1] = {static_cast<char*>(y)};
  run_loop<1>(loop, base, {type}, [&](char* const* p, int64_t n, bool) { strided_copy(p[0], size, cell, 0, n, size); });
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
