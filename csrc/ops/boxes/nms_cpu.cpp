#include <cstring>

#include "kernels/simd.h"
#include "ops/boxes/boxes.h"
#include "ops/boxes/scratch.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

// Unsigned numbers in the reverse order of the scores; both zeros are the same.
inline uint32_t falling_key(float s) {
  uint32_t bits;
  s += 0.0f;
  std::memcpy(&bits, &s, sizeof(bits));
  return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}
inline uint64_t falling_key(double s) {
  uint64_t bits;
  s += 0.0;
  std::memcpy(&bits, &s, sizeof(bits));
  return bits >> 63 ? bits : ~bits & 0x7fffffffffffffffu;
}

// Sorts `items` by rising key, equal keys in their order; a byte of the key at a time, bytes that all share are
// skipped.
template <class K>
void radix_sort(K*& keys, int32_t*& items, K*& keys2, int32_t*& items2, int64_t n) {
  constexpr int bytes = sizeof(K);
  int32_t counts[bytes][256] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int b = 0; b < bytes; ++b) ++counts[b][keys[i] >> (8 * b) & 255];
  for (int b = 0; b < bytes && n > 0; ++b) {
    int32_t* const at = counts[b];
    if (at[keys[0] >> (8 * b) & 255] == n) continue;
    for (int32_t d = 0, sum = 0; d < 256; ++d) {
      const int32_t c = at[d];
      at[d] = sum;
      sum += c;
    }
    for (int64_t i = 0; i < n; ++i) {
      const int32_t to = at[keys[i] >> (8 * b) & 255]++;
      keys2[to] = keys[i];
      items2[to] = items[i];
    }
    K* const k = keys;
    keys = keys2, keys2 = k;
    int32_t* const t = items;
    items = items2, items2 = t;
  }
}

// Boxes by column, in the order of the cells of the grid.
template <class T>
struct Columns {
  T *x1, *y1, *x2, *y2, *area;
  IntOf<T>* dead;
};

// One axis of the grid.
struct GridAxis {
  double origin = 0, per_unit = 0;
  int64_t cells = 1;
  int64_t cell(double at) const {
    const double c = (at - origin) * per_unit;
    return c > 0 ? (c < static_cast<double>(cells - 1) ? static_cast<int64_t>(c) : cells - 1) : 0;
  }
};

template <class T>
inline double centre(T a, T b) {
  return 0.5 * static_cast<double>(a) + 0.5 * static_cast<double>(b);
}

// Marks the boxes of slots [begin, end) that the box (x1, y1, x2, y2) suppresses. Slots behind `end` may be marked as
// well: the comparison is right for any pair.
template <class T>
FASTNN_INLINE void suppress(const Columns<T>& c, int64_t begin, int64_t end, T x1, T y1, T x2, T y2, T area,
                            T threshold) {
  typedef Vec<T> V;
  const V zero = {}, ax1 = zero + x1, ay1 = zero + y1, ax2 = zero + x2, ay2 = zero + y2, aa = zero + area;
  for (int64_t s = begin; s < end; s += kLanes<T>) {
    const V bx1 = load(c.x1 + s), by1 = load(c.y1 + s), bx2 = load(c.x2 + s), by2 = load(c.y2 + s);
    V w = (bx2 < ax2 ? bx2 : ax2) - (bx1 > ax1 ? bx1 : ax1), h = (by2 < ay2 ? by2 : ay2) - (by1 > ay1 ? by1 : ay1);
    w = w > zero ? w : zero;
    h = h > zero ? h : zero;
    const V inter = w * h;
    store(c.dead + s, load(c.dead + s) | (inter > (aa + load(c.area + s) - inter) * threshold));
  }
}

// Suppression among the boxes of the given ranks (rising): kept[rank] = 1 where a box stays.
template <class T>
struct Group {
  const T* boxes;
  const int32_t* ids;  // of the ranks
  T threshold;
  Columns<T> columns;
  int32_t *cells, *slots, *starts;

  // Boxes of no or no finite area neither suppress nor are suppressed: they stay out of the grid, marked -1.
  void run(uint8_t* kept, const int32_t* ranks, int64_t n) {
    double low[2] = {1e308, 1e308}, high[2] = {-1e308, -1e308}, size[2] = {0, 0}, widest[2] = {0, 0}, far[2] = {0, 0};
    bool tiny = false;
    int64_t meeting = 0;
    for (int64_t k = 0; k < n; ++k) {
      const T* b = box(ranks, k);
      const T area = area_of(b);
      cells[k] = -1;
      kept[ranks ? ranks[k] : k] = 1;
      if (!(area > 0 && area < static_cast<T>(__builtin_inf()))) continue;
      cells[k] = 0;
      ++meeting;
      tiny |= area < static_cast<T>(sizeof(T) == 4 ? 1e-30 : 1e-290);
      for (int i = 0; i < 2; ++i) {
        const double at = centre(b[i], b[i + 2]), w = static_cast<double>(b[i + 2]) - static_cast<double>(b[i]);
        low[i] = at < low[i] ? at : low[i];
        high[i] = at > high[i] ? at : high[i];
        size[i] += w;
        widest[i] = w > widest[i] ? w : widest[i];
      }
    }
    if (meeting == 0) return;
    // How many widths apart the centres of a pair can be; a little more, for the rounding of the comparison.
    const double t = static_cast<double>(threshold) * (1 - 1e-5);
    double reach = t > 0.5 ? 1 - t : (1 - t) / (2 * t);
    if (!(t > 0) || tiny) reach = 1e300;
    GridAxis grid[2];
    double wanted[2];
    for (int i = 0; i < 2; ++i) {
      const double extent = high[i] - low[i], mean = size[i] / static_cast<double>(meeting);
      far[i] = 1e-14 * (abs(low[i]) > abs(high[i]) ? abs(low[i]) : abs(high[i]));
      const double step = mean * (reach < 1 ? reach : 1);
      wanted[i] = meeting > 96 && extent < 1e300 && step > 0 ? extent / step : 1;
      wanted[i] = wanted[i] > 1 ? (wanted[i] < 30000 ? wanted[i] : 30000) : 1;
    }
    const double most = static_cast<double>(meeting) / (wanted[0] * wanted[1]);
    const double shrink = most < 1 ? __builtin_sqrt(most) : 1;
    for (int i = 0; i < 2; ++i) {
      const double cells_wanted = wanted[i] * shrink;
      grid[i].cells = cells_wanted > 1 ? static_cast<int64_t>(cells_wanted) : 1;
    }
    const int longer = grid[1].cells > grid[0].cells;
    if (grid[0].cells * grid[1].cells > meeting) grid[longer].cells = meeting / grid[1 - longer].cells;
    for (int i = 0; i < 2; ++i) {
      grid[i].origin = low[i];
      grid[i].per_unit = grid[i].cells > 1 ? static_cast<double>(grid[i].cells) / (high[i] - low[i]) : 0;
    }
    fill(grid, ranks, n, meeting);
    for (int64_t k = 0; k < n; ++k) {
      if (cells[k] < 0) continue;
      const int64_t s = slots[k];
      if (columns.dead[s]) {
        kept[ranks ? ranks[k] : k] = 0;
        continue;
      }
      const T* b = box(ranks, k);
      int64_t first[2], last[2];
      for (int i = 0; i < 2; ++i) {
        const double w = static_cast<double>(b[i + 2]) - static_cast<double>(b[i]), at = centre(b[i], b[i + 2]);
        const double touching = 0.5 * (w + widest[i]), near = w * reach;
        const double r = (near < touching ? near : touching) * (1 + 1e-5) + far[i];
        first[i] = grid[i].cell(at - r);
        last[i] = grid[i].cell(at + r);
      }
      for (int64_t row = first[1]; row <= last[1]; ++row)
        suppress(columns, starts[row * grid[0].cells + first[0]], starts[row * grid[0].cells + last[0] + 1], b[0], b[1],
                 b[2], b[3], columns.area[s], threshold);
    }
  }

 private:
  const T* box(const int32_t* ranks, int64_t k) const {
    return boxes + 4 * static_cast<int64_t>(ids[ranks ? ranks[k] : k]);
  }
  static T area_of(const T* b) {
    const T w = b[2] - b[0], h = b[3] - b[1];
    return w > 0 && h > 0 ? w * h : 0;
  }

  // Boxes into the slots of their cells, in order of rank.
  void fill(const GridAxis (&grid)[2], const int32_t* ranks, int64_t n, int64_t meeting) {
    const int64_t count = grid[0].cells * grid[1].cells;
    std::memset(starts, 0, static_cast<size_t>(count + 1) * sizeof(int32_t));
    for (int64_t k = 0; k < n; ++k) {
      if (cells[k] < 0) continue;
      const T* b = box(ranks, k);
      const int64_t x = grid[0].cells > 1 ? grid[0].cell(centre(b[0], b[2])) : 0;
      const int64_t y = grid[1].cells > 1 ? grid[1].cell(centre(b[1], b[3])) : 0;
      cells[k] = static_cast<int32_t>(y * grid[0].cells + x);
      ++starts[cells[k] + 1];
    }
    for (int64_t c = 0; c < count; ++c) starts[c + 1] += starts[c];
    for (int64_t k = 0; k < n; ++k) {
      if (cells[k] < 0) continue;
      const T* b = box(ranks, k);
      const int64_t s = slots[k] = starts[cells[k]]++;
      columns.x1[s] = b[0], columns.y1[s] = b[1], columns.x2[s] = b[2], columns.y2[s] = b[3];
      columns.area[s] = area_of(b);
      columns.dead[s] = 0;
    }
    for (int64_t c = count; c > 0; --c) starts[c] = starts[c - 1];
    starts[0] = 0;
    // A vector that begins at the last slot reads empty boxes behind it.
    for (int64_t s = meeting; s < meeting + kLanes<T>; ++s)
      columns.x1[s] = columns.y1[s] = columns.x2[s] = columns.y2[s] = columns.area[s] = 0, columns.dead[s] = 0;
  }
};

template <class T>
void select(int64_t* keep, int64_t* count, const T* boxes, const T* scores, const int64_t* classes, int64_t n,
            double threshold, void* memory) {
  typedef decltype(falling_key(T{})) Key;
  Scratch scratch(memory);
  const int64_t room = n + 64;
  int32_t* ids = scratch.take<int32_t>(room);
  int32_t* ranks = scratch.take<int32_t>(room);
  int32_t* spare = scratch.take<int32_t>(room);
  uint8_t* const kept = scratch.take<uint8_t>(room);
  char* const reused = scratch.here();  // by the sorts, then by the groups

  Key* keys = scratch.take<Key>(room);
  Key* keys2 = scratch.take<Key>(room);
  int64_t m = 0;
  for (int64_t i = 0; i < n; ++i) {
    const T* b = boxes + 4 * i;
    const bool valid = b[0] == b[0] && b[1] == b[1] && b[2] == b[2] && b[3] == b[3] && scores[i] == scores[i];
    ids[m] = static_cast<int32_t>(i);
    keys[m] = falling_key(scores[i]);
    m += valid;
  }
  radix_sort(keys, ids, keys2, spare, m);
  if (classes) {
    Scratch again(reused);
    uint64_t *groups = again.take<uint64_t>(room), *groups2 = again.take<uint64_t>(room);
    for (int64_t r = 0; r < m; ++r)
      ranks[r] = static_cast<int32_t>(r), groups[r] = static_cast<uint64_t>(classes[ids[r]]);
    radix_sort(groups, ranks, groups2, spare, m);
  }

  Scratch rest(reused);
  Group<T> g;
  g.boxes = boxes, g.ids = ids, g.threshold = static_cast<T>(threshold);
  g.columns = {rest.take<T>(room), rest.take<T>(room), rest.take<T>(room),
               rest.take<T>(room), rest.take<T>(room), rest.take<IntOf<T>>(room)};
  g.cells = rest.take<int32_t>(room), g.slots = rest.take<int32_t>(room), g.starts = rest.take<int32_t>(room);
  if (classes) {
    for (int64_t begin = 0, end; begin < m; begin = end) {
      const int64_t c = classes[ids[ranks[begin]]];
      for (end = begin + 1; end < m && classes[ids[ranks[end]]] == c;) ++end;
      g.run(kept, ranks + begin, end - begin);
    }
  } else {
    g.run(kept, nullptr, m);
  }
  int64_t found = 0;
  for (int64_t r = 0; r < m; ++r) {
    keep[found] = ids[r];
    found += kept[r];
  }
  *count = found;
}

}  // namespace

void nms_select(int type, int64_t* keep, int64_t* count, const void* boxes, const void* scores, const int64_t* classes,
                int64_t n, double threshold, void* scratch) {
  if (type == 4)
    select(keep, count, static_cast<const float*>(boxes), static_cast<const float*>(scores), classes, n, threshold,
           scratch);
  else
    select(keep, count, static_cast<const double*>(boxes), static_cast<const double*>(scores), classes, n, threshold,
           scratch);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
