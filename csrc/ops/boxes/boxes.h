#pragma once
// Boxes are rows (x1, y1, x2, y2). With inter the area that two share and union = area1 + area2 - inter:
//   nms        in falling order of score, a box is kept unless inter > iou_threshold * union with one kept before it
//   soft_nms   the box of the largest score is taken; the others' scores shrink with their overlap with it:
//              linear: s (1 - iou) where iou > threshold; gaussian: s exp(-iou^2 / sigma); until below a limit
//   roi_pool   the maximum over the cells of each bin of a region; dx: to where the maximum was
//   roi_align  the mean over bilinear samples in each bin; dx: the weights of the samples times dy
//
// Non-maximum suppression does not compare all pairs. Two boxes with IoU > t overlap by more than t * max(w1, w2) in x
// (as inter <= overlap * min(h1, h2) and union >= the larger area), so their centres are at most w1 max(1 - t, (1 - t)
// / 2t) apart, and the same in y. Boxes lie in a grid by their centres, row by row, and a kept box is compared, a
// vector at a time, with what lies that near: exactly the result of comparing all, in memory linear in their number.

#include "core/tensor.h"
#include "kernels/kernel.h"

namespace fastnn {

/// Indices (int64) of the kept boxes in falling order of score, equal scores in order of index. Boxes and scores with a
/// NaN are left out. classes: undefined, or integers; boxes of different classes do not meet.
Tensor nms(const char* op, const Tensor& boxes, const Tensor& scores, const Tensor& classes, double iou_threshold);

struct SoftNms {
  Tensor keep, scores;  // in the order of taking
};
SoftNms soft_nms(const Tensor& boxes, const Tensor& scores, bool gaussian, double iou_threshold, double sigma,
                 double score_threshold);

/// Regions [K, 5]: (index of the image, x1, y1, x2, y2), of images [N, H, W, C]; results [K, height, width, C].
/// Coordinates times spatial_scale are positions in the image.
Tensor roi_pool(const Tensor& x, const Tensor& regions, int64_t height, int64_t width, double spatial_scale);
/// sampling_ratio: samples an axis and bin; 0 or less: as many as the bin has cells. At most kMostSamples. aligned:
/// cells are centred on half coordinates.
constexpr int64_t kMostSamples = 4096;
Tensor roi_align(const Tensor& x, const Tensor& regions, int64_t height, int64_t width, double spatial_scale,
                 int64_t sampling_ratio, bool aligned);

/// Bytes of scratch that nms needs for n boxes; the same for soft_nms.
inline int64_t nms_scratch(int64_t n, int64_t itemsize) { return checked_mul(checked_add(n, 64), 40 + 7 * itemsize); }

/// keep: room for n indices; count: how many were written.
FASTNN_KERNEL(nms_select, int type, int64_t* keep, int64_t* count, const void* boxes, const void* scores,
              const int64_t* classes, int64_t n, double threshold, void* scratch)
FASTNN_KERNEL(soft_nms_select, int type, int64_t* keep, void* kept_scores, int64_t* count, const void* boxes,
              const void* scores, int64_t n, bool gaussian, double threshold, double sigma, double score_threshold,
              void* scratch)

struct RoiGeometry {
  int64_t images, height, width, channels, regions, out_height, out_width, sampling_ratio;
  double scale;
  bool aligned;
};
/// place: cell (y * width + x) of each maximum, -1 where the bin is empty.
FASTNN_KERNEL(roi_pool_forward, int type, void* y, int64_t* place, const void* x, const void* regions,
              const RoiGeometry& g)
FASTNN_KERNEL(roi_pool_backward, int type, void* dx, const void* dy, const int64_t* place, const void* regions,
              const RoiGeometry& g)
FASTNN_KERNEL(roi_align_forward, int type, void* y, const void* x, const void* regions, const RoiGeometry& g)
FASTNN_KERNEL(roi_align_backward, int type, void* dx, const void* dy, const void* regions, const RoiGeometry& g)

}  // namespace fastnn
