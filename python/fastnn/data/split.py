"""Train / dev / test splits, seeded and on request stratified."""

from __future__ import annotations

import numpy as np

from .._arrays import is_tensor, to_numpy, to_tensor
from ._random import SPLIT, check_seed, permutation
from .dataset import part_sizes

__all__ = ["split_indices", "train_test_split", "train_dev_test_split"]


def split_indices(n: int, fractions, seed: int = 0, stratify=None) -> list[np.ndarray]:
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

    Returns
    -------
    list of int64 arrays, each ascending
    """
    counts = part_sizes(n, fractions, "split")
    order = permutation(n, check_seed(seed, "split: seed"), stream=SPLIT)
    if stratify is not None:
        labels = to_numpy(stratify).reshape(-1)
        if len(labels) != n:
            raise ValueError(f"split: expected {n} labels to stratify by, got {len(labels)}")
        # Deal the members of each class evenly over [0, 1) and cut the line of all items: every stretch of the line
        # then holds the classes in proportion.
        _, cls, sizes = np.unique(labels[order], return_inverse=True, return_counts=True)
        by_class = np.argsort(cls, kind="stable")
        rank = np.empty(n)
        rank[by_class] = np.concatenate([(np.arange(s) + 0.5) / s for s in sizes]) if n else 0
        order = order[np.argsort(rank, kind="stable")]
    ends = np.cumsum(counts)
    return [np.sort(order[end - count : end]) for count, end in zip(counts, ends)]


def train_test_split(*arrays, test_size: float = 0.2, seed: int = 0, stratify=None):
    """Split tensors or arrays of the same length in two: ``x_train, x_test, y_train, y_test = train_test_split(x, y)``.

    Parameters
    ----------
    *arrays : Tensor or ndarray of shape [N, ...]
        Tensors give tensors, arrays give arrays (copies).
    test_size : float or int
        A fraction in (0, 1) or a number of items.
    seed, stratify
        See `split_indices`.
    """
    n = _common_length(arrays, "train_test_split")
    count = _size(n, test_size, "train_test_split: test_size")
    parts = split_indices(n, [n - count, count], seed, stratify)
    return [_take(a, part) for a in arrays for part in parts]


def train_dev_test_split(*arrays, dev_size: float = 0.1, test_size: float = 0.1, seed: int = 0, stratify=None):
    """Split in three: ``(x_train, y_train), (x_dev, y_dev), (x_test, y_test) = train_dev_test_split(x, y)``.

    Parameters are those of `train_test_split`, with `dev_size` beside `test_size`.
    """
    n = _common_length(arrays, "train_dev_test_split")
    dev = _size(n, dev_size, "train_dev_test_split: dev_size")
    test = _size(n, test_size, "train_dev_test_split: test_size")
    if dev + test > n:
        raise ValueError(f"train_dev_test_split: dev ({dev}) and test ({test}) exceed the {n} items")
    parts = split_indices(n, [n - dev - test, dev, test], seed, stratify)
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
