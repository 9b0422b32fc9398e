#include <climits>
#include <cmath>
#include <cstring>

#include "autograd/op.h"
#include "ops/boxes/boxes.h"
#include "ops/elementwise/elementwise.h"
#include "ops/index/index.h"
#include "runtime/launch.h"

namespace fastnn {
namespace {

void check_pair(const char* op, const Tensor& boxes, const Tensor& scores) {
  if (!boxes.is_floating()) throw TypeError(str(op, ": expected float32 or float64 boxes, got ", boxes.dtype()));
  if (boxes.dtype() != scores.dtype())
    throw TypeError(str(op, ": expected scores of dtype ", boxes.dtype(), ", as the boxes, got ", scores.dtype()));
  if (boxes.dim() != 2 || boxes.shape()[1] != 4)
    throw ValueError(str(op, ": expected boxes of shape [N, 4], got ", boxes.shape()));
  if (scores.dim() != 1 || scores.shape()[0] != boxes.shape()[0])
    throw ValueError(str(op, ": expected scores of shape [", boxes.shape()[0], "], got ", scores.shape()));
  detail::check_device_of(op, boxes.device(), scores);
  if (boxes.shape()[0] > INT_MAX - 64) throw ValueError(str(op, ": ", boxes.shape()[0], " boxes are too many"));
}

void check_threshold(const char* op, const char* what, double v) {
  if (!(v >= 0 && v <= 1)) throw ValueError(str(op, ": ", what, " expects a number in [0, 1], got ", v));
}

// The first `count` elements in memory of their own.
Tensor head(const Tensor& x, const Tensor& count) { return clone(alias(x, {item(count).i}, {1}, x.impl()->offset)); }

}  // namespace

Tensor nms(const char* op, const Tensor& boxes, const Tensor& scores, const Tensor& classes, double iou_threshold) {
  check_pair(op, boxes, scores);
  check_threshold(op, "iou_threshold", iou_threshold);
  Tensor groups;
  if (classes.defined()) {
    detail::check_device_of(op, boxes.device(), classes);
    groups = as_index(op, classes);
    if (groups.shape() != scores.shape())
      throw ValueError(str(op, ": expected classes of shape ", scores.shape(), ", got ", classes.shape()));
  }
  refuse_in_capture("nms: a shape depends on data");
  const DeviceGuard here(boxes.device());
  const int64_t n = scores.numel();
  const Tensor b = contiguous(boxes.detach()), s = contiguous(scores.detach());
  const Tensor keep = empty({n}, DType::int64), scratch = empty({nms_scratch(n, b.itemsize())}, DType::uint8);
  const Tensor count = empty({}, DType::int64);
  launch(kernels::nms_select, static_cast<int>(b.dtype()), keep.data<int64_t>(), count.data<int64_t>(), b.raw(),
         s.raw(), groups.defined() ? groups.data<int64_t>() : nullptr, n, iou_threshold, scratch.raw());
  return head(keep, count);
}

SoftNms soft_nms(const Tensor& boxes, const Tensor& scores, bool gaussian, double iou_threshold, double sigma,
                 double score_threshold) {
  const char* op = "soft_nms";
  check_pair(op, boxes, scores);
  check_threshold(op, "iou_threshold", iou_threshold);
  if (!(sigma > 0 && std::isfinite(sigma))) throw ValueError(str(op, ": sigma expects a positive number, got ", sigma));
  if (!std::isfinite(score_threshold))
    throw ValueError(str(op, ": score_threshold expects a finite number, got ", score_threshold));
  refuse_in_capture("soft_nms: a shape depends on data");
  const DeviceGuard here(boxes.device());
  const int64_t n = scores.numel();
  const Tensor b = contiguous(boxes.detach()), s = contiguous(scores.detach()), taken = empty({n}, b.dtype());
  const Tensor keep = empty({n}, DType::int64), scratch = empty({nms_scratch(n, b.itemsize())}, DType::uint8);
  const Tensor count = empty({}, DType::int64);
  launch(kernels::soft_nms_select, static_cast<int>(b.dtype()), keep.data<int64_t>(), taken.raw(),
         count.data<int64_t>(), b.raw(), s.raw(), n, gaussian, iou_threshold, sigma, score_threshold, scratch.raw());
  return {head(keep, count), head(taken, count)};
}

}  // namespace fastnn
