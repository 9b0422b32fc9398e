"""What a suite is made of: cases, their inputs, the float64 result they are checked against, one builder a library.

A suite is a module of ``bench/suites`` with

- ``TITLE`` and ``LIBS``, the libraries that run by default; ``SUBJECT``, which of them the ratio is for ("fastnn"),
- ``CASES``, a list of `Case`,
- ``inputs(params, rng)``, arrays by name; ``reference(params, inputs, lib)``, a list of (float64 result, error),
- ``BUILDERS``, for each library a function of (params, inputs, threads) that returns the call to time, or None where
  the library has no such thing. What the call returns is checked, or what its attribute ``result`` does if it has one,
- ``tiny(params)``, optional: the same case on small shapes, for tests.
"""

import time
import zlib
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Case:
    """One row of a table.

    Parameters
    ----------
    name : str
        Unique within the suite.
    params : dict
        What the suite's functions need to know about the row.
    flops, nbytes : float
        Arithmetic and memory traffic of one call; the tighter of the two limits decides what percentages refer to.
    traffic : str
        "read" or "copy": the kind of pass over memory whose measured bandwidth is the roof of `nbytes`.
    nominal : bool
        `flops` places the row in the roofline picture but is no limit: its operations are not multiply-adds.
    skip : dict of str to str
        Libraries that cannot do this row, and why.
    """

    name: str
    params: dict = field(default_factory=dict)
    flops: float = 0.0
    nbytes: float = 0.0
    traffic: str = "read"
    nominal: bool = False
    skip: dict = field(default_factory=dict)

    def rng(self):
        """The same numbers in every process."""
        return np.random.default_rng(zlib.crc32(self.name.encode()))


class Missing(Exception):
    """Raised by a builder: this installation of the library lacks what the row needs. The row goes on without it."""


def sum_bound(terms, magnitude):
    """Largest error a float32 sum of `terms` products may have, `magnitude` being the sum of their absolute values.

    The worst case is (terms + 1) units in the last place of the magnitude; 2 more leave room for a bias or scale.
    """
    return (terms + 3) * 2.0**-24 * magnitude + 1e-37


def fastest(**runs):
    """The quicker of several ways to do the same work, such as two layouts; its name becomes the note of the row."""
    if len(runs) == 1:
        return next(iter(runs.values()))
    seconds = {}
    for name, run in runs.items():
        run()
        taken = []
        for _ in range(5):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
        seconds[name] = min(taken)
    best = min(seconds, key=seconds.get)
    runs[best].note = best
    return runs[best]


def gradient(leaves, forward, dy=None):
    """Forward and backward as a call; gradients are made anew every time. For tensors of fastnn and PyTorch."""

    def run():
        for leaf in leaves:
            leaf.grad = None
        forward().backward(dy)

    run.result = lambda: [leaf.grad for leaf in leaves]
    return run


def small(params, limit=24):
    """The parameters with every length of ``params["shape"]`` and the like cut to `limit`."""
    cut = {k: tuple(min(n, limit) for n in v) for k, v in params.items() if isinstance(v, tuple)}
    return {**params, **cut}
