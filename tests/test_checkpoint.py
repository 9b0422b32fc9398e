"""Files: what goes in comes out, other libraries read it, damaged ones are refused, a write is whole or not at all."""

import json
import os
import random
import struct
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import io
from fastnn.train.checkpoint import load_checkpoint, load_weights, random_state, save_checkpoint, set_random_state

RNG = np.random.RandomState(0)
ARRAYS = {
    "f32": RNG.randn(3, 4).astype(np.float32), "f64": RNG.randn(2), "f16": RNG.randn(3).astype(np.float16),
    "i64": np.array([1 << 62, -1]), "i32": np.arange(3, dtype=np.int32), "i16": np.arange(3, dtype=np.int16),
    "i8": np.arange(-3, 0, dtype=np.int8), "u8": np.arange(5, dtype=np.uint8), "u16": np.arange(3, dtype=np.uint16),
    "u32": np.arange(3, dtype=np.uint32), "u64": np.array([1 << 63], np.uint64), "bool": np.array([[True, False]]),
    "scalar": np.array(2.5, np.float32), "none": np.zeros((0, 3), np.float32), "nan": np.array([np.nan, np.inf, -0.0]),
    "strided": RNG.randn(6, 4).T[::-1, ::2], "big-endian": np.arange(3, dtype=">f4"), "名 前.weight": np.ones(1),
}  # fmt: skip


def same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_round_trip(tmp_path):
    path = tmp_path / "a.safetensors"
    io.save_safetensors(ARRAYS, path, {"note": "grüße", "empty": ""})
    arrays, metadata = io.load_safetensors(path)
    assert metadata == io.read_metadata(path) == {"note": "grüße", "empty": ""}
    assert set(arrays) == set(ARRAYS)
    for name, a in ARRAYS.items():
        assert same(arrays[name], a), name
        assert arrays[name].dtype == a.dtype.newbyteorder("=") and arrays[name].flags.owndata
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    assert length % 8 == 0
    io.save_safetensors({}, path)
    assert io.load_safetensors(path) == ({}, {})


def test_the_reference_library_reads_and_is_read(tmp_path):
    st = pytest.importorskip("safetensors.numpy")
    native = {k: np.ascontiguousarray(v).reshape(v.shape) for k, v in ARRAYS.items() if k != "big-endian"}
    io.save_safetensors(native, tmp_path / "mine", {"a": "b"})
    theirs = st.load_file(tmp_path / "mine")
    assert set(theirs) == set(native) and all(same(theirs[k], native[k]) for k in native)
    st.save_file(native, tmp_path / "theirs", {"c": "d"})
    arrays, metadata = io.load_safetensors(tmp_path / "theirs")
    assert metadata == {"c": "d"} and all(same(arrays[k], native[k]) for k in native)


def test_bfloat16(tmp_path):
    path = tmp_path / "bf16"
    header = json.dumps({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<HH", 0x3FC0, 0xC000))
    assert io.load_safetensors(path)[0]["x"].tolist() == [1.5, -2.0]


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def packed(header, data=bytes(8)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


DAMAGED = {
    "empty file": b"", "seven bytes": bytes(7), "length only": struct.pack("<Q", 2),
    "huge header": struct.pack("<Q", 1 << 63) + b"{}", "header past the end": struct.pack("<Q", 100) + b"{}",
    "100 MB": struct.pack("<Q", 100_000_001) + b"{}", "not json": packed(b"{nonsense}"),
    "not utf-8": packed(b'{"\xff"}'),
    "a list": packed(b"[]"), "space first": packed(b" {}", b""), "deep": packed(b'{"a":' + b"[" * 100_000),
    "no entry": packed({"x": 3}), "no dtype": packed({"x": {"shape": [2], "data_offsets": [0, 8]}}),
    "extra key": packed({"x": entry(more=1)}), "dtype": packed({"x": entry("F33")}),
    "dtype type": packed({"x": entry([])}),
    "negative size": packed({"x": entry(shape=[-2])}), "float size": packed({"x": entry(shape=[2.0])}),
    "bool size": packed({"x": entry(shape=[True, 2])}), "huge size": packed({"x": entry(shape=[1 << 63])}),
    "overflow": packed({"x": entry(shape=[1 << 31, 1 << 31, 1 << 2])}),
    "many dims": packed({"x": entry(shape=[1] * 65)}),
    "overflow by zero": packed({"x": entry(shape=[0, 1 << 40, 1 << 40], offsets=[0, 0])}, b""),
    "long shape": packed({"x": entry(shape=[1 << 62] * 100_000)}),
    "size and offsets": packed({"x": entry(shape=[3])}), "backwards": packed({"x": entry(offsets=[8, 0])}),
    "three offsets": packed({"x": entry(offsets=[0, 4, 8])}), "negative offset": packed({"x": entry(offsets=[-8, 0])}),
    "outside": packed({"x": entry(offsets=[8, 16])}), "truncated": packed({"x": entry()}, bytes(7)),
    "trailing": packed({"x": entry()}, bytes(9)), "nothing owns the data": packed({}, b"x"),
    "overlap": packed({"x": entry(), "y": entry(offsets=[4, 12])}, bytes(12)),
    "hole": packed({"x": entry(), "y": entry(offsets=[12, 20])}, bytes(20)),
    "same place": packed({"x": entry(), "y": entry()}),
    "twice": packed(b'{"x":' + json.dumps(entry()).encode() + b',"x":' + json.dumps(entry()).encode() + b"}"),
    "metadata list": packed({"__metadata__": [], "x": entry()}),
    "metadata number": packed({"__metadata__": {"a": 1}, "x": entry()}),
    "bool bytes": packed({"x": entry("BOOL", [8])}, b"\0\1\2\0\0\0\0\0"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_safetensors(tmp_path, name):
    path = tmp_path / "damaged"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(ValueError, match="damaged"):
        io.load_safetensors(path)


def test_random_damage_never_crashes(tmp_path):
    path = tmp_path / "x.safetensors"
    io.save({"a": {"b": [RNG.randn(4), 1.5]}, "c": (RNG.randn(3).astype(np.float32), None)}, path)
    good = path.read_bytes()
    rng = random.Random(0)
    for _ in range(400):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            where = rng.randrange(len(data))
            kind = rng.randrange(3)
            if kind == 0:
                data[where] = rng.randrange(256)
            elif kind == 1:
                del data[where : where + rng.randrange(1, 20)]
            else:
                data[where:where] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            if not data:
                break
        path.write_bytes(data)
        try:
            io.load(path)
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize(
    "save, error",
    [
        (lambda p: io.save_safetensors({"x": np.array(["a"])}, p), TypeError),
        (lambda p: io.save_safetensors({"x": np.array([None])}, p), TypeError),
        (lambda p: io.save_safetensors({"x": np.zeros(2, complex)}, p), TypeError),
        (lambda p: io.save_safetensors({1: np.zeros(2)}, p), TypeError),
        (lambda p: io.save_safetensors({"__metadata__": np.zeros(2)}, p), ValueError),
        (lambda p: io.save_safetensors({}, p, {"a": 1}), TypeError),
        (lambda p: io.save({"x": object()}, p), TypeError),
        (lambda p: io.save({"x": [1]}, str(p) + ".npz"), TypeError),
        (lambda p: io.save_npz({"x": np.array([None])}, p), TypeError),
    ],
)
def test_save_errors(tmp_path, save, error):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(error, match="save"):
        save(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


def test_nested_state(tmp_path):
    tree = {
        "model": {"0.weight": fastnn.from_numpy(RNG.randn(2, 3).astype(np.float32)),
        "n": fastnn.from_numpy(np.array(7))},
        "state": {0: {"m": np.arange(3.0), "step": 3}, (1, "a"): None}, "lr": 0.1, "nan": float("nan"),
        "inf": [float("inf"), -0.0, 1e-320], "big": 1 << 70, "flag": True, "np": [np.float32(0.1), np.int64(3),
        np.bool_(1)],
        "tuple": (1, [2, (3,)]), "text": "x\ny", "$t": "a mark as a key", "nothing": {}, "list": [],
    }  # fmt: skip
    io.save(tree, tmp_path / "t", {"who": "me"})
    got = io.load(tmp_path / "t")
    assert isinstance(got["model"]["0.weight"], fastnn.Tensor) and isinstance(got["state"][0]["m"], np.ndarray)
    assert same(got["model"]["0.weight"].numpy(), tree["model"]["0.weight"].numpy()) and got["model"]["n"].item() == 7
    assert got["state"][0]["step"] == 3 and got["state"][(1, "a")] is None and got["lr"] == 0.1 and np.isnan(got["nan"])
    assert got["inf"] == tree["inf"] and str(got["inf"][1]) == "-0.0" and got["big"] == 1 << 70 and got["flag"] is True
    assert got["np"] == [float(np.float32(0.1)), 3, True] and got["tuple"] == tree["tuple"] and got["text"] == "x\ny"
    assert got["$t"] == "a mark as a key" and got["nothing"] == {} and got["list"] == []
    assert io.read_metadata(tmp_path / "t")["who"] == "me"


def test_two_paths_with_one_name(tmp_path):
    io.save({"a": {"b": np.ones(1)}, "a.b": np.zeros(1), "c": 1}, tmp_path / "t")
    got = io.load(tmp_path / "t")
    assert got["a"]["b"] == 1 and got["a.b"] == 0


def test_flat_save_is_plain_safetensors(tmp_path):
    assert fastnn.save is io.save and fastnn.load is io.load
    io.save({"w": fastnn.from_numpy(np.ones(2, np.float32))}, tmp_path / "w.safetensors")
    assert io.read_metadata(tmp_path / "w.safetensors") == {}
    assert io.load(tmp_path / "w.safetensors")["w"].numpy().tolist() == [1, 1]
    io.save_safetensors({"h": np.array([0.5], np.float16), "u": np.array([9], np.uint32)}, tmp_path / "w.safetensors")
    got = io.load(tmp_path / "w.safetensors")
    assert got["h"].dtype == fastnn.float32 and got["u"].dtype == fastnn.int64
    io.save_safetensors({"u": np.array([1 << 63], np.uint64)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="int64"):
        io.load(tmp_path / "w.safetensors")


def test_npz(tmp_path):
    path = tmp_path / "w.npz"
    io.save({"w": fastnn.from_numpy(np.ones((2, 3), np.float32)), "b": np.arange(3)}, path)
    got = io.load(path)
    assert tuple(got["w"].shape) == (2, 3) and got["b"].numpy().tolist() == [0, 1, 2]
    good = path.read_bytes()
    for damaged in (b"", b"PK", good[:-30], good[:100] + b"\xff" * 40 + good[140:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="npz"):
            io.load(path)
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        io.load(path)


def test_atomic_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with pytest.raises(RuntimeError), io.atomic_write(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["f"]
    link = tmp_path / "link"
    link.symlink_to(path)
    with io.atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink() and path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(FileNotFoundError, match="does not exist"), io.atomic_write(tmp_path / "no" / "f"):
        pass
    with pytest.raises(IsADirectoryError), io.atomic_write(tmp_path):
        pass


def test_what_killed_writers_left_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, own, fresh = (tmp_path / f".f[1].{pid}-0.tmp" for pid in (dead.pid, os.getpid(), f"{dead.pid}0"))
    for left in (old, own):
        left.write_bytes(b"x")
        os.utime(left, (0, 0))
    fresh.write_bytes(b"x")
    with io.atomic_write(tmp_path / "f[1]") as file:
        file.write(b"y")
    assert not old.exists() and own.exists() and fresh.exists()


def test_checkpoint_files(tmp_path):
    path = tmp_path / "c"
    weights = {"w": fastnn.from_numpy(np.ones(2, np.float32))}
    save_checkpoint({"model": weights, "callbacks": [{}], "random": random_state()}, path)
    assert load_checkpoint(path)["model"]["w"].numpy().tolist() == [1, 1]
    assert load_weights(path)["w"].numpy().tolist() == [1, 1]
    save_checkpoint({"model": weights, "callbacks": [{"best_weights": {"w": np.zeros(2, np.float32)}}]}, path)
    assert load_weights(path)["w"].numpy().tolist() == [0, 0]
    io.save(weights, path)
    assert load_weights(path)["w"].numpy().tolist() == [1, 1]
    with pytest.raises(ValueError, match="not a fastnn checkpoint"):
        load_checkpoint(path)
    io.save({"format": "fastnn-checkpoint", "version": 99}, path)
    with pytest.raises(ValueError, match="version 99"):
        load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none")


def test_random_states(tmp_path):
    fastnn.manual_seed((1 << 64) - 1)
    np.random.seed(3)
    random.seed(4)
    save_checkpoint({"random": random_state()}, tmp_path / "c")
    expected = fastnn.get_rng_state(), np.random.rand(3).tolist(), random.random()
    fastnn.manual_seed(0)
    set_random_state(load_checkpoint(tmp_path / "c")["random"])
    assert (fastnn.get_rng_state(), np.random.rand(3).tolist(), random.random()) == expected


def test_imports_stay_cheap():
    code = (
        "import sys, fastnn; before = set(sys.modules);"
        "assert not any(m.startswith(('fastnn.train', 'fastnn.data', 'fastnn.metrics', 'fastnn.io')) for m in before);"
        "import fastnn.train, fastnn.data, fastnn.datasets, fastnn.metrics, fastnn.io;"
        "heavy = {'sklearn', 'matplotlib', 'h5py', 'pooch', 'scipy', 'concurrent.futures'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
