"""Moving values between fastnn tensors and NumPy arrays, for the parts of the package that work on either.

The compiled module is imported when a tensor has to be made, never on import, so that metrics or file readers can be
used on plain arrays at no cost.
"""

from __future__ import annotations

import sys

import numpy as np

__all__ = ["device_of", "is_tensor", "placed", "to_numpy", "to_tensor", "require"]


def _tensor_type():
    module = sys.modules.get("fastnn")
    return getattr(module, "Tensor", None) if module is not None else None


def is_tensor(value) -> bool:
    """True for a `fastnn.Tensor` (parameters included)."""
    cls = _tensor_type()
    return cls is not None and isinstance(value, cls)


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


def placed(value, device):
    """A batch with its tensors on `device`, whatever tuples, lists and dicts hold them; itself where they are there."""
    if is_tensor(value):
        return value.to(device)
    if isinstance(value, (tuple, list)):
        items = [placed(v, device) for v in value]
        if all(a is b for a, b in zip(items, value)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return {k: placed(v, device) for k, v in value.items()} if isinstance(value, dict) else value


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
