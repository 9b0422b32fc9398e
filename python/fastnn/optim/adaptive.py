"""RMSprop, Adagrad and Adadelta: learning rates that adapt to each parameter's gradients."""

from __future__ import annotations

from .. import _C
from .optimizer import Optimizer, new_step, zeros_for


class RMSprop(Optimizer):
    """Divide by the root of the running mean square: s = alpha s + (1 - alpha) g^2; p -= lr * g / (sqrt(s) + eps).

    Parameters
    ----------
    params : iterable
    lr : float, default 1e-2
    alpha : float, default 0.99
        The course's beta2.
    eps : float, default 1e-8
        Outside the root.
    weight_decay : float, default 0
    momentum : float, default 0
        b = momentum * b + g / (sqrt(s) + eps); p -= lr * b.
    centered : bool, default False
        Subtract the squared running mean of the gradient from s: an estimate of the variance (Graves 2013).
    maximize : bool, default False
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                alpha=alpha,
                eps=eps,
                weight_decay=weight_decay,
                momentum=momentum,
                centered=centered,
                maximize=maximize,
            ),
        )

    def _check(self, group):
        self._at_least_zero(group, "lr", "eps", "weight_decay", "momentum")
        self._below_one(group, alpha=group["alpha"])

    def _new_state(self, param, group):
        state = {"step": new_step(param), "square_avg": zeros_for(param)}
        if group["centered"]:
            state["grad_avg"] = zeros_for(param)
        if group["momentum"]:
            state["momentum_buffer"] = zeros_for(param)
        return state

    def _update(self, group, rate, params, grads, states):
        for p, state in zip(params, states):  # variants switched on between steps
            if group["centered"] and "grad_avg" not in state:
                state["grad_avg"] = zeros_for(p)
            if group["momentum"] and "momentum_buffer" not in state:
                state["momentum_buffer"] = zeros_for(p)
        _C._rmsprop_step(
            params,
            grads,
            [s["square_avg"] for s in states],
            [s["grad_avg"] for s in states] if group["centered"] else [],
            [s["momentum_buffer"] for s in states] if group["momentum"] else [],
            [s["step"] for s in states],
            rate,
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["centered"],
            group["maximize"],
        )


class Adagrad(Optimizer):
    """Divide by the root of the sum of all squared gradients (Duchi et al. 2011).

    s += g^2; p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps).

    Parameters
    ----------
    params : iterable
    lr : float, default 1e-2
    lr_decay, weight_decay, initial_accumulator_value : float, default 0
    eps : float, default 1e-10
    maximize : bool, default False
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                lr_decay=lr_decay,
                weight_decay=weight_decay,
                initial_accumulator_value=initial_accumulator_value,
                eps=eps,
                maximize=maximize,
            ),
        )

    def _check(self, group):
        self._at_least_zero(group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def _new_state(self, param, group):
        total = zeros_for(param)
        total.fill_(group["initial_accumulator_value"])
        return {"step": new_step(param), "sum": total}

    def _update(self, group, rate, params, grads, states):
        _C._adagrad_step(
            params,
            grads,
            [s["sum"] for s in states],
            [s["step"] for s in states],
            rate,
            group["lr_decay"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )


class Adadelta(Optimizer):
    """Steps in units of past steps (Zeiler 2012): no learning rate to tune.

    s = rho s + (1 - rho) g^2; d = sqrt(a + eps) / sqrt(s + eps) * g; a = rho a + (1 - rho) d^2; p -= lr * d.

    Parameters
    ----------
    params : iterable
    lr : float, default 1.0
    rho : float, default 0.9
    eps : float, default 1e-6
    weight_decay : float, default 0
    maximize : bool, default False
    """

    def __init__(
        self,
        params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, dict(lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize))

    def _check(self, group):
        self._at_least_zero(group, "lr", "eps", "weight_decay")
        self._below_one(group, rho=group["rho"])

    def _new_state(self, param, group):
        return {"step": new_step(param), "square_avg": zeros_for(param), "acc_delta": zeros_for(param)}

    def _update(self, group, rate, params, grads, states):
        _C._adadelta_step(
            params,
            grads,
            [s["square_avg"] for s in states],
            [s["acc_delta"] for s in states],
            [s["step"] for s in states],
            rate,
            group["rho"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
