"""Pooling layers. Channels last: ``[N, L, C]``, ``[N, H, W, C]``, ``[N, D, H, W, C]``; ``N`` may be absent."""

from __future__ import annotations

from . import functional as F
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "GlobalAvgPool", "GlobalMaxPool", "LPPool1d",
    "LPPool2d", "LPPool3d", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d",
]  # fmt: skip


class _Pool(Module):
    """A pooling function with its arguments; subclasses name the function and say which arguments it takes."""

    function: str

    def _keep(self, **arguments):
        self.arguments = arguments
        for name, value in arguments.items():
            setattr(self, name, value)

    def forward(self, x):
        return getattr(F, self.function)(x, **self.arguments)

    def extra_repr(self) -> str:
        return ", ".join(f"{k}={v!r}" for k, v in self.arguments.items())


class _MaxPool(_Pool):
    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False):
        super().__init__()
        self._keep(
            kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode,
            return_indices=return_indices,
        )  # fmt: skip


class MaxPool1d(_MaxPool):
    """Largest value of every window of ``[N, L, C]``; the arguments of `functional.max_pool1d`."""

    function = "max_pool1d"


class MaxPool2d(_MaxPool):
    """Largest value of every window of ``[N, H, W, C]``; the arguments of `functional.max_pool2d`."""

    function = "max_pool2d"


class MaxPool3d(_MaxPool):
    """Largest value of every window of ``[N, D, H, W, C]``; the arguments of `functional.max_pool3d`."""

    function = "max_pool3d"


class _AvgPool(_Pool):
    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        super().__init__()
        self._keep(
            kernel_size=kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode,
            count_include_pad=count_include_pad, divisor_override=divisor_override,
        )  # fmt: skip


class AvgPool1d(_AvgPool):
    """Mean of every window of ``[N, L, C]``; the arguments of `functional.avg_pool1d`."""

    function = "avg_pool1d"


class AvgPool2d(_AvgPool):
    """Mean of every window of ``[N, H, W, C]``; the arguments of `functional.avg_pool2d`."""

    function = "avg_pool2d"


class AvgPool3d(_AvgPool):
    """Mean of every window of ``[N, D, H, W, C]``; the arguments of `functional.avg_pool3d`."""

    function = "avg_pool3d"


class _LPPool(_Pool):
    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__()
        self._keep(norm_type=norm_type, kernel_size=kernel_size, stride=stride, ceil_mode=ceil_mode)


class LPPool1d(_LPPool):
    """(sum x^p)^(1/p) of every window of ``[N, L, C]``; see `functional.lp_pool1d`."""

    function = "lp_pool1d"


class LPPool2d(_LPPool):
    """(sum x^p)^(1/p) of every window of ``[N, H, W, C]``; see `functional.lp_pool2d`."""

    function = "lp_pool2d"


class LPPool3d(_LPPool):
    """(sum x^p)^(1/p) of every window of ``[N, D, H, W, C]``; see `functional.lp_pool3d`."""

    function = "lp_pool3d"


class _AdaptiveMaxPool(_Pool):
    def __init__(self, output_size, return_indices=False):
        super().__init__()
        self._keep(output_size=output_size, return_indices=return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima over ``output_size`` windows of ``[N, L, C]``."""

    function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima over ``output_size`` windows of ``[N, H, W, C]``: one number, or two, of which None keeps a size."""

    function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima over ``output_size`` windows of ``[N, D, H, W, C]``: one number, or three, of which None keeps a size."""

    function = "adaptive_max_pool3d"


class _AdaptiveAvgPool(_Pool):
    def __init__(self, output_size):
        super().__init__()
        self._keep(output_size=output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means over ``output_size`` windows of ``[N, L, C]``."""

    function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means over ``output_size`` windows of ``[N, H, W, C]``: one number, or two, of which None keeps a size."""

    function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means over ``output_size`` windows of ``[N, D, H, W, C]``: one number, or three, of which None keeps a size."""

    function = "adaptive_avg_pool3d"


class GlobalAvgPool(Module):
    """The mean over all positions: ``[N, ..., C]`` to ``[N, C]``."""

    def forward(self, x):
        return F.global_avg_pool(x)


class GlobalMaxPool(Module):
    """The maximum over all positions: ``[N, ..., C]`` to ``[N, C]``."""

    def forward(self, x):
        return F.global_max_pool(x)


class _MaxUnpool(Module):
    function: str

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x, indices, output_size=None):
        return getattr(F, self.function)(x, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size!r}, stride={self.stride!r}, padding={self.padding!r}"


class MaxUnpool1d(_MaxUnpool):
    """Zeros, and the values at the indices that `MaxPool1d` returned; called with ``(x, indices)``."""

    function = "max_unpool1d"


class MaxUnpool2d(_MaxUnpool):
    """Zeros, and the values at the indices that `MaxPool2d` returned; called with ``(x, indices)``."""

    function = "max_unpool2d"


class MaxUnpool3d(_MaxUnpool):
    """Zeros, and the values at the indices that `MaxPool3d` returned; called with ``(x, indices)``."""

    function = "max_unpool3d"
