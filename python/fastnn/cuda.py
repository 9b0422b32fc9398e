"""CUDA devices, served by a plug-in that is loaded when this module is first asked about them.

The plug-in is one shared object, ``libfastnn_cuda.so``: beside the compiled module (a build with
``-DFASTNN_CUDA=ON``), in the package ``fastnn_cuda`` (the distribution ``fastnn-native-cuda``), or the file that the
environment variable ``FASTNN_CUDA_PLUGIN`` names, which excludes the others. Without it, or without a GPU, everything
runs on the CPU: `is_available` is False, `why_not` says why, `device_count` is 0, and the other functions raise
`fastnn.DeviceError` with that reason.

Devices are given as a `fastnn.device`, as its name (``"cuda:0"``), as its index, or as None for the current one: that
of ``with fastnn.device(...)`` or `fastnn.set_default_device`, else that of `set_device`, else the first.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from pathlib import Path

from fastnn import _C
from fastnn._C import _CudaEvent as Event
from fastnn._C import _CudaStream as Stream

__all__ = [
    "Event",
    "Stream",
    "current_device",
    "current_stream",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "is_available",
    "max_memory_allocated",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_peak_memory",
    "set_blocking",
    "set_device",
    "stream",
    "synchronize",
    "why_not",
]

# Names of PyTorch's module that are another thing here.
_ELSEWHERE = {
    "CUDAGraph": "fastnn.capture",
    "amp": "fastnn.set_matmul_precision",
    "device": "fastnn.device",
    "graph": "fastnn.capture",
    "make_graphed_callables": "fastnn.capture",
    "manual_seed": "fastnn.manual_seed",
    "manual_seed_all": "fastnn.manual_seed",
    "mem_get_info": "fastnn.cuda.memory_stats",
    "memory_summary": "fastnn.cuda.memory_stats",
    "reset_max_memory_allocated": "fastnn.cuda.reset_peak_memory",
    "reset_peak_memory_stats": "fastnn.cuda.reset_peak_memory",
    "set_stream": "fastnn.cuda.stream",
}

_reason: str | None = None  # why there is no plug-in, once it was looked for


def _candidates():
    chosen = os.environ.get("FASTNN_CUDA_PLUGIN")
    if chosen:
        return [Path(chosen)]
    found = [Path(_C.__file__).parent / "libfastnn_cuda.so"]
    spec = importlib.util.find_spec("fastnn_cuda")
    if spec and spec.origin:
        found.append(Path(spec.origin).parent / "libfastnn_cuda.so")
    return found


def _load():
    """The plug-in, loaded once: None where it is there, else the reason why not."""
    global _reason
    if _C._cuda_loaded() or _reason is not None:
        return _reason
    candidates = _candidates()
    for path in candidates:
        if not path.is_file():
            continue
        try:
            _C._cuda_load(str(path))
        except _C.DeviceError as error:
            _reason = str(error)
            return _reason
        return None
    if os.environ.get("FASTNN_CUDA_PLUGIN"):
        _reason = f"FASTNN_CUDA_PLUGIN names {candidates[0]}, which is not there"
    else:
        _reason = "the CUDA plug-in is not installed (docs/cuda.md says how)"
    return _reason


def is_available() -> bool:
    """Whether there is a device to compute on; `why_not` says why there is none."""
    return _load() is None and _C._cuda_count() > 0


def why_not() -> str | None:
    """Why `is_available` is False, None where it is True."""
    return _load() or (None if _C._cuda_count() > 0 else _C._cuda_why_none())


def _need(device=None, op: str = "cuda"):
    """The CUDA device that an argument means; the error where there is none names `op`."""
    if not is_available():
        raise _C.DeviceError(f"cuda: there is no device: {why_not()}")
    return _C._cuda_device(op, device)


def device_count() -> int:
    """The number of devices, 0 where there is no plug-in or no GPU."""
    return _C._cuda_count() if _load() is None else 0


def current_device() -> int:
    """The index of the device that None stands for."""
    return _need().index


def set_device(device) -> None:
    """The device that ``"cuda"`` and None mean to the calling thread from now on.

    New tensors still lie where `fastnn.set_default_device` says; where that is a CUDA device, it becomes this one.

    Parameters
    ----------
    device : fastnn.device, str or int
    """
    if device is None:
        raise TypeError("cuda.set_device: expected a CUDA device ('cuda:0', its index or a fastnn.device), got None")
    _C._cuda_choose(_need(device, "cuda.set_device"))


def synchronize(device=None) -> None:
    """Wait for all work of a device; errors of kernels are reported here.

    Parameters
    ----------
    device : fastnn.device, str or int, optional
    """
    _C._cuda_synchronize(_need(device, "cuda.synchronize"))


def current_stream(device=None) -> Stream:
    """The stream that work of the calling thread goes to.

    Parameters
    ----------
    device : fastnn.device, str or int, optional

    Returns
    -------
    Stream
        The device's own one, or that of the ``with stream:`` around the call.
    """
    return _C._cuda_current_stream(_need(device, "cuda.current_stream"))


def stream(stream: Stream | None):
    """``with fastnn.cuda.stream(s):`` is ``with s:``; None leaves the stream as it is.

    Parameters
    ----------
    stream : Stream or None
    """
    if stream is not None and not isinstance(stream, Stream):
        raise TypeError(f"cuda.stream: expected a Stream or None, got {stream!r}")
    return contextlib.nullcontext() if stream is None else stream


def get_device_properties(device=None) -> dict:
    """What a device is.

    Parameters
    ----------
    device : fastnn.device, str or int, optional

    Returns
    -------
    dict
        name, total_memory (bytes), major and minor (its compute capability), multi_processor_count.
    """
    return _C._cuda_properties(_need(device, "cuda.get_device_properties"))


def get_device_name(device=None) -> str:
    """The name of a device, for example ``'NVIDIA H200'``."""
    return get_device_properties(device)["name"]


def get_device_capability(device=None) -> tuple[int, int]:
    """The compute capability of a device, for example ``(9, 0)``."""
    properties = get_device_properties(device)
    return properties["major"], properties["minor"]


def memory_stats(device=None) -> dict[str, int]:
    """Memory of a device.

    Parameters
    ----------
    device : fastnn.device, str or int, optional

    Returns
    -------
    dict
        allocated, peak: bytes of tensors now and at most since `reset_peak_memory`; reserved: bytes that the pool holds
        for reuse as well; calls: allocations so far; free, total: bytes of the device as the driver sees them.
    """
    return _C._cuda_memory(_need(device, "cuda.memory_stats"))


def memory_allocated(device=None) -> int:
    """Bytes of the tensors on a device."""
    return memory_stats(device)["allocated"]


def max_memory_allocated(device=None) -> int:
    """The most that `memory_allocated` was since `reset_peak_memory`."""
    return memory_stats(device)["peak"]


def memory_reserved(device=None) -> int:
    """Bytes of the tensors on a device and of what the pool keeps for reuse."""
    return memory_stats(device)["reserved"]


def reset_peak_memory(device=None) -> None:
    """Start the peak of `memory_stats` anew."""
    _C._cuda_reset_peak(_need(device, "cuda.reset_peak_memory"))


def empty_cache(device=None) -> None:
    """Give the memory that the pools keep for reuse, on the device and pinned on the host, back to the driver."""
    _C._cuda_empty_cache(_need(device, "cuda.empty_cache"))


def set_blocking(on: bool) -> None:
    """Whether every kernel is waited for, so that an error of one is reported where it was started.

    Work on a device runs behind the program: an error inside a kernel shows at some later call that waits, or at
    `synchronize`. With ``set_blocking(True)`` it shows at the operation that made it, and captured steps check indices
    and labels as the first run did; everything is slower then.

    Parameters
    ----------
    on : bool
    """
    if not isinstance(on, bool):
        raise TypeError(f"cuda.set_blocking: expected a bool, got {on!r}")
    _need()
    _C._cuda_set_blocking(on)


def __getattr__(name: str):
    hint = f"; PyTorch's is {_ELSEWHERE[name]} here" if name in _ELSEWHERE else ""
    raise AttributeError(f"module 'fastnn.cuda' has no attribute '{name}'{hint}")
