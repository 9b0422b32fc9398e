#include "ops/reduce/reduce_loop.h"

#include <utility>

#include "core/tensor.h"

namespace fastnn {
namespace {

struct Axis {
  int64_t size, x, y;
};

// Sorted by falling stride of x (stable, so that equal strides keep their order), joined where possible.
int sort_and_join(Axis* a, int count, bool sort) {
  if (sort)
    for (int i = 1; i < count; ++i)
      for (int j = i; j > 0 && a[j - 1].x < a[j].x; --j) std::swap(a[j - 1], a[j]);
  int last = 0;
  for (int i = 1; i < count; ++i) {
    if (a[last].x == a[i].x * a[i].size && a[last].y == a[i].y * a[i].size) {
      a[last] = {a[last].size * a[i].size, a[i].x, a[i].y};
    } else {
      a[++last] = a[i];
    }
  }
  return count ? last + 1 : 0;
}

}  // namespace

ReduceLoop reduce_loop(const Tensor& x, const Dims& axes, bool ordered) {
  ReduceLoop loop;
  loop.outputs = loop.n = 1;
  loop.x_start = loop.y_start = loop.partials = 0;
  Axis kept[kMaxRank], red[kMaxRank];
  int kept_count = 0, red_count = 0, next = axes.size() - 1;
  int64_t step = 1;
  const int rank = static_cast<int>(x.dim());
  for (int i = rank - 1; i >= 0; --i) {
    const int64_t size = x.shape()[i];
    int64_t stride = x.strides()[i];
    const bool reduced = next >= 0 && axes[next] == i;
    if (reduced) --next;
    (reduced ? loop.n : loop.outputs) *= size;
    if (size == 1) continue;
    int64_t y = reduced ? 0 : step;
    if (!reduced) step *= size;
    if (stride < 0 && size > 0 && !(reduced && ordered)) {  // walk it from the other end
      loop.x_start += (size - 1) * stride;
      loop.y_start += (size - 1) * y;
      stride = -stride;
      y = -y;
    }
    (reduced ? red[red_count++] : kept[kept_count++]) = {size, stride, y};
  }
  // They were collected from the last axis to the first.
  for (int i = 0; i < kept_count / 2; ++i) std::swap(kept[i], kept[kept_count - 1 - i]);
  for (int i = 0; i < red_count / 2; ++i) std::swap(red[i], red[red_count - 1 - i]);
  kept_count = sort_and_join(kept, kept_count, true);
  red_count = sort_and_join(red, red_count, !ordered);
  loop.kept_rank = kept_count;
  loop.red_rank = red_count;
  for (int i = 0; i < kept_count; ++i)
    loop.kept_size[i] = kept[i].size, loop.kept_x[i] = kept[i].x, loop.kept_y[i] = kept[i].y;
  for (int i = 0; i < red_count; ++i) loop.red_size[i] = red[i].size, loop.red_x[i] = red[i].x;

  loop.columns = red_count > 0 && kept_count > 0 && red[red_count - 1].x != 1 && kept[kept_count - 1].x == 1;
  const int64_t chunk = loop.columns ? kColumnChunk : kReduceChunk;
  const int64_t chunks = loop.n / chunk + (loop.n % chunk != 0);
  if (chunks > 1) loop.partials = checked_mul(loop.outputs, chunks);
  return loop;
}

Dims reduced_shape(const Dims& shape, const Dims& axes, bool keepdim) {
  Dims out;
  int next = 0;
  for (int i = 0; i < shape.size(); ++i) {
    const bool reduced = next < axes.size() && axes[next] == i;
    if (reduced) ++next;
    if (!reduced) out.push_back(shape[i]);
    if (reduced && keepdim) out.push_back(1);
  }
  return out;
}

}  // namespace fastnn
