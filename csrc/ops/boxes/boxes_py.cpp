#include "ops/boxes/boxes.h"
#include "python/bind.h"

namespace fastnn {

// fastnn.vision.ops holds the public functions.
void bind_boxes(Binder& b) {
  b.function(
      "_nms",
      [](const Tensor& boxes, const Tensor& scores, const std::optional<Tensor>& classes, double iou_threshold) {
        return nms(classes ? "batched_nms" : "nms", boxes, scores, classes.value_or(Tensor()), iou_threshold);
      },
      "boxes"_a, "scores"_a, "classes"_a, "iou_threshold"_a,
      "Indices of the boxes that non-maximum suppression keeps.");
  b.function(
      "_soft_nms",
      [](const Tensor& boxes, const Tensor& scores, bool gaussian, double iou_threshold, double sigma,
         double score_threshold) {
        const SoftNms out = soft_nms(boxes, scores, gaussian, iou_threshold, sigma, score_threshold);
        return std::make_tuple(out.keep, out.scores);
      },
      "boxes"_a, "scores"_a, "gaussian"_a, "iou_threshold"_a, "sigma"_a, "score_threshold"_a,
      "Indices and scores of the boxes in the order in which soft suppression takes them.");
  b.function("_roi_pool", &roi_pool, "x"_a, "regions"_a, "height"_a, "width"_a, "spatial_scale"_a,
             "Maxima over the bins of regions.");
  b.function("_roi_align", &roi_align, "x"_a, "regions"_a, "height"_a, "width"_a, "spatial_scale"_a, "sampling_ratio"_a,
             "aligned"_a, "Means over bilinear samples in the bins of regions.");
}

}  // namespace fastnn
