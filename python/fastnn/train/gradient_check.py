"""The course's gradient check: backpropagation against two-sided differences, all parameters as one vector."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np

from .._arrays import is_tensor, to_numpy, to_tensor

__all__ = ["gradient_check", "GradientCheck", "ParameterCheck"]


@dataclass(frozen=True)
class ParameterCheck:
    """One parameter: how far the two gradients are apart, and where most."""

    name: str
    shape: tuple
    checked: int
    ratio: float
    worst_index: tuple
    backward: float
    numeric: float


@dataclass(frozen=True)
class GradientCheck:
    """Result of `gradient_check`; prints as a table.

    Attributes
    ----------
    ratio : float
        ``||g - g'|| / (||g|| + ||g'||)`` of the gradient g of backpropagation and the numeric one g'.
    verdict : str
        "good" up to 1e-7, "look" up to 1e-5 (look at the largest differences), "doubtful" up to 1e-3, else "wrong".
    parameters : list of ParameterCheck
    loss : float
    """

    ratio: float
    verdict: str
    loss: float
    parameters: list = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """At most 1e-5."""
        return self.verdict in ("good", "look")

    def __str__(self):
        width = max([len("parameter"), *(len(p.name) for p in self.parameters)])
        lines = [f"gradient check: ratio {self.ratio:.3e}, {self.verdict} (loss {self.loss:.6g})",
                 f"{'parameter':{width}}  {'shape':>16}  {'ratio':>9}  largest difference at"]  # fmt: skip
        for p in self.parameters:
            shape = str(list(p.shape))
            lines.append(f"{p.name:{width}}  {shape:>16}  {p.ratio:9.2e}  {list(p.worst_index)}: "
                         f"backward {p.backward:.9g}, numeric {p.numeric:.9g}")  # fmt: skip
        return "\n".join(lines)


def verdict_of(ratio: float) -> str:
    """The course's reading of the ratio. NaN is wrong."""
    return "good" if ratio <= 1e-7 else "look" if ratio <= 1e-5 else "doubtful" if ratio <= 1e-3 else "wrong"


def gradient_check(model, loss_fn, batch, epsilon: float = 1e-7, max_per_parameter: int | None = None,
                   seed: int = 0) -> GradientCheck:  # fmt: skip
    """Compare the gradients of backpropagation with ``(J(theta + eps) - J(theta - eps)) / (2 eps)``.

    A copy of the model is converted to float64 (in float32 a difference of 1e-7 drowns in rounding) and checked in the
    mode it is in. Random layers draw the same numbers in every evaluation, so dropout can be checked too. At a kink
    (ReLU at 0) the two may differ though the gradient is right.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    loss_fn : callable
        ``loss_fn(output, target)``, a scalar.
    batch : tuple
        ``(x, ..., target)``; tensors or arrays. Floats are converted to float64.
    epsilon : float
    max_per_parameter : int, optional
        Check only that many elements of each parameter, chosen at random by `seed`. Default all: two forward passes
        for each element, so keep the model small.

    Returns
    -------
    GradientCheck

    Raises
    ------
    ValueError
        When no parameter requires a gradient, or the loss is not finite.
    """
    import fastnn

    if not epsilon > 0:
        raise ValueError(f"gradient_check: epsilon must be > 0, got {epsilon}")
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise ValueError("gradient_check: batch must be (x, ..., target)")
    twin = copy.deepcopy(model).double().to("cpu")  # its values are changed one by one
    *inputs, target = (_as_float64(part) for part in batch)
    state = fastnn.get_rng_state()
    parameters = [(name, p) for name, p in twin.named_parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("gradient_check: the model has no parameter that requires a gradient")

    def evaluate():
        fastnn.set_rng_state(state)  # the same dropout masks every time
        return loss_fn(twin(*inputs), target)

    try:
        for _, p in parameters:
            p.grad = None
        loss = evaluate()
        value = float(loss.item())
        if not np.isfinite(value):
            raise ValueError(f"gradient_check: the loss is {value}")
        loss.backward()
        backward = {
            name: np.zeros(tuple(p.shape)) if p.grad is None else to_numpy(p.grad).copy() for name, p in parameters
        }
        random = np.random.RandomState(seed)
        checks, all_backward, all_numeric = [], [], []
        with fastnn.no_grad():
            for name, p in parameters:
                theta = to_numpy(p)
                size = theta.size
                chosen = np.arange(size)
                if max_per_parameter is not None and size > max_per_parameter:
                    chosen = np.sort(random.choice(size, max_per_parameter, replace=False))
                g, numeric = backward[name].reshape(-1)[chosen], np.empty(len(chosen))
                for k, flat in enumerate(chosen):
                    index = np.unravel_index(flat, theta.shape)
                    kept = theta[index]
                    theta[index] = kept + epsilon
                    above = float(evaluate().item())
                    theta[index] = kept - epsilon
                    below = float(evaluate().item())
                    theta[index] = kept
                    numeric[k] = (above - below) / (2 * epsilon)
                if len(chosen):
                    checks.append(_compare(name, theta.shape, chosen, g, numeric))
                all_backward.append(g)
                all_numeric.append(numeric)
    finally:
        fastnn.set_rng_state(state)
    ratio = _ratio(np.concatenate(all_backward), np.concatenate(all_numeric))
    return GradientCheck(ratio, verdict_of(ratio), value, checks)


def _compare(name, shape, chosen, g, numeric):
    worst = int(np.argmax(np.abs(g - numeric)))  # NaN counts as the largest
    index = tuple(int(i) for i in np.unravel_index(chosen[worst], shape))
    return ParameterCheck(
        name, tuple(shape), len(chosen), _ratio(g, numeric), index, float(g[worst]), float(numeric[worst])
    )


def _ratio(g, numeric) -> float:
    """``||g - g'|| / (||g|| + ||g'||)``; 0 when both vanish."""
    total = np.linalg.norm(g) + np.linalg.norm(numeric)
    return float(np.linalg.norm(g - numeric) / total) if total != 0 else 0.0


def _as_float64(part):
    if not is_tensor(part) and not isinstance(part, np.ndarray):
        return part
    array = to_numpy(part)
    return to_tensor(array.astype(np.float64)) if array.dtype.kind == "f" else to_tensor(array)
