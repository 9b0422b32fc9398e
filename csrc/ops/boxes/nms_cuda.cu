// Non-maximum suppression on a device: boxes in the order of their scores, a tile of them at a time. A tile's boxes are
// compared with each other (a bit a pair), one block picks those that stay, and these strike out what comes behind the
// tile. Memory is linear in the number of boxes.

#include "cuda/cuda.h"
#include "cuda/order.h"
#include "ops/boxes/boxes.h"

namespace fastnn {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBits = 64, kTile = 2048, kWords = kTile / kBits;

__device__ inline float product(float a, float b) { return __fmul_rn(a, b); }
__device__ inline double product(double a, double b) { return __dmul_rn(a, b); }

/// A box with its area: 0 for one that neither suppresses nor is suppressed.
template <class T>
struct Box {
  T x1, y1, x2, y2, area;
  int64_t group;
};
template <class T>
__device__ inline T intersection(const Box<T>& a, const Box<T>& b) {
  const T w = (b.x2 < a.x2 ? b.x2 : a.x2) - (b.x1 > a.x1 ? b.x1 : a.x1);
  const T h = (b.y2 < a.y2 ? b.y2 : a.y2) - (b.y1 > a.y1 ? b.y1 : a.y1);
  return product(w > 0 ? w : T(0), h > 0 ? h : T(0));
}
template <class T>
__device__ inline bool suppresses(const Box<T>& a, const Box<T>& b, T threshold) {
  if (!(a.area > 0 && b.area > 0) || a.group != b.group) return false;
  const T inter = intersection(a, b);
  return inter > product(a.area + b.area - inter, threshold);
}

// Unsigned numbers in the reverse order of the scores; both zeros are the same. No valid score has the largest.
__device__ inline uint32_t falling_key(float s) {
  const uint32_t bits = __float_as_uint(s + 0.0f);
  return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}
__device__ inline uint64_t falling_key(double s) {
  const uint64_t bits = static_cast<uint64_t>(__double_as_longlong(s + 0.0));
  return bits >> 63 ? bits : ~bits & 0x7fffffffffffffffu;
}
template <class T>
__device__ inline bool valid_box(const T* b) {
  return b[0] == b[0] && b[1] == b[1] && b[2] == b[2] && b[3] == b[3];
}

template <class T, class K>
__global__ void fill_keys(K* keys, const T* boxes, const T* scores, int64_t n) {
  for (int64_t i = thread_index(); i < n; i += thread_count())
    keys[i] = valid_box(boxes + 4 * i) && scores[i] == scores[i] ? falling_key(scores[i]) : ~K(0);
}

template <class T, class K>
__global__ void sort_boxes(Box<T>* sorted, uint8_t* dead, const K* keys, const int32_t* ids, const T* boxes,
                           const int64_t* classes, int64_t n) {
  for (int64_t r = thread_index(); r < n; r += thread_count()) {
    const int64_t i = ids[r];
    const T* b = boxes + 4 * i;
    const T w = b[2] - b[0], h = b[3] - b[1], area = w > 0 && h > 0 ? product(w, h) : T(0);
    sorted[r] = {b[0], b[1], b[2], b[3], area < static_cast<T>(INFINITY) ? area : T(0), classes ? classes[i] : 0};
    dead[r] = keys[r] == ~K(0);
  }
}

// Bit j of mask[i][w]: box i of the tile suppresses box 64 w + j, which comes after it.
template <class T>
__global__ void compare_tile(uint64_t* mask, const Box<T>* sorted, int64_t begin, int count, T threshold) {
  for (int64_t e = thread_index(); e < static_cast<int64_t>(count) * kWords; e += thread_count()) {
    const int i = static_cast<int>(e / kWords), w = static_cast<int>(e % kWords);
    uint64_t bits = 0;
    const Box<T> own = sorted[begin + i];
    if ((w + 1) * kBits > i + 1)
      for (int j = 0; j < kBits; ++j) {
        const int other = w * kBits + j;
        if (other > i && other < count && suppresses(own, sorted[begin + other], threshold)) bits |= uint64_t{1} << j;
      }
    mask[e] = bits;
  }
}

// One block goes through the tile, 64 boxes at a time: a thread decides about these, then all strike out what the ones
// that stay suppress. Their ids are written behind those of the tiles before, their ranks into `stay`.
__global__ void pick(int64_t* keep, int64_t* found, int32_t* stay, int32_t* staying, const uint64_t* mask,
                     const int32_t* ids, const uint8_t* dead, int64_t begin, int count) {
  __shared__ uint64_t gone[kWords];
  __shared__ uint64_t own[kBits];
  __shared__ uint64_t chosen;
  __shared__ int so_far;
  const int thread = static_cast<int>(threadIdx.x);
  for (int w = thread; w < kWords; w += kThreads) {
    uint64_t bits = 0;
    for (int j = 0; j < kBits; ++j) {
      const int i = w * kBits + j;
      if (i >= count || dead[begin + i]) bits |= uint64_t{1} << j;
    }
    gone[w] = bits;
  }
  if (thread == 0) so_far = 0;
  __syncthreads();
  const int64_t before = *found;
  for (int w = 0; w * kBits < count; ++w) {
    if (thread < kBits) own[thread] = w * kBits + thread < count ? mask[(w * kBits + thread) * kWords + w] : 0;
    __syncthreads();
    if (thread == 0) {
      uint64_t left = ~gone[w], taken = 0;
      while (left) {
        const int j = __ffsll(static_cast<long long>(left)) - 1;
        taken |= uint64_t{1} << j;
        left &= ~(own[j] | (uint64_t{1} << j));
      }
      chosen = taken;
    }
    __syncthreads();
    const uint64_t taken = chosen;
    if (thread < kBits && taken >> thread & 1) {
      const int at = so_far + __popcll(taken & ((uint64_t{1} << thread) - 1)), i = w * kBits + thread;
      keep[before + at] = ids[begin + i];
      stay[at] = i;
    }
    for (int other = w + 1 + thread; other < kWords; other += kThreads) {
      uint64_t bits = gone[other];
      for (uint64_t left = taken; left; left &= left - 1)
        bits |= mask[(w * kBits + __ffsll(static_cast<long long>(left)) - 1) * kWords + other];
      gone[other] = bits;
    }
    __syncthreads();
    if (thread == 0) so_far += __popcll(taken);
    __syncthreads();
  }
  if (thread == 0) {
    *found = before + so_far;
    *staying = so_far;
  }
}

template <class T>
__global__ void strike_out(uint8_t* dead, const Box<T>* sorted, const int32_t* stay, const int32_t* staying,
                           int64_t begin, int64_t rest, int64_t n, T threshold) {
  const int count = *staying;
  for (int64_t r = rest + thread_index(); r < n; r += thread_count()) {
    if (dead[r]) continue;
    const Box<T> own = sorted[r];
    bool hit = false;
    for (int k = 0; k < count && !hit; ++k) hit = suppresses(sorted[begin + stay[k]], own, threshold);
    if (hit) dead[r] = 1;
  }
}

__global__ void set_zero(int64_t* count) { *count = 0; }

int64_t rounded(int64_t bytes) { return (bytes + 255) / 256 * 256; }

template <class T, class K>
void select(int64_t* keep, int64_t* count, const T* boxes, const T* scores, const int64_t* classes, int64_t n,
            T threshold) {
  run(&set_zero, 1, 1, 0, count);
  if (n == 0) return;
  Order<K> order(n);
  run(&fill_keys<T, K>, grid_for(n, kThreads), kThreads, 0, order.keys(), boxes, scores, n);
  order.sort(sizeof(K) * 8);
  const int64_t masks = rounded(int64_t{kTile} * kWords * 8), stays = rounded(kTile * 4 + 4);
  const int64_t sorted_bytes = rounded(n * static_cast<int64_t>(sizeof(Box<T>)));
  const Scratch scratch(masks + stays + sorted_bytes + n);
  uint64_t* const mask = scratch.as<uint64_t>();
  int32_t *const stay = scratch.as<int32_t>(masks), *const staying = stay + kTile;
  Box<T>* const sorted = scratch.as<Box<T>>(masks + stays);
  uint8_t* const dead = scratch.as<uint8_t>(masks + stays + sorted_bytes);
  run(&sort_boxes<T, K>, grid_for(n, kThreads), kThreads, 0, sorted, dead, order.keys(), order.entries(), boxes,
      classes, n);
  for (int64_t begin = 0; begin < n; begin += kTile) {
    const int64_t rest = begin + kTile < n ? begin + kTile : n;
    const int tile = static_cast<int>(rest - begin);
    run(&compare_tile<T>, grid_for(int64_t{tile} * kWords, kThreads), kThreads, 0, mask, sorted, begin, tile,
        threshold);
    run(&pick, 1, kThreads, 0, keep, count, stay, staying, mask, order.entries(), dead, begin, tile);
    if (rest < n)
      run(&strike_out<T>, grid_for(n - rest, kThreads), kThreads, 0, dead, sorted, stay, staying, begin, rest, n,
          threshold);
  }
}

// --- soft suppression: one block takes the best box, shrinks the others' scores, and so on
// -----------------------------

template <class T>
struct Best {
  T score;
  int64_t at;
};
// The larger score, of equal ones the first.
template <class T>
__device__ inline void better(Best<T>& a, T score, int64_t at) {
  if (at >= 0 && (a.at < 0 || score > a.score || (score == a.score && at < a.at))) a = {score, at};
}

constexpr int kWide = 1024;

template <class T>
__global__ void __launch_bounds__(kWide)
    take_boxes(int64_t* keep, T* kept_scores, int64_t* count, const T* boxes, const T* scores, T* left, int64_t n,
               bool gaussian, T threshold, T sigma, T limit) {
  __shared__ T best_score[kWarp];
  __shared__ int64_t best_at[kWarp];
  const T gone = -static_cast<T>(INFINITY);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int64_t i = threadIdx.x; i < n; i += kWide)
    left[i] = valid_box(boxes + 4 * i) && scores[i] >= limit ? scores[i] : gone;
  int64_t found = 0, taken = -1;
  for (;;) {
    Box<T> a{};
    if (taken >= 0) {
      const T* b = boxes + 4 * taken;
      const T w = b[2] - b[0], h = b[3] - b[1];
      a = {b[0], b[1], b[2], b[3], w > 0 && h > 0 ? product(w, h) : T(0), 0};
    }
    Best<T> best{gone, -1};
    for (int64_t i = threadIdx.x; i < n; i += kWide) {
      T score = left[i];
      if (i == taken) score = left[i] = gone;
      if (!(score > gone)) continue;
      if (taken >= 0) {
        const T* b = boxes + 4 * i;
        const T w = b[2] - b[0], h = b[3] - b[1];
        const Box<T> other{b[0], b[1], b[2], b[3], w > 0 && h > 0 ? product(w, h) : T(0), 0};
        const T inter = intersection(a, other), both = a.area + other.area - inter;
        const T iou = both > 0 && inter <= both ? inter / both : T(0);
        if (gaussian)
          score = score * exp(-product(iou, iou) / sigma);
        else
          score = iou > threshold ? score * (1 - iou) : score;
        if (score < limit) score = gone;
        left[i] = score;
      }
      if (score > gone) better(best, score, i);
    }
    for (int with = kWarp / 2; with > 0; with /= 2) {
      const T score = __shfl_xor_sync(kFullWarp, best.score, with);
      const int64_t at = __shfl_xor_sync(kFullWarp, best.at, with);
      better(best, score, at);
    }
    if (lane == 0) best_score[warp] = best.score, best_at[warp] = best.at;
    __syncthreads();
    best = {gone, -1};
    for (int w = 0; w < kWide / kWarp; ++w) better(best, best_score[w], best_at[w]);
    __syncthreads();
    taken = best.at;
    if (taken < 0) break;
    if (threadIdx.x == 0) keep[found] = taken, kept_scores[found] = best.score;
    ++found;
  }
  if (threadIdx.x == 0) *count = found;
}

}  // namespace

void nms_select(int type, int64_t* keep, int64_t* count, const void* boxes, const void* scores, const int64_t* classes,
                int64_t n, double threshold, void*) {
  if (type == 4)
    select<float, uint32_t>(keep, count, static_cast<const float*>(boxes), static_cast<const float*>(scores), classes,
                            n, static_cast<float>(threshold));
  else
    select<double, uint64_t>(keep, count, static_cast<const double*>(boxes), static_cast<const double*>(scores),
                             classes, n, threshold);
}

void soft_nms_select(int type, int64_t* keep, void* kept_scores, int64_t* count, const void* boxes, const void* scores,
                     int64_t n, bool gaussian, double threshold, double sigma, double score_threshold, void*) {
  with_float(type, [&](auto* tag) {
    using T = decltype(of(tag));
    const Scratch left(n * static_cast<int64_t>(sizeof(T)));
    run(&take_boxes<T>, 1, kWide, 0, keep, static_cast<T*>(kept_scores), count, static_cast<const T*>(boxes),
        static_cast<const T*>(scores), left.as<T>(), n, gaussian, static_cast<T>(threshold), static_cast<T>(sigma),
        static_cast<T>(score_threshold));
  });
}

}  // namespace cuda
}  // namespace fastnn
