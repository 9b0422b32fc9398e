"""What a suite is made of: cases, their inputs, the float64 result they are checked against, one builder a library."""

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
        Arithmetic and memory traffic of one call; whichever is given decides which roof percentages refer to.
    traffic : str
        "read" or "copy": the kind of pass over memory whose measured bandwidth is the roof of `nbytes`.
    skip : dict of str to str
        Libraries that cannot do this row, and why.
    """

    name: str
    params: dict = field(default_factory=dict)
    flops: float = 0.0
    nbytes: float = 0.0
    traffic: str = "read"
    skip: dict = field(default_factory=dict)

    def rng(self):
        """The same numbers in every process."""
        return np.random.default_rng(zlib.crc32(self.name.encode()))


def sum_bound(terms, magnitude):
    """Largest error a float32 sum of `terms` products may have, `magnitude` being the sum of their absolute values.

    The worst case is (terms + 1) units in the last place of the magnitude; 2 more leave room for a bias or scale.
    """
    return (terms + 3) * 2.0**-24 * magnitude + 1e-37
