"""Whitening: features without correlation, each of variance 1."""

from __future__ import annotations

import numpy as np

from .._arrays import is_tensor, to_numpy, to_tensor

__all__ = ["Whitener"]


class Whitener:
    """Rotate and scale data so that its covariance is the identity, with the numbers of the training data.

    ``cov = U diag(l) U^T``; PCA: ``(x - mean) U / sqrt(l + eps)``; ZCA: the same, turned back by ``U^T``, which stays
    as near to `x` as whitened data can: a picture remains a picture.

    Parameters
    ----------
    kind : {"zca", "pca"}
    components : int or float, optional
        PCA only: how many directions to keep, or (below 1) the share of the variance they must hold. Default all.
    eps : float
        Added to the variances, in units of their mean, so that directions without variance are not blown up.

    Attributes
    ----------
    mean : ndarray [D]
    directions : ndarray [D, K]
        Columns of U, the largest variance first.
    variances : ndarray [K]

    Examples
    --------
    >>> whiten = Whitener("pca", components=0.99)
    >>> x_train = whiten.fit_transform(x_train)  # [N, D] -> [N, K]; examples of any shape are flattened
    >>> x_test = whiten.transform(x_test)
    """

    def __init__(self, kind: str = "zca", components: int | float | None = None, eps: float = 1e-5):
        if kind not in ("zca", "pca"):
            raise ValueError(f"Whitener: kind must be zca or pca, got {kind!r}")
        if components is not None and (kind == "zca" or not components > 0):
            raise ValueError(f"Whitener: components is a number > 0 and for pca, got {components} with {kind}")
        if not eps >= 0:
            raise ValueError(f"Whitener: eps must be >= 0, got {eps}")
        self.kind, self.components, self.eps = kind, components, float(eps)
        self.mean = self.directions = self.variances = None

    def fit(self, x) -> Whitener:
        """Learn mean and directions in float64. ValueError without data or for values that are not finite."""
        a = self._rows(x, "fit").astype(np.float64)
        if not a.size or not np.isfinite(a).all():
            raise ValueError(f"Whitener.fit: expected finite data, got shape {list(a.shape)}")
        self.mean = a.mean(axis=0)
        a -= self.mean
        values, vectors = np.linalg.eigh(a.T @ a / len(a))
        values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
        # The sign of a direction is arbitrary: the largest entry is made positive, so that every machine agrees.
        vectors = vectors * np.sign(vectors[abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
        keep = len(values)
        if self.components is not None and self.components < 1:
            share = np.cumsum(values) / max(values.sum(), 1e-300)
            keep = int(np.searchsorted(share, self.components - 1e-12)) + 1
        elif self.components is not None:
            keep = int(self.components)
            if keep > len(values):
                raise ValueError(f"Whitener.fit: {keep} components of {len(values)} features")
        self.variances, self.directions = values[:keep].copy(), np.ascontiguousarray(vectors[:, :keep])
        self._scale = np.sqrt(self.variances + self.eps * values.mean())
        self._scale[self._scale == 0] = 1.0
        return self

    def transform(self, x):
        """The whitened `x` ``[N, K]``; for ZCA in the shape of `x`. float64 stays, all else becomes float32."""
        a = self._ready(x, "transform")
        z = (a - self.mean) @ self.directions / self._scale
        return self._like(x, (z @ self.directions.T).reshape(to_numpy(x).shape) if self.kind == "zca" else z)

    def inverse_transform(self, z):
        """Undo `transform`, up to the directions that were left out; ``[N, D]``, for ZCA in the shape of `z`."""
        if self.mean is None:
            raise RuntimeError("Whitener.inverse_transform: call fit on the training data first")
        a = to_numpy(z)
        rows = a.reshape(len(a), -1).astype(np.float64)
        width = self.directions.shape[0 if self.kind == "zca" else 1]
        if rows.shape[1] != width:
            raise ValueError(f"Whitener.inverse_transform: expected {width} numbers a row, got {rows.shape[1]}")
        rows = rows @ self.directions if self.kind == "zca" else rows
        result = rows * self._scale @ self.directions.T + self.mean
        return self._like(z, result.reshape(a.shape) if self.kind == "zca" else result)

    def fit_transform(self, x):
        """`fit(x)`, then `transform(x)`."""
        return self.fit(x).transform(x)

    @staticmethod
    def _rows(x, what):
        a = to_numpy(x)
        if a.ndim < 2 or a.dtype.kind not in "fiub":
            raise ValueError(f"Whitener.{what}: expected numbers [N, ...], got {a.dtype} {list(a.shape)}")
        return a.reshape(len(a), -1)

    def _ready(self, x, what):
        if self.mean is None:
            raise RuntimeError(f"Whitener.{what}: call fit on the training data first")
        rows = self._rows(x, what)
        if rows.shape[1] != len(self.mean):
            raise ValueError(f"Whitener.{what}: fitted on {len(self.mean)} features, got {rows.shape[1]}")
        return rows.astype(np.float64)

    @staticmethod
    def _like(x, result):
        result = result if to_numpy(x).dtype == np.float64 else result.astype(np.float32)
        return to_tensor(result) if is_tensor(x) else result

    def __repr__(self):
        fitted = "not fitted" if self.mean is None else f"{len(self.mean)} to {len(self.variances)}"
        return f"Whitener({self.kind!r}, {fitted})"
