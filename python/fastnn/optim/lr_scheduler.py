"""Learning-rate schedules. Names and meaning are PyTorch's where PyTorch has them.

``scheduler.step()`` moves to the next epoch (or training step) and writes the new rate into every parameter group.
The rate is a closed form of the counter, never a product of what came before, so it has the same bits after a resume
and at the thousandth step as at the first. `lr0` below is the rate the group had when the scheduler was made
(kept in the group as ``initial_lr``), `t` counts from 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right

__all__ = [
    "LRScheduler", "LambdaLR", "StepLR", "MultiStepLR", "ExponentialLR", "InverseTimeLR", "InverseSqrtLR", "LinearLR",
    "LinearWarmup", "CosineAnnealingLR", "WarmupCosine", "SequentialLR", "ReduceLROnPlateau",
]  # fmt: skip


class LRScheduler:
    """Base class: a subclass defines ``lr_at(t, lr0)``.

    Parameters
    ----------
    optimizer : Optimizer
        Anything with ``param_groups``, a list of dicts with the key ``"lr"``.

    Attributes
    ----------
    last_epoch : int
        The current `t`.
    base_lrs : list of float
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._write()

    def lr_at(self, t: int, lr0: float) -> float:
        """The rate at counter `t` for a group that started with `lr0`."""
        raise NotImplementedError(f"{type(self).__name__} must define lr_at")

    def rates(self, t: int) -> list[float]:
        """The rates of all groups at counter `t`."""
        return [self.lr_at(t, lr0) for lr0 in self.base_lrs]

    def step(self) -> None:
        """Move to the next `t`."""
        self.last_epoch += 1
        self._write()

    def _write(self):
        for group, lr in zip(self.optimizer.param_groups, self.rates(self.last_epoch)):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The rates now in use."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict:
        """The counter and the initial rates; the form of the schedule is code and is not saved."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: dict) -> None:
        """Continue from what `state_dict` returned; writes the rate into the optimiser."""
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise ValueError(f"{type(self).__name__}: saved for {len(state['base_lrs'])} parameter groups, "
                             f"the optimiser has {len(self.base_lrs)}")  # fmt: skip
        self.last_epoch, self.base_lrs = int(state["last_epoch"]), [float(lr) for lr in state["base_lrs"]]
        self._write()


def _positive(what, value, zero=False):
    if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise ValueError(f"{what} must be {'>=' if zero else '>'} 0, got {value}")
    return value


class LambdaLR(LRScheduler):
    """``lr0 * f(t)``, with one function or one per group. The functions are not saved in `state_dict`."""

    def __init__(self, optimizer, lr_lambda):
        n = len(optimizer.param_groups)
        self.lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * n
        if len(self.lambdas) != n:
            raise ValueError(f"LambdaLR: expected {n} functions, one per parameter group, got {len(self.lambdas)}")
        super().__init__(optimizer)

    def rates(self, t):
        return [lr0 * f(t) for f, lr0 in zip(self.lambdas, self.base_lrs)]


class StepLR(LRScheduler):
    """``lr0 * gamma ** (t // step_size)``."""

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1):
        self.step_size, self.gamma = int(_positive("StepLR: step_size", step_size)), gamma
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        return lr0 * self.gamma ** (t // self.step_size)


class MultiStepLR(LRScheduler):
    """``lr0 * gamma ** (number of milestones <= t)``."""

    def __init__(self, optimizer, milestones, gamma: float = 0.1):
        self.milestones, self.gamma = sorted(int(m) for m in milestones), gamma
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        return lr0 * self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(LRScheduler):
    """``lr0 * gamma ** t``; the course's example is gamma = 0.95."""

    def __init__(self, optimizer, gamma: float):
        self.gamma = _positive("ExponentialLR: gamma", gamma)
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        return lr0 * self.gamma**t


class InverseTimeLR(LRScheduler):
    """``lr0 / (1 + decay_rate * t)``: the course's learning-rate decay, `t` the epoch."""

    def __init__(self, optimizer, decay_rate: float = 1.0):
        self.decay_rate = _positive("InverseTimeLR: decay_rate", decay_rate, zero=True)
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        return lr0 / (1 + self.decay_rate * t)


class InverseSqrtLR(LRScheduler):
    """``lr0 * k / sqrt(epoch)``, the epoch counted from 1, so that the first one runs at ``lr0 * k``."""

    def __init__(self, optimizer, k: float = 1.0):
        self.k = _positive("InverseSqrtLR: k", k)
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        return lr0 * self.k / math.sqrt(t + 1)


class LinearLR(LRScheduler):
    """From ``lr0 * start_factor`` to ``lr0 * end_factor`` in a straight line over `total_iters`, then constant."""

    def __init__(self, optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5):
        self.start_factor = _positive("LinearLR: start_factor", start_factor, zero=True)
        self.end_factor = _positive("LinearLR: end_factor", end_factor, zero=True)
        self.total_iters = int(_positive("LinearLR: total_iters", total_iters))
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        part = min(t, self.total_iters) / self.total_iters
        return lr0 * (self.start_factor + (self.end_factor - self.start_factor) * part)


class LinearWarmup(LRScheduler):
    """``lr0 * (t + 1) / warmup_steps`` until it reaches `lr0`: the first step already moves."""

    def __init__(self, optimizer, warmup_steps: int):
        self.warmup_steps = int(_positive("LinearWarmup: warmup_steps", warmup_steps))
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        return lr0 * min(t + 1, self.warmup_steps) / self.warmup_steps


class CosineAnnealingLR(LRScheduler):
    """``eta_min + (lr0 - eta_min) * (1 + cos(pi t / T_max)) / 2``; rises again after `T_max`, as in PyTorch."""

    def __init__(self, optimizer, T_max: int, eta_min: float = 0.0):
        self.T_max, self.eta_min = int(_positive("CosineAnnealingLR: T_max", T_max)), eta_min
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        return self.eta_min + (lr0 - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2


class WarmupCosine(LRScheduler):
    """`LinearWarmup` for `warmup_steps`, then half a cosine down to `eta_min` at `total_steps`, then constant."""

    def __init__(self, optimizer, warmup_steps: int, total_steps: int, eta_min: float = 0.0):
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"WarmupCosine: expected 0 <= warmup_steps < total_steps, got {warmup_steps}, {total_steps}"
            )
        self.warmup_steps, self.total_steps, self.eta_min = int(warmup_steps), int(total_steps), eta_min
        super().__init__(optimizer)

    def lr_at(self, t, lr0):
        if t < self.warmup_steps:
            return lr0 * (t + 1) / self.warmup_steps
        part = min((t - self.warmup_steps) / (self.total_steps - self.warmup_steps), 1.0)
        return self.eta_min + (lr0 - self.eta_min) * (1 + math.cos(math.pi * part)) / 2


class SequentialLR(LRScheduler):
    """`schedulers[i]` runs from ``milestones[i-1]`` on, its counter starting at 0 there.

    Parameters
    ----------
    schedulers : list of LRScheduler
        Made on the same optimiser.
    milestones : list of int
        One fewer than schedulers, increasing.
    """

    def __init__(self, optimizer, schedulers, milestones):
        self.schedulers, self.milestones = list(schedulers), [int(m) for m in milestones]
        if len(self.schedulers) != len(self.milestones) + 1:
            raise ValueError(f"SequentialLR: {len(self.schedulers)} schedulers need one milestone fewer, "
                             f"got {len(self.milestones)}")  # fmt: skip
        if any(b <= a for a, b in zip([0, *self.milestones], self.milestones)):
            raise ValueError(f"SequentialLR: milestones must be positive and increasing, got {self.milestones}")
        for scheduler in self.schedulers:
            if isinstance(scheduler, ReduceLROnPlateau):
                raise TypeError("SequentialLR: ReduceLROnPlateau follows a metric and cannot be one of the schedulers")
            if scheduler.optimizer is not optimizer:
                raise ValueError("SequentialLR: the schedulers must be made on the same optimiser")
        super().__init__(optimizer)

    def rates(self, t):
        i = bisect_right(self.milestones, t)
        self.schedulers[i].base_lrs = self.base_lrs  # after a resume only this scheduler has the saved ones
        return self.schedulers[i].rates(t - (self.milestones[i - 1] if i else 0))


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when a metric has not improved for more than `patience` epochs.

    Parameters
    ----------
    mode : {"min", "max"}
    factor, patience, threshold, threshold_mode, cooldown, min_lr, eps
        As in PyTorch: improvement means by more than `threshold` (relative or absolute), `cooldown` epochs after a
        reduction do not count, and changes smaller than `eps` are not made.
    """

    def __init__(self, optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr: float = 0.0, eps: float = 1e-8):  # fmt: skip
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"ReduceLROnPlateau: mode is min or max, threshold_mode rel or abs, got {mode}, {threshold_mode}"
            )
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must lie between 0 and 1, got {factor}")
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0
        super().__init__(optimizer)

    def _write(self):
        """Nothing: the rate is not a function of the counter here but of what the metric did."""

    def _better(self, value):
        sign = 1 if self.mode == "min" else -1
        if math.isinf(self.best):
            return sign * value < sign * self.best
        margin = self.threshold * (abs(self.best) if self.threshold_mode == "rel" else 1)
        if self.threshold_mode == "rel" and self.best < 0:
            margin = -margin  # PyTorch's best * (1 -+ threshold), also for a negative best
        return sign * value < sign * self.best - margin

    def step(self, metric) -> None:
        """Take in the metric of the finished epoch."""
        value = float(metric)
        self.last_epoch += 1
        if self._better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group in self.optimizer.param_groups:
                lr = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    _STATE = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter")

    def state_dict(self):
        """Counters, the best value and the rates in use."""
        return {**{k: getattr(self, k) for k in self._STATE}, "lrs": self.get_last_lr()}

    def load_state_dict(self, state):
        """Continue from what `state_dict` returned; writes the rates into the optimiser."""
        if len(state["lrs"]) != len(self.optimizer.param_groups):
            raise ValueError("ReduceLROnPlateau: saved for another number of parameter groups")
        for k in self._STATE:
            setattr(self, k, state[k])
        for group, lr in zip(self.optimizer.param_groups, state["lrs"]):
            group["lr"] = lr
