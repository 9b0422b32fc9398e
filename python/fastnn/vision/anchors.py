"""Anchor boxes: shapes ``(width, height)`` that detectors start from."""

from __future__ import annotations

import numpy as np

from .._C import Tensor, from_numpy, minimum

__all__ = ["assign_anchors", "kmeans_anchors", "shape_iou"]


def _shapes(op, name, wh):
    if not isinstance(wh, Tensor) or wh.ndim != 2 or wh.shape[1] != 2:
        got = list(wh.shape) if isinstance(wh, Tensor) else type(wh).__name__
        raise ValueError(f"{op}: expected {name} of shape [N, 2] (width, height), got {got}")
    return wh


def shape_iou(wh: Tensor, anchors: Tensor) -> Tensor:
    """IoU of shapes laid on the same centre: ``[N, 2]`` and ``[A, 2]`` (width, height) to ``[N, A]``."""
    a = _shapes("shape_iou", "wh", wh).unsqueeze(1)
    b = _shapes("shape_iou", "anchors", anchors).unsqueeze(0)
    inter = minimum(a[..., 0], b[..., 0]) * minimum(a[..., 1], b[..., 1])
    return inter / (a[..., 0] * a[..., 1] + b[..., 0] * b[..., 1] - inter)


def assign_anchors(wh: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """The anchor whose shape fits each box best.

    Parameters
    ----------
    wh : Tensor
        ``[N, 2]`` widths and heights of boxes.
    anchors : Tensor
        ``[A, 2]``.

    Returns
    -------
    (Tensor, Tensor)
        For every box the index (int64) of the anchor of the largest `shape_iou`, the first of equal ones, and that IoU.
    """
    if _shapes("assign_anchors", "anchors", anchors).shape[0] == 0:
        raise ValueError("assign_anchors: expected at least one anchor")
    iou = shape_iou(wh, anchors)
    best, index = iou.max(1)
    return index, best


def kmeans_anchors(wh: Tensor, k: int, seed: int = 0, max_iter: int = 300, restarts: int = 8) -> tuple[Tensor, float]:
    """Anchors learnt from the shapes of boxes: k-means with the distance 1 - `shape_iou` (YOLO9000).

    Starts from k-means++ (boxes far from the ones chosen so far are likelier), moves every anchor to the mean shape of
    its boxes, and stops when no box changes its anchor; the best of ``restarts`` such runs.

    Parameters
    ----------
    wh : Tensor
        ``[N, 2]`` positive widths and heights, N >= k.
    k : int
        Number of anchors.
    seed : int
        The same seed gives the same anchors.

    Returns
    -------
    (Tensor, float)
        ``[k, 2]`` anchors by rising area, float32, and the mean IoU of the boxes with their anchors.
    """
    data = _shapes("kmeans_anchors", "wh", wh).detach().cpu().numpy().astype(np.float64)
    if not 1 <= k <= len(data):
        raise ValueError(f"kmeans_anchors: k expects 1 to the number of boxes ({len(data)}), got {k}")
    if not (np.isfinite(data).all() and (data > 0).all()):
        raise ValueError("kmeans_anchors: expected positive widths and heights")
    if max_iter < 1 or restarts < 1:
        raise ValueError(f"kmeans_anchors: max_iter and restarts expect at least 1, got {max_iter} and {restarts}")

    def distance(to):
        inter = np.minimum(data[:, None, 0], to[None, :, 0]) * np.minimum(data[:, None, 1], to[None, :, 1])
        return 1 - inter / (data.prod(1)[:, None] + to.prod(1)[None] - inter)

    def learn():
        chosen = [int(rng.integers(len(data)))]
        nearest = distance(data[chosen])[:, 0]
        while len(chosen) < k:
            weights = nearest**2
            total = weights.sum()
            p = weights / total if total > 0 else None  # fewer than k different shapes: any will do
            chosen.append(int(rng.choice(len(data), p=p)))
            nearest = np.minimum(nearest, distance(data[chosen[-1:]])[:, 0])
        anchors, owner = data[chosen], None
        for _ in range(max_iter):
            now = distance(anchors).argmin(1)
            if owner is not None and (now == owner).all():
                break
            owner = now
            for a in range(k):
                mine = data[owner == a]
                # An anchor that lost all its boxes takes the one that is served worst.
                anchors[a] = mine.mean(0) if len(mine) else data[distance(anchors).min(1).argmax()]
        return float(1 - distance(anchors).min(1).mean()), anchors

    rng = np.random.default_rng(seed)
    quality, anchors = max((learn() for _ in range(restarts)), key=lambda found: found[0])
    anchors = anchors[np.argsort(anchors.prod(1), kind="stable")]
    return from_numpy(anchors.astype(np.float32)), quality
