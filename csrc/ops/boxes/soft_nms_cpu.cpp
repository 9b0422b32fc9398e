#include "kernels/simd.h"
#include "kernels/simd_math.h"
#include "ops/boxes/boxes.h"
#include "ops/boxes/scratch.h"

namespace fastnn {
namespace FASTNN_ISA {
namespace {

FASTNN_INLINE f32v exp_lanes(f32v x) { return exp(x); }
FASTNN_INLINE f64v exp_lanes(f64v x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

// The boxes that are still in, by column; a score of -inf is a box that has left.
template <class T>
struct Pool {
  T *x1, *y1, *x2, *y2, *area, *score;
  int32_t* id;
  int64_t n;

  void move(int64_t to, int64_t from) {
    x1[to] = x1[from], y1[to] = y1[from], x2[to] = x2[from], y2[to] = y2[from];
    area[to] = area[from], score[to] = score[from], id[to] = id[from];
  }
  void close() {
    for (int64_t i = n; i < n + kLanes<T>; ++i)
      x1[i] = y1[i] = x2[i] = y2[i] = area[i] = 0, score[i] = -static_cast<T>(__builtin_inf());
  }
  // Drops the boxes that have left, so that they cost no more comparisons.
  void compact() {
    int64_t to = 0;
    for (int64_t i = 0; i < n; ++i)
      if (score[i] > -static_cast<T>(__builtin_inf())) move(to++, i);
    n = to;
    close();
  }
};

// One pass: scores shrink by their overlap with box `taken` (none: -1), those below `limit` leave. Returns the largest
// left, the first of equal ones; -1 when none is.
template <class T, bool kGaussian>
int64_t shrink(Pool<T>& p, int64_t taken, T threshold, T sigma, T limit) {
  typedef Vec<T> V;
  typedef IntOf<V> I;
  const V zero = {}, lowest = splat<V>(-__builtin_inf());
  const bool any_taken = taken >= 0;
  const V ax1 = zero + (any_taken ? p.x1[taken] : 0), ay1 = zero + (any_taken ? p.y1[taken] : 0),
          ax2 = zero + (any_taken ? p.x2[taken] : 0), ay2 = zero + (any_taken ? p.y2[taken] : 0),
          aa = zero + (any_taken ? p.area[taken] : 0);
  V best = lowest;
  I best_at = {}, at;
  for (int i = 0; i < kLanes<T>; ++i) at[i] = static_cast<IntOf<T>>(i);
  for (int64_t s = 0; s < p.n; s += kLanes<T>, at += static_cast<IntOf<T>>(kLanes<T>)) {
    V score = load(p.score + s);
    if (any_taken) {
      const V bx1 = load(p.x1 + s), by1 = load(p.y1 + s), bx2 = load(p.x2 + s), by2 = load(p.y2 + s);
      V w = (bx2 < ax2 ? bx2 : ax2) - (bx1 > ax1 ? bx1 : ax1), h = (by2 < ay2 ? by2 : ay2) - (by1 > ay1 ? by1 : ay1);
      w = w > zero ? w : zero;
      h = h > zero ? h : zero;
      const V inter = w * h, both = aa + load(p.area + s) - inter;
      const I proper = (both > zero) & (inter <= both);
      const V iou = proper ? inter / both : zero;
      V smaller;
      if constexpr (kGaussian)
        smaller = score * exp_lanes(-(iou * iou) / sigma);
      else
        smaller = iou > threshold ? score * (1 - iou) : score;
      smaller = smaller < limit ? lowest : smaller;
      score = score > lowest ? smaller : score;
      store(p.score + s, score);
    }
    const I larger = score > best;
    best = larger ? score : best;
    best_at = larger ? at : best_at;
  }
  int64_t found = -1;
  for (int i = 0; i < kLanes<T>; ++i)
    if (best[i] > lowest[i] &&
        (found < 0 || best[i] > p.score[found] || (best[i] == p.score[found] && best_at[i] < found)))
      found = best_at[i];
  return found;
}

template <class T>
void select(int64_t* keep, T* kept_scores, int64_t* count, const T* boxes, const T* scores, int64_t n, bool gaussian,
            T threshold, T sigma, T limit, void* memory) {
  Scratch scratch(memory);
  const int64_t room = n + 64;
  Pool<T> p{scratch.take<T>(room), scratch.take<T>(room), scratch.take<T>(room),       scratch.take<T>(room),
            scratch.take<T>(room), scratch.take<T>(room), scratch.take<int32_t>(room), 0};
  for (int64_t i = 0; i < n; ++i) {
    const T* b = boxes + 4 * i;
    if (!(b[0] == b[0] && b[1] == b[1] && b[2] == b[2] && b[3] == b[3] && scores[i] >= limit)) continue;
    const T w = b[2] - b[0], h = b[3] - b[1];
    p.x1[p.n] = b[0], p.y1[p.n] = b[1], p.x2[p.n] = b[2], p.y2[p.n] = b[3];
    p.area[p.n] = w > 0 && h > 0 ? w * h : 0;
    p.score[p.n] = scores[i], p.id[p.n] = static_cast<int32_t>(i);
    ++p.n;
  }
  p.close();
  const auto pass = gaussian ? &shrink<T, true> : &shrink<T, false>;
  int64_t found = 0;
  for (int64_t at = pass(p, -1, threshold, sigma, limit); at >= 0; at = pass(p, at, threshold, sigma, limit)) {
    keep[found] = p.id[at];
    kept_scores[found] = p.score[at];
    p.score[at] = -static_cast<T>(__builtin_inf());
    if (++found % 64 == 0) {
      // The taken box goes behind the others, where the next pass still finds its corners.
      const T corners[5] = {p.x1[at], p.y1[at], p.x2[at], p.y2[at], p.area[at]};
      p.compact();
      at = p.n + kLanes<T> - 1;
      p.x1[at] = corners[0], p.y1[at] = corners[1], p.x2[at] = corners[2], p.y2[at] = corners[3],
      p.area[at] = corners[4];
    }
  }
  *count = found;
}

}  // namespace

void soft_nms_select(int type, int64_t* keep, void* kept_scores, int64_t* count, const void* boxes, const void* scores,
                     int64_t n, bool gaussian, double threshold, double sigma, double score_threshold, void* scratch) {
  if (type == 4)
    select(keep, static_cast<float*>(kept_scores), count, static_cast<const float*>(boxes),
           static_cast<const float*>(scores), n, gaussian, static_cast<float>(threshold), static_cast<float>(sigma),
           static_cast<float>(score_threshold), scratch);
  else
    select(keep, static_cast<double*>(kept_scores), count, static_cast<const double*>(boxes),
           static_cast<const double*>(scores), n, gaussian, threshold, sigma, score_threshold, scratch);
}

}  // namespace FASTNN_ISA
}  // namespace fastnn
