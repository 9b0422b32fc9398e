"""Regularisation beside weight decay and dropout: penalties, norms that weights may not exceed, layers left out."""

from __future__ import annotations

import fastnn

from ..autograd import no_grad
from . import functional as F
from .dropout import RandomlyOff
from .module import Module
from .rnn import _Recurrent

__all__ = ["l1_penalty", "l2_penalty", "max_norm_", "StochasticDepth", "without_dropout"]


def _weights(parameters):
    """Weights of a module (everything with two axes or more: biases and scales are left alone), or what is given."""
    if isinstance(parameters, Module):
        found = [p for p in parameters.parameters() if p.ndim > 1]
    else:
        found = [parameters] if isinstance(parameters, fastnn.Tensor) else list(parameters)
    if not found:
        raise ValueError("expected at least one weight, got none")
    return found


def l1_penalty(parameters, lam: float, m: int = 1):
    """lam / (2 m) times the sum of absolute weights: makes weights zero.

    Parameters
    ----------
    parameters : Module, Tensor or iterable of Tensor
        Of a module its weights, not its biases.
    lam : float
        The course's lambda.
    m : int, default 1
        Number of examples that the cost is a mean over.

    Returns
    -------
    Tensor
        A scalar to be added to the cost.
    """
    return sum(w.abs().sum() for w in _weights(parameters)) * (lam / (2 * m))


def l2_penalty(parameters, lam: float, m: int = 1):
    """lam / (2 m) times the squared Frobenius norm of the weights; its gradient is lam / m W (weight decay).

    With plain gradient descent the same as ``weight_decay=lam / m``. Parameters as for `l1_penalty`.
    """
    return sum((w * w).sum() for w in _weights(parameters)) * (lam / (2 * m))


def max_norm_(parameters, limit: float) -> None:
    """Shorten, in place, the incoming weights of every unit whose norm is above `limit` (Srivastava et al. 2014).

    The incoming weights of a unit are everything but the last axis: columns of a Linear's [in, out], filters of a
    convolution. Call it after the optimiser's step, or give the trainer a `fastnn.train.MaxNorm`.
    """
    if not limit > 0:
        raise ValueError(f"max_norm_: expected a limit > 0, got {limit}")
    with no_grad():
        for w in _weights(parameters):
            norm = (w * w).sum(tuple(range(w.ndim - 1)), keepdim=True).sqrt()
            w.mul_(limit / norm.clamp(min=limit))


class StochasticDepth(RandomlyOff):
    """Leaves out whole residual branches: ``x + StochasticDepth(p)(branch(x))`` (Huang et al. 2016).

    In training each example of the batch loses the branch with probability ``p``, and kept ones are divided by 1 - p,
    so that nothing is left to do in evaluation.
    """

    def __init__(self, p: float = 0.2):
        super().__init__(p)

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        mask = F.dropout(fastnn.ones((x.shape[0],) + (1,) * (x.ndim - 1), dtype=x.dtype, device=x.device), self.p, True)
        return x * mask


def dropout_places(model: Module) -> list:
    """(module, name of the attribute) wherever a model keeps a probability of leaving something out."""
    found = []
    for m in model.modules():
        if isinstance(m, RandomlyOff):
            found.append((m, "p"))
        elif isinstance(m, _Recurrent) and m.num_layers > 1:  # between its layers
            found.append((m, "dropout"))
    return found


class without_dropout:
    """``with without_dropout(model): ...`` trains or evaluates without dropout and stochastic depth.

    The course's monitoring mode: with dropout the cost is not well defined, so first see it fall without, or check
    gradients, and only then turn dropout on.
    """

    def __init__(self, model: Module):
        self._places = dropout_places(model)

    def __enter__(self):
        self._kept = [getattr(layer, name) for layer, name in self._places]
        for layer, name in self._places:
            setattr(layer, name, 0.0)
        return self

    def __exit__(self, *_):
        for (layer, name), p in zip(self._places, self._kept):
            setattr(layer, name, p)
