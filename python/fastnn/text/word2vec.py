"""word2vec: vectors of words from the company they keep."""

from __future__ import annotations

import heapq
import math

import numpy as np

from .. import _C
from ._corpus import count_words, encode, frequent
from .vectors import KeyedVectors

__all__ = ["Word2Vec", "alias_table", "huffman_paths", "keep_probability"]

# The deterministic order: what the steps of a batch on one vector may add up to, and a floor of the mean squares.
STEPS, SQUARE = 2.0, 5.0
MAX_SENTENCE = 10000  # longer ones are cut, as the kernel's blocks are this long


class Word2Vec:
    """Vectors that predict words from their neighbours: CBOW and skip-gram (Mikolov et al. 2013).

    Names and defaults are gensim's. The number of threads is the library's (`fastnn.set_num_threads`).

    Parameters
    ----------
    sentences : iterable of lists of str, optional
        Something that can be iterated over more than once: the vocabulary is built and the vectors are trained. Left
        out: call `build_vocab` and `train`. Sentences longer than 10,000 words are cut.
    vector_size : int, default 100
        D.
    alpha, min_alpha : float, default 0.025 and 0.0001
        The learning rate at first and at last; it falls in a straight line.
    window : int, default 5
        Words on each side; for every word a number from 1 to this is drawn, unless `shrink_windows` is False.
    min_count : int, default 5
        Words that occur less often are left out, and the window reaches over them.
    sample : float, default 1e-3
        Sub-sampling of frequent words: one that makes up the share f of the text stays with the probability
        sqrt(sample / f) + sample / f. 0: all stay.
    sg : bool, default False
        Skip-gram instead of CBOW.
    hs : bool, default False
        Hierarchical softmax on Huffman's tree.
    negative : int, default 5
        Negative samples for each word. With neither `hs` nor `negative` the full softmax is trained, whose cost grows
        with the vocabulary: the reference for small ones.
    ns_exponent : float, default 0.75
        Negative samples are drawn with probability count^ns_exponent / sum of those.
    cbow_mean : bool, default True
        CBOW averages the window; otherwise it sums.
    shrink_windows : bool, default True
    epochs : int, default 5
    seed : int, default 1
    deterministic : bool, default True
        The same bits on any number of threads: the scores of a few dozen words are taken together, then their steps
        are made one after another. False: threads train their own parts of the text on the same vectors at once,
        without locks (Hogwild, Niu et al. 2011): faster, but every run with more than one thread ends in other bits.
    compute_loss : bool, default False
        Collect `losses`.

    Attributes
    ----------
    wv : KeyedVectors
        The words, most frequent first, and their vectors.
    losses : list of float
        The loss of each epoch so far, summed over all predictions, if asked for.
    """

    def __init__(self, sentences=None, vector_size: int = 100, alpha: float = 0.025, window: int = 5,
                 min_count: int = 5, sample: float = 1e-3, seed: int = 1, min_alpha: float = 0.0001, sg: bool = False,
                 hs: bool = False, negative: int = 5, ns_exponent: float = 0.75, cbow_mean: bool = True,
                 shrink_windows: bool = True, epochs: int = 5, deterministic: bool = True,
                 compute_loss: bool = False):  # fmt: skip
        for name, value, least in (("vector_size", vector_size, 1), ("window", window, 1), ("min_count", min_count, 0),
                                   ("negative", negative, 0), ("epochs", epochs, 1), ("seed", seed, 0)):  # fmt: skip
            if int(value) != value or value < least:
                raise ValueError(f"Word2Vec: expected {name} as a whole number >= {least}, got {value}")
        for name, value in (("alpha", alpha), ("min_alpha", min_alpha), ("sample", sample)):
            if not 0 <= value < math.inf:
                raise ValueError(f"Word2Vec: expected {name} >= 0, got {value}")
        if not math.isfinite(ns_exponent):
            raise ValueError(f"Word2Vec: expected a finite ns_exponent, got {ns_exponent}")
        self.vector_size, self.window, self.min_count = int(vector_size), int(window), int(min_count)
        self.alpha, self.min_alpha, self.sample, self.seed = float(alpha), float(min_alpha), float(sample), int(seed)
        self.sg, self.hs, self.negative, self.ns_exponent = bool(sg), bool(hs), int(negative), float(ns_exponent)
        self.cbow_mean, self.shrink_windows, self.epochs = bool(cbow_mean), bool(shrink_windows), int(epochs)
        self.deterministic, self.compute_loss = bool(deterministic), bool(compute_loss)
        self.losses: list[float] = []
        self._wv = None
        self._epochs_done = 0
        if sentences is not None:
            if iter(sentences) is sentences:
                raise TypeError("Word2Vec: sentences are read twice, so an iterator will not do; give a list")
            self.build_vocab(sentences)
            self.train(sentences)

    def build_vocab(self, sentences) -> None:
        """Count the words and make the vectors: small random numbers for the words, zeros for what they predict."""
        self.build_vocab_from_freq(count_words("Word2Vec", sentences))

    def build_vocab_from_freq(self, counts) -> None:
        """The same from a mapping of words to how often they occur."""
        words, self.counts = frequent("Word2Vec", counts, self.min_count)
        n = self.counts.astype(np.float64)
        self._index = {w: i for i, w in enumerate(words)}
        v, width = len(words), -(-self.vector_size // 16) * 16  # rows end where a vector register does
        start = np.zeros((v, width), np.float32)
        rng = np.random.default_rng(self.seed)
        start[:, : self.vector_size] = (rng.random((v, self.vector_size), np.float32) * 2 - 1) / self.vector_size
        self._in = _C.from_numpy(start)  # on the CPU, where the training is, whatever the default device
        self._out = _C.zeros((2 * v - 1 if self.hs else v, width), dtype=_C.float32, device="cpu")
        self._keep = None
        if self.sample > 0:
            self._keep = _limits(keep_probability(n, self.sample))
        self._alias = None, None
        if self.negative > 0:
            stay, other = alias_table(n**self.ns_exponent)
            self._alias = _limits(stay), _C.from_numpy(other)
        self._tree = (None, None, None)
        if self.hs:
            starts, nodes, bits = huffman_paths(n)
            self._tree = _C.from_numpy(starts), _C.from_numpy(nodes + np.int32(v)), _C.from_numpy(bits)
        share, drawn = n / n.sum(), n**self.ns_exponent
        if self.sample > 0:
            share = share * keep_probability(n, self.sample)
        self._shares = share / share.sum(), drawn / drawn.sum()  # of the text that stays, of the samples
        self._words, self._wv, self.losses, self._epochs_done = words, None, [], 0

    def _safe_batch(self, alpha: float) -> int:
        """Words whose scores may be taken together, so that steps that do not know of each other do not overshoot.

        The steps of a batch on one vector o are stable while alpha * sum of s'(f) |h|^2 is below 2, s' <= 1/4. Taken
        from how often the most frequent vector is expected, and from the mean squares of the vectors as they are.
        """
        share, drawn = self._shares
        touched = max((share + self.negative * drawn).max(), (1 + self.negative) * share.max())
        if self.hs or not self.negative:  # the root of the tree is there each time
            touched = max(touched, 1.0)
        square = SQUARE
        summed = 1.0 if self.sg or self.cbow_mean else (self.window + 1.0) ** 2  # h is the sum of the window
        for table, weight, scale in ((self._in, share, summed), (self._out, drawn, 1.0)):
            rows = table.cpu().numpy()[: len(weight)]
            square = max(square, scale * float(np.sum(weight * np.einsum("ij,ij->i", rows, rows))))
        if not math.isfinite(square):
            raise FloatingPointError(f"Word2Vec: the vectors are not finite; try a smaller alpha than {self.alpha}")
        return max(1, int(STEPS / (max(alpha, 1e-9) * touched * (self.window + 1) * square)))

    def train(self, sentences, epochs: int | None = None, start_alpha: float | None = None,
              end_alpha: float | None = None) -> None:  # fmt: skip
        """Go through the sentences `epochs` times, with a learning rate from `start_alpha` down to `end_alpha`.

        The defaults are those of the model. Ctrl-C ends it between two parts of about 0.05 s.
        """
        if not hasattr(self, "_in"):
            raise RuntimeError("Word2Vec.train: there is no vocabulary yet; call build_vocab")
        epochs = self.epochs if epochs is None else epochs
        if epochs < 1:
            raise ValueError(f"Word2Vec.train: expected epochs >= 1, got {epochs}")
        first = self.alpha if start_alpha is None else start_alpha
        last = self.min_alpha if end_alpha is None else end_alpha
        ids, starts = encode("Word2Vec", sentences, self._index, MAX_SENTENCE)
        self._wv = None
        slope = (first - last) / max(1, len(ids) * epochs)
        for epoch in range(epochs):
            key = np.random.SeedSequence([self.seed, self._epochs_done]).generate_state(1, np.uint64)[0]
            loss = 0.0
            for s, e in self._parts(starts):
                a, b = starts[s], starts[e]
                alpha = first - slope * (len(ids) * epoch + int(a))
                batch = min(self._safe_batch(abs(alpha)), 2**31) if self.deterministic else 0
                loss += _C._word2vec(
                    self._in, self._out, _C.from_numpy(ids[a:b]), _C.from_numpy(starts[s : e + 1] - a), self._keep,
                    *self._alias, *self._tree, window=self.window, negative=self.negative, cbow=not self.sg,
                    mean=self.cbow_mean, shrink=self.shrink_windows, batch=batch,
                    track=self.compute_loss, seed=int(key), first=int(a),
                    alpha=alpha, slope=slope,
                )  # fmt: skip
            self._epochs_done += 1
            if self.compute_loss:
                self.losses.append(loss)

    def _parts(self, starts):
        """Ranges of sentences, each about 0.05 s of work: signals are handled, lengths are measured in between."""
        targets = self.negative + 1 if self.negative else 0
        if self.hs:
            targets += max(1, int(math.log2(len(self._words))))
        work = (targets or len(self._words)) * (2 * self.window if self.sg else 2) * self._in.shape[1]
        size = min(max(MAX_SENTENCE, 400_000_000 // work), 200_000)
        s = 0
        while s < len(starts) - 1:
            e = max(s + 1, int(np.searchsorted(starts, starts[s] + size, "right")) - 1)
            yield s, e
            s = e

    @property
    def wv(self) -> KeyedVectors:
        if not hasattr(self, "_in"):
            raise RuntimeError("Word2Vec.wv: there is no vocabulary yet; call build_vocab")
        if self._wv is None:
            vectors = self._in.cpu().numpy()[:, : self.vector_size].copy()
            self._wv = KeyedVectors(self._words, vectors, self.counts)
        return self._wv

    @property
    def output_vectors(self) -> np.ndarray:
        """The vectors theta of the words as they are predicted, float32 [V, D]; zeros with `hs` alone."""
        return self._out.cpu().numpy()[: len(self._words), : self.vector_size].copy()

    def __repr__(self) -> str:
        words = len(self._words) if hasattr(self, "_in") else 0
        kind = "skip-gram" if self.sg else "CBOW"
        return f"Word2Vec({kind}, {words} words, vector_size={self.vector_size}, window={self.window})"


def keep_probability(counts, sample: float) -> np.ndarray:
    """Sub-sampling: the probability with which a word stays, sqrt(t / f) + t / f, at most 1; f is its share."""
    counts = np.asarray(counts, np.float64)
    ratio = sample * counts.sum() / counts
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


def alias_table(weights):
    """Walker's alias method: a draw from weights / sum in constant time.

    Draw a column uniformly; with probability ``stay[column]`` it is the result, else ``other[column]`` is.

    Returns
    -------
    stay : float64 [n]
    other : int32 [n]
    """
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 1 or len(weights) == 0 or not np.all(np.isfinite(weights)) or weights.min() < 0:
        raise ValueError("alias_table: expected finite weights >= 0, at least one of them")
    if weights.sum() <= 0:
        raise ValueError("alias_table: all weights are 0")
    stay = (weights * (len(weights) / weights.sum())).tolist()
    other = list(range(len(stay)))
    small = [i for i, p in enumerate(stay) if p < 1]
    large = [i for i, p in enumerate(stay) if p >= 1]
    while small and large:
        i, k = small.pop(), large[-1]
        other[i] = k
        stay[k] -= 1 - stay[i]
        if stay[k] < 1:
            small.append(large.pop())
    for i in small + large:  # 1 but for rounding
        stay[i] = 1.0
    return np.array(stay), np.array(other, np.int32)


def huffman_paths(counts):
    """Huffman's tree: the way from its root to every word, short for frequent ones.

    Returns
    -------
    starts : int64 [V + 1]
        The way to word w is entries starts[w] to starts[w + 1] of the others.
    nodes : int32
        Inner nodes, numbered from 0 in [0, V - 1).
    bits : int32
        The branch that is taken there.
    """
    v = len(counts)
    heap = [(float(c), i) for i, c in enumerate(counts)]
    heapq.heapify(heap)
    parent, bit = [0] * (2 * v - 1), [0] * (2 * v - 1)
    for node in range(v, 2 * v - 1):
        (c0, a), (c1, b) = heapq.heappop(heap), heapq.heappop(heap)
        parent[a] = parent[b] = node
        bit[b] = 1
        heapq.heappush(heap, (c0 + c1, node))
    starts, nodes, bits = [0], [], []
    for word in range(v):
        way, at = [], word
        while at != 2 * v - 2:
            way.append((parent[at] - v, bit[at]))
            at = parent[at]
        nodes.extend(n for n, _ in reversed(way))
        bits.extend(b for _, b in reversed(way))
        starts.append(len(nodes))
    return np.array(starts, np.int64), np.array(nodes, np.int32), np.array(bits, np.int32)


def _limits(probability):
    """Probabilities as the largest 32-bit draws that succeed, in the bits of int32."""
    limit = np.clip(np.floor(np.asarray(probability) * 2.0**32) - 1, 0, 2.0**32 - 1)
    return _C.from_numpy(limit.astype(np.uint32).view(np.int32))
