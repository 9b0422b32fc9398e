"""The IDX format of MNIST: two zero bytes, a type, the number of dimensions, the sizes as big-endian u32, the data."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod

import numpy as np

__all__ = ["read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMS = 8


def read_idx(path, max_bytes: int = 1 << 31) -> np.ndarray:
    """Read an IDX file, plain or gzip-compressed (told apart by content, not by name).

    Parameters
    ----------
    path : str or Path
    max_bytes : int
        Upper limit of the unpacked data, so that a small damaged or hostile file cannot ask for all memory.

    Returns
    -------
    ndarray in native byte order

    Raises
    ------
    ValueError
        When the header is wrong, or the data are shorter or longer than the header says.
    """
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            with gzip.open(raw) if packed else raw as file:
                return _read(file, path, max_bytes)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip data ({error})") from None


def _read(file, path, max_bytes):
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES:
        raise ValueError(f"{path}: not an IDX file (it starts with {head.hex() or 'nothing'})")
    ndim = head[3]
    if not 1 <= ndim <= _MAX_DIMS:
        raise ValueError(f"{path}: IDX header with {ndim} dimensions, expected 1 to {_MAX_DIMS}")
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(
            f"{path}: truncated IDX header ({4 + len(sizes)} bytes, {ndim} dimensions take {4 + 4 * ndim})"
        )
    shape = struct.unpack(f">{ndim}I", sizes)
    dtype = np.dtype(_TYPES[head[2]])
    expected = prod(shape) * dtype.itemsize
    if expected > max_bytes:
        raise ValueError(f"{path}: IDX header asks for {expected} bytes (shape {shape}), the limit is {max_bytes}")
    data = file.read(expected + 1)  # one more, to see trailing bytes; grows with what is there, not with the claim
    if len(data) < expected:
        raise ValueError(f"{path}: truncated, shape {shape} takes {expected} bytes, found {len(data)}")
    if len(data) > expected:
        raise ValueError(f"{path}: the file is longer than its header says (shape {shape}, {expected} bytes)")
    array = np.frombuffer(data, dtype, count=prod(shape)).reshape(shape)
    return array.astype(dtype.newbyteorder("="))
