"""Several tasks on one trunk: heads, losses that skip unknown labels, and the reversal of a gradient.

A label that is NaN or negative is unknown and costs nothing. So sets in which each example is labelled for some of the
tasks are used whole, and a network that must not tell two sources apart is a multi-task network too: its second head
stands behind a `GradientReversal`.
"""

from __future__ import annotations

import math

from .. import _C
from ..autograd import Function
from . import functional as F
from .containers import ModuleDict
from .module import Module

_NORMALIZE = ("batch", "known")


class _Reverse(Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x.clone()

    @staticmethod
    def backward(ctx, dy):
        return dy * -ctx.scale, None


class GradientReversal(Module):
    """y = x; dx = -scale dy (Ganin and Lempitsky 2015).

    What comes before it learns to make the task behind it harder: features from which the source of an example cannot
    be told.

    Parameters
    ----------
    scale : float, default 1
        May be changed during training; see `schedule`.
    """

    def __init__(self, scale: float = 1.0):
        super().__init__()
        if not math.isfinite(scale):
            raise ValueError(f"GradientReversal: scale must be a finite number, got {scale}")
        self.scale = float(scale)

    @staticmethod
    def schedule(progress: float, gamma: float = 10.0) -> float:
        """``2 / (1 + exp(-gamma progress)) - 1``: from 0 to 1, so that the features come first. `progress` in 0..1."""
        return 2 / (1 + math.exp(-gamma * progress)) - 1

    def forward(self, x):
        return _Reverse.apply(x, self.scale)

    def extra_repr(self) -> str:
        return f"scale={self.scale:g}"


class MultiTask(Module):
    """A shared trunk and a head for every task: ``{name: head(trunk(x))}``.

    Parameters
    ----------
    trunk : Module
    heads : dict of str to Module

    Examples
    --------
    >>> model = nn.MultiTask(trunk, {"digit": nn.Linear(64, 10), "speaker": nn.Linear(64, 6)})
    >>> loss = nn.MultiTaskLoss({"digit": "cross_entropy", "speaker": "cross_entropy"}, weights={"speaker": 0.5})
    >>> trainer = Trainer(model, loss, optimizer, metrics=[OfTask("digit", 0), OfTask("speaker", 1)])
    """

    def __init__(self, trunk: Module, heads: dict):
        super().__init__()
        if not heads:
            raise ValueError("MultiTask: expected at least one head")
        self.trunk, self.heads = trunk, ModuleDict(heads)

    def forward(self, *inputs):
        features = self.trunk(*inputs)
        return {name: head(features) for name, head in self.heads.items()}


def _count(known, normalize):
    return known.shape[0] if normalize == "batch" else known.to(_C.float32).sum().clamp(min=1)


def _check_normalize(what, normalize):
    if normalize not in _NORMALIZE:
        raise ValueError(f"{what}: normalize expects 'batch' or 'known', got {normalize!r}")


class MultiLabelLoss(Module):
    """Several yes-or-no questions about one example: logistic losses, summed over the known labels of each.

    ``sum_i sum_{j known} L(z_ij, y_ij) / N`` for logits [N, T] and labels [N, T] of 0 and 1. Not a softmax: a picture
    may hold a car and a stop sign.

    Parameters
    ----------
    normalize : {"batch", "known"}
        Divide by the number of examples N (the course's form) or of known labels.
    """

    def __init__(self, normalize: str = "batch"):
        super().__init__()
        _check_normalize("MultiLabelLoss", normalize)
        self.normalize = normalize

    def forward(self, input, target):
        if input.ndim != 2 or input.shape != target.shape:
            raise ValueError(
                f"MultiLabelLoss: expected logits and labels of one shape [N, T], got {list(input.shape)} and "
                f"{list(target.shape)}"
            )
        total, known = _binary(input, target)
        return total / _count(known, self.normalize)

    def extra_repr(self) -> str:
        return f"normalize={self.normalize!r}"


def _binary(z, y):
    """The summed logistic losses of the known labels, and which those are."""
    known = y >= 0  # False for NaN
    y = _C.where(known, y.to(z.dtype), _C.zeros_like(z))
    return F.binary_cross_entropy_with_logits(z, y, mask=known, reduction="sum"), known


def _cross_entropy(z, y):
    known = y >= 0
    ids = _C.where(known, y, _C.full_like(y, -100)).to(_C.int64)
    return F.cross_entropy(z, ids, ignore_index=-100, reduction="sum"), known


def _squared(z, y):
    known = y == y  # a negative number is a value here
    y = _C.where(known, y.to(z.dtype), _C.zeros_like(z))
    return F.mse_loss(z, y, mask=known, reduction="sum"), known


_LOSSES = {"cross_entropy": _cross_entropy, "binary": _binary, "mse": _squared}


class MultiTaskLoss(Module):
    """Weighted sum of the losses of several tasks, over the labels that are known.

    Input: the dict of a `MultiTask`; target [N, T], one column per task in the order of `tasks`: class ids, 0 or 1, or
    numbers. NaN is unknown, for class ids and 0 or 1 every negative number too.

    Parameters
    ----------
    tasks : dict of str to {"cross_entropy", "binary", "mse"}
        Scores [N, C] of classes; logits [N, 1] or [N]; numbers [N, 1] or [N].
    weights : dict of str to float, optional
        Of tasks; default 1.
    normalize : {"known", "batch"}
        Divide the loss of a task by the number of its known labels in the batch, or by the size of the batch; then a
        task with few labels counts less.
    """

    def __init__(self, tasks: dict, weights: dict | None = None, normalize: str = "known"):
        super().__init__()
        unknown = [f"{name}: {kind!r}" for name, kind in tasks.items() if kind not in _LOSSES]
        if not tasks or unknown:
            raise ValueError(
                f"MultiTaskLoss: a task has one of the losses {', '.join(_LOSSES)}, got {unknown or tasks}"
            )
        weights = dict(weights or {})
        if set(weights) - set(tasks) or any(not (0 <= w < math.inf) for w in weights.values()):
            raise ValueError(f"MultiTaskLoss: weights are numbers >= 0 for {', '.join(tasks)}, got {weights}")
        _check_normalize("MultiTaskLoss", normalize)
        self.tasks, self.normalize = dict(tasks), normalize
        self.weights = {name: float(weights.get(name, 1.0)) for name in tasks}

    def forward(self, input, target):
        missing = set(self.tasks) - set(input)
        if missing or target.ndim != 2 or target.shape[1] != len(self.tasks):
            raise ValueError(
                f"MultiTaskLoss: expected outputs {', '.join(self.tasks)} and targets [N, {len(self.tasks)}], got "
                f"{', '.join(input)} and {list(target.shape)}"
            )
        total = None
        for column, (name, kind) in enumerate(self.tasks.items()):
            z, y = input[name], target[:, column]
            if kind != "cross_entropy" and z.ndim == 2 and z.shape[1] == 1:
                z = z[:, 0]
            if z.ndim != (2 if kind == "cross_entropy" else 1) or z.shape[0] != y.shape[0]:
                raise ValueError(
                    f"MultiTaskLoss: the output {name!r} for {kind} has shape {list(input[name].shape)}, expected "
                    f"[{y.shape[0]}, {'C' if kind == 'cross_entropy' else 1}]"
                )
            loss, known = _LOSSES[kind](z, y)
            loss = loss * self.weights[name] / _count(known, self.normalize)
            total = loss if total is None else total + loss
        return total

    def extra_repr(self) -> str:
        return ", ".join(f"{name}: {self.weights[name]:g} {kind}" for name, kind in self.tasks.items())
