"""Taking a direction out of word vectors (Bolukbasi et al. 2016)."""

from __future__ import annotations

import numpy as np

from .._arrays import to_numpy

__all__ = ["bias_direction", "debias", "equalize", "neutralize"]


def bias_direction(pairs, method: str = "svd", dimensions: int = 1) -> np.ndarray:
    """The direction in which the words of pairs differ, such as he and she, father and mother.

    Parameters
    ----------
    pairs : array_like [n, 2, D]
        The two vectors of each pair.
    method : {"svd", "mean"}
        "mean": the mean of the differences first - second. "svd": the directions of most variation of the vectors about
        the middles of their pairs, the first pointing as the mean of the differences does.
    dimensions : int, default 1
        With "svd", the subspace may have more than one.

    Returns
    -------
    float64 [D] of length 1, or [dimensions, D], orthonormal rows, for more than one

    Raises
    ------
    ValueError
        Other shapes; no pair differs, or not in so many directions.
    """
    pairs = np.asarray(to_numpy(pairs), np.float64)
    if pairs.ndim != 3 or pairs.shape[1] != 2 or len(pairs) == 0:
        raise ValueError(f"bias_direction: expected pairs [n, 2, D], got shape {pairs.shape}")
    if method not in ("svd", "mean"):
        raise ValueError(f"bias_direction: method must be 'svd' or 'mean', got {method!r}")
    if dimensions < 1 or (method == "mean" and dimensions != 1):
        raise ValueError(f"bias_direction: expected 1 dimension, or more with 'svd', got {dimensions}")
    differences = pairs[:, 0] - pairs[:, 1]
    mean = differences.mean(0)
    if method == "mean":
        norm = np.sqrt(mean @ mean)
        if norm == 0:
            raise ValueError("bias_direction: the differences cancel out")
        return mean / norm
    # Both vectors of a pair about its middle are +-difference / 2: the same directions as the differences'.
    _, size, rows = np.linalg.svd(differences, full_matrices=False)
    if dimensions > len(size) or size[dimensions - 1] <= 1e-12 * max(size[0], 1e-300) or size[0] == 0:
        raise ValueError(f"bias_direction: the pairs do not differ in {dimensions} directions")
    if rows[0] @ mean < 0:
        rows[0] = -rows[0]
    return rows[0] if dimensions == 1 else rows[:dimensions]


def _basis(name, direction, size):
    """Orthonormal rows that span `direction` [D] or [k, D], whatever its length."""
    g = np.atleast_2d(np.asarray(to_numpy(direction), np.float64))
    if g.ndim != 2 or g.shape[1] != size:
        raise ValueError(f"{name}: expected a direction of {size} numbers, got shape {g.shape}")
    q, r = np.linalg.qr(g.T)
    if len(g) > size or np.abs(np.diag(r)).min() <= 1e-12 * np.abs(r).max() or not np.all(np.isfinite(r)):
        raise ValueError(f"{name}: a direction of zeros, or directions that depend on each other")
    return q.T


def neutralize(vectors, direction) -> np.ndarray:
    """Remove what lies along a direction: e - (e.g / |g|^2) g.

    Parameters
    ----------
    vectors : array_like [D] or [n, D]
    direction : array_like [D] or [k, D]
        Of any length; with k rows the subspace they span.
    """
    e = np.asarray(to_numpy(vectors), np.float64)
    if e.ndim not in (1, 2):
        raise ValueError(f"neutralize: expected vectors [D] or [n, D], got shape {e.shape}")
    basis = _basis("neutralize", direction, e.shape[-1])
    return e - (e @ basis.T) @ basis


def equalize(a, b, direction):
    """Make two words differ along the direction only, symmetrically: equally far from all that is neutral.

    mu = (a + b) / 2, and mu_o is mu without its part mu_B along g. Then
    e = mu_o +- sqrt(1 - |mu_o|^2) (a_B - mu_B) / |a_B - mu_B|, where a_B is the part of a along g. Both have length 1
    (for |mu_o| <= 1, which holds for words of length 1).

    Parameters
    ----------
    a, b : array_like [D]
        The two words, of length 1.
    direction : array_like [D] or [k, D]

    Returns
    -------
    (float64 [D], float64 [D])

    Raises
    ------
    ValueError
        The two do not differ along the direction, or are too long for the root.

    Notes
    -----
    Printed forms that divide by |a - mu_o - mu_B|, or take the part of mu by mu.b / |b| b, do not equalise.
    """
    a, b = np.asarray(to_numpy(a), np.float64), np.asarray(to_numpy(b), np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"equalize: expected two vectors of one length, got shapes {a.shape} and {b.shape}")
    basis = _basis("equalize", direction, len(a))
    mu = (a + b) / 2
    along = basis @ (a - b) / 2
    size = np.sqrt(along @ along)
    if size == 0:
        raise ValueError("equalize: the two words do not differ along the direction")
    rest = mu - (mu @ basis.T) @ basis
    left = 1 - rest @ rest
    if left < 0:
        raise ValueError("equalize: expected vectors of length 1")
    step = np.sqrt(left) * (along / size) @ basis
    return rest + step, rest - step


def debias(vectors, direction, pairs, specific=()):
    """Neutralise all words but some, and equalise pairs: a new `KeyedVectors` of vectors of length 1.

    Parameters
    ----------
    vectors : KeyedVectors
    direction : array_like [D] or [k, D]
    pairs : list of (str, str)
        Equalised; they need not be in `specific`.
    specific : iterable of str
        Words that mean the difference (beard, queen): left as they are.
    """
    from .vectors import KeyedVectors

    units = vectors.units.astype(np.float64)
    new = neutralize(units, direction)
    norms = np.sqrt((new * new).sum(1))
    new /= np.where(norms > 0, norms, 1)[:, None]
    keep = [vectors.key_to_index[w] for w in specific if w in vectors]
    new[keep] = units[keep]
    for a, b in pairs:
        i, j = (vectors.key_to_index[w] for w in (a, b))
        new[i], new[j] = equalize(units[i], units[j], direction)
    return KeyedVectors(vectors.index_to_key, new, vectors.counts)
