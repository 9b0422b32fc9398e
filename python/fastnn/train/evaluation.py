"""The part of the trainer that only looks at a model: scores and predictions, without a change to it."""

from __future__ import annotations

import copy

import numpy as np

from .._arrays import device_of, placed, to_numpy
from ..metrics import Mean

__all__ = ["Evaluation", "batch_size", "count_items", "number"]


def batch_size(target) -> int:
    """Number of items behind a target, the weight of the batch in means."""
    shape = getattr(target, "shape", None)
    if shape is None:
        return len(target) if hasattr(target, "__len__") else 1
    return int(shape[0]) if len(shape) else 1


def count_items(loss, target, default=None):
    """What the mean of a loss is over: ``loss.count(target)`` where the loss has it (tokens), else the batch size."""
    count = getattr(loss, "count", None)
    if callable(count):
        return count(target)
    return batch_size(target) if default is None else default


def number(value):
    """A metric with one number as a float; a matrix or a list per class as nested lists, which history can hold."""
    array = to_numpy(value)
    return float(array) if array.ndim == 0 else array.tolist()


def check_loader(op: str, loader) -> None:
    """A data set or tensor iterates by example, and each would be taken for a batch: TypeError."""
    from .. import _C
    from ..data import Dataset

    if isinstance(loader, (Dataset, _C.Tensor, np.ndarray)):
        raise TypeError(f"{op}: expected batches, got a {type(loader).__name__}; wrap it in a DataLoader")


class Evaluation:
    """`evaluate` and `predict` of a `Trainer`."""

    def evaluate(self, loader) -> dict:
        """Mean loss and metrics over a loader, in eval mode and without gradients."""
        import fastnn

        check_loader("evaluate", loader)
        running = Mean("loss")
        metrics = [copy.deepcopy(m) for m in self.metrics]
        for metric in metrics:
            metric.reset()
        training, device = self.model.training, device_of(self.model)
        self.model.eval()
        try:
            with fastnn.no_grad():
                for batch in loader:
                    if self._guard.requested:
                        break
                    loss, output, target = self.forward(placed(batch, device))
                    running.update(loss.item(), count_items(self.loss, target))
                    for metric in metrics:
                        metric.update(output, target)
        finally:
            self.model.train(training)
        if running.empty and not self._guard.requested:
            raise ValueError("evaluate: the loader gave no batch")
        return {"loss": running.compute(), **{m.name: number(m.compute()) for m in metrics}}

    def predict(self, loader):
        """The outputs for all batches of a loader, joined, as an array; batches are ``(x, ..., target)`` or just x."""
        import fastnn

        check_loader("predict", loader)
        training, device = self.model.training, device_of(self.model)
        self.model.eval()
        outputs = []
        try:
            with fastnn.no_grad():
                for batch in loader:
                    inputs = list(batch)[:-1] or list(batch) if isinstance(batch, (tuple, list)) else [batch]
                    outputs.append(to_numpy(self.model(*placed(inputs, device))).copy())
        finally:
            self.model.train(training)
        if not outputs:
            raise ValueError("predict: the loader gave no batch")
        return np.concatenate(outputs)
