"""Devices and dtypes as arguments of modules."""

from __future__ import annotations

from .. import _C
from .._C import Tensor


def target(device, dtype):
    """(device or None, dtype or None) from the arguments of `Module.to`."""
    if isinstance(device, Tensor):
        if dtype is not None:
            raise TypeError("to: expected a tensor or a dtype, got both")
        return device.device, device.dtype if device.is_floating_point() else None
    if device is not None and not isinstance(device, _C.device):
        try:
            device = _C.device(device)
        except (TypeError, ValueError):
            if dtype is not None:
                raise
            try:
                dtype, device = _C.empty(0, dtype=device, device="cpu").dtype, None
            except TypeError:
                raise TypeError(
                    f"to: expected a device ('cpu', 'cuda', 'cuda:0'), a dtype or a tensor, got {device!r}"
                ) from None
    if dtype is not None:
        dtype = _C.empty(0, dtype=dtype, device="cpu").dtype
        if not dtype.is_floating_point:
            raise TypeError(f"to: expected a floating dtype, got {dtype!r}")
    if device is None and dtype is None:
        raise TypeError("to: expected a device, a dtype or a tensor")
    return device, dtype


def moved(tensor, device, dtype, non_blocking):
    dtype = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    if device is None:
        return tensor.to(dtype)
    return tensor.to(device, dtype, non_blocking)


def refuse_device(cls, device):
    """TypeError with the way to go, unless the module has such an argument of its own."""
    from inspect import signature

    known = signature(cls.__init__).parameters
    if "device" in known or any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return
    name = str(device)
    raise TypeError(
        f"{cls.__name__}: there is no argument 'device'; move the module with .to({name!r}), or make it inside "
        f"`with fastnn.device({name!r}):`"
    )
