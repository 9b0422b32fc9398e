"""Classification and regression metrics as functions ``metric(pred, target)`` on tensors or arrays.

`pred` comes before `target`, as in the losses (scikit-learn has them the other way round). The numbers are those of
scikit-learn. `pred` may hold

* class ids (integers or bools), of the shape of `target`;
* scores ``[N, ..., C]`` with floats, one column per class: the largest wins (the first of equals);
* scores ``[N, ..., C]`` beside targets that are probabilities (mixed, smoothed): the largest wins on both sides;
* binary scores of the shape of `target` (or with one trailing 1): positive where ``> threshold``. The default 0.5
  suits probabilities; for logits use 0.
"""

from __future__ import annotations

import numpy as np

from .._arrays import to_numpy

__all__ = [
    "accuracy", "top_k_accuracy", "confusion_matrix", "precision", "recall", "f1_score", "fbeta_score",
    "mean_squared_error", "mean_absolute_error", "class_ids", "scores_from_counts", "error_rate", "by_slice",
]  # fmt: skip


def class_ids(pred, target, threshold: float = 0.5, what: str = "metric"):
    """Predictions and targets as flat int64 class ids; see the module docstring for the accepted forms.

    Raises
    ------
    ValueError
        When the shapes do not go together or a score is NaN.
    IndexError
        For a negative class id.
    """
    p, t = to_numpy(pred), to_numpy(target)
    if t.ndim == p.ndim > 1 and t.shape == (*p.shape[:-1], 1) != p.shape:
        t = t[..., 0]  # targets [N, 1] beside scores [N, C]
    if t.dtype.kind == "f" and t.shape == p.shape and t.ndim > 1 and _are_probabilities(t):
        t = t.argmax(axis=-1)
    if p.dtype.kind == "f":
        if p.shape == (*t.shape, 1):
            p = p[..., 0]
        if np.isnan(p).any():
            raise ValueError(f"{what}: the predictions hold NaN")
        if p.ndim == t.ndim + 1 and p.shape[:-1] == t.shape and p.shape[-1] > 1:
            p = p.argmax(axis=-1)
        elif p.shape == t.shape:
            p = p > threshold
    elif p.shape == (*t.shape, 1):
        p = p[..., 0]
    if p.shape != t.shape:
        raise ValueError(f"{what}: pred of shape {list(to_numpy(pred).shape)} does not go with target {list(t.shape)}")
    if t.dtype.kind == "f":
        if not np.array_equal(t, np.floor(t)):
            raise ValueError(f"{what}: targets must be class ids, got fractions")
    elif t.dtype.kind not in "iub":
        raise TypeError(f"{what}: targets must be class ids, got {t.dtype}")
    p, t = (a.reshape(-1).astype(np.int64) for a in (p, t))
    for name, a in (("pred", p), ("target", t)):
        if a.size and a.min() < 0:
            raise IndexError(f"{what}: {name} has the class id {a.min()}, expected ids >= 0")
    return p, t


def _are_probabilities(t) -> bool:
    """Whether rows are shares of one: some are fractions, so they are not several 0-or-1 labels."""
    return not np.array_equal(t, np.floor(t)) and bool((t >= 0).all()) and np.allclose(t.sum(-1), 1, atol=1e-4)


def accuracy(pred, target, threshold: float = 0.5, sample_weight=None) -> float:
    """Fraction of correct predictions; NaN for no items.

    Parameters
    ----------
    sample_weight : array of the shape of `target`, optional
        Weights >= 0: ``sum w_i 1{right} / sum w_i``. A mistake that must not happen weighs 10 or 100.
    """
    p, t = class_ids(pred, target, threshold, "accuracy")
    return _weighted_mean(p == t, sample_weight, "accuracy")


def error_rate(pred, target, threshold: float = 0.5, sample_weight=None) -> float:
    """Fraction of wrong predictions, 1 - `accuracy`: ``sum w_i 1{wrong} / sum w_i``."""
    p, t = class_ids(pred, target, threshold, "error_rate")
    return _weighted_mean(p != t, sample_weight, "error_rate")


def _weighted_mean(values, weights, what):
    if weights is None:
        return float(np.mean(values)) if values.size else float("nan")
    w = to_numpy(weights).reshape(-1).astype(np.float64)
    if len(w) != values.size:
        raise ValueError(f"{what}: expected {values.size} sample weights, got {len(w)}")
    if not np.isfinite(w).all() or (w < 0).any() or (w.size and not w.sum() > 0):
        raise ValueError(f"{what}: sample weights must be finite, >= 0 and not all 0")
    return float((values * w).sum() / w.sum()) if w.size else float("nan")


def by_slice(metric, pred, target, slices) -> dict:
    """A metric on every part of the data, and the mean of the parts: one number to choose by.

    Parameters
    ----------
    metric : callable
        ``metric(pred, target) -> number``.
    slices : array [N]
        The part each item belongs to: a country, a device, a source.

    Returns
    -------
    dict
        One value per slice, in sorted order, and ``"average"``: every slice counts the same, however small.
    """
    p, t, s = to_numpy(pred), to_numpy(target), to_numpy(slices).reshape(-1)
    if not len(s) == len(p) == len(t) or not len(s):
        raise ValueError(f"by_slice: expected one slice an item and at least one, got {len(s)} for {len(t)}")
    values = {name: float(metric(p[s == name], t[s == name])) for name in np.unique(s).tolist()}
    return {**values, "average": float(np.mean(list(values.values())))}


def top_k_accuracy(pred, target, k: int = 5) -> float:
    """Fraction of items whose class is among the `k` largest scores ``[N, C]``. Equal scores count against it."""
    p, t = to_numpy(pred), to_numpy(target).reshape(-1).astype(np.int64)
    if p.ndim != 2 or len(p) != len(t) or not 1 <= k <= p.shape[1]:
        raise ValueError(
            f"top_k_accuracy: expected scores [N, C] with C >= k={k} and N targets, got {list(p.shape)}, {t.size}"
        )
    if t.size and not (0 <= t.min() and t.max() < p.shape[1]):
        raise IndexError(f"top_k_accuracy: a target lies outside the {p.shape[1]} classes")
    own = p[np.arange(len(t)), t][:, None]
    ahead = (p >= own).sum(axis=1) - 1
    return float(np.mean(ahead < k)) if t.size else float("nan")


def confusion_matrix(pred, target, num_classes: int | None = None, threshold: float = 0.5) -> np.ndarray:
    """Counts int64 ``[C, C]``: row = true class, column = predicted class.

    Parameters
    ----------
    num_classes : int, optional
        C; default one more than the largest id seen.

    Raises
    ------
    IndexError
        For an id outside ``0 .. C-1``.
    """
    p, t = class_ids(pred, target, threshold, "confusion_matrix")
    seen = int(max(p.max(), t.max())) + 1 if t.size else 0
    c = seen if num_classes is None else int(num_classes)
    if seen > c:
        raise IndexError(f"confusion_matrix: class id {seen - 1} is out of range for {c} classes")
    if c > 1 << 15:
        raise ValueError(f"confusion_matrix: {c} classes would take a matrix of {c * c * 8} bytes; pass remapped ids")
    return np.bincount(t * c + p, minlength=c * c).reshape(c, c) if c else np.zeros((0, 0), np.int64)


def precision(pred, target, average: str | None = "binary", **options):
    """``TP / (TP + FP)``. See `fbeta_score` for the arguments."""
    return _scores("precision", pred, target, average, **options)


def recall(pred, target, average: str | None = "binary", **options):
    """``TP / (TP + FN)``. See `fbeta_score` for the arguments."""
    return _scores("recall", pred, target, average, **options)


def f1_score(pred, target, average: str | None = "binary", **options):
    """``2 TP / (2 TP + FP + FN)``. See `fbeta_score` for the arguments."""
    return _scores("fbeta", pred, target, average, **options)


def fbeta_score(pred, target, beta: float, average: str | None = "binary", **options):
    """``(1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP)``.

    Parameters
    ----------
    average : {"binary", "micro", "macro", "weighted", None}
        The score of class `pos_label` alone; of the summed counts; the mean over classes; that mean weighted by the
        number of true items; or one number per class.
    pos_label : int
        The positive class of "binary"; default 1.
    num_classes : int, optional
        Average over classes ``0 .. num_classes-1``; default the classes that occur in `pred` or `target`, as in
        scikit-learn.
    zero_division : float
        Value where the denominator is 0; default 0.
    threshold : float
        See the module docstring.
    """
    if not beta > 0:
        raise ValueError(f"fbeta_score: beta must be > 0, got {beta}")
    return _scores("fbeta", pred, target, average, beta=beta, **options)


def _scores(kind, pred, target, average, pos_label=1, num_classes=None, zero_division=0.0, threshold=0.5, beta=1.0):
    matrix = confusion_matrix(pred, target, num_classes, threshold)
    return scores_from_counts(kind, matrix, average, pos_label, num_classes is None, zero_division, beta)


def scores_from_counts(kind, matrix, average="binary", pos_label=1, only_seen=True, zero_division=0.0, beta=1.0):
    """Precision, recall or F-beta from a confusion matrix (rows true, columns predicted)."""
    what = {"precision": "precision", "recall": "recall", "fbeta": "f1_score" if beta == 1 else "fbeta_score"}[kind]
    tp = np.diagonal(matrix).astype(np.float64)
    fp, fn = matrix.sum(axis=0) - tp, matrix.sum(axis=1) - tp
    if average == "binary":
        if len(matrix) > 2 and (matrix[2:].any() or matrix[:, 2:].any()):
            raise ValueError(
                f"{what}: average='binary' but there are {len(matrix)} classes; use micro, macro, weighted or None"
            )
        tp, fp, fn = (a[pos_label : pos_label + 1] if pos_label < len(a) else np.zeros(1) for a in (tp, fp, fn))
    elif average == "micro":
        tp, fp, fn = (a.sum(keepdims=True) for a in (tp, fp, fn))
    elif average not in ("macro", "weighted", None):
        raise ValueError(f"{what}: average must be binary, micro, macro, weighted or None, got {average!r}")
    elif only_seen:
        seen = tp + fp + fn > 0
        tp, fp, fn = tp[seen], fp[seen], fn[seen]
    b2 = beta * beta
    over, under = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "fbeta": ((1 + b2) * tp, (1 + b2) * tp + b2 * fn + fp),
    }[kind]
    score = np.divide(over, under, out=np.full(len(tp), float(zero_division)), where=under > 0)
    if average is None:
        return score
    if not score.size:
        return float("nan")
    if average == "weighted":
        support = tp + fn
        return float((score * support).sum() / support.sum()) if support.sum() else float(zero_division)
    return float(score.mean())


def _pair(pred, target, what):
    p, t = (to_numpy(a).astype(np.float64) for a in (pred, target))
    if p.shape != t.shape:
        raise ValueError(f"{what}: pred {list(p.shape)} and target {list(t.shape)} must have the same shape")
    return p, t


def mean_squared_error(pred, target) -> float:
    """Mean of ``(pred - target)^2`` over all elements, in float64."""
    p, t = _pair(pred, target, "mean_squared_error")
    return float(np.mean((p - t) ** 2)) if p.size else float("nan")


def mean_absolute_error(pred, target) -> float:
    """Mean of ``|pred - target|`` over all elements, in float64."""
    p, t = _pair(pred, target, "mean_absolute_error")
    return float(np.mean(np.abs(p - t))) if p.size else float("nan")
