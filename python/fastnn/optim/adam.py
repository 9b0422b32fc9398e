"""Adam and AdamW."""

from __future__ import annotations

from .. import _C
from .optimizer import Optimizer, new_step, zeros_for


class Adam(Optimizer):
    """Adaptive moment estimation (Kingma and Ba 2015).

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; with the bias corrections m / (1 - beta1^t) and
    v / (1 - beta2^t): p -= lr * m' / (sqrt(v') + eps). eps stands outside the root.

    Parameters
    ----------
    params : iterable
    lr : float, default 1e-3
        The one to tune.
    betas : (float, float), default (0.9, 0.999)
    eps : float, default 1e-8
    weight_decay : float, default 0
        Adds weight_decay * p to the gradient. AdamW decays the parameter itself, which is usually wanted.
    amsgrad : bool, default False
        Divide by the largest v so far (Reddi et al. 2018).
    maximize : bool, default False
    """

    _decoupled = False

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas=(0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(
            params,
            dict(lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize),
        )

    def _check(self, group):
        self._at_least_zero(group, "lr", "eps", "weight_decay")
        if len(group["betas"]) != 2:
            raise ValueError(f"{self._name}: betas expects two numbers, got {group['betas']!r}")
        self._below_one(group, beta1=group["betas"][0], beta2=group["betas"][1])

    def _new_state(self, param, group):
        state = {"step": new_step(param), "exp_avg": zeros_for(param), "exp_avg_sq": zeros_for(param)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_for(param)
        return state

    def _update(self, group, rate, params, grads, states):
        beta1, beta2 = group["betas"]
        for p, state in zip(params, states):
            if group["amsgrad"] and "max_exp_avg_sq" not in state:  # switched on between steps
                state["max_exp_avg_sq"] = zeros_for(p)
        _C._adam_step(
            params,
            grads,
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [s["max_exp_avg_sq"] for s in states] if group["amsgrad"] else [],
            [s["step"] for s in states],
            rate,
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            self._decoupled,
            group["maximize"],
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): p -= lr * weight_decay * p, then Adam's update."""

    _decoupled = True

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas=(0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
