"""Which items an epoch visits and in what order, as a function of the epoch alone."""

from __future__ import annotations

import numpy as np

from .._arrays import to_numpy
from ._random import SAMPLE, check_seed, permutation, philox_bits

__all__ = ["Sampler", "SequentialSampler", "RandomSampler", "WeightedRandomSampler"]


class Sampler:
    """Base class: ``order(epoch)`` returns the int64 indices of that epoch, ``len(sampler)`` how many there are.

    An order must not depend on anything but the epoch and what the sampler was made with; that is what makes a
    resumed run continue with the items the interrupted one would have seen.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def order(self, epoch: int) -> np.ndarray:
        raise NotImplementedError(f"{type(self).__name__} must define order(epoch)")


class SequentialSampler(Sampler):
    """0, 1, 2, ... in every epoch."""

    def __init__(self, n: int):
        self.n = int(n)

    def __len__(self):
        return self.n

    def order(self, epoch):
        return np.arange(self.n, dtype=np.int64)


class RandomSampler(Sampler):
    """A new permutation in every epoch, a function of ``(seed, epoch)``."""

    def __init__(self, n: int, seed: int):
        self.n, self.seed = int(n), check_seed(seed, "RandomSampler: seed")

    def __len__(self):
        return self.n

    def order(self, epoch):
        return permutation(self.n, self.seed, epoch)


class WeightedRandomSampler(Sampler):
    """Draws with replacement, item `i` with probability ``weights[i] / sum(weights)``, to balance rare classes.

    Parameters
    ----------
    weights : array of shape [N]
        Not negative, finite, with a positive sum.
    num_samples : int
        Draws per epoch.
    seed : int
    """

    def __init__(self, weights, num_samples: int, seed: int = 0):
        w = to_numpy(weights).astype(np.float64)
        if w.ndim != 1 or not np.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
            raise ValueError("WeightedRandomSampler: weights must be a list of finite numbers >= 0 with a positive sum")
        if num_samples < 0:
            raise ValueError(f"WeightedRandomSampler: num_samples must be >= 0, got {num_samples}")
        self.num_samples, self.seed = int(num_samples), check_seed(seed, "WeightedRandomSampler: seed")
        self._cumulative = np.cumsum(w) / w.sum()
        self._last = int(np.flatnonzero(w)[-1])

    def __len__(self):
        return self.num_samples

    def order(self, epoch):
        # 53 bits, as many as a double holds: uniform in [0, 1)
        u = (philox_bits(self.num_samples, self.seed, epoch, SAMPLE) >> np.uint64(11)) * 2.0**-53
        return np.minimum(np.searchsorted(self._cumulative, u, side="right"), self._last).astype(np.int64)
