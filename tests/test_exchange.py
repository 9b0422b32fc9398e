"""Memory shared with others: NumPy arrays, the buffer protocol, DLPack."""

import ctypes
import gc
import io
import sys

import numpy as np
import pytest

import fastnn

DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
RNG = np.random.default_rng(0)


def values(dtype, shape=(3, 4)):
    """Random values of a dtype."""
    return (RNG.standard_normal(shape) * 5).astype(dtype)


# --- NumPy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_shares_both_ways(dtype):
    a = values(dtype)
    t = fastnn.from_numpy(a)
    assert t.shape == (3, 4) and t.dtype.name == dtype
    a[1, 2] = 1
    b = t.numpy()
    assert b[1, 2] == 1 and np.shares_memory(a, b)
    b[0, 0] = 0
    assert a[0, 0] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a.T,
        lambda a: a[::-1],
        lambda a: a[:, ::2],
        lambda a: a[1:, 1:],
        lambda a: a[::-1, ::-1],
        lambda a: a[:0],
        lambda a: a[:, 3],
        lambda a: a[2, 3],
        lambda a: np.broadcast_to(a[:1], (5, 8)),
        lambda a: a.reshape(2, 3, 8)[:, ::2, ::-3],
    ],
)
def test_numpy_layouts(make):
    """Strides of any sign pass through without a copy."""
    a = np.arange(48, dtype=np.float32).reshape(6, 8)
    w = np.asarray(make(a))
    t = fastnn.from_numpy(w)
    b = t.numpy()
    assert np.array_equal(b, w) and t.shape == w.shape
    assert w.size == 0 or np.shares_memory(a, b) or w.ndim == 0
    assert np.array_equal((t + 0).numpy(), w)
    assert np.array_equal(t.clone().numpy(), w) and t.clone().numpy().flags.c_contiguous


def test_read_only_arrays():
    a = np.ones(3, np.float32)
    a.flags.writeable = False
    t = fastnn.from_numpy(a)
    assert not t.numpy().flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        t.add_(1)
    assert (t + 1).tolist() == [2, 2, 2]


def test_broadcast_arrays_are_read_only():
    t = fastnn.from_numpy(np.broadcast_to(np.ones(1, np.float32), (3,)))
    assert not t.numpy().flags.writeable
    with pytest.raises(ValueError, match="share memory|read-only"):
        t.add_(1)


def test_memory_outlives_its_array():
    a = np.arange(1000, dtype=np.float32)
    t = fastnn.from_numpy(a)
    del a
    gc.collect()
    assert t.sum().item() == 499500
    b = t.numpy()
    del t
    gc.collect()
    assert b.sum() == 499500


def test_array_is_released():
    a = np.arange(10, dtype=np.float32)
    before = sys.getrefcount(a)
    t = fastnn.from_numpy(a)
    assert sys.getrefcount(a) > before
    u = t.reshape(2, 5)
    del t
    assert sys.getrefcount(a) > before
    del u
    assert sys.getrefcount(a) == before


@pytest.mark.parametrize("dtype", ["complex64", "float16", "int8", "U3", "datetime64[s]", "object", ">f4"])
def test_from_numpy_refuses(dtype):
    a = np.zeros(3, dtype)
    with pytest.raises(TypeError, match="from_numpy: expected bool"):
        fastnn.from_numpy(a)


def test_from_numpy_misaligned():
    raw = np.zeros(17, np.uint8)[1:].view(np.float32)
    with pytest.raises(ValueError, match="not aligned"):
        fastnn.from_numpy(raw)
    assert fastnn.tensor(raw).tolist() == [0.0] * 4
    record = np.zeros(3, [("a", "u1"), ("b", "<f4")])["b"]
    with pytest.raises(ValueError, match="aligned|multiples"):
        fastnn.from_numpy(record)


def test_array_protocol():
    t = fastnn.tensor([[1.0, 2.0]])
    assert np.asarray(t).dtype == np.float32 and np.shares_memory(np.asarray(t), t.numpy())
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(t), t.numpy())
    assert np.concatenate([t, t]).shape == (2, 2)
    assert float(np.asarray(t).mean()) == 1.5


def test_numpy_refuses_gradients():
    t = fastnn.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="use .detach"):
        t.numpy()
    with pytest.raises(RuntimeError, match="use .detach"):
        np.asarray(t)


def test_mixed_operators():
    """ndarray + tensor is the tensor's operation."""
    a, t = np.array([1.0, 2.0], np.float32), fastnn.tensor([3.0, 4.0])
    for y in (a + t, t + a, a * t - t / a):
        assert isinstance(y, fastnn.Tensor) and y.dtype is fastnn.float32
    assert (np.float32(2) * t).tolist() == [6, 8] and (t * np.int64(2)).tolist() == [6, 8]


# --- buffers and DLPack ---------------------------------------------------------------------------------------------


def test_buffer_protocol():
    t = fastnn.tensor([[1, 2], [3, 4]], dtype="int32")
    m = memoryview(t)
    assert (m.shape, m.strides, m.format, m.itemsize, m.readonly) == ((2, 2), (8, 4), "i", 4, False)
    m[1, 0] = 9
    assert t.tolist() == [[1, 2], [9, 4]]
    assert bytes(t) == np.asarray(t).tobytes()
    assert memoryview(t.T).strides == (4, 8)
    with pytest.raises(BufferError, match="contiguous"):
        io.BytesIO().write(fastnn.from_numpy(np.zeros((3, 3), np.float32)[:, ::2]))
    with pytest.raises(BufferError, match="requires grad"):
        memoryview(fastnn.tensor([1.0], requires_grad=True))


def test_buffer_keeps_the_memory():
    t = fastnn.tensor(np.arange(100, dtype=np.float32))
    m = memoryview(t)
    del t
    gc.collect()
    assert m[99] == 99.0


def test_read_only_buffer():
    a = np.ones(3, np.float32)
    a.flags.writeable = False
    m = memoryview(fastnn.from_numpy(a))
    assert m.readonly
    with pytest.raises((BufferError, TypeError)):
        (ctypes.c_float * 3).from_buffer(fastnn.from_numpy(a))


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_numpy(dtype):
    a = values(dtype)
    t = fastnn.from_dlpack(a)
    assert t.dtype.name == dtype and np.shares_memory(t.numpy(), a)
    b = np.from_dlpack(fastnn.from_numpy(a))
    assert np.array_equal(a, b) and np.shares_memory(a, b)


def test_dlpack_torch():
    torch = pytest.importorskip("torch")
    t = torch.arange(12.0).reshape(3, 4).T
    ours = fastnn.from_dlpack(t)
    assert ours.tolist() == t.tolist()
    ours.numpy()[0, 0] = 5
    assert t[0, 0] == 5
    back = torch.from_dlpack(fastnn.tensor([[1, 2], [3, 4]]).T)
    assert back.tolist() == [[1, 3], [2, 4]]
    assert torch.from_dlpack(fastnn.tensor(2.5)).item() == 2.5
    assert torch.from_dlpack(fastnn.tensor([True, False])).dtype == torch.bool


def test_dlpack_legacy_and_versioned():
    t = fastnn.tensor([1.0, 2.0])
    assert "dltensor_versioned" in repr(t.__dlpack__(max_version=(1, 0)))
    legacy = t.__dlpack__()
    assert '"dltensor"' in repr(legacy)
    assert t.__dlpack_device__() == (1, 0)


def test_dlpack_capsule_is_used_once():
    class Once:
        def __init__(self, capsule):
            self.capsule = capsule

        def __dlpack__(self, **kwargs):
            return self.capsule

        def __dlpack_device__(self):
            return (1, 0)

    once = Once(fastnn.tensor([1.0]).__dlpack__())
    fastnn.from_dlpack(once)
    with pytest.raises((ValueError, TypeError, RuntimeError), match="from_dlpack"):
        fastnn.from_dlpack(once)


def test_dlpack_lifetimes():
    before = fastnn.memory_stats()["allocated"]
    t = fastnn.tensor(np.ones(1000, np.float32))
    capsule = t.__dlpack__()
    del t
    assert fastnn.memory_stats()["allocated"] > before
    del capsule  # never consumed: its deleter runs
    assert fastnn.memory_stats()["allocated"] == before
    b = np.from_dlpack(fastnn.tensor(np.ones(1000, np.float32)))
    assert b.sum() == 1000
    del b
    gc.collect()
    assert fastnn.memory_stats()["allocated"] == before


def test_dlpack_refuses():
    with pytest.raises((RuntimeError, BufferError, ValueError), match="grad"):
        fastnn.tensor([1.0], requires_grad=True).__dlpack__()
    with pytest.raises(TypeError, match="from_dlpack"):
        fastnn.from_dlpack(3)
    with pytest.raises(BufferError, match="from_dlpack: no dtype"):
        fastnn.from_dlpack(np.zeros(2, np.complex64))
