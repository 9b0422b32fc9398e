"""Input normalisation that is fitted on the training set and reused everywhere else."""

from __future__ import annotations

import numpy as np

from .._arrays import is_tensor, to_numpy, to_tensor

__all__ = ["Standardizer"]


class Standardizer:
    """``(x - mean) / std`` with the mean and deviation of the training data.

    The dev and test sets go through the same numbers; fitting on them would let the test set leak into training and
    put training and test data on different scales.

    Parameters
    ----------
    axis : int, tuple of int or None
        The axes averaged over: 0 (default) gives one mean per feature; ``(0, 1, 2)`` one per channel of images
        ``[N, H, W, C]``; None a single number.
    eps : float
        Deviations up to `eps` count as a constant feature, which is centred but not scaled.

    Attributes
    ----------
    mean, std : ndarray of float64, with the averaged axes kept as size 1

    Examples
    --------
    >>> scaler = Standardizer()
    >>> x_train = scaler.fit_transform(x_train)
    >>> x_test = scaler.transform(x_test)
    """

    def __init__(self, axis=0, eps: float = 1e-12):
        self.axis = axis if axis is None or isinstance(axis, int) else tuple(axis)
        self.eps = float(eps)
        self.mean = self.std = None

    def fit(self, x) -> Standardizer:
        """Learn mean and deviation (population form, divided by N) in float64. ValueError when `x` is empty."""
        a = to_numpy(x)
        if a.size == 0:
            raise ValueError(f"Standardizer.fit: expected data, got an empty array of shape {a.shape}")
        mean = np.mean(a, axis=self.axis, dtype=np.float64, keepdims=True)
        std = np.std(a, axis=self.axis, dtype=np.float64, keepdims=True)
        self.mean, self.std = mean, np.where(std > self.eps, std, 1.0)
        return self

    def transform(self, x):
        """The standardised `x`: float64 stays float64, all else becomes float32; tensors give tensors."""
        return self._apply(x, "transform", lambda a, mean, std: (a - mean) / std)

    def inverse_transform(self, x):
        """Undo `transform`."""
        return self._apply(x, "inverse_transform", lambda a, mean, std: a * std + mean)

    def fit_transform(self, x):
        """`fit(x)`, then `transform(x)`."""
        return self.fit(x).transform(x)

    def _apply(self, x, what, formula):
        if self.mean is None:
            raise RuntimeError(f"Standardizer.{what}: call fit on the training data first")
        a = to_numpy(x)
        dtype = np.float64 if a.dtype == np.float64 else np.float32
        try:
            shape = np.broadcast_shapes(a.shape, self.mean.shape)
        except ValueError:
            shape = None
        if shape != a.shape:
            raise ValueError(f"Standardizer.{what}: fitted on mean {self.mean.shape}, got data of shape {a.shape}")
        result = formula(a.astype(dtype, copy=False), self.mean.astype(dtype), self.std.astype(dtype))
        return to_tensor(result) if is_tensor(x) else result

    def state_dict(self) -> dict:
        """Everything `transform` needs, for `fastnn.save` beside the model."""
        if self.mean is None:
            return {"axis": self.axis, "eps": self.eps}
        return {"axis": self.axis, "eps": self.eps, "mean": self.mean, "std": self.std}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` returned."""
        self.axis, self.eps = state["axis"], state["eps"]
        self.mean = to_numpy(state["mean"]) if "mean" in state else None
        self.std = to_numpy(state["std"]) if "std" in state else None

    def __repr__(self):
        fitted = "not fitted" if self.mean is None else f"mean of shape {self.mean.shape}"
        return f"Standardizer(axis={self.axis}, {fitted})"
