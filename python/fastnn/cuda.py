"""CUDA devices, served by a plug-in that is loaded when this module is first asked about them.

The plug-in is one shared object, ``libfastnn_cuda.so``: beside the compiled module (a build with
``-DFASTNN_CUDA=ON``), in the package ``fastnn_cuda``, or where ``FASTNN_CUDA_PLUGIN`` says. Without it, or without a
GPU, everything runs on the CPU and `is_available` is False.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from fastnn import _C
from fastnn._C import _CudaEvent as Event
from fastnn._C import _CudaStream as Stream

__all__ = [
    "Event",
    "Stream",
    "device_count",
    "empty_cache",
    "get_device_properties",
    "is_available",
    "memory_stats",
    "reset_peak_memory",
    "set_blocking",
    "synchronize",
    "why_not",
]

_reason: str | None = None  # why there is no plug-in, once it was looked for


def _candidates():
    chosen = os.environ.get("FASTNN_CUDA_PLUGIN")
    if chosen:
        return [Path(chosen)]
    here = Path(_C.__file__).parent
    found = [here / "libfastnn_cuda.so"]
    spec = importlib.util.find_spec("fastnn_cuda")
    if spec and spec.origin:
        found.append(Path(spec.origin).parent / "libfastnn_cuda.so")
    return [*found, here / "libfastnn_cuda_emulated.so"]


def _load():
    """The plug-in, loaded once: None where it is there, else the reason why not."""
    global _reason
    if _C._cuda_loaded() or _reason is not None:
        return _reason
    for path in _candidates():
        if not path.is_file():
            continue
        try:
            _C._cuda_load(str(path))
        except _C.DeviceError as error:
            _reason = str(error)
            return _reason
        return None
    _reason = "the CUDA plug-in is not installed"
    return _reason


def is_available() -> bool:
    """Whether there is a device to compute on; `why_not` says why there is none."""
    return _load() is None and _C._cuda_count() > 0


def why_not() -> str | None:
    """Why `is_available` is False, None where it is True."""
    return _load() or (None if _C._cuda_count() > 0 else _C._cuda_why_none())


def _need(device=None):
    if not is_available():
        raise _C.DeviceError(f"cuda: there is no device: {why_not()}")
    return device


def device_count() -> int:
    """The number of devices, 0 where there is no plug-in or no GPU."""
    return _C._cuda_count() if _load() is None else 0


def synchronize(device=None) -> None:
    """Waits for all work of a device (the current one when None); errors of kernels are reported here."""
    _C._cuda_synchronize(_need(device))


def get_device_properties(device=None) -> dict:
    """Name, total_memory (bytes), compute capability (major, minor) and multi_processor_count of a device."""
    return _C._cuda_properties(_need(device))


def memory_stats(device=None) -> dict[str, int]:
    """Memory of a device.

    Returns
    -------
    dict
        allocated, peak: bytes of tensors now and at most since `reset_peak_memory`; reserved: bytes that the pool holds
        for reuse as well; calls: allocations so far; free, total: bytes of the device as the driver sees them.
    """
    return _C._cuda_memory(_need(device))


def reset_peak_memory(device=None) -> None:
    """Starts the peak of `memory_stats` anew."""
    _C._cuda_reset_peak(_need(device))


def empty_cache(device=None) -> None:
    """Gives the memory that the pool keeps for reuse back to the driver."""
    _C._cuda_empty_cache(_need(device))


def set_blocking(on: bool) -> None:
    """Whether every kernel is waited for, so that an error of one is reported where it was started.

    Work on a device runs behind the program: an error inside a kernel shows at some later call that waits, or at
    `synchronize`. With ``set_blocking(True)`` it shows at the operation that made it; everything is slower then.
    """
    _need()
    _C._cuda_set_blocking(bool(on))
