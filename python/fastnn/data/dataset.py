"""What a data set is: a length and items by index; a batch in one gather where the storage allows it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from .._arrays import is_tensor, on_device, one_device, to_numpy, to_tensor
from ._random import SPLIT, check_seed, permutation

__all__ = ["Dataset", "TensorDataset", "Subset", "ConcatDataset", "MapDataset", "random_split"]


class Dataset:
    """Base class: subclasses define ``__len__`` and ``__getitem__(index)``.

    A subclass may also define ``gather(indices)``, which returns a whole batch for an int64 array of indices; the
    `DataLoader` then calls it once per batch instead of collating items.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


def normalize_index(index, length: int, what: str) -> int:
    """An index counted from the end when negative; IndexError outside."""
    i = int(index)
    if not -length <= i < length:
        raise IndexError(f"{what}: index {i} is out of range for {length} items")
    return i + length if i < 0 else i


class TensorDataset(Dataset):
    """Tensors (or NumPy arrays) of the same first dimension; item `i` is the tuple of their i-th rows.

    Parameters
    ----------
    *tensors : Tensor or ndarray
        Each of shape ``[N, ...]``. They are kept, not copied; batches are copies, made where the tensors lie. Arrays
        of float64 become float32, as in `fastnn.tensor`; float64 tensors stay what they are. Arrays beside tensors go
        where those are.

    Raises
    ------
    ValueError
        When there is no tensor, one has no dimension, or the first dimensions differ.
    fastnn.DeviceError
        When they lie on different devices.
    """

    def __init__(self, *tensors):
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor")
        given = [t for t in tensors if is_tensor(t)]
        one_device("TensorDataset", given)
        place = given[0].device if given else None
        self._arrays = tuple(t if on_device(t) else to_numpy(t) for t in tensors)
        self._arrays = tuple(
            a.astype(np.float32) if not is_tensor(t) and a.dtype == np.float64 else a
            for a, t in zip(self._arrays, tensors, strict=True)
        )
        for i, a in enumerate(self._arrays):
            if a.ndim == 0:
                raise ValueError(f"TensorDataset: tensor {i} has no dimension to index")
            if len(a) != len(self._arrays[0]):
                sizes = [len(b) for b in self._arrays]
                raise ValueError(f"TensorDataset: the tensors must have the same first dimension, got {sizes}")
        self.tensors = tuple(t if is_tensor(t) else to_tensor(a, place) for t, a in zip(tensors, self._arrays))
        if on_device(given[0] if given else None):  # batches are gathered from these, else from the arrays
            self._arrays = self.tensors

    def __len__(self):
        return len(self._arrays[0])

    def __getitem__(self, index):
        i = normalize_index(index, len(self), "TensorDataset")
        return tuple(t[i] for t in self.tensors)

    def gather(self, indices):
        """The batch of the given rows: a tuple of tensors of shape ``[len(indices), ...]``."""
        indices = np.asarray(indices, np.int64)
        if not is_tensor(self._arrays[0]):
            return tuple(to_tensor(np.take(a, indices, axis=0)) for a in self._arrays)
        rows = to_tensor(indices, self._arrays[0].device)
        return tuple(t.detach().index_select(0, rows) for t in self._arrays)


class Subset(Dataset):
    """The items of `dataset` at `indices`, in that order.

    Raises
    ------
    IndexError
        When an index is outside the data set.
    """

    def __init__(self, dataset, indices: Sequence[int]):
        self.dataset = dataset
        self.indices = np.asarray(indices)
        if self.indices.ndim != 1 or (self.indices.size and not np.issubdtype(self.indices.dtype, np.integer)):
            raise TypeError(
                f"Subset: expected a list of integer indices, got {self.indices.dtype} {self.indices.shape}"
            )
        self.indices = self.indices.astype(np.int64)
        n = len(dataset)
        bad = (self.indices < -n) | (self.indices >= n)
        if bad.any():
            raise IndexError(f"Subset: index {self.indices[bad][0]} is out of range for {n} items")
        self.indices[self.indices < 0] += n

    def __len__(self):
        return len(self.indices)

    @property
    def gather(self):
        """A batch in one gather, where the data set underneath can do that (else AttributeError)."""
        gather = self.dataset.gather
        return lambda indices: gather(self.indices[np.asarray(indices, np.int64)])

    def __getitem__(self, index):
        return self.dataset[int(self.indices[normalize_index(index, len(self), "Subset")])]


class ConcatDataset(Dataset):
    """Data sets one after the other."""

    def __init__(self, datasets):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one data set")
        self._ends = list(accumulate(len(d) for d in self.datasets))

    def __len__(self):
        return self._ends[-1]

    def __getitem__(self, index):
        i = normalize_index(index, len(self), "ConcatDataset")
        which = bisect_right(self._ends, i)
        return self.datasets[which][i - (self._ends[which - 1] if which else 0)]


class MapDataset(Dataset):
    """`transform(item)` for every item of `dataset`; a tuple item is passed as separate arguments."""

    def __init__(self, dataset, transform):
        if not callable(transform):
            raise TypeError(f"MapDataset: expected a function, got {type(transform).__name__}")
        self.dataset, self.transform = dataset, transform

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        item = self.dataset[index]
        return self.transform(*item) if isinstance(item, tuple) else self.transform(item)


def random_split(dataset, lengths: Sequence[float], seed: int = 0) -> list[Subset]:
    """Cut a data set into random parts without overlap.

    Parameters
    ----------
    dataset : Dataset
    lengths : sequence
        Either item counts that add up to ``len(dataset)``, or fractions that add up to 1 (what rounding leaves over
        goes to the first parts, one item each, as in PyTorch).
    seed : int
        The split is a function of the seed and the length alone.
    """
    n = len(dataset)
    counts = part_sizes(n, lengths, "random_split")
    order = permutation(n, check_seed(seed, "random_split: seed"), stream=SPLIT)
    ends = list(accumulate(counts))
    return [Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends)]


def part_sizes(n: int, lengths, what: str) -> list[int]:
    """Counts that add up to `n`, from counts or fractions."""
    lengths = list(lengths)
    if not lengths or any(not np.isfinite(length) or length < 0 for length in lengths):
        raise ValueError(f"{what}: expected lengths or fractions >= 0, got {lengths}")
    if all(isinstance(length, (int, np.integer)) for length in lengths) and sum(lengths) == n:
        return [int(length) for length in lengths]
    if abs(sum(lengths) - 1) > 1e-9:
        raise ValueError(f"{what}: expected lengths that add up to {n} or fractions that add up to 1, got {lengths}")
    counts = [int(n * f + 1e-9) for f in lengths]  # 0.29 * 100 is 28.999999999999996
    for i in range(n - sum(counts)):
        counts[i % len(counts)] += 1
    return counts
