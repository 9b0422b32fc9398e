"""Calls that must end in the right exception. Each runs in a forked process, so that a crash would be seen as a signal
and not take the suite with it."""

import re
import struct

import numpy as np
import pytest
from forked import in_child
from malformed_calls import CALLS, names

import fastnn

pytestmark = [pytest.mark.kernels, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")]


def outcome(code):
    """What running the code raised: (class names of the exception and its bases, message)."""
    try:
        exec(code, names())
    except Exception as e:
        return [c.__name__ for c in type(e).__mro__], str(e)
    return None


@pytest.mark.parametrize("code, error, words", CALLS, ids=[c[0] for c in CALLS])
def test_call(code, error, words):
    got = in_child(outcome, code, timeout=20)
    assert got is not None, f"{code}: no error"
    kinds, message = got
    wanted = {e.__name__ for e in (error if isinstance(error, tuple) else (error,))}
    assert wanted & set(kinds), f"{code}: {kinds[0]}: {message}; expected {sorted(wanted)}"
    assert re.search(words, message, re.S), f"{code}: message {message!r}; expected {words!r} in it"


def test_there_are_many():
    assert len({c[0] for c in CALLS}) >= 150


# --- corrupt files ----------------------------------------------------------------------------------------------------


def safetensors_bytes(header, data=b""):
    """A file with that header text."""
    text = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(text)) + text + data


GOOD = '{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
SAFETENSORS = {
    "empty": b"",
    "short": b"\0\0\0",
    "length beyond the file": struct.pack("<Q", 1 << 40) + b"{}",
    "length of 2**64 - 1": b"\xff" * 8 + b"{}",
    "not json": safetensors_bytes("hello"),
    "json list": safetensors_bytes("[]"),
    "not utf-8": safetensors_bytes(b'{"\xff\xfe": 1}'),
    "deeply nested": safetensors_bytes("[" * 100000),
    "truncated data": safetensors_bytes(GOOD, b"\0" * 7),
    "data left over": safetensors_bytes(GOOD, b"\0" * 9),
    "unknown dtype": safetensors_bytes(GOOD.replace("F32", "F99"), b"\0" * 8),
    "wrong size": safetensors_bytes(GOOD.replace("[2]", "[3]"), b"\0" * 8),
    "negative size": safetensors_bytes(GOOD.replace("[2]", "[-2]"), b"\0" * 8),
    "overflowing shape": safetensors_bytes(GOOD.replace("[2]", "[4294967296,4294967296,4294967296]"), b"\0" * 8),
    "fractional shape": safetensors_bytes(GOOD.replace("[2]", "[2.0]"), b"\0" * 8),
    "offsets backwards": safetensors_bytes(GOOD.replace("[0,8]", "[8,0]"), b"\0" * 8),
    "offsets negative": safetensors_bytes(GOOD.replace("[0,8]", "[-8,0]"), b"\0" * 8),
    "offsets beyond": safetensors_bytes(GOOD.replace("[0,8]", "[1152921504606846976,1152921504606846984]"), b"\0" * 8),
    "offsets missing": safetensors_bytes('{"w":{"dtype":"F32","shape":[2]}}', b"\0" * 8),
    "overlapping": safetensors_bytes(
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
        b"\0" * 12,
    ),
    "name twice": safetensors_bytes(GOOD[:-1] + "," + GOOD[1:], b"\0" * 8),
    "bool of 2": safetensors_bytes('{"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}', b"\1\2"),
    "metadata of numbers": safetensors_bytes('{"__metadata__":{"a":1}}'),
}

IDX = {
    "empty": b"",
    "short": b"\0\0\x08",
    "bad magic": b"\1\2\x08\1" + struct.pack(">I", 4) + b"abcd",
    "unknown type": b"\0\0\x77\1" + struct.pack(">I", 4) + b"abcd",
    "no sizes": b"\0\0\x08\3",
    "truncated": b"\0\0\x08\1" + struct.pack(">I", 5) + b"abcd",
    "left over": b"\0\0\x08\1" + struct.pack(">I", 3) + b"abcd",
    "overflowing": b"\0\0\x08\3" + struct.pack(">III", 2**32 - 1, 2**32 - 1, 2**32 - 1),
    "255 dimensions": b"\0\0\x08\xff" + b"\0" * 50,
    "bad gzip": b"\x1f\x8b\x08\0 this is no gzip stream",
}


def load(name, content, path):
    """Writes the file and loads it: what was raised."""
    path.write_bytes(content)
    try:
        if name == "safetensors":
            fastnn.io.load_safetensors(path)
        elif name == "npz":
            fastnn.io.load_npz(path)
        else:
            from fastnn.datasets.idx import read_idx

            read_idx(path)
    except Exception as e:
        return [c.__name__ for c in type(e).__mro__], str(e)
    return None


@pytest.mark.parametrize("name", SAFETENSORS)
def test_corrupt_safetensors(name, tmp_path):
    got = in_child(load, "safetensors", SAFETENSORS[name], tmp_path / "f.safetensors")
    assert got and "ValueError" in got[0] and "f.safetensors" in got[1], got


@pytest.mark.parametrize("name", IDX)
def test_corrupt_idx(name, tmp_path):
    got = in_child(load, "idx", IDX[name], tmp_path / "f-idx")
    assert got and "ValueError" in got[0] and "f-idx" in got[1], got


def test_corrupt_npz(tmp_path):
    """Every byte of a good file damaged in turn: an error of the right kind or a good result, never a crash."""
    path = tmp_path / "f.npz"
    np.savez(path, w=np.arange(3.0))
    good = path.read_bytes()
    variants = [good[:k] for k in range(0, len(good), 9)]
    variants += [good[:k] + bytes([good[k] ^ 0xFF]) + good[k + 1 :] for k in range(0, len(good), 5)]

    def child():
        return [load("npz", v, path) for v in variants]

    for got in in_child(child):
        assert got is None or "ValueError" in got[0], got


def test_flipped_bytes_of_safetensors(tmp_path):
    path = tmp_path / "f.safetensors"
    fastnn.io.save_safetensors({"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}, path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    variants = [good[:k] for k in range(0, len(good), 3)]
    variants += [good[:k] + bytes([good[k] ^ int(rng.integers(1, 256))]) + good[k + 1 :] for k in range(len(good))]

    def child():
        return [load("safetensors", v, path) for v in variants]

    for got in in_child(child):
        assert got is None or "ValueError" in got[0], got
