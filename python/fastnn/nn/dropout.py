"""Dropout (inverted), of single values and of whole channels."""

from __future__ import annotations

from .._C import ones
from . import functional as F
from .module import Module


class RandomlyOff(Module):
    """What is left out at random in training: base of the dropout layers and of `StochasticDepth`."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p expects a probability in [0, 1], got {p}")
        self.p = p

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(RandomlyOff):
    """In training, sets each value to 0 with probability ``p`` and divides the others by the keep probability 1 - p.

    A new mask every call, for every unit of every example; in evaluation mode the input passes unchanged (inverted
    dropout: nothing is left to do at test time). ``p`` is the probability to *drop*: the course's keep_prob is 1 - p.
    """

    def forward(self, x):
        return F.dropout(x, self.p, self.training)


class _ChannelDropout(RandomlyOff):
    axes = 0

    def forward(self, x):
        if x.ndim != self.axes + 2:
            names = "DHW"[3 - self.axes :]
            wanted = ", ".join(["N", *names, "C"])
            raise ValueError(f"{type(self).__name__}: expected x of shape [{wanted}], got {list(x.shape)}")
        if not self.training or self.p == 0:
            return x
        shape = (x.shape[0],) + (1,) * self.axes + (x.shape[-1],)
        return x * F.dropout(ones(shape, dtype=x.dtype, device=x.device), self.p, True)


class Dropout1d(_ChannelDropout):
    """Drops whole channels of [N, W, C]; see `Dropout2d`."""

    axes = 1


class Dropout2d(_ChannelDropout):
    """In training, sets whole channels of [N, H, W, C] to 0 with probability ``p``, divides the others by 1 - p.

    Neighbouring pixels of a channel say nearly the same, so dropping single ones regularises little (Tompson et al.
    2015).
    """

    axes = 2


class Dropout3d(_ChannelDropout):
    """Drops whole channels of [N, D, H, W, C]; see `Dropout2d`."""

    axes = 3
