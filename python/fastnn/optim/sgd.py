"""SGD, with momentum."""

from __future__ import annotations

from .. import _C
from .optimizer import Optimizer, new_step, zeros_for


class SGD(Optimizer):
    """Gradient descent: p -= lr * g, with momentum p -= lr * b where b = momentum * b + (1 - dampening) * g.

    Batch, mini-batch or stochastic gradient descent, according to the batch it is given.

    Parameters
    ----------
    params : iterable
    lr : float, default 1e-3
    momentum : float, default 0
        0.9 averages over about 10 gradients.
    dampening : float, default 0
        The first b is the whole gradient, as in PyTorch.
    weight_decay : float, default 0
        Adds weight_decay * p to the gradient: L2 regularisation with lambda / m.
    nesterov : bool, default False
    maximize : bool, default False

    Notes
    -----
    The course writes v = beta v + (1 - beta) dW, W -= alpha v with v = 0 at first. That is ``momentum=beta`` with
    ``lr=alpha * (1 - beta)``: the same iterates.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                momentum=momentum,
                dampening=dampening,
                weight_decay=weight_decay,
                nesterov=nesterov,
                maximize=maximize,
            ),
        )

    def _check(self, group):
        self._at_least_zero(group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov expects momentum > 0 and dampening = 0, "
                f"got {group['momentum']} and {group['dampening']}"
            )

    def _new_state(self, param, group):
        return {"step": new_step(param), "momentum_buffer": zeros_for(param)} if group["momentum"] else {}

    def _state_of(self, param, group):
        state = super()._state_of(param, group)
        if group["momentum"] and not state:  # momentum switched on between steps
            state = self.state[param] = self._new_state(param, group)
        return state

    def _update(self, group, rate, params, grads, states):
        momentum = bool(group["momentum"])
        _C._sgd_step(
            params,
            grads,
            [s["momentum_buffer"] for s in states] if momentum else [],
            [s["step"] for s in states] if momentum else [],
            rate,
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            group["maximize"],
        )
