"""Word vectors: neighbours, analogies, and how well they agree with people."""

from __future__ import annotations

import numpy as np

import fastnn

from .._arrays import require, to_numpy
from . import vectors_io

__all__ = ["KeyedVectors", "cosine_similarity", "spearman"]

BLOCK = 1 << 22  # scores held at a time


def cosine_similarity(u, v) -> float:
    """u.v / (|u| |v|): 1 for the same direction, 0 for a right angle, -1 for opposite ones.

    Parameters
    ----------
    u, v : array_like [D]

    Raises
    ------
    ValueError
        Other shapes, or a vector of zeros, which has no direction.
    """
    u, v = np.asarray(to_numpy(u), np.float64), np.asarray(to_numpy(v), np.float64)
    if u.ndim != 1 or u.shape != v.shape:
        raise ValueError(f"cosine_similarity: expected two vectors of one length, got {u.shape} and {v.shape}")
    norms = np.sqrt(u @ u) * np.sqrt(v @ v)
    if norms == 0:
        raise ValueError("cosine_similarity: a vector of zeros has no direction")
    return float(u @ v / norms)


def spearman(a, b) -> float:
    """Rank correlation: Pearson's of the ranks, equal values sharing the mean of theirs. nan where one is constant."""
    a, b = _ranks(a), _ranks(b)
    if a.shape != b.shape:
        raise ValueError(f"spearman: expected as many values, got {len(a)} and {len(b)}")
    if len(a) == 0:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else float("nan")


def _ranks(values):
    values = np.asarray(to_numpy(values), np.float64)
    if values.ndim != 1:
        raise ValueError(f"spearman: expected a list of numbers, got shape {values.shape}")
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(size) - (size - 1) / 2)[group.reshape(-1)]


class KeyedVectors:
    """A vector for each of a list of words.

    Parameters
    ----------
    keys : sequence of str
        All different; the most frequent first, where that is known (`restrict_vocab` counts on it).
    vectors : array_like [V, D]
        Becomes float32.
    counts : array_like of int [V], optional

    Attributes
    ----------
    index_to_key : list of str
    key_to_index : dict
    vectors : float32 [V, D]
        Yours to change; call `refresh` afterwards.
    """

    def __init__(self, keys, vectors, counts=None):
        self.index_to_key = list(keys)
        self.vectors = np.ascontiguousarray(to_numpy(vectors), np.float32)
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.index_to_key):
            raise ValueError(
                f"KeyedVectors: expected a row for each of {len(self.index_to_key)} words, got {self.vectors.shape}"
            )
        self.key_to_index = {k: i for i, k in enumerate(self.index_to_key)}
        if len(self.key_to_index) != len(self.index_to_key):
            raise ValueError("KeyedVectors: a word occurs twice")
        self.counts = None if counts is None else np.asarray(counts, np.int64)
        if self.counts is not None and self.counts.shape != (len(self),):
            raise ValueError(f"KeyedVectors: expected {len(self)} counts, got shape {self.counts.shape}")
        self._units = None

    def __len__(self) -> int:
        return len(self.index_to_key)

    def __contains__(self, key) -> bool:
        return key in self.key_to_index

    def __getitem__(self, key):
        """The vector of a word [D], or of a list of words [n, D]. KeyError for unknown ones."""
        if isinstance(key, str):
            return self.vectors[self._find(key)]
        return self.vectors[[self._find(k) for k in key]]

    def __repr__(self) -> str:
        return f"KeyedVectors({len(self)} words, vector_size={self.vector_size})"

    @property
    def vector_size(self) -> int:
        return self.vectors.shape[1]

    def refresh(self) -> None:
        """Forget the lengths: after a change of `vectors`."""
        self._units = None

    def _find(self, key) -> int:
        if key not in self.key_to_index:
            raise KeyError(f"KeyedVectors: there is no word {key!r}")
        return self.key_to_index[key]

    @property
    def units(self) -> np.ndarray:
        """The vectors divided by their lengths; a vector of zeros stays."""
        if self._units is None:
            norms = np.sqrt(np.einsum("ij,ij->i", self.vectors, self.vectors, dtype=np.float64))
            self._units = (self.vectors / np.where(norms > 0, norms, 1)[:, None]).astype(np.float32)
        return self._units

    def similarity(self, a: str, b: str) -> float:
        """Cosine of the angle between two words."""
        return float(self.units[self._find(a)] @ self.units[self._find(b)])

    def distance(self, a: str, b: str) -> float:
        """1 - similarity."""
        return 1 - self.similarity(a, b)

    def most_similar(self, positive=(), negative=(), topn: int = 10, restrict_vocab: int | None = None):
        """The words nearest to the sum of some words less others, by cosine; the words themselves are left out.

        ``most_similar(["king", "woman"], ["man"])`` asks what is to king as woman is to man (3CosAdd).

        Parameters
        ----------
        positive, negative : str, vector [D], or a list of those
            Each counts with length 1.
        topn : int
        restrict_vocab : int, optional
            Look at the first so many words only.

        Returns
        -------
        list of (str, float)
        """
        positive, negative = _as_list(positive), _as_list(negative)
        if not positive and not negative:
            raise ValueError("most_similar: expected at least one word")
        if topn < 0:
            raise ValueError(f"most_similar: expected topn >= 0, got {topn}")
        target, used = np.zeros(self.vector_size, np.float64), set()
        for sign, items in ((1, positive), (-1, negative)):
            for item in items:
                if isinstance(item, str):
                    used.add(self._find(item))
                    target += sign * self.units[self._find(item)].astype(np.float64)
                else:
                    target += sign * self._unit(item)
        norm = np.sqrt(target @ target)
        scores = self.units[:restrict_vocab] @ (target / (norm if norm > 0 else 1)).astype(np.float32)
        scores[[i for i in used if i < len(scores)]] = -np.inf
        topn = min(topn, len(scores) - sum(i < len(scores) for i in used))
        best = np.argsort(-scores, kind="stable")[: max(topn, 0)]
        return [(self.index_to_key[i], float(scores[i])) for i in best]

    def _unit(self, vector):
        vector = np.asarray(to_numpy(vector), np.float64)
        if vector.shape != (self.vector_size,):
            raise ValueError(f"KeyedVectors: expected a vector [{self.vector_size}], got shape {vector.shape}")
        norm = np.sqrt(vector @ vector)
        return vector / norm if norm > 0 else vector

    def analogy(self, a: str, b: str, c: str, topn: int = 1):
        """a is to b as c is to ...: the words nearest to b - a + c."""
        return self.most_similar([b, c], [a], topn)

    def evaluate_analogies(self, sections, restrict_vocab: int = 300_000):
        """How many analogies come out right, by section.

        Parameters
        ----------
        sections : dict of str to list of (a, b, c, d), or a path
            As `load_analogies` reads them; right is what gives d for b - a + c. Case does not count. Questions with
            words that are not known are left out.
        restrict_vocab : int

        Returns
        -------
        dict of str to (int, int)
            Right answers and questions of every section, and of "total".
        """
        sections = sections if isinstance(sections, dict) else vectors_io.load_analogies(sections)
        limit = min(restrict_vocab, len(self))
        place: dict[str, int] = {}
        for i in range(limit):
            place.setdefault(self.index_to_key[i].upper(), i)
        kept = np.fromiter(place.values(), np.int64, len(place))  # of words that differ in case only, the first
        units = self.units[kept]
        place = {w: i for i, w in enumerate(place)}
        table = fastnn.tensor(np.ascontiguousarray(units.T))
        result, right, asked = {}, 0, 0
        for name, questions in sections.items():
            known = [[place[w.upper()] for w in q] for q in questions if all(w.upper() in place for w in q)]
            hits = 0
            for at in range(0, len(known), max(1, BLOCK // max(1, len(kept)))):
                q = np.array(known[at : at + max(1, BLOCK // max(1, len(kept)))])
                target = units[q[:, 1]] - units[q[:, 0]] + units[q[:, 2]]
                scores = fastnn.matmul(fastnn.tensor(target), table).cpu().numpy()
                scores[np.arange(len(q))[:, None], q[:, :3]] = -np.inf
                hits += int((scores.argmax(1) == q[:, 3]).sum())
            result[name] = hits, len(known)
            right, asked = right + hits, asked + len(known)
        result["total"] = right, asked
        return result

    def evaluate_pairs(self, pairs):
        """Spearman's rank correlation of cosine similarity with people's scores.

        Parameters
        ----------
        pairs : list of (str, str, float), or a path
            As `load_pairs` reads them. Case does not count; pairs with unknown words are left out.

        Returns
        -------
        (float, int)
            The correlation, and the number of pairs it is from.
        """
        pairs = vectors_io.load_pairs(pairs) if isinstance(pairs, (str, bytes)) or hasattr(pairs, "open") else pairs
        place: dict[str, int] = {}
        for i, key in enumerate(self.index_to_key):
            place.setdefault(key.upper(), i)
        known = [(place[a.upper()], place[b.upper()], s) for a, b, s in pairs if {a.upper(), b.upper()} <= place.keys()]
        ours = [float(self.units[a] @ self.units[b]) for a, b, _ in known]
        return spearman(ours, [s for *_, s in known]), len(known)

    def picture(self, words, path, method: str = "tsne", seed: int = 0):
        """Draw words on a plane (matplotlib): by t-SNE (scikit-learn), or along the two principal axes ("pca").

        t-SNE keeps neighbours together and bends all else: the parallelograms of analogies do not survive it.

        Returns
        -------
        float64 [n, 2]
            Where they stand.
        """
        from ..train.plots import plot_points

        words = list(words)
        x = self.units[[self._find(w) for w in words]].astype(np.float64)
        if len(words) < 3:
            raise ValueError(f"picture: expected at least 3 words, got {len(words)}")
        if method == "pca":
            x = x - x.mean(0)
            xy = x @ np.linalg.svd(x, full_matrices=False)[2][:2].T
        elif method == "tsne":
            manifold = require("sklearn.manifold", "recipes", "t-SNE")
            perplexity = min(30.0, (len(words) - 1) / 3)
            xy = manifold.TSNE(perplexity=perplexity, init="pca", random_state=seed, metric="cosine").fit_transform(x)
        else:
            raise ValueError(f"picture: method must be 'tsne' or 'pca', got {method!r}")
        plot_points(xy, words, path)
        return np.asarray(xy, np.float64)

    save_word2vec = vectors_io.save_word2vec
    save_glove = vectors_io.save_glove

    @classmethod
    def load_word2vec(cls, path, binary: bool = False, limit: int | None = None) -> KeyedVectors:
        """Read word2vec's text or binary format; see `vectors_io.load_word2vec`."""
        return cls(*vectors_io.load_word2vec(path, binary, limit))

    @classmethod
    def load_glove(cls, path, limit: int | None = None) -> KeyedVectors:
        """Read GloVe's text format; see `vectors_io.load_glove`."""
        return cls(*vectors_io.load_glove(path, limit))


def _as_list(items):
    if isinstance(items, str) or (isinstance(items, np.ndarray) and items.ndim == 1):
        return [items]
    return list(items)
