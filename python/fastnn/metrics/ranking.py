"""Metrics of scores before a threshold is chosen: ROC and precision-recall curves, their areas, and calibration.

`scores` come before `target`, as everywhere in this package; the numbers are those of scikit-learn. Higher scores
mean the positive class. Equal scores are one step of a curve: no order among them is invented.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import to_numpy

__all__ = [
    "roc_curve", "roc_auc", "precision_recall_curve", "average_precision", "auc", "calibration_curve",
    "expected_calibration_error", "brier_score", "Curve", "Reliability",
]  # fmt: skip


class Curve(NamedTuple):
    """Points of a curve: ``x``, ``y`` and the thresholds that give them (float64 arrays)."""

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray


class Reliability(NamedTuple):
    """Bins of predicted probabilities: the mean prediction, the observed frequency, and the number of items."""

    predicted: np.ndarray
    observed: np.ndarray
    count: np.ndarray


def _binary(scores, target, what):
    """Flat float64 scores, bool targets; both kinds must be there unless `what` can do without."""
    s, t = to_numpy(scores), to_numpy(target)
    if s.shape == (*t.shape, 1):
        s = s[..., 0]
    if s.shape != t.shape or not s.size:
        raise ValueError(
            f"{what}: expected one score a target and at least one, got {list(s.shape)} and {list(t.shape)}"
        )
    s, t = s.reshape(-1).astype(np.float64), t.reshape(-1)
    if np.isnan(s).any():
        raise ValueError(f"{what}: the scores hold NaN")
    if not np.isin(t, (0, 1)).all():
        raise ValueError(f"{what}: targets must be 0 or 1, got {t[~np.isin(t, (0, 1))][0]}")
    return s, t.astype(bool)


def _counts(scores, target, what, need_negative=True):
    """True and false positives at every distinct threshold, from the highest down."""
    s, t = _binary(scores, target, what)
    if not t.any() or (need_negative and t.all()):
        raise ValueError(f"{what}: not defined when all {t.size} targets are {'1' if t.any() else '0'}")
    order = np.argsort(-s, kind="stable")
    s, t = s[order], t[order]
    last = np.append(np.flatnonzero(s[1:] != s[:-1]), len(s) - 1)  # the last of equal scores
    tp = np.cumsum(t)[last]
    return tp.astype(np.float64), (last + 1 - tp).astype(np.float64), s[last]


def auc(x, y) -> float:
    """Area under the points by the trapezoidal rule; `x` must go one way."""
    x, y = (to_numpy(a).astype(np.float64).reshape(-1) for a in (x, y))
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(f"auc: expected two or more points, got {len(x)} x and {len(y)} y")
    steps = np.diff(x)
    if (steps > 0).any() and (steps < 0).any():
        raise ValueError("auc: x goes up and down; sort the points")
    return float(abs(((y[1:] + y[:-1]) / 2 * steps).sum()))


def roc_curve(scores, target) -> Curve:
    """False-positive rate (x) and true-positive rate (y) for every threshold, from (0, 0) to (1, 1).

    Parameters
    ----------
    scores : array [N]
        Probabilities or any other scores.
    target : array [N] of 0 and 1

    Returns
    -------
    Curve
        With a first threshold of infinity: nothing is called positive.

    Raises
    ------
    ValueError
        For NaN, other targets, or only one kind of target.
    """
    tp, fp, thresholds = _counts(scores, target, "roc_curve")
    x, y = (np.concatenate([[0.0], a / a[-1]]) for a in (fp, tp))
    return Curve(x, y, np.concatenate([[np.inf], thresholds]))


def roc_auc(scores, target, average: str | None = "macro"):
    """Area under the ROC curve: the probability that a positive scores higher than a negative (ties count half).

    Parameters
    ----------
    scores : array [N], or [N, C] with one column per class
    target : array [N]
        0 and 1, or class ids 0 .. C-1. With columns every class is held against the rest.
    average : {"macro", "weighted", None}
        Of the classes: plain mean, mean weighted by the number of true items, or one number per class.
    """
    return _per_class("roc_auc", scores, target, average, lambda s, t: auc(*roc_curve(s, t)[:2]))


def precision_recall_curve(scores, target) -> Curve:
    """Recall (x) and precision (y) for every threshold, recall rising; the first point is (0, 1).

    Raises
    ------
    ValueError
        For NaN, other targets, or no positive target.
    """
    tp, fp, thresholds = _counts(scores, target, "precision_recall_curve", need_negative=False)
    recall, precision = tp / tp[-1], tp / (tp + fp)
    return Curve(np.append(0.0, recall), np.append(1.0, precision), np.append(np.inf, thresholds))


def average_precision(scores, target, average: str | None = "macro"):
    """``sum (R_k - R_(k-1)) P_k``: the area under the precision-recall curve in steps. Arguments as in `roc_auc`."""

    def one(s, t):
        recall, precision, _ = precision_recall_curve(s, t)
        return float((np.diff(recall) * precision[1:]).sum())

    return _per_class("average_precision", scores, target, average, one)


def _per_class(what, scores, target, average, one):
    s, t = to_numpy(scores), to_numpy(target)
    if s.ndim != 2 or s.shape[1] == 1:
        return one(s, t)
    if average not in ("macro", "weighted", None):
        raise ValueError(f"{what}: average must be macro, weighted or None, got {average!r}")
    t = t.reshape(-1)
    if len(s) != len(t) or (t.size and not (0 <= t.min() and t.max() < s.shape[1])):
        raise ValueError(f"{what}: expected {len(s)} class ids below {s.shape[1]}, got {len(t)} of {t.dtype}")
    values = np.array([one(s[:, c], t == c) for c in range(s.shape[1])])
    if average is None:
        return values
    support = np.bincount(t.astype(np.int64), minlength=s.shape[1])
    return float(np.average(values, weights=support if average == "weighted" else None))


def _confidences(probabilities, target, what):
    """Probability and outcome pairs: of class 1, or of the predicted class when there is a column per class."""
    p, t = to_numpy(probabilities), to_numpy(target)
    if p.ndim == 2 and p.shape[1] > 1:
        t = t.reshape(-1)
        if len(p) != len(t) or not len(t):
            raise ValueError(f"{what}: expected one target a row and at least one, got {list(p.shape)} and {len(t)}")
        if np.isnan(p).any() or p.min() < 0 or abs(p.sum(axis=1) - 1).max() > 1e-3:
            raise ValueError(f"{what}: expected probabilities, rows that add up to 1; apply softmax to logits first")
        return p.max(axis=1).astype(np.float64), p.argmax(axis=1) == t
    s, t = _binary(p, t, what)
    if s.min() < 0 or s.max() > 1:
        raise ValueError(f"{what}: expected probabilities from 0 to 1, got {s.min():g} to {s.max():g}")
    return s, t


def _bin(p, bins, strategy, what):
    if not isinstance(bins, (int, np.integer)) or bins < 1:
        raise ValueError(f"{what}: bins must be a whole number >= 1, got {bins!r}")
    if strategy == "uniform":
        edges = np.linspace(0, 1, bins + 1)
    elif strategy == "quantile":
        edges = np.quantile(p, np.linspace(0, 1, bins + 1))
    else:
        raise ValueError(f"{what}: strategy must be uniform or quantile, got {strategy!r}")
    return np.searchsorted(edges[1:-1], p)


def calibration_curve(probabilities, target, bins: int = 10, strategy: str = "uniform") -> Reliability:
    """How often what was predicted with a probability comes true: the reliability diagram's points.

    Parameters
    ----------
    probabilities : array [N] of the positive class, or [N, C]
        With a column per class: the probability of the predicted class, and whether it is right.
    target : array [N]
    bins : int
    strategy : {"uniform", "quantile"}
        Bins of equal width, or with equally many items. Empty bins are left out.
    """
    p, t = _confidences(probabilities, target, "calibration_curve")
    index = _bin(p, bins, strategy, "calibration_curve")
    count = np.bincount(index, minlength=bins)
    kept = count > 0
    mean = [np.bincount(index, weights=v, minlength=bins)[kept] / count[kept] for v in (p, t.astype(np.float64))]
    return Reliability(*mean, count[kept])


def expected_calibration_error(probabilities, target, bins: int = 15, strategy: str = "uniform") -> float:
    """Mean distance between predicted and observed frequency over the bins, weighted by items (Guo et al. 2017)."""
    r = calibration_curve(probabilities, target, bins, strategy)
    return float((abs(r.predicted - r.observed) * r.count).sum() / r.count.sum())


def brier_score(probabilities, target) -> float:
    """Mean squared distance of the probabilities from what came true; for ``[N, C]`` summed over classes."""
    p = to_numpy(probabilities)
    if p.ndim == 2 and p.shape[1] > 1:
        _confidences(p, target, "brier_score")
        t = to_numpy(target).reshape(-1)
        if not (0 <= t.min() and t.max() < p.shape[1]):
            raise IndexError(f"brier_score: a target lies outside the {p.shape[1]} classes")
        return float(((p.astype(np.float64) - (t[:, None] == np.arange(p.shape[1]))) ** 2).sum(axis=1).mean())
    s, t = _confidences(p, target, "brier_score")
    return float(((s - t) ** 2).mean())
