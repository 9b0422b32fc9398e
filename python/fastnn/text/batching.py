"""Sequences as batches: padding, buckets of like length, and long streams cut into windows that follow each other."""

from __future__ import annotations

import numpy as np

from .._arrays import is_tensor, to_numpy, to_tensor
from ..data import DataLoader, Sampler
from ..data._random import TEXT, check_seed, permutation, philox_bits

__all__ = ["pad_sequences", "pad_batch", "BucketSampler", "StreamLoader", "windows"]


def _ids(op, sequence) -> np.ndarray:
    a = to_numpy(sequence) if is_tensor(sequence) else np.asarray(sequence)
    if a.size == 0 and a.ndim == 1:
        return a.astype(np.int64)
    if a.ndim != 1 or not np.issubdtype(a.dtype, np.integer):
        raise TypeError(f"{op}: a sequence is a list of integers [T], got {a.dtype} of shape {list(a.shape)}")
    return a


def pad_sequences(sequences, value: int = 0, length: int | None = None, multiple: int = 1, side: str = "right"):
    """Sequences of different lengths as one array.

    Parameters
    ----------
    sequences : list of sequences of int
    value : int
        What fills the rest.
    length : int, optional
        T; longer sequences lose their ends. Default: the longest sequence, rounded up to `multiple`.
    multiple : int
        A coarser grid of lengths makes fewer shapes, and captured steps fewer programs.
    side : {"right", "left"}
        Where the padding stands.

    Returns
    -------
    ids : Tensor int64 [N, T]
    lengths : Tensor int64 [N]

    Raises
    ------
    ValueError
        Without a sequence, or for sizes below 1.
    """
    rows = [_ids("pad_sequences", s) for s in sequences]
    if not rows:
        raise ValueError("pad_sequences: expected at least one sequence")
    if side not in ("right", "left"):
        raise ValueError(f"pad_sequences: side must be right or left, got {side!r}")
    for name, number in (("length", length), ("multiple", multiple)):
        if number is not None and number < 1:
            raise ValueError(f"pad_sequences: expected {name} >= 1, got {number}")
    if length is None:
        length = max(-(-max(map(len, rows)) // multiple), 1) * multiple
    out = np.full((len(rows), length), value, np.int64)
    for row, ids in zip(out, rows):
        ids = ids[:length]
        if side == "right":
            row[: len(ids)] = ids
        else:
            row[length - len(ids) :] = ids
    return to_tensor(out), to_tensor(np.asarray([min(len(r), length) for r in rows], np.int64))


def pad_batch(pad: int = 0, *, multiple: int = 1, length: int | None = None, ignore_index: int = -100):
    """A ``collate_fn`` for items ``(ids, target)``: batches ``(ids [N, T], lengths [N], target)``.

    A target that is a number gives [N]; one that is a sequence (a label a token) gives [N, T], filled up with
    `ignore_index`, which `nn.CrossEntropyLoss` leaves out. Other arguments are those of `pad_sequences`.
    """

    def collate(items):
        x, lengths = pad_sequences([item[0] for item in items], pad, length, multiple)
        first = items[0][1]
        if np.ndim(to_numpy(first) if is_tensor(first) else first) == 0:
            return x, lengths, to_tensor(np.asarray([int(item[1]) for item in items], np.int64))
        for ids, labels in items:
            if len(ids) != len(labels):
                raise ValueError(f"pad_batch: a sequence of {len(ids)} tokens has {len(labels)} labels")
        return x, lengths, pad_sequences([item[1] for item in items], ignore_index, x.shape[1])[0]

    return collate


class BucketSampler(Sampler):
    """An order in which neighbours have like lengths, so that batches hold little padding, shuffled nevertheless.

    Every epoch the items are shuffled, sorted by length within pools of `pool` batches, cut into batches, and the
    batches shuffled. A function of ``(seed, epoch)``. Give `DataLoader` the same batch size.

    Parameters
    ----------
    lengths : sequence of int [N]
    batch_size : int
    seed : int, default 0
    pool : int, default 50
        Batches sorted together: 1 is a plain shuffle, more means less padding and less chance.
    """

    def __init__(self, lengths, batch_size: int, seed: int = 0, pool: int = 50):
        self.lengths = _ids("BucketSampler", lengths)
        for name, number in (("batch_size", batch_size), ("pool", pool)):
            if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
                raise ValueError(f"BucketSampler: expected an int {name} >= 1, got {number!r}")
        self.batch_size, self.pool = int(batch_size), int(pool)
        self.seed = check_seed(seed, "BucketSampler: seed")

    def __len__(self):
        return len(self.lengths)

    def order(self, epoch):
        n, size = len(self), self.batch_size
        order = permutation(n, self.seed, epoch)
        step = size * self.pool
        pools = [order[i : i + step] for i in range(0, n, step)]
        order = np.concatenate([p[np.argsort(self.lengths[p], kind="stable")] for p in pools]) if pools else order
        full = n // size * size  # a batch that is not full stays the last
        batches = order[:full].reshape(-1, size)
        return np.concatenate([batches[permutation(len(batches), self.seed, epoch, TEXT)].reshape(-1), order[full:]])


class StreamLoader(DataLoader):
    """A long text as batches for truncated backpropagation through time.

    The stream is cut into `batch_size` parts of the same length, the rows of all batches; batch after batch shows the
    next `length` tokens of each. Row i of a batch goes on where row i of the batch before it ended, so the state of a
    recurrent network may be carried over (`Carried`). Position and epoch are saved and restored as those of any
    `DataLoader`.

    Parameters
    ----------
    ids : Tensor or array of integers [n]
    batch_size : int
        N.
    length : int
        T. The last window of an epoch may be shorter.
    drop_last : bool, default False
        Leave out a last window that is shorter.
    shift : bool, default False
        Begin each epoch somewhere in the first window, a function of the seed and the epoch, so that windows end
        elsewhere. (The number of windows stays that of an epoch that begins at the last such place.)
    seed : int, default 0

    Yields
    ------
    x : Tensor int64 [N, T]
    keep : Tensor float32 [N]
        0 in the first batch, 1 in the others: what the carried state is multiplied with.
    y : Tensor int64 [N, T]
        The tokens that follow those of x.
    """

    def __init__(self, ids, batch_size: int, length: int, drop_last: bool = False, shift: bool = False, seed: int = 0):
        ids = _ids("StreamLoader", ids)
        for name, number in (("batch_size", batch_size), ("length", length)):
            if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
                raise ValueError(f"StreamLoader: expected an int {name} >= 1, got {number!r}")
        self.rows, self.length, self.shift = int(batch_size), int(length), bool(shift)
        self.shift_seed = check_seed(seed, "StreamLoader: seed")
        self._columns = (len(ids) - 1 - (self.length - 1 if shift else 0)) // self.rows  # tokens of a row in an epoch
        least = self.length if drop_last else 1
        if self._columns < least:
            raise ValueError(
                f"StreamLoader: {len(ids)} tokens are too few for {batch_size} rows with a window of {least} or more"
            )
        self.ids = ids.astype(np.int64, copy=False)
        count = self._columns // self.length if drop_last else -(-self._columns // self.length)
        super().__init__(range(count), 1)

    def _fetch(self, indices, epoch):
        first = 0
        if self.shift:
            first = int(philox_bits(1, self.shift_seed, epoch, TEXT)[0] % np.uint64(self.length))
        window = int(indices[0])
        begin = window * self.length
        end = min(begin + self.length, self._columns)
        stop = first + self.rows * self._columns
        x = self.ids[first:stop].reshape(self.rows, -1)[:, begin:end]
        y = self.ids[first + 1 : stop + 1].reshape(self.rows, -1)[:, begin:end]
        keep = np.full(self.rows, float(window > 0), np.float32)
        return to_tensor(np.ascontiguousarray(x)), to_tensor(keep), to_tensor(np.ascontiguousarray(y))

    def state_dict(self) -> dict:
        """Epoch, position and what the batches depend on."""
        return {**super().state_dict(), "rows": self.rows, "length": self.length, "tokens": len(self.ids),
                "shift": self.shift_seed if self.shift else None}  # fmt: skip

    def load_state_dict(self, state: dict) -> None:
        """Continue where `state_dict` was taken; ValueError when the batches would be others."""
        mine = self.state_dict()
        for key in ("rows", "length", "tokens", "shift"):
            if state[key] != mine[key]:
                raise ValueError(f"StreamLoader: the saved loader had {key}={state[key]}, this one has {mine[key]}")
        super().load_state_dict(state)


def windows(ids, before: int, after: int = 0):
    """Every token with its neighbours, for models with a fixed window.

    Parameters
    ----------
    ids : Tensor or array of integers [n]
    before, after : int
        How many tokens before and behind the target are its context.

    Returns
    -------
    context : Tensor int64 [n - before - after, before + after]
    target : Tensor int64 [n - before - after]
    """
    ids = _ids("windows", ids)
    if before < 0 or after < 0 or before + after < 1:
        raise ValueError(f"windows: expected before, after >= 0 and a context of 1 or more, got {before} and {after}")
    if len(ids) <= before + after:
        raise ValueError(f"windows: {len(ids)} tokens are too few for windows of {before + after} and a target")
    cut = np.lib.stride_tricks.sliding_window_view(ids.astype(np.int64, copy=False), before + after + 1)
    context = np.delete(cut, before, axis=1)
    return to_tensor(np.ascontiguousarray(context)), to_tensor(np.ascontiguousarray(cut[:, before]))
