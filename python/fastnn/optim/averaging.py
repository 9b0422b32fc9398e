"""Averages over time: of numbers, with the course's bias correction, and of the weights of a network."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np

from .. import _C
from .._arrays import to_numpy, to_tensor
from ..autograd import no_grad

__all__ = ["exponentially_weighted_average", "WeightAverage"]


def exponentially_weighted_average(values, beta: float = 0.9, bias_correction: bool = True) -> np.ndarray:
    """v_t = beta v_(t-1) + (1 - beta) x_t from v_0 = 0, along the first axis.

    About the mean of the last 1 / (1 - beta) values.

    Parameters
    ----------
    values : array [T, ...]
    beta : float, 0 <= beta < 1
    bias_correction : bool
        Divide by 1 - beta^t, without which the first values are too small.

    Returns
    -------
    ndarray of float64, the shape of `values`
    """
    if not 0 <= beta < 1:
        raise ValueError(f"exponentially_weighted_average: beta expects 0 <= beta < 1, got {beta}")
    x = np.asarray(to_numpy(values), np.float64)
    if x.ndim == 0:
        raise ValueError("exponentially_weighted_average: expected a sequence, got one number")
    out, v = np.empty_like(x), np.zeros(x.shape[1:])
    for t in range(len(x)):
        v = beta * v + (1 - beta) * x[t]
        out[t] = v / (1 - beta ** (t + 1)) if bias_correction else v
    return out


class WeightAverage:
    """An average of a model's parameters over its training, often better than the last ones.

    >>> average = WeightAverage(model, beta=0.999)
    >>> ...                                # after every optimizer.step(): average.update()
    >>> with average.applied():            # the model has the averaged weights
    ...     evaluate(model)

    `fastnn.train.AverageWeights` does this in a trainer.

    Parameters
    ----------
    model : Module
        Its parameters are averaged; of buffers (running statistics) the newest are used.
    beta : float or None, default 0.999
        Exponential moving average with bias correction; None is the plain mean of all updates (stochastic weight
        averaging, Izmailov et al. 2018; snapshots where `update` is called once a cycle).
    """

    def __init__(self, model, beta: float | None = 0.999):
        if beta is not None and not 0 <= beta < 1:
            raise ValueError(f"WeightAverage: beta expects 0 <= beta < 1 or None, got {beta}")
        self.model, self.beta, self.updates = model, beta, 0
        self._parameters = dict(model.named_parameters())
        if not self._parameters:
            raise ValueError("WeightAverage: the model has no parameters")
        self._sums = {name: _C.zeros_like(p.detach()) for name, p in self._parameters.items()}

    def update(self) -> None:
        """Take in the weights as they are now."""
        self.updates += 1
        share = 1 / self.updates if self.beta is None else 1 - self.beta
        with no_grad():
            for name, p in self._parameters.items():
                if self._sums[name].device != p.device:  # the model was moved
                    self._sums[name] = self._sums[name].to(p.device)
                self._sums[name].mul_(1 - share).add_(p.detach() * share)

    def weights(self) -> dict:
        """The averaged parameters by name, bias corrected."""
        if not self.updates:
            raise ValueError("WeightAverage: update() has not been called yet")
        factor = 1.0 if self.beta is None else 1 / (1 - self.beta**self.updates)
        with no_grad():
            return {name: s * factor for name, s in self._sums.items()}

    def copy_to_model(self) -> None:
        """Give the model the averaged weights for good."""
        with no_grad():
            for name, value in self.weights().items():
                self._parameters[name].copy_(value)

    @contextmanager
    def applied(self):
        """The model with the averaged weights; afterwards it has its own again."""
        own = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.copy_to_model()
        try:
            yield self.model
        finally:
            with no_grad():
                for name, value in own.items():
                    self._parameters[name].copy_(value)

    def state_dict(self) -> dict:
        """The sums and how many updates they hold."""
        return {"updates": self.updates, "sums": {k: to_numpy(v).copy() for k, v in self._sums.items()}}

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` returned; ValueError where it is of another model."""
        shapes = {k: tuple(np.shape(v)) for k, v in state["sums"].items()}
        if shapes != {k: tuple(v.shape) for k, v in self._sums.items()}:
            raise ValueError("WeightAverage: the saved state is of a model with other parameters")
        self.updates = int(state["updates"])
        with no_grad():
            for name, value in state["sums"].items():
                self._sums[name].copy_(to_tensor(value))
