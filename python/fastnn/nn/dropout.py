"""Dropout (inverted)."""

from __future__ import annotations

from . import functional as F
from .module import Module


class Dropout(Module):
    """In training, sets each value to 0 with probability ``p`` and divides the others by the keep probability 1 - p.

    A new mask every call, for every unit of every example; in evaluation mode the input passes unchanged (inverted
    dropout: nothing is left to do at test time). ``p`` is the probability to *drop*: the course's keep_prob is 1 - p.
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p expects a probability in [0, 1], got {p}")
        self.p = p

    def forward(self, x):
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
