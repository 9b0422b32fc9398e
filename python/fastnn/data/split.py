"""Train / dev / test splits, seeded and on request stratified, grouped, or by where the data came from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import is_tensor, to_numpy, to_tensor
from ._random import SPLIT, check_seed, permutation
from .dataset import part_sizes

__all__ = ["SourceSplit", "split_by_source", "split_indices", "split_sizes", "train_dev_test_split", "train_test_split"]

PRESETS = {
    "train-test": (0.7, 0.3),
    "classic": (0.6, 0.2, 0.2),  # 100 to 10,000 examples
    "big": (0.98, 0.01, 0.01),  # a million
    "huge": (0.995, 0.0025, 0.0025),  # more
    "huge-dev": (0.995, 0.004, 0.001),
}


def split_sizes(n: int, preset: str = "auto") -> list[int]:
    """How many examples for training, dev and test.

    Parameters
    ----------
    n : int
    preset : {"auto", "train-test", "classic", "big", "huge", "huge-dev"}
        70/30; 60/20/20; 98/1/1; 99.5/0.25/0.25; 99.5/0.4/0.1. "auto" gives dev and test a fifth each but no more than
        10,000, and a quarter of a percent where that is more: 60/20/20 up to 50,000 examples, 98/1/1 at a million.

    Returns
    -------
    list of int
        Three counts (two for "train-test") that add up to `n`.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise ValueError(f"split_sizes: expected a number of examples >= 0, got {n!r}")
    if preset == "auto":
        part = max(min(int(n) // 5, 10_000), int(n) // 400)
        return [int(n) - 2 * part, part, part]
    if preset not in PRESETS:
        raise ValueError(f"split_sizes: preset must be auto, {', '.join(PRESETS)}, got {preset!r}")
    return part_sizes(int(n), PRESETS[preset], "split_sizes")


def split_indices(n: int, fractions, seed: int = 0, stratify=None, groups=None) -> list[np.ndarray]:
    """Cut ``0 .. n-1`` into random parts.

    Parameters
    ----------
    n : int
    fractions : sequence
        Fractions that add up to 1, or counts that add up to `n`.
    seed : int
        The result is a function of the arguments alone.
    stratify : array of shape [n], optional
        Class labels; every part then holds each class in proportion, to within one item, and the sizes stay exact.
    groups : array of shape [n], optional
        What must stay together: the patient, speaker or camera an item comes from. The parts then have whole groups,
        and sizes (and classes, with `stratify`) as near to what was asked as these allow.

    Returns
    -------
    list of int64 arrays, each ascending
    """
    counts = part_sizes(n, fractions, "split")
    order = permutation(n, check_seed(seed, "split: seed"), stream=SPLIT)
    labels = None if stratify is None else _one_each(n, stratify, "labels to stratify by")
    if groups is not None:
        return _split_groups(counts, order, labels, _one_each(n, groups, "groups"))
    if labels is not None:
        # Deal the members of each class evenly over [0, 1) and cut the line of all items: every stretch of the line
        # then holds the classes in proportion.
        _, cls, sizes = np.unique(labels[order], return_inverse=True, return_counts=True)
        by_class = np.argsort(cls, kind="stable")
        rank = np.empty(n)
        rank[by_class] = np.concatenate([(np.arange(s) + 0.5) / s for s in sizes]) if n else 0
        order = order[np.argsort(rank, kind="stable")]
    ends = np.cumsum(counts)
    return [np.sort(order[end - count : end]) for count, end in zip(counts, ends)]


def _one_each(n, values, what):
    values = to_numpy(values).reshape(-1)
    if len(values) != n:
        raise ValueError(f"split: expected {n} {what}, got {len(values)}")
    return values


def _split_groups(counts, order, labels, groups):
    """Whole groups, the largest first, each to the part that misses its classes most."""
    n = len(groups)
    names, group = np.unique(groups, return_inverse=True)
    wanted = sum(count > 0 for count in counts)
    if len(names) < wanted:
        raise ValueError(f"split: {len(names)} groups do not fill {wanted} parts")
    cls = np.zeros(n, np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    table = np.zeros((len(names), cls.max() + 1 if n else 1))
    np.add.at(table, (group, cls), 1)
    missing = np.outer(np.array(counts) / max(n, 1), table.sum(axis=0))
    position = np.full(len(names), n)  # groups of one size in random order
    np.minimum.at(position, group[order], np.arange(n))
    part_of = np.zeros(len(names), np.int64)
    ranked = np.lexsort((position, -table.sum(axis=1)))
    for place, g in enumerate(ranked):
        # What the squares of the missing counts lose; a part that would stay empty takes one of the last groups.
        gain = (2 * missing * table[g] - table[g] ** 2).sum(axis=1)
        empty = [p for p, count in enumerate(counts) if count and not (part_of[ranked[:place]] == p).any()]
        choices = empty if len(empty) >= len(names) - place else np.flatnonzero(counts)
        part_of[g] = max(choices, key=lambda p: gain[p])
        missing[part_of[g]] -= table[g]
    return [np.flatnonzero(part_of[group] == p) for p in range(len(counts))]


class SourceSplit(NamedTuple):
    """Index arrays, each ascending."""

    train: np.ndarray
    train_dev: np.ndarray
    dev: np.ndarray
    test: np.ndarray


def split_by_source(sources, target, dev, test, train_dev=0, seed: int = 0) -> SourceSplit:
    """Dev and test from the source that matters, everything else for training.

    200,000 pictures from the web and 10,000 from the phones of users: shuffled together, a dev set of 2,500 would hold
    119 pictures like those the system is built for. So dev and test come from the phones alone.

    Parameters
    ----------
    sources : array [n]
        Where each item comes from.
    target
        The source (or a list of them) the system is to work on.
    dev, test : int or float
        Items of the target, or fractions of its items.
    train_dev : int or float
        Items of the training set that are put aside (or a fraction of it): drawn like those trained on, not trained
        on. It tells variance from data mismatch; see `fastnn.strategy.diagnose`.
    seed : int

    Returns
    -------
    SourceSplit
        What is left of the target is in the training set.
    """
    s = to_numpy(sources).reshape(-1)
    aimed = np.isin(s, to_numpy(target).reshape(-1))
    count = int(aimed.sum())
    if not count:
        raise ValueError(
            f"split_by_source: no item comes from {target!r}; there are {', '.join(map(str, set(s[:1000].tolist())))}"
        )
    sizes = [_size(count, size, f"split_by_source: {name}") for name, size in (("dev", dev), ("test", test))]
    if sum(sizes) > count:
        raise ValueError(f"split_by_source: dev ({sizes[0]}) and test ({sizes[1]}) exceed the {count} of {target!r}")
    order = permutation(len(s), check_seed(seed, "split_by_source: seed"), stream=SPLIT)
    of_target = order[aimed[order]]
    held = of_target[: sum(sizes)]
    rest = order[~np.isin(order, held)]
    aside = _size(len(rest), train_dev, "split_by_source: train_dev")
    parts = rest[aside:], rest[:aside], held[: sizes[0]], held[sizes[0] :]
    return SourceSplit(*(np.sort(part) for part in parts))


def train_test_split(*arrays, test_size: float = 0.2, seed: int = 0, stratify=None, groups=None):
    """Split tensors or arrays of the same length in two: ``x_train, x_test, y_train, y_test = train_test_split(x, y)``.

    Parameters
    ----------
    *arrays : Tensor or ndarray of shape [N, ...]
        Tensors give tensors, arrays give arrays (copies).
    test_size : float or int
        A fraction in (0, 1) or a number of items.
    seed, stratify, groups
        See `split_indices`.
    """
    n = _common_length(arrays, "train_test_split")
    count = _size(n, test_size, "train_test_split: test_size")
    parts = split_indices(n, [n - count, count], seed, stratify, groups)
    return [_take(a, part) for a in arrays for part in parts]


def train_dev_test_split(*arrays, dev_size: float = 0.1, test_size: float = 0.1, seed: int = 0, stratify=None,
                         groups=None):  # fmt: skip
    """Split in three: ``(x_train, y_train), (x_dev, y_dev), (x_test, y_test) = train_dev_test_split(x, y)``.

    Parameters are those of `train_test_split`, with `dev_size` beside `test_size`.
    """
    n = _common_length(arrays, "train_dev_test_split")
    dev = _size(n, dev_size, "train_dev_test_split: dev_size")
    test = _size(n, test_size, "train_dev_test_split: test_size")
    if dev + test > n:
        raise ValueError(f"train_dev_test_split: dev ({dev}) and test ({test}) exceed the {n} items")
    parts = split_indices(n, [n - dev - test, dev, test], seed, stratify, groups)
    return [tuple(_take(a, part) for a in arrays) for part in parts]


def _common_length(arrays, what):
    sizes = [len(to_numpy(a)) if to_numpy(a).ndim else -1 for a in arrays]
    if not sizes or min(sizes) < 0 or len(set(sizes)) != 1:
        raise ValueError(f"{what}: expected arrays of the same first dimension, got {sizes}")
    return sizes[0]


def _size(n, size, what):
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool):
        if not 0 <= size <= n:
            raise ValueError(f"{what}: expected a number of items between 0 and {n}, got {size}")
        return int(size)
    if not 0 <= size < 1:
        raise ValueError(f"{what}: expected a fraction in [0, 1) or a number of items, got {size}")
    return round(n * size)


def _take(array, indices):
    part = np.take(to_numpy(array), indices, axis=0)
    return to_tensor(part) if is_tensor(array) else part
