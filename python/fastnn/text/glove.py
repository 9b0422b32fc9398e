"""GloVe: vectors of words from counts of how often they meet."""

from __future__ import annotations

import math

import numpy as np

from .. import _C
from .._arrays import to_numpy
from ._corpus import count_words, encode, frequent
from .vectors import KeyedVectors

__all__ = ["GloVe", "cooccurrences", "glove_weight"]

PART = 500_000  # entries between two looks for Ctrl-C
BATCH = 512


def cooccurrences(ids, starts, num_words: int, window: int = 10, symmetric: bool = True, by_distance: bool = True):
    """How often words meet: X_ij for i and j at most `window` words apart in one sentence.

    Parameters
    ----------
    ids : array_like of int [n]
        In [0, num_words).
    starts : array_like of int [sentences + 1]
        Sentence s is ids[starts[s] : starts[s + 1]].
    num_words : int
    window : int, default 10
    symmetric : bool, default True
        Both sides count, X_ij = X_ji; else only words j to the left of i.
    by_distance : bool, default True
        A meeting counts 1 / distance instead of 1.

    Returns
    -------
    i, j : int32 [entries]
        By row, then by column; every pair once.
    x : float32 [entries]
        > 0; summed in float64.

    Raises
    ------
    IndexError
        An id out of range.
    ValueError
        `starts` falls or ends elsewhere than at n.
    """
    ids, starts = (_whole(name, a) for name, a in (("ids", ids), ("starts", starts)))
    if ids.size and (ids.min() < 0 or ids.max() >= num_words):
        raise IndexError(f"cooccurrences: ids must lie in [0, {num_words}), got {ids.min()} to {ids.max()}")
    rows, cols, values = _C._cooccurrences(_C.from_numpy(ids.astype(np.int32)), _C.from_numpy(starts.astype(np.int64)),
                                           num_words, window, symmetric, by_distance)  # fmt: skip
    i = np.repeat(np.arange(num_words, dtype=np.int32), np.diff(rows.cpu().numpy()))
    return i, cols.cpu().numpy(), values.cpu().numpy()


def _whole(name, a):
    a = np.asarray(to_numpy(a))
    if a.ndim != 1 or (a.dtype.kind not in "iu" and a.size):
        raise TypeError(f"cooccurrences: {name} must be a list of integers, got {a.dtype} {list(a.shape)}")
    return a


def glove_weight(x, x_max: float = 100.0, exponent: float = 0.75) -> np.ndarray:
    """f(x) = min(1, (x / x_max)^exponent): 0 for pairs that never meet, at most 1 for those that always do."""
    return np.minimum(1.0, (np.asarray(to_numpy(x), np.float64) / x_max) ** exponent)


class GloVe:
    """Vectors theta_i and e_j with theta_i . e_j + b_i + b'_j near log X_ij (Pennington, Socher and Manning 2014).

    The squares of the differences are weighted by `glove_weight` and made small by AdaGrad, pair by pair in a random
    order. theta and e play the same part, so a word's vector is (theta + e) / 2. The same bits on any number of
    threads.

    Parameters
    ----------
    sentences : iterable of lists of str, optional
        Read twice. Left out: call `fit`, or `fit_counts` with counts of your own.
    vector_size : int, default 100
    window : int, default 10
    min_count : int, default 5
        Rarer words are left out, and the window reaches over them.
    x_max : float, default 100
        Of the weight; for small texts 10 is better.
    exponent : float, default 0.75
    lr : float, default 0.05
    epochs : int, default 25
    symmetric, by_distance : bool, default True
        As in `cooccurrences`.
    seed : int, default 1

    Attributes
    ----------
    wv : KeyedVectors
        Most frequent word first.
    losses : list of float
        The mean over the pairs of 1/2 f(X) diff^2 in every epoch.
    """

    def __init__(self, sentences=None, vector_size: int = 100, window: int = 10, min_count: int = 5,
                 x_max: float = 100.0, exponent: float = 0.75, lr: float = 0.05, epochs: int = 25,
                 symmetric: bool = True, by_distance: bool = True, seed: int = 1):  # fmt: skip
        for name, value, least in (("vector_size", vector_size, 1), ("window", window, 1), ("min_count", min_count, 0),
                                   ("epochs", epochs, 1), ("seed", seed, 0)):  # fmt: skip
            if value != value or int(value) != value or value < least:
                raise ValueError(f"GloVe: expected {name} as a whole number >= {least}, got {value}")
        for name, value in (("x_max", x_max), ("lr", lr)):
            if not 0 < value < math.inf:
                raise ValueError(f"GloVe: expected {name} > 0, got {value}")
        if not math.isfinite(exponent):
            raise ValueError(f"GloVe: expected a finite exponent, got {exponent}")
        self.vector_size, self.window, self.min_count = int(vector_size), int(window), int(min_count)
        self.x_max, self.exponent, self.lr, self.epochs = float(x_max), float(exponent), float(lr), int(epochs)
        self.symmetric, self.by_distance, self.seed = bool(symmetric), bool(by_distance), int(seed)
        self.losses: list[float] = []
        if sentences is not None:
            self.fit(sentences)

    def fit(self, sentences) -> GloVe:
        """Count and train."""
        if iter(sentences) is sentences:
            raise TypeError("GloVe: sentences are read twice, so an iterator will not do; give a list")
        words, counts = frequent("GloVe", count_words("GloVe", sentences), self.min_count)
        ids, starts = encode("GloVe", sentences, {w: i for i, w in enumerate(words)})
        meetings = cooccurrences(ids, starts, len(words), self.window, self.symmetric, self.by_distance)
        return self.fit_counts(words, *meetings, counts=counts)

    def fit_counts(self, words, i, j, x, counts=None) -> GloVe:
        """Train on counts: X is x at the places (i, j) and 0 elsewhere.

        Parameters
        ----------
        words : list of str [V]
        i, j : array_like of int [entries]
        x : array_like [entries]
            > 0.
        counts : array_like of int [V], optional
            For `wv`.
        """
        words, v = list(words), len(words)
        i, j, x = (np.asarray(to_numpy(a)) for a in (i, j, x))
        if not (i.ndim == 1 and i.shape == j.shape == x.shape):
            raise ValueError(f"GloVe: expected i, j and x of one length, got {i.shape}, {j.shape} and {x.shape}")
        if len(x) == 0:
            raise ValueError("GloVe: no two words meet")
        if not (np.all(x > 0) and np.all(np.isfinite(x))):
            raise ValueError("GloVe: counts must be > 0 and finite; leave out pairs that never meet")
        if min(i.min(), j.min()) < 0 or max(i.max(), j.max()) >= v:
            raise IndexError(f"GloVe: places must lie in [0, {v})")
        rng = np.random.default_rng(self.seed)
        width = -(-self.vector_size // 16) * 16  # rows end where a vector register does
        tables = []
        for _ in range(2):
            table = np.zeros((v, width), np.float32)
            table[:, : self.vector_size] = (rng.random((v, self.vector_size), np.float32) - 0.5) / self.vector_size
            tables.append(_C.from_numpy(table))  # on the CPU, where the training is, whatever the default device
        bias = _C.zeros((2, v), dtype=_C.float32, device="cpu")
        squares = [_C.ones(tuple(t.shape), dtype=_C.float32, device="cpu") for t in (*tables, bias)]
        order = rng.permutation(len(x))
        i, j = i[order].astype(np.int32), j[order].astype(np.int32)
        x = x[order]
        entries = [i, j, glove_weight(x, self.x_max, self.exponent).astype(np.float32), np.log(x).astype(np.float32)]
        entries = [_C.from_numpy(np.ascontiguousarray(a)) for a in entries]
        self.losses = []
        for _ in range(self.epochs):
            loss = 0.0
            for k in range(0, len(x), PART):
                loss += _C._glove(*tables, bias, *squares, *(a[k : k + PART] for a in entries), rate=self.lr,
                                  batch=max(1, min(BATCH, 4 * v)))  # fmt: skip
            self.losses.append(loss / len(x))
        self.theta, self.e = (t.cpu().numpy()[:, : self.vector_size].copy() for t in tables)
        self.wv = KeyedVectors(words, (self.theta + self.e) / 2, counts)
        return self

    def __repr__(self) -> str:
        words = len(self.wv) if hasattr(self, "wv") else 0
        return f"GloVe({words} words, vector_size={self.vector_size}, window={self.window})"
