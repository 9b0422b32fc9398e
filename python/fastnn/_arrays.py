"""Moving values between fastnn tensors and NumPy arrays, for the parts of the package that work on either.

The compiled module is imported when a tensor has to be made, never on import, so that metrics or file readers can be
used on plain arrays at no cost.
"""

from __future__ import annotations

import sys

import numpy as np

__all__ = ["device_of", "is_tensor", "on_device", "one_device", "pinned", "placed", "require", "to_numpy", "to_tensor"]


def _tensor_type():
    module = sys.modules.get("fastnn")
    return getattr(module, "Tensor", None) if module is not None else None


def is_tensor(value) -> bool:
    """True for a `fastnn.Tensor` (parameters included)."""
    cls = _tensor_type()
    return cls is not None and isinstance(value, cls)


def on_device(value) -> bool:
    """True for a tensor outside the CPU's memory."""
    return is_tensor(value) and value.is_cuda


def one_device(op: str, tensors) -> None:
    """DeviceError, naming `op`, unless all tensors lie on the same device."""
    for i, tensor in enumerate(tensors):
        if tensor.device != tensors[0].device:
            import fastnn

            raise fastnn.DeviceError(
                f"{op}: expected tensors on one device, got the first on {tensors[0].device} and number {i} (shape "
                f"{list(tensor.shape)}) on {tensor.device}; move one with .to(device)"
            )


def to_numpy(value) -> np.ndarray:
    """The value as an array: a CPU tensor's own memory, a copy of one on a device, `np.asarray` of anything else."""
    if isinstance(value, np.ndarray):
        return value
    if is_tensor(value):
        return value.detach().cpu().numpy()
    return np.asarray(value)


def to_tensor(array, device=None):
    """A tensor on the memory of `array` (copied only when it is read-only or not of a dtype tensors have).

    With a `device` it is moved there; without one arrays go to the default device, and tensors stay where they are.
    """
    import fastnn

    if is_tensor(array):
        return array if device is None else array.to(device)
    array = np.asarray(array)
    target = _TENSOR_DTYPE.get(array.dtype.newbyteorder("=").str[1:])
    if target is None:
        raise TypeError(f"to_tensor: no tensor dtype holds NumPy {array.dtype}")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError("to_tensor: a uint64 value does not fit int64")
    if array.dtype != target:
        array = array.astype(target)
    elif not array.flags.writeable:
        array = array.copy()
    tensor = fastnn.from_numpy(array)
    return tensor.to(fastnn.get_default_device() if device is None else device)


# The six dtypes of tensors, and the narrowest of them that holds each other NumPy dtype without loss.
_TENSOR_DTYPE = {
    "f4": np.dtype("f4"), "f8": np.dtype("f8"), "i8": np.dtype("i8"), "i4": np.dtype("i4"), "u1": np.dtype("u1"),
    "b1": np.dtype("?"), "f2": np.dtype("f4"), "i1": np.dtype("i4"), "i2": np.dtype("i4"), "u2": np.dtype("i4"),
    "u4": np.dtype("i8"), "u8": np.dtype("i8"),
}  # fmt: skip


def device_of(module):
    """Where a module lives: the device of its first parameter (or buffer), the CPU where it has none."""
    for name in ("parameters", "buffers"):
        first = next(iter(getattr(module, name, list)()), None)
        if first is not None:
            return first.device
    return "cpu"


def placed(value, device, non_blocking: bool = False):
    """A batch with its tensors on `device`, whatever tuples, lists and dicts hold them; itself where they are there."""
    return _each_tensor(value, lambda t: t.to(device, non_blocking=non_blocking))


def pinned(value):
    """A batch with its CPU tensors in page-locked memory."""
    return _each_tensor(value, lambda t: t if t.is_cuda or t.is_pinned() else t.pin_memory())


def _each_tensor(value, f):
    """The value with f(t) for every tensor t in tuples, lists and dicts; itself where all f(t) are t."""
    if is_tensor(value):
        return f(value)
    if isinstance(value, (tuple, list)):
        items = [_each_tensor(v, f) for v in value]
        if all(a is b for a, b in zip(items, value)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return {k: _each_tensor(v, f) for k, v in value.items()} if isinstance(value, dict) else value


def require(module: str, extra: str, purpose: str):
    """Import an optional dependency, or say which extra brings it.

    Parameters
    ----------
    module : str
        Name to import, for example ``"h5py"``.
    extra : str
        The extra of the distribution that installs it.
    purpose : str
        What it is needed for; the first word of the message.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise ImportError(
            f"{purpose} needs {name}, which is not installed: pip install 'fastnn-native[{extra}]'"
        ) from error
