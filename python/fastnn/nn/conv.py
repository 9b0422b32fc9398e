"""Convolutions and transposed convolutions over one, two and three axes, channels last."""

from __future__ import annotations

import math

from .. import _C
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

_PAD_MODES = ("zeros", "reflect", "replicate", "circular")


def _per_axis(owner: str, what: str, value, axes: int) -> tuple[int, ...]:
    """``value`` for every axis: an int for all of them, or a sequence."""
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) == 1:
        values = values * axes
    if len(values) != axes or not all(isinstance(v, int) for v in values):
        raise ValueError(f"{owner}: expected {what} as one int or {axes}, got {value!r}")
    return values


class _Conv(Module):
    """Parameters and arguments of every convolution."""

    _axes = 2
    _transposed = False

    def __init__(
        self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, activation,
        dtype,
    ):  # fmt: skip
        super().__init__()
        name, axes = type(self).__name__, self._axes
        if in_channels < 0 or out_channels < 0:
            raise ValueError(f"{name}: expected channels >= 0, got {in_channels} and {out_channels}")
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: expected groups >= 1 that divide both channels, got groups={groups}, "
                f"in_channels={in_channels}, out_channels={out_channels}"
            )
        if padding_mode not in _PAD_MODES:
            raise ValueError(f"{name}: expected padding_mode among {', '.join(_PAD_MODES)}, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = int(in_channels), int(out_channels), int(groups)
        self.kernel_size = _per_axis(name, "kernel_size", kernel_size, axes)
        if min(self.kernel_size) < 1:
            raise ValueError(f"{name}: expected kernel_size >= 1, got {kernel_size!r}")
        self.stride = _per_axis(name, "stride", stride, axes)
        self.dilation = _per_axis(name, "dilation", dilation, axes)
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name}: expected padding as numbers, 'same' or 'valid', got {padding!r}")
        self.padding = padding if isinstance(padding, (int, str)) else tuple(padding)
        self.padding_mode, self.activation = padding_mode, activation
        dtype = _C.float32 if dtype is None else dtype
        if self._transposed:
            shape = (*self.kernel_size, self.in_channels, self.out_channels // self.groups)
        else:
            shape = (*self.kernel_size, self.in_channels // self.groups, self.out_channels)
        self.weight = Parameter(_C.empty(shape, dtype=dtype))
        self.bias = Parameter(_C.empty((self.out_channels,), dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # As PyTorch: its fan counts the second axis of its layout, which transposed weights have the outputs in.
        channels = self.out_channels if self._transposed else self.in_channels
        fan = channels // self.groups * math.prod(self.kernel_size)
        bound = 1 / math.sqrt(fan) if fan else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        one = (1,) * self._axes
        for name, default in (("stride", one), ("padding", 0), ("dilation", one), ("groups", 1)):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)!r}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode!r}")
        if self.activation is not None:
            parts.append(f"activation={self.activation!r}")
        return ", ".join(parts)


class _Forward(_Conv):
    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
        padding_mode="zeros", activation=None, dtype=None,
    ):  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, activation,
            dtype,
        )  # fmt: skip

    def _pairs(self, x) -> list[tuple[int, int]]:
        """(before, after) of every axis, for the modes that are no zeros."""
        if self.padding == "valid":
            return [(0, 0)] * self._axes
        if self.padding == "same":
            pairs = []
            for n, k, s, d in zip(x.shape[1:-1], self.kernel_size, self.stride, self.dilation, strict=True):
                total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
                pairs.append((total // 2, total - total // 2))
            return pairs
        if isinstance(self.padding, tuple) and self.padding and not isinstance(self.padding[0], int):
            return [tuple(p) for p in self.padding]
        return [(p, p) for p in _per_axis(type(self).__name__, "padding", self.padding, self._axes)]

    def forward(self, x):
        padding = self.padding
        if self.padding_mode != "zeros" and x.ndim == self._axes + 2:
            amounts = [0, 0] + [n for pair in reversed(self._pairs(x)) for n in pair]
            x, padding = F.pad(x, amounts, mode=self.padding_mode), 0
        conv = getattr(F, f"conv{self._axes}d")
        return conv(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups, self.activation)


class _Transposed(_Conv):
    _transposed = True

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True,
        dilation=1, padding_mode="zeros", activation=None, dtype=None,
    ):  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: expected padding_mode zeros, got {padding_mode!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, activation,
            dtype,
        )  # fmt: skip
        self.output_padding = _per_axis(type(self).__name__, "output_padding", output_padding, self._axes)

    def forward(self, x, output_size=None):
        """``output_size`` (spatial sizes) chooses among the sizes that stride > 1 leaves open."""
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(x, output_size)
        conv = getattr(F, f"conv_transpose{self._axes}d")
        return conv(
            x, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation, self.activation
        )

    def _extra(self, x, output_size) -> tuple[int, ...]:
        name = type(self).__name__
        sizes, pads = _per_axis(name, "output_size", output_size, self._axes), self.padding
        pads = [
            p if isinstance(p, tuple) else (p, p) for p in ((pads,) * self._axes if isinstance(pads, int) else pads)
        ]
        geometry = zip(sizes, x.shape[1:-1], self.kernel_size, self.stride, self.dilation, pads, strict=True)
        extra = tuple(m - ((n - 1) * s - sum(p) + d * (k - 1) + 1) for m, n, k, s, d, p in geometry)
        if not all(0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            raise ValueError(f"{name}: no output_padding gives output_size {tuple(sizes)} for x {list(x.shape)}")
        return extra

    def extra_repr(self) -> str:
        extra = f", output_padding={self.output_padding}" if any(self.output_padding) else ""
        return super().extra_repr() + extra


_CONV = """Convolution over {where}, channels last.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or sequence of int
    padding : int, sequence of int, sequence of (before, after) pairs, 'same' or 'valid', default 0
    groups : int, default 1
        Groups of channels that do not meet; ``in_channels`` of them is a depthwise convolution.
    bias : bool, default True
    padding_mode : {{'zeros', 'reflect', 'replicate', 'circular'}}
    activation : {{None, 'relu'}}
        Applied in the same pass.
    dtype : optional, default float32

    Attributes
    ----------
    weight : Parameter [{kernel}, in_channels / groups, out_channels]
        PyTorch stores [out_channels, in_channels / groups, {kernel}].
    bias : Parameter [out_channels] or None

    Both start uniform in (-1/sqrt(n), 1/sqrt(n)), n = in_channels / groups * kernel elements, as in PyTorch.
    Input [N, {where}, in_channels], output [N, {out}, out_channels].
    """

_TRANSPOSED = """Transposed convolution over {where}, channels last: the gradient of a convolution, used forwards.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or sequence of int
    padding : int, sequence of int or of (before, after) pairs, default 0
        What the convolution that this is the gradient of pads: cut off the result.
    output_padding : int or sequence of int, default 0
        Positions more at the end of the result.
    groups : int, default 1
    bias : bool, default True
    activation : {{None, 'relu'}}
    dtype : optional, default float32

    Attributes
    ----------
    weight : Parameter [{kernel}, in_channels, out_channels / groups]
        PyTorch stores [in_channels, out_channels / groups, {kernel}].
    bias : Parameter [out_channels] or None

    Input [N, {where}, in_channels], output [N, {out}, out_channels] with sizes (in - 1) * stride - 2 * padding +
    dilation * (kernel_size - 1) + output_padding + 1.
    """


class Conv1d(_Forward):
    __doc__ = _CONV.format(where="L", kernel="K", out="Lout")
    _axes = 1


class Conv2d(_Forward):
    __doc__ = _CONV.format(where="H, W", kernel="KH, KW", out="Hout, Wout")
    _axes = 2


class Conv3d(_Forward):
    __doc__ = _CONV.format(where="D, H, W", kernel="KD, KH, KW", out="Dout, Hout, Wout")
    _axes = 3


class ConvTranspose1d(_Transposed):
    __doc__ = _TRANSPOSED.format(where="L", kernel="K", out="Lout")
    _axes = 1


class ConvTranspose2d(_Transposed):
    __doc__ = _TRANSPOSED.format(where="H, W", kernel="KH, KW", out="Hout, Wout")
    _axes = 2


class ConvTranspose3d(_Transposed):
    __doc__ = _TRANSPOSED.format(where="D, H, W", kernel="KD, KH, KW", out="Dout, Hout, Wout")
    _axes = 3
