"""Metrics that are fed batch by batch: ``update(pred, target)``, ``compute()``, ``reset()``.

The result is that of one call on all batches together. The state goes into checkpoints, so that an epoch that is
resumed in the middle reports the whole epoch.
"""

from __future__ import annotations

import numpy as np

from .._arrays import to_numpy
from . import functional as F

__all__ = ["Metric", "Mean", "Accuracy", "ConfusionMatrix", "Precision", "Recall", "F1", "MeanSquaredError",
           "MeanAbsoluteError", "OfTask", "get_metric"]  # fmt: skip


class Metric:
    """Base class. `name` is the key in histories; `higher_is_better` tells early stopping the direction."""

    name = "metric"
    higher_is_better = True

    def update(self, pred, target) -> None:
        """Take in one batch."""
        raise NotImplementedError(f"{type(self).__name__} must define update(pred, target)")

    def compute(self):
        """The metric of everything since the last `reset`."""
        raise NotImplementedError(f"{type(self).__name__} must define compute()")

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__} must define reset()")

    def state_dict(self) -> dict:
        """What was counted so far: arrays and numbers."""
        return {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in vars(self).items() if k.startswith("_")}

    def load_state_dict(self, state: dict) -> None:
        """Continue from what `state_dict` returned."""
        if set(state) != set(self.state_dict()):
            raise ValueError(f"{self.name}: the saved state has {sorted(state)}, expected {sorted(self.state_dict())}")
        vars(self).update(state)

    def __repr__(self):
        return f"{type(self).__name__}({self.compute()})"


class Mean(Metric):
    """Weighted mean of numbers: ``update(value, weight)``, summed in float64. NaN before the first update."""

    higher_is_better = False

    def __init__(self, name: str = "mean"):
        self.name = name
        self.reset()

    def reset(self):
        self._sum, self._weight = 0.0, 0.0

    def update(self, value, weight: float = 1.0):
        self._sum += float(value) * float(weight)
        self._weight += float(weight)

    @property
    def empty(self) -> bool:
        """Nothing was taken in since the last `reset`."""
        return self._weight == 0

    def compute(self) -> float:
        return self._sum / self._weight if self._weight else float("nan")


class Accuracy(Metric):
    """Fraction of correct predictions; `fastnn.metrics.accuracy` over all batches."""

    name = "accuracy"

    def __init__(self, threshold: float = 0.5):
        self.threshold = threshold
        self.reset()

    def reset(self):
        self._right = self._count = 0

    def update(self, pred, target):
        p, t = F.class_ids(pred, target, self.threshold, self.name)
        self._right += int(np.count_nonzero(p == t))
        self._count += t.size

    def compute(self) -> float:
        return self._right / self._count if self._count else float("nan")


class ConfusionMatrix(Metric):
    """Counts ``[C, C]``, row = true class, column = predicted. Without `num_classes` it grows with the ids seen."""

    name = "confusion_matrix"

    def __init__(self, num_classes: int | None = None, threshold: float = 0.5):
        self.num_classes, self.threshold = num_classes, threshold
        self.reset()

    def reset(self):
        c = self.num_classes or 0
        self._matrix = np.zeros((c, c), np.int64)

    def update(self, pred, target):
        new = F.confusion_matrix(pred, target, self.num_classes, self.threshold)
        if len(new) < len(self._matrix):
            new, self._matrix = self._matrix.copy(), new
        elif len(new) == len(self._matrix):
            self._matrix += new
            return
        new[: len(self._matrix), : len(self._matrix)] += self._matrix
        self._matrix = new

    def compute(self):
        return self._matrix.copy()


class _FromCounts(ConfusionMatrix):
    kind = ""

    def __init__(self, average: str | None = "binary", *, num_classes: int | None = None, pos_label: int = 1,
                 zero_division: float = 0.0, threshold: float = 0.5):  # fmt: skip
        self.average, self.pos_label, self.zero_division = average, pos_label, zero_division
        super().__init__(num_classes, threshold)

    def compute(self):
        return F.scores_from_counts(
            self.kind, self._matrix, self.average, self.pos_label, self.num_classes is None, self.zero_division
        )


class Precision(_FromCounts):
    """``TP / (TP + FP)``; arguments of `fastnn.metrics.precision`."""

    name, kind = "precision", "precision"


class Recall(_FromCounts):
    """``TP / (TP + FN)``; arguments of `fastnn.metrics.recall`."""

    name, kind = "recall", "recall"


class F1(_FromCounts):
    """``2 TP / (2 TP + FP + FN)``; arguments of `fastnn.metrics.f1_score`."""

    name, kind = "f1", "fbeta"


class _ElementMean(Mean):
    def update(self, pred, target):
        p, t = F._pair(pred, target, self.name)
        super().update(self._error(p, t).mean() if p.size else 0.0, p.size)


class MeanSquaredError(_ElementMean):
    """Mean of ``(pred - target)^2`` over all elements."""

    def __init__(self, name: str = "mse"):
        super().__init__(name)

    @staticmethod
    def _error(p, t):
        return (p - t) ** 2


class MeanAbsoluteError(_ElementMean):
    """Mean of ``|pred - target|`` over all elements."""

    def __init__(self, name: str = "mae"):
        super().__init__(name)

    @staticmethod
    def _error(p, t):
        return np.abs(p - t)


class OfTask(Metric):
    """A metric of one task of a `fastnn.nn.MultiTask` model, over the items whose label is known.

    Parameters
    ----------
    task : str
        Key of the model's outputs.
    column : int
        Column of the targets ``[N, T]``; a label that is NaN or negative is unknown and counts for nothing.
    metric : Metric, name or function
        Default "accuracy". The history column is ``task_metric``.
    """

    def __init__(self, task: str, column: int, metric="accuracy"):
        self.task, self.column, self.metric = str(task), int(column), get_metric(metric)
        self.name = f"{self.task}_{self.metric.name}"
        self.higher_is_better = self.metric.higher_is_better

    def update(self, pred, target):
        if self.task not in pred:
            raise ValueError(f"{self.name}: the model has no output {self.task!r}; it has {', '.join(pred)}")
        labels = to_numpy(target)
        if labels.ndim != 2 or not 0 <= self.column < labels.shape[1]:
            raise ValueError(f"{self.name}: expected targets [N, T] with a column {self.column}, got {labels.shape}")
        labels = labels[:, self.column]
        known = labels >= 0
        if known.any():
            self.metric.update(to_numpy(pred[self.task])[known], labels[known])

    def compute(self):
        return self.metric.compute()

    def reset(self):
        self.metric.reset()

    def state_dict(self):
        return self.metric.state_dict()

    def load_state_dict(self, state):
        self.metric.load_state_dict(state)


class _FromFunction(Metric):
    """A function ``(pred, target) -> number``, averaged over batches with the batch sizes as weights."""

    def __init__(self, function):
        self.name = getattr(function, "__name__", "metric")
        self.function = function
        self.reset()

    def reset(self):
        self._sum, self._count = 0.0, 0

    def update(self, pred, target):
        n = len(to_numpy(target)) if to_numpy(target).ndim else 1
        self._sum += float(self.function(pred, target)) * n
        self._count += n

    def compute(self) -> float:
        return self._sum / self._count if self._count else float("nan")


_BY_NAME = {"accuracy": Accuracy, "mse": MeanSquaredError, "mae": MeanAbsoluteError, "precision": Precision,
            "recall": Recall, "f1": F1}  # fmt: skip


def get_metric(metric) -> Metric:
    """A `Metric` from an instance, a name ("accuracy", "f1", ...) or a function ``(pred, target) -> number``."""
    if isinstance(metric, str):
        if metric not in _BY_NAME:
            raise ValueError(f"metrics: no metric is called {metric!r}; known: {', '.join(_BY_NAME)}")
        return _BY_NAME[metric]()
    if all(callable(getattr(metric, method, None)) for method in ("update", "compute", "reset")):
        return metric
    if callable(metric):
        return _FromFunction(metric)
    raise TypeError(f"metrics: expected a Metric, a name or a function, got {type(metric).__name__}")
