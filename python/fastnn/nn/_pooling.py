"""Pooling formulas over the compiled kernels; re-exported by ``functional``."""

from __future__ import annotations

from .._C import (
    Tensor,
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    where,
    zeros_like,
)

__all__ = ["global_avg_pool", "global_max_pool", "lp_pool1d", "lp_pool2d", "lp_pool3d"]


def _flat(op, x):
    """``[N, ..., C]`` as ``[N, positions, C]``."""
    if x.ndim < 3:
        raise ValueError(f"{op}: expected x of shape [N, ..., C] with at least 3 dimensions, got {list(x.shape)}")
    positions = 1
    for size in x.shape[1:-1]:
        positions *= size
    return x.reshape(x.shape[0], positions, x.shape[-1])


def global_avg_pool(x: Tensor) -> Tensor:
    """The mean over all positions: ``[N, ..., C]`` to ``[N, C]``."""
    return adaptive_avg_pool1d(_flat("global_avg_pool", x), 1).reshape(x.shape[0], x.shape[-1])


def global_max_pool(x: Tensor) -> Tensor:
    """The maximum over all positions: ``[N, ..., C]`` to ``[N, C]``; the gradient goes to the first of equal ones."""
    return adaptive_max_pool1d(_flat("global_max_pool", x), 1).reshape(x.shape[0], x.shape[-1])


def _lp(pool, rank, x, norm_type, kernel_size, stride, ceil_mode):
    if norm_type == 0:
        raise ValueError(f"lp_pool{rank}d: norm_type must not be 0")
    kernel = (kernel_size,) * rank if isinstance(kernel_size, int) else tuple(kernel_size)
    cells = 1
    for k in kernel:
        cells *= k
    total = pool(x**norm_type, kernel_size, stride, 0, ceil_mode) * float(cells)
    # The root is not differentiable at 0: a window of zeros gives 0 and no gradient, instead of NaN.
    nothing = total == 0
    return where(nothing, zeros_like(total), where(nothing, 1.0, total) ** (1 / norm_type))


def lp_pool1d(x: Tensor, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False) -> Tensor:
    """(sum x^p)^(1/p) over every window, p = ``norm_type``. Channels last: x is ``[N, L, C]``; N may be absent.

    With ``ceil_mode`` a window cut off by the border counts as if it were whole (as in PyTorch).
    """
    return _lp(avg_pool1d, 1, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(x: Tensor, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False) -> Tensor:
    """(sum x^p)^(1/p) over every window of ``[N, H, W, C]``; see `lp_pool1d`. p = 2 is L2 pooling."""
    return _lp(avg_pool2d, 2, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(x: Tensor, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False) -> Tensor:
    """(sum x^p)^(1/p) over every window of ``[N, D, H, W, C]``; see `lp_pool1d`."""
    return _lp(avg_pool3d, 3, x, norm_type, kernel_size, stride, ceil_mode)
