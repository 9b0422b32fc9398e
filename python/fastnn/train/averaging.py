"""Callbacks that keep weights short, average them, or keep several models of one run; and models that vote."""

from __future__ import annotations

import math

import numpy as np

from .._arrays import to_numpy, to_tensor
from ..nn import Module
from ..nn import functional as F
from ..nn.regularization import max_norm_
from ..optim.averaging import WeightAverage
from .callbacks import Callback

__all__ = ["MaxNorm", "AverageWeights", "Snapshots", "Ensemble"]


class MaxNorm(Callback):
    """After every update, the incoming weights of a unit are shortened to a norm of at most `limit`."""

    def __init__(self, limit: float = 3.0):
        if not limit > 0:
            raise ValueError(f"MaxNorm: expected a limit > 0, got {limit}")
        self.limit = limit

    def on_batch_end(self, trainer, logs):
        max_norm_(trainer.model, self.limit)


class AverageWeights(Callback):
    """Keeps a `WeightAverage` of the run; at its end the model gets the averaged weights.

    Parameters
    ----------
    beta : float or None
        Exponential moving average over updates, or None: the mean of the weights after each epoch.
    start_epoch : int
        Epochs before the averaging begins.
    apply : bool
        Give the model the average at the end of the fit. Checkpoints hold both.
    """

    def __init__(self, beta: float | None = 0.999, start_epoch: int = 0, apply: bool = True):
        self.beta, self.start_epoch, self.apply = beta, int(start_epoch), bool(apply)
        self.average: WeightAverage | None = None
        self._saved = None

    def on_fit_begin(self, trainer):
        if self.average is None or self.average.model is not trainer.model:
            self.average = WeightAverage(trainer.model, self.beta)
        if self._saved is not None:
            self.average.load_state_dict(self._saved)
            self._saved = None

    def on_batch_end(self, trainer, logs):
        if self.beta is not None and trainer.epoch >= self.start_epoch and math.isfinite(logs["loss"]):
            self.average.update()

    def on_epoch_end(self, trainer, logs):
        if self.beta is None and trainer.epoch >= self.start_epoch:
            self.average.update()

    def on_fit_end(self, trainer):
        if self.apply and self.average.updates and not trainer.interrupted:
            self.average.copy_to_model()

    def state_dict(self):
        if self._saved is not None:  # loaded, and no fit has begun since
            return self._saved
        return {} if self.average is None else self.average.state_dict()

    def load_state_dict(self, state):
        self._saved = state or None
        if self._saved is None:  # from before the first fit: what was averaged since then is forgotten
            self.average = None


class Snapshots(Callback):
    """Keeps the weights at the end of every `every` epochs, the newest `keep` of them (Huang et al. 2017).

    With a learning rate that falls and jumps up again (`CosineAnnealingWarmRestarts`), each is another minimum:
    ``Ensemble(build, snapshots.states)`` lets them vote.
    """

    def __init__(self, every: int, keep: int = 5):
        if every < 1 or keep < 1:
            raise ValueError(f"Snapshots: expected every >= 1 and keep >= 1, got {every} and {keep}")
        self.every, self.keep = int(every), int(keep)
        self.states: list[dict] = []

    def on_epoch_end(self, trainer, logs):
        if (trainer.epoch + 1) % self.every == 0:
            state = {k: to_numpy(v).copy() for k, v in trainer.model.state_dict().items()}
            self.states = [*self.states, state][-self.keep :]

    def state_dict(self):
        return {"states": self.states}

    def load_state_dict(self, state):
        self.states = list(state["states"])


class Ensemble(Module):
    """Several classifiers whose probabilities are averaged; the output is the logarithm of the mean.

    Parameters
    ----------
    models : list of Module, or callable
        The members, or a function that builds one.
    states : list of state dicts, optional
        With a function: the weights of each member.
    """

    def __init__(self, models, states=None):
        super().__init__()
        if callable(models) and not isinstance(models, (list, tuple)):
            if not states:
                raise ValueError("Ensemble: a function that builds a member needs the states of the members")
            members = []
            for state in states:
                member = models()
                member.load_state_dict({k: to_tensor(np.asarray(v)) for k, v in state.items()})
                members.append(member)
            models = members
        if not models:
            raise ValueError("Ensemble: expected at least one model")
        self._count = len(models)
        for i, model in enumerate(models):
            self.add_module(f"member{i}", model)

    @property
    def members(self) -> list:
        return [getattr(self, f"member{i}") for i in range(self._count)]

    def forward(self, x):
        total = sum(F.softmax(member(x), -1) for member in self.members)
        return (total / self._count).log()
