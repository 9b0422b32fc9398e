"""Saving and loading: safetensors (our own reader and writer) and npz, without pickle and without mmap.

The safetensors format: a little-endian u64 with the length of a JSON header, the header, then the data.
The header maps each name to ``{"dtype", "shape", "data_offsets": [begin, end]}``, offsets counted from the end of the
header, and may hold ``__metadata__``, a map of strings to strings. Everything a file says is checked before a byte of
data is allocated, so a damaged or hostile file ends in a ValueError that names it.

Writing never touches the old file: a temporary file in the same directory is written and flushed to the disk, then
renamed over the target, then the directory is flushed. Whoever opens the path sees the whole old or the whole new file.
"""

from __future__ import annotations

import glob
import json
import os
import struct
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from ._arrays import is_tensor, to_numpy, to_tensor

__all__ = [
    "save",
    "load",
    "save_safetensors",
    "load_safetensors",
    "read_metadata",
    "save_npz",
    "load_npz",
    "atomic_write",
]

MAX_HEADER = 100_000_000  # bytes; the limit of the reference implementation
MAX_DIMS = 64  # NumPy's own limit
_TREE = "fastnn.tree"  # metadata key of the description of a nested state

_DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip
_NAMES = {np.dtype(code).newbyteorder("<"): name for name, code in _DTYPES.items() if name != "BF16"}


# --- atomic writing ------------------------------------------------------------------------------------------------


@contextmanager
def atomic_write(path):
    """A binary file that replaces `path` when the block ends well, and is removed when it does not.

    Parameters
    ----------
    path : str or Path
        The file to write. A symbolic link is followed, and the permissions of an existing file are kept.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"save: {target} is a directory")
    _remove_stale(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{time.monotonic_ns():x}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except FileNotFoundError:
        raise FileNotFoundError(f"save: the folder {target.parent} does not exist") from None
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            os.chmod(temporary, os.stat(target).st_mode & 0o777)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(target.parent)


def _sync_directory(folder: Path) -> None:
    """The rename itself reaches the disk only with its directory (not possible on Windows, where it is not needed)."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _remove_stale(target: Path) -> None:
    """Remove what a killed process left of an earlier write to `target`: its pid is gone and a minute has passed."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with suppress(OSError, ValueError):
            pid = int(left.name[len(target.name) + 2 :].split("-")[0])
            if time.time() - left.stat().st_mtime > 60 and not _alive(pid):
                left.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


# --- safetensors ---------------------------------------------------------------------------------------------------


def save_safetensors(tensors: Mapping, path, metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors or arrays to a safetensors file, atomically.

    Parameters
    ----------
    tensors : mapping of str to Tensor or ndarray
        Any shape and strides; dtypes bool, (u)int8 to (u)int64, float16, float32, float64.
    path : str or Path
    metadata : mapping of str to str, optional

    Raises
    ------
    TypeError
        For a dtype the format does not have, or metadata that are not strings.
    """
    header: dict = {}
    if metadata:
        for key, value in metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError(f"save: metadata maps strings to strings, got {key!r}: {type(value).__name__}")
        header["__metadata__"] = dict(metadata)
    arrays = []
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"save: tensor names are strings, got {name!r}")
        if name == "__metadata__":
            raise ValueError("save: the name __metadata__ is reserved by the format")
        array = to_numpy(value)
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _NAMES:
            raise TypeError(f"save: safetensors has no dtype for {name!r} ({array.dtype})")
        arrays.append((name, np.require(array.astype(dtype, copy=False), requirements="C")))
    # Wide items first, so that every tensor starts at a multiple of its item size.
    arrays.sort(key=lambda item: (-item[1].itemsize, item[0]))
    offset = 0
    for name, array in arrays:
        header[name] = {"dtype": _NAMES[array.dtype.newbyteorder("<")], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}  # fmt: skip
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"save: the header takes {len(text)} bytes, the format allows {MAX_HEADER}")
    with atomic_write(path) as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for _, array in arrays:
            file.write(array.reshape(-1).view(np.uint8).data if array.size else b"")


def load_safetensors(path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file as ``(arrays, metadata)``; each array owns its memory. BF16 is widened to float32.

    Raises
    ------
    ValueError
        When the file is damaged: what is wrong and where.
    """
    with open(path, "rb") as file:
        entries, metadata, start = _read_header(file, path)
        arrays = {}
        for name, (dtype, shape, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
            array = np.empty(shape, _DTYPES[dtype])
            if end > begin:
                file.seek(start + begin)
                if file.readinto(array.reshape(-1).view(np.uint8).data) != end - begin:
                    raise ValueError(f"{path}: the file shrank while {name!r} was read")
            if dtype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
                raise ValueError(f"{path}: {name!r} is BOOL but holds bytes other than 0 and 1")
            if dtype == "BF16":
                array = (array.astype(np.uint32) << 16).view(np.float32)
            arrays[name] = array
        # In the order of the header, which is the order they were given in.
        return {name: arrays[name] for name in entries}, metadata


def read_metadata(path) -> dict[str, str]:
    """The metadata of a safetensors file, without reading its tensors."""
    with open(path, "rb") as file:
        return _read_header(file, path)[1]


def _read_header(file, path):
    """Check everything the header says against the size of the file: ``(entries, metadata, start of the data)``."""
    size = os.fstat(file.fileno()).st_size
    if size < 8:
        raise ValueError(f"{path}: not a safetensors file ({size} bytes, the header length alone takes 8)")
    (length,) = struct.unpack("<Q", file.read(8))
    if length > MAX_HEADER:
        raise ValueError(f"{path}: not a safetensors file (header length {length}, at most {MAX_HEADER})")
    if length > size - 8:
        raise ValueError(f"{path}: truncated (header of {length} bytes, the file has {size - 8} after the length)")
    text = file.read(length)

    def unique(pairs):
        result = dict(pairs)
        if len(result) != len(pairs):
            seen = set()
            twice = next(k for k, _ in pairs if k in seen or seen.add(k))
            raise ValueError(f"duplicate key {twice!r}")
        return result

    try:
        if not text.startswith(b"{"):
            raise ValueError("it does not start with '{'")
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: bad safetensors header ({error})") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError(f"{path}: bad safetensors header (__metadata__ must map strings to strings)")
    entries = {name: _check_entry(path, name, entry) for name, entry in header.items()}
    # Laid end to end the tensors must fill the data exactly: no overlap, no hole, nothing outside.
    position, data = 0, size - 8 - length
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != position:
            raise ValueError(
                f"{path}: {name!r} starts at {begin}, expected {position} (tensors overlap or leave a hole)"
            )
        position = end
    if position != data:
        what = "truncated" if position > data else "has bytes no tensor owns"
        raise ValueError(f"{path}: {what} (tensors take {position} bytes, the file holds {data})")
    return entries, metadata, 8 + length


def _check_entry(path, name, entry):
    """One header entry as ``(dtype, shape, begin, end)``."""

    def natural(value):
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63

    def fail(why):
        raise ValueError(f"{path}: bad safetensors entry {name!r} ({why})")

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        fail("expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        fail(f"unknown dtype {dtype!r}; known: {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMS or not all(natural(d) for d in shape):
        fail(f"shape must be a list of at most {MAX_DIMS} sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(natural(o) for o in offsets):
        fail("data_offsets must be two positions")
    count = 1
    for d in shape:
        count *= d
    wide = 1  # NumPy multiplies the sizes other than zero too, so [0, 2**40, 2**40] cannot be made
    for d in shape:
        wide *= max(d, 1)
    item = np.dtype(_DTYPES[dtype]).itemsize
    if wide * item >= 1 << 63:
        fail(f"shape {shape} overflows")
    begin, end = offsets
    if end < begin or end - begin != count * item:
        fail(f"shape {shape} of {dtype} takes {count * item} bytes, data_offsets give {end - begin}")
    return dtype, shape, begin, end


# --- npz -----------------------------------------------------------------------------------------------------------


def save_npz(tensors: Mapping, path, compressed: bool = False) -> None:
    """Write named tensors or arrays as a NumPy ``.npz`` archive, atomically."""
    arrays = {name: to_numpy(value) for name, value in tensors.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"save: {name!r} holds Python objects, which only pickle could store")
    with atomic_write(path) as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


def load_npz(path) -> dict[str, np.ndarray]:
    """Read a NumPy ``.npz`` archive without pickle. ValueError for a damaged file or an array of Python objects."""
    import struct
    import zipfile
    import zlib

    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        # OSError: a damaged directory sends zipfile to offsets that do not exist.
        except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError, KeyError,
                AttributeError, TypeError, NotImplementedError, SyntaxError, ValueError) as error:  # fmt: skip
            raise ValueError(f"{path}: cannot be read as npz ({error})") from None


# --- the two functions most people need ----------------------------------------------------------------------------


def save(state, path, metadata: Mapping[str, str] | None = None) -> None:
    """Save a state dict (or any nested dict, list or tuple of tensors, numbers and strings) to one file, atomically.

    A flat mapping of names to tensors becomes a plain safetensors file that other libraries read; nested state adds a
    JSON description to the metadata. A path that ends in ``.npz`` writes NumPy's format (flat mappings only).

    Parameters
    ----------
    state : mapping or nested state
        Tensors on any device; they are written as from the CPU.
    path : str or Path
    metadata : mapping of str to str, optional
        Stored in the file; see `read_metadata`. safetensors only.

    Examples
    --------
    >>> fastnn.save(model.state_dict(), "model.safetensors")
    >>> model.load_state_dict(fastnn.load("model.safetensors"))
    """
    from ._tree import flatten

    flat = isinstance(state, Mapping) and all(
        isinstance(k, str) and (is_tensor(v) or isinstance(v, np.ndarray)) for k, v in state.items()
    )
    if str(path).endswith(".npz"):
        if not flat:
            raise TypeError(
                "save: an npz file holds a flat mapping of names to tensors; use .safetensors for nested state"
            )
        if metadata:
            raise TypeError("save: an npz file has no metadata; use .safetensors")
        return save_npz(state, path)
    if flat:
        return save_safetensors(state, path, metadata)
    if metadata and _TREE in metadata:
        raise ValueError(f"save: the metadata key {_TREE!r} is used for the description of the state")
    arrays, text = flatten(state)
    return save_safetensors(arrays, path, {**(metadata or {}), _TREE: text})


def load(path, device="cpu", **unknown):
    """Load what `save` wrote, or any ``.safetensors`` or ``.npz`` file as a dict of tensors.

    Dtypes without a tensor counterpart are widened without loss (float16 and bfloat16 to float32, small integers to
    int32, uint32 to int64).

    Parameters
    ----------
    path : str or Path
    device : device or str, optional
        Where the tensors shall lie, wherever they were when they were saved; default: the CPU.

    Raises
    ------
    ValueError
        For a damaged file. No code from the file is run.
    """
    from ._tree import unflatten

    if unknown:
        hint = " (that is device= here)" if "map_location" in unknown else ""
        raise TypeError(f"load: unknown argument '{next(iter(unknown))}'{hint}; expected a path and a device")
    if str(path).endswith(".npz"):
        arrays, metadata = load_npz(path), {}
    else:
        arrays, metadata = load_safetensors(path)
    if _TREE in metadata:
        return unflatten(arrays, metadata[_TREE], device)
    return {name: to_tensor(array, device) for name, array in arrays.items()}
