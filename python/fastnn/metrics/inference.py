"""What a measured number is worth: confidence intervals, paired tests between two models, and how much data it takes.

Everything is seeded and needs NumPy alone. Two models are compared on the same items: pairs tell far smaller
differences apart than two separate errors do.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..data._random import check_seed
from .functional import class_ids

__all__ = ["Interval", "PairedTest", "wilson_interval", "bootstrap_interval", "mcnemar", "paired_bootstrap",
           "examples_needed"]  # fmt: skip


class Interval(NamedTuple):
    """An estimate with its confidence limits."""

    value: float
    low: float
    high: float

    def __str__(self):
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


class PairedTest(NamedTuple):
    """The difference ``a - b`` with its limits, and the probability of one as large between equal models."""

    difference: float
    low: float
    high: float
    p_value: float


def _z(confidence, what):
    if not 0 < confidence < 1:
        raise ValueError(f"{what}: confidence must lie between 0 and 1, got {confidence}")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson_interval(count: int, n: int, confidence: float = 0.95) -> Interval:
    """Interval for a rate of `count` in `n` (Wilson 1927): right also near 0 and 1, where p +- 2 s is not.

    >>> wilson_interval(100, 10_000)  # an error of 1 % on 10,000 examples
    Interval(value=0.01, low=0.00823, high=0.01215)
    """
    if n < 1 or not 0 <= count <= n:
        raise ValueError(f"wilson_interval: expected 0 <= count <= n and n >= 1, got {count} of {n}")
    z2 = _z(confidence, "wilson_interval") ** 2
    p = count / n
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Interval(p, 0.0 if count == 0 else middle - half, 1.0 if count == n else middle + half)


def _resamples(n, samples, seed, what):
    if not isinstance(samples, (int, np.integer)) or samples < 1:
        raise ValueError(f"{what}: samples must be a whole number >= 1, got {samples!r}")
    # Raw Philox bits: the same in every version of NumPy. The bias of % is below n / 2**64.
    bits = np.random.Philox(key=check_seed(seed, f"{what}: seed"))
    for _ in range(samples):
        yield (bits.random_raw(n) % np.uint64(n)).astype(np.int64)


def _rows(arrays, what):
    arrays = [to_numpy(a) for a in arrays]
    sizes = [len(a) if a.ndim else 0 for a in arrays]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise ValueError(f"{what}: expected equally many items and at least one, got {sizes}")
    return arrays


def bootstrap_interval(metric, pred, target, samples: int = 1000, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Percentile interval of any metric: the spread over resampled items (Efron 1979).

    Parameters
    ----------
    metric : callable
        ``metric(pred, target) -> number``.
    pred, target : array [N, ...]
    samples : int
        Sets of N items drawn with replacement. Draws for which the metric is not defined (NaN or ValueError, such as
        one class only) are left out; ValueError when more than half are.
    """
    _z(confidence, "bootstrap_interval")
    p, t = _rows((pred, target), "bootstrap_interval")
    values = []
    for rows in _resamples(len(t), samples, seed, "bootstrap_interval"):
        try:
            values.append(float(metric(p[rows], t[rows])))
        except ValueError:
            values.append(math.nan)
    kept = np.array(values)[~np.isnan(values)]
    if 2 * len(kept) < len(values):
        raise ValueError(f"bootstrap_interval: the metric has a value for {len(kept)} of {len(values)} resamples only")
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(metric(p, t)), float(low), float(high))


def mcnemar(pred_a, pred_b, target, confidence: float = 0.95, threshold: float = 0.5) -> PairedTest:
    """Exact McNemar test: do two classifiers make equally many errors on the same items?

    Only items that one of them has right and the other wrong count; between equal models each is a fair coin.

    Returns
    -------
    PairedTest
        ``difference`` is error(a) - error(b), negative when a is better, with normal limits for pairs.
    """
    z = _z(confidence, "mcnemar")
    a, t = class_ids(pred_a, target, threshold, "mcnemar")
    b, _ = class_ids(pred_b, target, threshold, "mcnemar")
    if not t.size:
        raise ValueError("mcnemar: expected at least one item")
    only_a, only_b = int(((a != t) & (b == t)).sum()), int(((a == t) & (b != t)).sum())
    n, d, k = t.size, only_a + only_b, min(only_a, only_b)
    tail = sum(math.exp(_log_choose(d, i) - d * math.log(2)) for i in range(k + 1))
    difference = (only_a - only_b) / n
    half = z * math.sqrt(max(d - (only_a - only_b) ** 2 / n, 0)) / n
    return PairedTest(difference, difference - half, difference + half, min(1.0, 2 * tail))


def _log_choose(n, k):
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def paired_bootstrap(metric, pred_a, pred_b, target, samples: int = 1000, confidence: float = 0.95,
                     seed: int = 0) -> PairedTest:  # fmt: skip
    """The difference of any metric between two models, over the same resampled items for both.

    ``p_value`` is twice the share of resamples in which the difference has the other sign (never below 2 / samples).
    """
    _z(confidence, "paired_bootstrap")
    a, b, t = _rows((pred_a, pred_b, target), "paired_bootstrap")
    rows = _resamples(len(t), samples, seed, "paired_bootstrap")
    values = np.array([float(metric(a[i], t[i])) - float(metric(b[i], t[i])) for i in rows])
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    beyond = min((values <= 0).mean(), (values >= 0).mean())
    p = min(1.0, 2 * max(float(beyond), 1 / samples))
    return PairedTest(float(metric(a, t)) - float(metric(b, t)), float(low), float(high), p)


def examples_needed(error: float, difference: float, confidence: float = 0.95, power: float = 0.8) -> int:
    """Size of the dev set that can tell two models apart.

    Parameters
    ----------
    error : float
        Error of the better one, between 0 and 1.
    difference : float
        The difference in error to be found.
    confidence, power : float
        Chance of no false alarm, chance of finding it. The two are taken as measured on separate items; on the same
        items, with `mcnemar`, fewer do.
    """
    other = error + difference
    if not 0 <= error < 1 or not 0 < difference <= 1 - error or not 0 < power < 1:
        raise ValueError(
            f"examples_needed: expected 0 <= error < 1, 0 < difference <= 1 - error and 0 < power < 1, got {error}, "
            f"{difference}, {power}"
        )
    z = _z(confidence, "examples_needed") + NormalDist().inv_cdf(power)
    return math.ceil(z * z * (error * (1 - error) + other * (1 - other)) / (difference * difference))
