"""Sequences of different lengths: padded, packed, and the state that goes from one piece of a sequence to the next.

A padded batch is [N, T, ...] with lengths [N]. A packed one holds the valid steps only, time by time: first those of
step 0 of all sequences, longest sequence first, then those of step 1 of the sequences that have one, and so on. The
recurrent layers take both; what they compute is the same, and packing saves nothing there (idle rows are skipped
either way). It is for code that wants one row per valid step, such as a dense head or a loss. Names and arguments are
PyTorch's, but sequences are batch-first unless ``batch_first=False``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ... import _C
from ..._arrays import to_numpy
from ..._C import Tensor

__all__ = [
    "PackedSequence", "detach_state", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence", "pad_sequence",
    "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


class PackedSequence(_Fields):
    """The valid steps of a batch of sequences, time by time.

    Parameters
    ----------
    data : Tensor [sum of lengths, ...]
    batch_sizes : Tensor int64 [longest length]
        How many sequences have a step t; positive, never growing, their sum is the number of rows of `data`.
    sorted_indices, unsorted_indices : Tensor int64 [N], optional
        Row k of `data` is of sequence ``sorted_indices[k]``; the other is its inverse. Absent: the order of the batch.

    Raises
    ------
    TypeError, ValueError
        Parts that do not fit.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes, sorted_indices=None, unsorted_indices=None):
        name = "PackedSequence"
        if not isinstance(data, Tensor) or data.ndim < 1:
            raise TypeError(f"{name}: expected data as a Tensor of one axis or more, got {data!r}")
        sizes = _integers(name, "batch_sizes", batch_sizes)
        if sizes.size == 0 or sizes[-1] < 1 or (np.diff(sizes) > 0).any():
            raise ValueError(f"{name}: batch_sizes must be positive and never grow, got {_short(sizes)}")
        if sizes.sum() != data.shape[0]:
            raise ValueError(f"{name}: batch_sizes add up to {sizes.sum()}, but data has {data.shape[0]} rows")
        order, inverse = sorted_indices, unsorted_indices
        if order is None and inverse is not None:
            order = np.argsort(_permutation(name, "unsorted_indices", inverse, sizes[0]))
        if order is not None:
            order = _permutation(name, "sorted_indices", order, sizes[0])
            expected = np.argsort(order)
            if inverse is not None and (_integers(name, "unsorted_indices", inverse) != expected).any():
                raise ValueError(f"{name}: unsorted_indices are not the inverse of sorted_indices")
            order, inverse = _C.tensor(order, device="cpu"), _C.tensor(expected, device="cpu")
        return super().__new__(cls, data, _C.tensor(sizes, device="cpu"), order, inverse)

    @property
    def lengths(self) -> np.ndarray:
        """Of each sequence of the batch, in its own order (int64 [N])."""
        sizes = self.batch_sizes.numpy()
        lengths = (sizes[None, :] > np.arange(sizes[0])[:, None]).sum(1)
        return lengths if self.unsorted_indices is None else lengths[self.unsorted_indices.numpy()]

    def _rows(self) -> np.ndarray:
        """Row of `data` of step t of sequence n of the batch, -1 where it has none: [N, T]."""
        sizes = self.batch_sizes.numpy()
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        place = np.arange(sizes[0])[:, None]
        rows = np.where(place < sizes[None, :], starts[None, :] + place, -1)
        return rows if self.unsorted_indices is None else rows[self.unsorted_indices.numpy()]

    def _like(self, padded: Tensor) -> PackedSequence:
        """A padded batch [N, T, ...] of the same lengths, packed in the same order."""
        rows = self._rows().reshape(-1)
        steps = np.empty(self.data.shape[0], np.int64)
        steps[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        flat = padded.reshape(-1, *padded.shape[2:])
        return PackedSequence(flat[_C.tensor(steps, device=flat.device)], *self[1:])

    def __repr__(self) -> str:
        return f"PackedSequence(data={list(self.data.shape)}, batch_sizes={_short(self.batch_sizes.numpy())})"


def _short(values: np.ndarray) -> str:
    return str(values.tolist() if values.size <= 8 else [*values[:8].tolist(), "..."])


def _integers(op: str, what: str, values) -> np.ndarray:
    """A list, array or tensor of integers of one axis, as int64 of its own."""
    array = to_numpy(values) if isinstance(values, Tensor) else np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{op}: {what} must be integers, got {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{op}: {what} must have one axis, got shape {list(array.shape)}")
    return array.astype(np.int64)


def lengths_tensor(op: str, lengths) -> Tensor:
    """Lengths as the recurrent operations take them; a tensor stays what it is (they check it)."""
    return lengths if isinstance(lengths, Tensor) else _C.tensor(_integers(op, "lengths", lengths))


def _permutation(op: str, what: str, values, n: int) -> np.ndarray:
    array = _integers(op, what, values)
    if not np.array_equal(np.sort(array), np.arange(n)):
        raise ValueError(f"{op}: {what} must be a permutation of 0 to {n - 1}, got {_short(array)}")
    return array


def _sequences(op: str, sequences) -> list[Tensor]:
    """At least one tensor; all of one dtype and the same axes but the first."""
    if isinstance(sequences, Tensor) and sequences.ndim > 0:
        sequences = sequences.unbind(0)
    if not isinstance(sequences, (list, tuple)) or not all(isinstance(s, Tensor) for s in sequences):
        raise TypeError(f"{op}: expected a list of tensors, got {type(sequences).__name__}")
    if not sequences:
        raise ValueError(f"{op}: expected at least one sequence")
    first = sequences[0]
    for i, s in enumerate(sequences):
        if s.ndim < 1 or s.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{op}: expected sequences [length, {', '.join(map(str, first.shape[1:])) or '...'}], "
                f"got shape {list(s.shape)} at {i}"
            )
        if s.dtype != first.dtype:
            raise TypeError(f"{op}: expected sequences of one dtype, got {first.dtype} and {s.dtype} at {i}")
    return list(sequences)


def pad_sequence(sequences, batch_first: bool = True, padding_value: float = 0.0, padding_side: str = "right"):
    """Sequences [T_n, ...] in one tensor [N, T, ...] (``batch_first=False``: [T, N, ...]), T the longest.

    Parameters
    ----------
    sequences : list of Tensor
        Of one dtype; all axes but the first agree.
    batch_first : bool, default True
    padding_value : float, default 0
    padding_side : str, default "right"
        Or "left".

    Raises
    ------
    TypeError, ValueError
        No sequences, dtypes or shapes that do not fit, another side.
    """
    sequences = _sequences("pad_sequence", sequences)
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}")
    longest = max(s.shape[0] for s in sequences)
    rows = []
    for s in sequences:
        if s.shape[0] < longest:
            pad = _C.full((longest - s.shape[0], *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = _C.cat([s, pad] if padding_side == "right" else [pad, s])
        rows.append(s)
    return _C.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first: bool = True) -> list[Tensor]:
    """The inverse of `pad_sequence` (padded on the right): a list of tensors [length, ...].

    Raises
    ------
    TypeError, ValueError
        Lengths that are no integers [N] from 0 to T.
    """
    x, lengths = _checked("unpad_sequence", padded_sequences, lengths, batch_first, least=0)
    return [row[:length] for row, length in zip(x.unbind(0), lengths.tolist(), strict=True)]


def _checked(op: str, x, lengths, batch_first: bool, least: int):
    if not isinstance(x, Tensor) or x.ndim < 2:
        raise ValueError(f"{op}: expected a Tensor [N, T, ...], got {list(x.shape) if isinstance(x, Tensor) else x!r}")
    x = x if batch_first else x.transpose(0, 1)
    lengths = _integers(op, "lengths", lengths)
    n, t = x.shape[:2]
    if lengths.size != n:
        raise ValueError(f"{op}: expected {n} lengths for a batch of {n}, got {lengths.size}")
    wrong = np.flatnonzero((lengths < least) | (lengths > t))
    if wrong.size:
        raise ValueError(f"{op}: lengths must be from {least} to T = {t}, got {lengths[wrong[0]]} for row {wrong[0]}")
    return x, lengths


def pack_padded_sequence(input, lengths, batch_first: bool = True, enforce_sorted: bool = True) -> PackedSequence:
    """The valid steps of a padded batch, time by time.

    Parameters
    ----------
    input : Tensor [N, T, ...]
        ([T, N, ...] with ``batch_first=False``.)
    lengths : list, array or Tensor of integers [N]
        1 to T.
    batch_first : bool, default True
    enforce_sorted : bool, default True
        Lengths must fall; False takes any order and remembers it.

    Raises
    ------
    TypeError, ValueError
        Lengths that do not fit or are not sorted; an empty batch.
    """
    op = "pack_padded_sequence"
    x, lengths = _checked(op, input, lengths, batch_first, least=1)
    if lengths.size == 0:
        raise ValueError(f"{op}: expected at least one sequence")
    order = None
    if not enforce_sorted:
        order = np.argsort(-lengths, kind="stable")
        lengths = lengths[order]
    elif (np.diff(lengths) > 0).any():
        raise ValueError(f"{op}: lengths must fall with enforce_sorted=True, got {_short(lengths)}")
    sizes = (lengths[:, None] > np.arange(lengths[0])[None, :]).sum(0)
    time, place = np.nonzero(np.arange(sizes[0])[None, :] < sizes[:, None])
    row = place if order is None else order[place]
    flat = x.reshape(-1, *x.shape[2:])
    steps = _C.tensor(row * x.shape[1] + time, device=x.device)
    return PackedSequence(flat[steps], sizes, order)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = True, padding_value: float = 0.0,
                        total_length: int | None = None):  # fmt: skip
    """The inverse: (padded [N, T, ...], lengths int64 [N]) in the order of the batch before it was packed.

    Parameters
    ----------
    sequence : PackedSequence
    batch_first : bool, default True
    padding_value : float, default 0
    total_length : int, optional
        T; the longest length without it.

    Raises
    ------
    TypeError, ValueError
        Something else than a PackedSequence, a total_length below the longest.
    """
    op = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"{op}: expected a PackedSequence, got {type(sequence).__name__}")
    data, rows = sequence.data, sequence._rows()
    if total_length is not None:
        if total_length < rows.shape[1]:
            raise ValueError(f"{op}: total_length must be at least {rows.shape[1]}, the longest, got {total_length}")
        rows = np.pad(rows, ((0, 0), (0, int(total_length) - rows.shape[1])), constant_values=-1)
    if (rows < 0).any():
        data = _C.cat([data, _C.full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)])
        rows = np.where(rows < 0, data.shape[0] - 1, rows)
    padded = data[_C.tensor(rows, device=data.device)]
    return padded if batch_first else padded.transpose(0, 1), _C.tensor(sequence.lengths)


def pack_sequence(sequences, enforce_sorted: bool = True) -> PackedSequence:
    """Sequences [T_n, ...], packed; as `pack_padded_sequence` of `pad_sequence`."""
    sequences = _sequences("pack_sequence", sequences)
    return pack_padded_sequence(pad_sequence(sequences), [s.shape[0] for s in sequences], True, enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of `pack_sequence`: a list of tensors [length, ...]."""
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


def detach_state(state):
    """The state of a recurrent layer without its history: where truncated backpropagation through time ends.

    Parameters
    ----------
    state : Tensor, or nested tuples and lists of them, or None
        h_n, (h_n, c_n), or a list of them for several layers.

    Returns
    -------
    The same structure; tensors share memory with those given, and no gradient goes past them.

    Examples
    --------
    >>> state = None
    >>> for x, target in pieces_of_a_long_sequence:  # doctest: +SKIP
    ...     y, state = layer(x, detach_state(state))
    ...     optimizer.zero_grad()
    ...     loss(y, target).backward()
    ...     optimizer.step()
    """
    if state is None or isinstance(state, Tensor):
        return state if state is None else state.detach()
    if isinstance(state, (tuple, list)):
        return type(state)(detach_state(s) for s in state)
    raise TypeError(f"detach_state: expected tensors, tuples and lists of them, got {type(state).__name__}")
