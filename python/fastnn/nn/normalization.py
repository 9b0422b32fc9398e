"""Layer, RMS, group and local response normalisation."""

from __future__ import annotations

from .. import _C
from . import functional as F
from .module import Module
from .parameter import Parameter


def _sizes(normalized_shape) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(Module):
    """Normalises every example over its last axes: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The last sizes of the input, [..., *normalized_shape].
    eps : float, default 1e-5
    elementwise_affine : bool, default True
        Learn ``weight`` and ``bias``, of shape normalized_shape.
    bias : bool, default True
    """

    def __init__(
        self, normalized_shape, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True, dtype=None
    ):
        super().__init__()
        self.normalized_shape, self.eps = _sizes(normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        dtype = _C.float32 if dtype is None else dtype
        self.weight = Parameter(_C.ones(self.normalized_shape, dtype=dtype)) if elementwise_affine else None
        self.bias = Parameter(_C.zeros(self.normalized_shape, dtype=dtype)) if elementwise_affine and bias else None

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """Divides every example by its root mean square over the last axes: y = x / sqrt(mean(x^2) + eps) * weight.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The last sizes of the input, [..., *normalized_shape].
    eps : float, optional
        Default: the distance from 1 to the next number of the input's dtype.
    elementwise_affine : bool, default True
        Learn ``weight``, of shape normalized_shape.
    """

    def __init__(self, normalized_shape, eps: float | None = None, elementwise_affine: bool = True, dtype=None):
        super().__init__()
        self.normalized_shape, self.eps = _sizes(normalized_shape), eps
        self.elementwise_affine = elementwise_affine
        dtype = _C.float32 if dtype is None else dtype
        self.weight = Parameter(_C.ones(self.normalized_shape, dtype=dtype)) if elementwise_affine else None

    def forward(self, x):
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Normalises every example by the mean and variance of each group of neighbouring channels over all places.

    Parameters
    ----------
    num_groups : int
        Divides num_channels.
    num_channels : int
        C. Input [N, ..., C]: channels last (PyTorch has them second).
    eps : float, default 1e-5
    affine : bool, default True
        Learn ``weight`` and ``bias``, one value per channel.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, dtype=None):
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_groups expects a divisor of num_channels={num_channels}, got {num_groups}"
            )
        self.num_groups, self.num_channels, self.eps, self.affine = int(num_groups), int(num_channels), eps, affine
        dtype = _C.float32 if dtype is None else dtype
        self.weight = Parameter(_C.ones((self.num_channels,), dtype=dtype)) if affine else None
        self.bias = Parameter(_C.zeros((self.num_channels,), dtype=dtype)) if affine else None

    def forward(self, x):
        if x.ndim < 2 or x.shape[-1] != self.num_channels:
            raise ValueError(f"GroupNorm: expected input [N, ..., {self.num_channels}], got {list(x.shape)}")
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Module):
    """y = x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta (AlexNet).

    Parameters
    ----------
    size : int
    alpha, beta, k : float
        Defaults 1e-4, 0.75, 1. Input [N, ..., C]: channels last (PyTorch has them second).
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        if size < 1:
            raise ValueError(f"LocalResponseNorm: size expects at least 1, got {size}")
        self.size, self.alpha, self.beta, self.k = int(size), alpha, beta, k

    def forward(self, x):
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
