"""What goes on inside a training: a learning rate found by one short run, signals and gradients layer by layer."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import numpy as np

from .._arrays import device_of, placed, to_numpy
from ..nn import LeakyReLU, Module, ReLU

__all__ = ["lr_range_test", "LearningRates", "layer_report", "LayerStatistics", "LayerReport"]

_ACTIVATIONS = frozenset("ReLU ReLU6 LeakyReLU ELU SELU GELU SiLU Mish Sigmoid Tanh Softplus Hardswish".split())


class LearningRates(NamedTuple):
    """What `lr_range_test` measured."""

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray

    @property
    def steepest(self) -> float:
        """The rate at which the smoothed loss falls fastest: a good (largest) learning rate for a schedule."""
        if len(self.rates) < 3:
            raise ValueError("lr_range_test: too few steps before the loss exploded; begin with a smaller rate")
        slope = np.gradient(self.smooth, np.log(self.rates))
        return float(self.rates[int(np.argmin(slope[: int(np.argmin(self.smooth)) + 1]))])

    @property
    def largest(self) -> float:
        """The rate with the smallest smoothed loss; beyond it training becomes unstable."""
        return float(self.rates[int(np.argmin(self.smooth))])

    def plot(self, path, title: str = "learning-rate range test") -> None:
        """Loss against learning rate, both choices marked, as a PNG."""
        from .plots import PALETTE, new_figure, save_figure

        figure, axes = new_figure(7, 4.2)
        ax = axes[0, 0]
        ax.plot(self.rates, self.losses, color=PALETTE[0], linewidth=0.7, alpha=0.35)
        ax.plot(self.rates, self.smooth, color=PALETTE[0], linewidth=2)
        for value, text, color in (
            (self.steepest, "steepest", PALETTE[2]),
            (self.largest, "smallest loss", PALETTE[1]),
        ):
            ax.axvline(value, color=color, linewidth=1.2)
            ax.annotate(f"{text} {value:.2g}", (value, 1.0), xycoords=("data", "axes fraction"), rotation=90, va="top",
                        ha="right", fontsize=9, color=color)  # fmt: skip
        ax.set_xscale("log")
        ax.set_ylim(min(self.losses.min(), self.smooth.min()) * 0.9, self.smooth[0] * 1.3 + 1e-12)
        ax.set_xlabel("learning rate")
        ax.set_ylabel("loss")
        ax.set_title(title, fontsize=11)
        save_figure(figure, path)


def lr_range_test(trainer, loader, low: float = 1e-6, high: float = 10.0, steps: int = 100,
                  beta: float = 0.95) -> LearningRates:  # fmt: skip
    """Train for `steps` batches with a rate that grows from `low` to `high`, and see when the loss falls and explodes.

    Smith (2017). The weights, the optimiser and the random numbers are put back afterwards.

    Parameters
    ----------
    trainer : Trainer
    loader : DataLoader
        Begun again when it ends.
    low, high : float
        Rates of the first and the last step; the rate grows by the same factor every step.
    steps : int
    beta : float
        Of the exponentially weighted average (with bias correction) that smooths the losses.

    Returns
    -------
    LearningRates
        Of the steps until the smoothed loss was four times its smallest, or not finite.
    """
    if not 0 < low < high < math.inf or steps < 10:
        raise ValueError(f"lr_range_test: expected 0 < low < high and steps >= 10, got {low:g}, {high:g} and {steps}")
    from ..optim.averaging import exponentially_weighted_average
    from .checkpoint import random_state, set_random_state

    model, optimizer = trainer.model, trainer.optimizer
    kept = copy.deepcopy({k: to_numpy(v).copy() for k, v in model.state_dict().items()})
    kept_optimizer, kept_random = copy.deepcopy(optimizer.state_dict()), random_state()
    position = loader.state_dict() if hasattr(loader, "state_dict") else None
    training = model.training
    rates, losses = [], []
    model.train()
    try:
        batches = iter(loader)
        for step in range(steps):
            rate = low * (high / low) ** (step / (steps - 1))
            for group in optimizer.param_groups:
                group["lr"] = rate
            try:
                batch = next(batches)
            except StopIteration:
                batches = iter(loader)
                batch = next(batches, None)
                if batch is None:
                    raise ValueError("lr_range_test: the loader gave no batch") from None
            optimizer.zero_grad()
            loss, _, _ = trainer.forward(placed(batch, device_of(model)))
            value = float(loss.item())
            if not math.isfinite(value):
                if not losses:
                    raise FloatingPointError(f"lr_range_test: the loss is {value} before the first update")
                break
            rates.append(rate)
            losses.append(value)
            smooth = exponentially_weighted_average(losses, beta)
            if smooth[-1] > 4 * smooth.min() and step > 10:
                break
            loss.backward()
            try:
                trainer._clip(trainer.clip_norm, trainer.clip_value)  # the steps are those that the trainer takes
            except FloatingPointError:
                break
            optimizer.step()
    finally:
        from .._arrays import to_tensor

        model.load_state_dict({k: to_tensor(v) for k, v in kept.items()})
        optimizer.zero_grad()
        optimizer.load_state_dict(kept_optimizer)
        if position is not None:
            loader.load_state_dict(position)
        model.train(training)
        set_random_state(kept_random)
    return LearningRates(np.array(rates), np.array(losses), exponentially_weighted_average(losses, beta))


class LayerStatistics(NamedTuple):
    """One layer on one batch."""

    name: str
    kind: str
    mean: float  #: of the outputs
    std: float  #: over the examples, rms over the units
    saturated: float  #: share of outputs on the flat part: 0 of a ReLU, beyond 0.99 of a sigmoid or tanh
    dead: float  #: share of units (channels) that are 0 for every example; NaN where the layer is no ReLU
    gradient: float  #: root mean square of the gradient with respect to the outputs
    weight_gradient: float  #: norm of the weight's gradient over the norm of the weight; NaN without a weight


class LayerReport(list):
    """A list of `LayerStatistics`, with `warnings` in words; prints as a table."""

    def __init__(self, rows, warnings):
        super().__init__(rows)
        self.warnings = list(warnings)

    def __str__(self):
        head = ("layer", "kind", "mean", "std", "saturated", "dead", "gradient", "dW / W")
        rows = [head] + [
            (r.name, r.kind, f"{r.mean:.3g}", f"{r.std:.3g}", f"{r.saturated:.0%}",
             "" if math.isnan(r.dead) else f"{r.dead:.0%}", f"{r.gradient:.2e}",
             "" if math.isnan(r.weight_gradient) else f"{r.weight_gradient:.2e}")
            for r in self
        ]  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths)).rstrip() for row in rows]
        return "\n".join(lines + [f"warning: {w}" for w in self.warnings])

    __repr__ = __str__

    def plot(self, path, title: str = "signals and gradients, layer by layer") -> None:
        """Spread of the outputs and size of the gradients over the depth, as a PNG."""
        from .plots import PALETTE, new_figure, save_figure

        figure, axes = new_figure(max(6, 0.5 * len(self) + 3), 6, 2, 1)
        x = range(len(self))
        for ax, values, label, color in (
            (axes[0, 0], [r.std for r in self], "standard deviation of outputs", PALETTE[0]),
            (axes[1, 0], [r.gradient for r in self], "rms gradient of outputs", PALETTE[1]),
        ):
            ax.plot(x, [max(v, 1e-30) for v in values], "o-", color=color, linewidth=1.5, markersize=4)
            ax.set_yscale("log")
            ax.set_ylabel(label, fontsize=9)
            ax.set_xticks(x, [r.name for r in self] if ax is axes[1, 0] else [""] * len(self), rotation=60, ha="right")
        axes[0, 0].set_title(title, fontsize=11)
        save_figure(figure, path)


def layer_report(model: Module, loss, batch) -> LayerReport:
    """Outputs and gradients of every layer for one batch, and what is wrong with them. Nothing is changed.

    Warns of signals and gradients that vanish or explode with depth (the first and the last layer differ by more than
    1000), of units of a ReLU that no example wakes, of sigmoids and tanhs that are mostly saturated, and of numbers
    that are not finite.

    Parameters
    ----------
    model : Module
    loss : callable
        ``loss(output, target)``
    batch : tuple
        ``(x, ..., target)``

    Returns
    -------
    LayerReport
    """
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise TypeError(f"layer_report: a batch is (x, ..., target), got {type(batch).__name__}")
    import fastnn

    leaves = {id(m): (name, m) for name, m in model.named_modules() if not any(True for _ in m.children())}
    seen, handles = [], []

    def remember(module, args, output):
        if isinstance(output, fastnn.Tensor):
            if output.requires_grad and not output.is_leaf:
                output.retain_grad()
            seen.append((module, output))

    state = fastnn.get_rng_state()
    buffers = [(b, b.detach().clone()) for b in model.buffers()]
    gradients = [(p, p.grad) for p in model.parameters()]
    try:
        handles = [m.register_forward_hook(remember) for _, m in leaves.values()]
        for p, _ in gradients:
            p.grad = None
        *inputs, target = placed(batch, device_of(model))
        loss(model(*inputs), target).backward()
        rows = [_statistics(*leaves[id(m)], y) for m, y in seen]
    finally:
        for handle in handles:
            handle.remove()
        for p, grad in gradients:
            p.grad = grad
        with fastnn.no_grad():
            for b, value in buffers:
                b.copy_(value)
        fastnn.set_rng_state(state)
    return LayerReport(rows, _warnings(rows))


def _statistics(name, module, output) -> LayerStatistics:
    y = np.asarray(to_numpy(output.detach()), np.float64)
    kind = type(module).__name__
    with np.errstate(all="ignore"):
        # What differs between examples is the signal; what biases add to all of them is none.
        spread = float(np.sqrt(y.var(0).mean())) if len(y) > 1 else float(y.std())
        saturated = float("nan")
        if isinstance(module, (ReLU, LeakyReLU)):
            saturated = float((y <= 0).mean())
        elif kind in ("Sigmoid", "Tanh"):
            saturated = float((np.abs(2 * y - 1 if kind == "Sigmoid" else y) > 0.98).mean())
        dead = float((y.reshape(-1, y.shape[-1]) == 0).all(0).mean()) if kind in ("ReLU", "ReLU6") else math.nan
        grad = output.grad
        gradient = (
            float(np.sqrt(np.mean(np.square(to_numpy(grad), dtype=np.float64)))) if grad is not None else math.nan
        )
        weight = getattr(module, "weight", None)
        share = math.nan
        if weight is not None and weight.grad is not None:
            norm = float(np.linalg.norm(to_numpy(weight.detach())))
            share = float(np.linalg.norm(to_numpy(weight.grad))) / norm if norm else math.inf
        return LayerStatistics(name, kind, float(y.mean()), spread, 0.0 if math.isnan(saturated) else saturated,
                               dead, gradient, share)  # fmt: skip


def _warnings(rows) -> list[str]:
    words = []
    bad = [r.name for r in rows if not (math.isfinite(r.mean) and math.isfinite(r.std))]
    if bad:
        return [f"outputs that are not finite, first in {bad[0]}"]
    for r in rows:
        if r.dead > 0.2:
            words.append(f"{r.name}: {r.dead:.0%} of the units are 0 for every example of the batch (dead ReLUs)")
        if r.kind in ("Sigmoid", "Tanh") and r.saturated > 0.5:
            words.append(f"{r.name}: {r.saturated:.0%} of the outputs are saturated, where the slope is nearly 0")
    hidden = [r for r in rows if r.kind in _ACTIVATIONS]
    signal = [r.std for r in hidden]
    if len(signal) > 1:
        if signal[-1] < signal[0] / 1000:
            words.append(
                f"signals vanish: std {signal[0]:.1e} in {hidden[0].name}, {signal[-1]:.1e} in {hidden[-1].name}"
            )
        elif signal[-1] > signal[0] * 1000:
            words.append(
                f"signals explode: std {signal[0]:.1e} in {hidden[0].name}, {signal[-1]:.1e} in {hidden[-1].name}"
            )
    flow = [r for r in hidden if math.isfinite(r.gradient)]
    if len(flow) > 1:
        first, last = flow[0], flow[-1]
        if first.gradient < last.gradient / 1000:
            words.append(f"gradients vanish: {last.gradient:.1e} in {last.name}, {first.gradient:.1e} in {first.name}")
        elif first.gradient > last.gradient * 1000:
            words.append(f"gradients explode: {last.gradient:.1e} in {last.name}, {first.gradient:.1e} in {first.name}")
    return words
