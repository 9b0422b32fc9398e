"""Small two-dimensional sets that are generated: points ``x`` float32 ``[N, 2]`` and classes ``y`` int64 ``[N]``."""

from __future__ import annotations

import numpy as np

from .._arrays import to_tensor

__all__ = ["planar", "xor", "moons", "circles"]


def _check(name, n, noise, least=2):
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"{name}: n must be an int, got {type(n).__name__}")
    if n < least:
        raise ValueError(f"{name}: n must be >= {least}, got {n}")
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"{name}: noise must be finite and >= 0, got {noise}")


def _result(x, y):
    return to_tensor(np.ascontiguousarray(x, np.float32)), to_tensor(np.ascontiguousarray(y, np.int64))


def planar(n: int = 400, noise: float = 0.2, seed: int = 1):
    """The flower of the course: petals ``r = 4 sin(4 t)``, one half of the circle a class.

    With ``t`` in ``[0, 3.12]`` for class 0 and ``[3.12, 6.24]`` for class 1, and Gaussian noise on angle and radius:
    ``x = (r sin t, r cos t)``. The defaults, with NumPy's frozen legacy generator, give the very points of the course.

    Parameters
    ----------
    n : int
        Points, half of them in each class (one less when odd).
    noise : float
        Deviation of the noise on both coordinates.
    seed : int

    Returns
    -------
    x : Tensor float32 [N, 2]
    y : Tensor int64 [N]
    """
    _check("planar", n, noise)
    random = np.random.RandomState(seed)
    half = n // 2
    points = []
    for label in range(2):
        angle = np.linspace(label * 3.12, (label + 1) * 3.12, half) + random.randn(half) * noise
        radius = 4 * np.sin(4 * angle) + random.randn(half) * noise
        points.append(np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1))
    return _result(np.concatenate(points), np.repeat([0, 1], half))


def xor(n: int = 4, noise: float = 0.0, seed: int = 0):
    """Exclusive or: the corners of the unit square in turn, class 1 where the coordinates differ, Gaussian noise added.

    ``n=4`` without noise is the truth table.
    """
    _check("xor", n, noise, least=1)
    bits = np.stack([np.arange(n) // 2 % 2, np.arange(n) % 2], axis=1)
    return _result(bits + np.random.RandomState(seed).randn(n, 2) * noise, bits[:, 0] ^ bits[:, 1])


def moons(n: int = 400, noise: float = 0.1, seed: int = 0):
    """Two interleaved half circles: ``(cos t, sin t)`` and ``(1 - cos t, 0.5 - sin t)`` for t in [0, pi]."""
    _check("moons", n, noise)
    first = n // 2
    t0, t1 = np.linspace(0, np.pi, first), np.linspace(0, np.pi, n - first)
    x = np.concatenate([np.stack([np.cos(t0), np.sin(t0)], 1), np.stack([1 - np.cos(t1), 0.5 - np.sin(t1)], 1)])
    return _result(x + np.random.RandomState(seed).randn(n, 2) * noise, np.arange(n) >= first)


def circles(n: int = 400, noise: float = 0.05, factor: float = 0.5, seed: int = 0):
    """A circle of radius 1 (class 0) around one of radius `factor` (class 1), 0 < factor < 1."""
    _check("circles", n, noise)
    if not 0 < factor < 1:
        raise ValueError(f"circles: factor must lie between 0 and 1, got {factor}")
    first = n // 2
    t = np.concatenate([np.arange(first) / first, np.arange(n - first) / (n - first)]) * 2 * np.pi
    y = np.arange(n) >= first
    x = np.stack([np.cos(t), np.sin(t)], axis=1) * np.where(y, factor, 1.0)[:, None]
    return _result(x + np.random.RandomState(seed).randn(n, 2) * noise, y)
