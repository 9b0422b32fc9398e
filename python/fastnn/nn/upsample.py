"""Resizing layer."""

from __future__ import annotations

from . import functional as F
from .module import Module

__all__ = ["Upsample"]


class Upsample(Module):
    """x at another resolution; channels last. The arguments of `functional.interpolate`.

    Parameters
    ----------
    size : int or sequence of int, optional
        Of the output.
    scale_factor : float or sequence of float, optional
        Instead of size.
    mode : str
        'nearest', 'nearest-exact', 'linear', 'bilinear', 'trilinear' or 'area'.
    align_corners, recompute_scale_factor : bool, optional
        As for `functional.interpolate`.
    """

    def __init__(self, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
        super().__init__()
        if (size is None) == (scale_factor is None):
            raise ValueError("Upsample: expected either size or scale_factor")
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, x):
        return F.interpolate(
            x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        names = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor")
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names if getattr(self, n) is not None)
