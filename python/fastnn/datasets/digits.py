"""The digits of scikit-learn: 1,797 handwritten digits, 8x8 grey. They come with the package, so nothing is fetched."""

from __future__ import annotations

import numpy as np

from .._arrays import require
from ..data import TensorDataset, split_indices

__all__ = ["Digits"]


class Digits(TensorDataset):
    """8x8 digits (Alpaydin and Kaynak, UCI; CC BY 4.0): images float32 in [0, 1], labels int64.

    Parameters
    ----------
    train : bool or None
        The training part, the test part, or all 1,797 (None). The set has no split of its own: it is cut here,
        stratified by digit.
    test_size : float or int
        Fraction or number of test images.
    seed : int
        Of the cut.
    flatten : bool
        Images as ``[N, 64]`` (default) instead of ``[N, 8, 8, 1]``.

    Attributes
    ----------
    x, y : Tensor
    classes : list of str

    Raises
    ------
    ImportError
        Without scikit-learn, which the extra ``recipes`` installs.
    """

    name = "Digits"
    classes = [str(digit) for digit in range(10)]

    def __init__(self, train: bool | None = True, test_size: float = 0.2, seed: int = 0, flatten: bool = True):
        bunch = require("sklearn.datasets", "recipes", "Digits").load_digits()
        x = (bunch.images / 16).astype(np.float32)
        y = bunch.target.astype(np.int64)
        if train is not None:
            n = len(y)
            test = int(test_size) if isinstance(test_size, (int, np.integer)) else round(n * test_size)
            if not 0 < test < n:
                raise ValueError(f"Digits: test_size must leave items on both sides of {n}, got {test_size}")
            part = split_indices(n, [n - test, test], seed, stratify=y)[0 if train else 1]
            x, y = x[part], y[part]
        super().__init__(x.reshape(len(x), 64) if flatten else x[..., None], y)
        self.x, self.y = self.tensors
