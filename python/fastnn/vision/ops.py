"""Boxes, regions and affine maps of images, with the names of torchvision.ops where it has them.

A box is ``(x1, y1, x2, y2)`` in its last dimension. Images are channels-last, ``[N, H, W, C]``.
"""

from __future__ import annotations

import numpy as np

from .. import _C
from .._C import Tensor, broadcast_to, cat, full, maximum, minimum, stack

__all__ = [
    "affine_warp", "batched_nms", "box_area", "box_convert", "box_iou", "clip_boxes_to_image", "generalized_box_iou",
    "nms", "remove_small_boxes", "roi_align", "roi_pool", "soft_nms",
]  # fmt: skip


# --- geometry ---------------------------------------------------------------------------------------------------------


def _corners(op, boxes):
    if not isinstance(boxes, Tensor):
        raise TypeError(f"{op}: expected boxes as a Tensor, got {type(boxes).__name__}")
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise ValueError(f"{op}: expected boxes of shape [..., 4], got {list(boxes.shape)}")
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def box_area(boxes: Tensor) -> Tensor:
    """(x2 - x1) * (y2 - y1) of boxes ``[..., 4]``."""
    x1, y1, x2, y2 = _corners("box_area", boxes)
    return (x2 - x1) * (y2 - y1)


def _pairs(op, boxes1, boxes2):
    """Areas that pairs share and cover together, [N, M], and the corners of both as [N, 1] and [1, M]."""
    for boxes in (boxes1, boxes2):
        _corners(op, boxes)
        if boxes.ndim != 2:
            raise ValueError(f"{op}: expected boxes of shape [N, 4], got {list(boxes.shape)}")
    a = [v.unsqueeze(1) for v in _corners(op, boxes1)]
    b = [v.unsqueeze(0) for v in _corners(op, boxes2)]
    width = (minimum(a[2], b[2]) - maximum(a[0], b[0])).clamp(min=0)
    height = (minimum(a[3], b[3]) - maximum(a[1], b[1])).clamp(min=0)
    inter = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter, union, a, b


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every pair: ``[N, 4]`` and ``[M, 4]`` to ``[N, M]``. Differentiable."""
    inter, union, _, _ = _pairs("box_iou", boxes1, boxes2)
    return inter / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """IoU less the empty share of the smallest box around both, in (-1, 1] (Rezatofighi 2019). Differentiable.

    Unlike the IoU it has a gradient where two boxes do not meet. ``[N, 4]`` and ``[M, 4]`` to ``[N, M]``.
    """
    inter, union, a, b = _pairs("generalized_box_iou", boxes1, boxes2)
    around = (maximum(a[2], b[2]) - minimum(a[0], b[0])) * (maximum(a[3], b[3]) - minimum(a[1], b[1]))
    return inter / union - (around - union) / around


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes ``[..., 4]`` in another form.

    Parameters
    ----------
    in_fmt, out_fmt : {'xyxy', 'xywh', 'cxcywh'}
        Two corners; the first corner and the size; the centre and the size.
    """
    a, b, c, d = _corners("box_convert", boxes)
    for fmt in (in_fmt, out_fmt):
        if fmt not in ("xyxy", "xywh", "cxcywh"):
            raise ValueError(f"box_convert: expected 'xyxy', 'xywh' or 'cxcywh', got {fmt!r}")
    if in_fmt == out_fmt:
        return boxes.clone()
    if in_fmt == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - c * 0.5, b - d * 0.5, a + c * 0.5, b + d * 0.5
    if out_fmt == "xywh":
        a, b, c, d = a, b, c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) * 0.5, (b + d) * 0.5, c - a, d - b
    return stack([a, b, c, d], -1)


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes ``[..., 4]`` cut to an image of ``size = (height, width)``."""
    height, width = size
    x1, y1, x2, y2 = _corners("clip_boxes_to_image", boxes)
    if height < 0 or width < 0:
        raise ValueError(f"clip_boxes_to_image: size expects (height, width) from 0 on, got {tuple(size)}")
    return stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], -1)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Indices (int64) of the boxes ``[N, 4]`` whose sides are both at least ``min_size``; never one with a NaN."""
    x1, y1, x2, y2 = _corners("remove_small_boxes", boxes)
    if boxes.ndim != 2:
        raise ValueError(f"remove_small_boxes: expected boxes of shape [N, 4], got {list(boxes.shape)}")
    return ((x2 - x1 >= min_size) & (y2 - y1 >= min_size)).nonzero().reshape(-1)


# --- suppression ------------------------------------------------------------------------------------------------------


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: in falling order of score, a box is kept unless it overlaps a kept one too much.

    Exactly the boxes that comparing all pairs would keep, found through a grid in memory linear in N.

    Parameters
    ----------
    boxes : Tensor
        ``[N, 4]`` corners, float32 or float64. A box without area neither suppresses nor is suppressed.
    scores : Tensor
        ``[N]`` of the same dtype.
    iou_threshold : float
        In [0, 1]: a box goes when inter > iou_threshold * union with a kept one.

    Returns
    -------
    Tensor
        Indices (int64) in falling order of score, equal scores in order of index. Boxes and scores with a NaN are left
        out.
    """
    return _C._nms(boxes, scores, None, iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """`nms` within each class: boxes whose ``idxs`` (integers ``[N]``) differ do not meet.

    Classes are kept apart as such, not by moving boxes (which costs float32 digits), so each box's fate is that of
    `nms` on its class alone.
    """
    return _C._nms(boxes, scores, idxs, iou_threshold)


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    score_threshold: float = 0.001,
    method: str = "linear",
) -> tuple[Tensor, Tensor]:
    """Suppression that lowers scores instead of dropping boxes (Bodla 2017).

    The box of the largest score is taken, the scores of the others shrink with their overlap with it, and so on until
    all left are below ``score_threshold``.

    Parameters
    ----------
    boxes, scores : Tensor
        ``[N, 4]`` and ``[N]``, as for `nms`.
    iou_threshold : float
        Of the linear method: scores of boxes with a larger IoU are multiplied by 1 - IoU.
    sigma : float
        Of the gaussian method: all scores are multiplied by exp(-IoU^2 / sigma).
    method : {'linear', 'gaussian'}

    Returns
    -------
    (Tensor, Tensor)
        Indices (int64) of the boxes in the order of taking, and their scores then.
    """
    if method not in ("linear", "gaussian"):
        raise ValueError(f"soft_nms: method expects 'linear' or 'gaussian', got {method!r}")
    return _C._soft_nms(boxes, scores, method == "gaussian", iou_threshold, sigma, score_threshold)


# --- regions ----------------------------------------------------------------------------------------------------------


def _regions(op, boxes):
    """``[K, 5]`` rows of (image, x1, y1, x2, y2); a list holds one ``[L, 4]`` tensor an image."""
    if isinstance(boxes, Tensor):
        return boxes
    rows = []
    for n, b in enumerate(boxes):
        _corners(op, b)
        if b.ndim != 2:
            raise ValueError(f"{op}: expected boxes of shape [L, 4] for every image, got {list(b.shape)}")
        rows.append(cat([full((b.shape[0], 1), float(n), dtype=b.dtype, device=b.device), b], 1))
    if not rows:
        raise ValueError(f"{op}: expected boxes [K, 5] or a list of [L, 4] with one entry an image, got an empty list")
    return cat(rows, 0)


def _size(op, output_size, name="output_size"):
    size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
    if len(size) != 2:
        raise ValueError(f"{op}: {name} expects one number or (height, width), got {output_size!r}")
    return size


def roi_pool(input: Tensor, boxes, output_size, spatial_scale: float = 1.0) -> Tensor:
    """Maxima over the bins of regions (Fast R-CNN): each region becomes ``output_size`` cells.

    Parameters
    ----------
    input : Tensor
        ``[N, H, W, C]``, channels last.
    boxes : Tensor or list of Tensor
        ``[K, 5]`` rows of (index of the image, x1, y1, x2, y2), or ``[L, 4]`` boxes for each image.
    output_size : int or (int, int)
        Height and width of the result.
    spatial_scale : float
        From box coordinates to cells of ``input``. Corners are rounded to cells, the far one included.

    Returns
    -------
    Tensor
        ``[K, height, width, C]``; 0 where a bin lies outside the image. The gradient goes to ``input``.

    Raises
    ------
    IndexError
        For a region of an image that is not there.
    ValueError
        For coordinates that are not finite.
    """
    return _C._roi_pool(input, _regions("roi_pool", boxes), *_size("roi_pool", output_size), spatial_scale)


def roi_align(
    input: Tensor,
    boxes,
    output_size,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Means over bilinear samples in the bins of regions (Mask R-CNN): nothing is rounded.

    Parameters
    ----------
    input, boxes, output_size, spatial_scale
        As for `roi_pool`.
    sampling_ratio : int
        Samples an axis in every bin. 0 or less: as many as the bin has cells, rounded up. At most 4096.
    aligned : bool
        Cells are centred on half coordinates, which fits them better; False is the original.

    Returns
    -------
    Tensor
        ``[K, height, width, C]``; samples outside the image count as 0. The gradient goes to ``input``.
    """
    h, w = _size("roi_align", output_size)
    return _C._roi_align(input, _regions("roi_align", boxes), h, w, spatial_scale, sampling_ratio, aligned)


# --- maps -------------------------------------------------------------------------------------------------------------


def affine_warp(
    input: Tensor,
    matrix,
    size=None,
    mode: str = "bilinear",
    border: str = "constant",
    fill: float = 0.0,
) -> Tensor:
    """Images seen through affine maps: turned, sheared, scaled, moved, mirrored, cut out, all in one pass.

    Cell (row i, column j) of the result reads its image at column u and row v with ``(u, v) = matrix @ (j, i, 1)``;
    positions count cells, (0, 0) is the centre of the first. Images that are only moved and mirrored by whole cells are
    copied as they are.

    Parameters
    ----------
    input : Tensor
        ``[N, H, W, C]``, channels last: uint8 (rounded to nearest), float32 or float64. The gradient goes to it.
    matrix : Tensor or array
        ``[N, 2, 3]``, used as float64; ``[2, 3]`` for all images alike.
    size : int or (int, int), optional
        Height and width of the result; default those of ``input``.
    mode : {'bilinear', 'nearest', 'bicubic'}
        bicubic has a = -3/4, as PyTorch's.
    border : {'constant', 'edge', 'reflect', 'symmetric'}
        What lies outside: ``fill``; the cell at the border; the image mirrored at the centre or at the outer edge of
        that cell.
    fill : float

    Returns
    -------
    Tensor
        ``[N, height, width, C]`` of the dtype of ``input``. A position that is not finite gives ``fill``.
    """
    if not isinstance(input, Tensor) or input.ndim != 4:
        got = list(input.shape) if isinstance(input, Tensor) else type(input).__name__
        raise (ValueError if isinstance(input, Tensor) else TypeError)(
            f"affine_warp: expected input as a Tensor [N, H, W, C] (channels last), got {got}"
        )
    m = matrix.double() if isinstance(matrix, Tensor) else _C.from_numpy(np.array(matrix, np.float64)).to(input.device)
    if tuple(m.shape) == (2, 3):
        m = broadcast_to(m, (input.shape[0], 2, 3))
    height, width = input.shape[1:3] if size is None else _size("affine_warp", size, "size")
    return _C._affine_warp(input, m, height, width, mode, border, fill)
