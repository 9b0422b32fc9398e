"""The tensor itself: making it, identity, copies, text, numbers, views, memory."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import fastnn

DTYPES = ["float32", "float64", "int64", "int32", "uint8", "bool"]
RNG = np.random.default_rng(0)


def values(dtype, shape=(3, 4)):
    """Random values of a dtype."""
    return (RNG.standard_normal(shape) * 5).astype(dtype)


# --- making ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data, dtype",
    [
        (1.5, "float32"),
        (1, "int64"),
        (True, "bool"),
        ([1, 2], "int64"),
        ([1, 2.5], "float32"),
        ([[True], [False]], "bool"),
        ([], "float32"),
        (np.float64(2), "float32"),
        (np.arange(3.0), "float32"),
        (np.arange(3, dtype=np.int16), "int32"),
        (np.arange(3, dtype=np.uint32), "int64"),
        (np.arange(3, dtype=np.float16), "float32"),
        (np.arange(3, dtype=">i4"), "int32"),
        (np.arange(3, dtype=">f8"), "float32"),
        (np.array(3, np.uint8), "uint8"),
        (memoryview(np.arange(4, dtype=np.int32)), "int32"),
        (range(4), "int64"),
    ],
)
def test_tensor_dtype(data, dtype):
    t = fastnn.tensor(data)
    assert t.dtype.name == dtype
    assert np.array_equal(t.numpy(), np.asarray(data).astype(dtype))


@pytest.mark.parametrize("to", DTYPES)
@pytest.mark.parametrize("have", DTYPES)
def test_dtype_argument(have, to):
    """Any dtype to any dtype as NumPy converts (values that fit)."""
    a = np.array([0, 1, 3, 100]).astype(have)
    for dtype in (getattr(fastnn, to), to, np.dtype(to)):
        t = fastnn.tensor(a, dtype=dtype)
        assert t.dtype.name == to and np.array_equal(t.numpy(), a.astype(to))
    assert np.array_equal(fastnn.from_numpy(a).to(getattr(fastnn, to)).numpy(), a.astype(to))


def test_python_types_as_dtypes():
    assert fastnn.tensor(1.5, dtype=int).dtype is fastnn.int64
    assert fastnn.tensor(1, dtype=float).dtype is fastnn.float32
    assert fastnn.tensor(2, dtype=bool).item() is True


def test_tensor_copies():
    a = np.zeros(3, np.float32)
    t = fastnn.tensor(a)
    a[:] = 1
    assert t.tolist() == [0, 0, 0]
    u = fastnn.tensor(t)
    t.numpy()[:] = 2
    assert u.tolist() == [0, 0, 0]


def test_as_tensor_shares_where_it_can():
    a = np.zeros(3, np.float32)
    t = fastnn.as_tensor(a)
    a[:] = 1
    assert t.tolist() == [1, 1, 1] and fastnn.as_tensor(t) is t
    b = np.zeros(3)
    u = fastnn.as_tensor(b)
    b[:] = 1
    assert u.dtype is fastnn.float32 and u.tolist() == [0, 0, 0]


def test_requires_grad_argument():
    assert fastnn.tensor([1.0], requires_grad=True).requires_grad
    with pytest.raises(TypeError, match="only floating"):
        fastnn.tensor([1], requires_grad=True)


# --- identity, copies, pickles, text --------------------------------------------------------------------------------


def test_identity():
    x = fastnn.tensor([1.0], requires_grad=True)
    y = x * 2
    y.backward()
    assert x.grad is x.grad
    assert {x: 1, y: 2}[x] == 1
    assert x.requires_grad_() is x


def test_weakref():
    x = fastnn.tensor([1.0])
    r = weakref.ref(x)
    assert r() is x
    del x
    assert r() is None


def test_subclass():
    class Parameter(fastnn.Tensor):
        pass

    t = fastnn.tensor([1.0, 2.0])
    p = Parameter(t)
    p.note = "kept"
    assert isinstance(p, fastnn.Tensor) and p.tolist() == [1, 2] and p.requires_grad is False
    t.numpy()[0] = 5
    assert p.tolist() == [5, 2]
    q = copy.deepcopy(p)
    assert type(q) is Parameter and q.note == "kept"
    q.numpy()[0] = 1
    assert p.tolist() == [5, 2]
    ref = weakref.ref(p)
    del p
    gc.collect()
    assert ref() is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(dtype, protocol):
    t = fastnn.from_numpy(values(dtype).T)
    u = pickle.loads(pickle.dumps(t, protocol))
    assert u.dtype is t.dtype and u.shape == t.shape and u.tolist() == t.tolist()


def test_pickle_keeps_requires_grad():
    x = fastnn.tensor([1.0], requires_grad=True)
    assert pickle.loads(pickle.dumps(x)).requires_grad
    assert pickle.loads(pickle.dumps(fastnn.float64)) is fastnn.float64


def test_copies():
    x = fastnn.tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward()
    deep = copy.deepcopy(x)
    assert deep.requires_grad and deep.grad.tolist() == [2, 2] and deep.grad is not x.grad
    with pytest.raises(RuntimeError, match="leaf"):
        copy.deepcopy(x * 2)
    shallow = copy.copy(x)
    assert shallow is not x and np.shares_memory(shallow.detach().numpy(), x.detach().numpy())
    both = copy.deepcopy([x, x])
    assert both[0] is both[1]


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: fastnn.tensor(1.5), "tensor(1.5)"),
        (lambda: fastnn.tensor([1, 2]), "tensor([1, 2])"),
        (lambda: fastnn.tensor([True]), "tensor([ True])"),
        (lambda: fastnn.tensor([1.0], dtype="float64"), "tensor([1.], dtype=fastnn.float64)"),
        (lambda: fastnn.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: fastnn.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<mul>)"),
        (lambda: fastnn.tensor([]), "tensor([], dtype=fastnn.float32)"),
    ],
)
def test_repr(make, text):
    assert repr(make()) == text


def test_repr_of_large_tensors_is_short():
    assert len(repr(fastnn.from_numpy(np.zeros((1000, 1000), np.float32)))) < 2000


def test_format():
    assert f"{fastnn.tensor(1.2345):.2f}" == "1.23"
    with pytest.raises(TypeError):
        format(fastnn.tensor([1.0, 2.0]), ".2f")


# --- numbers --------------------------------------------------------------------------------------------------------


def test_numbers():
    assert fastnn.tensor(2.5).item() == 2.5 and isinstance(fastnn.tensor(2).item(), int)
    assert float(fastnn.tensor([[3]])) == 3.0 and int(fastnn.tensor(2.9)) == 2 and bool(fastnn.tensor(0)) is False
    assert fastnn.tensor(True).item() is True
    assert [10, 20, 30][fastnn.tensor(1)] == 20
    assert len(fastnn.tensor([1, 2, 3])) == 3
    assert fastnn.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "use, error, words",
    [
        (lambda: bool(fastnn.tensor([1, 2])), ValueError, "ambiguous"),
        (lambda: bool(fastnn.tensor([])), ValueError, "ambiguous"),
        (lambda: fastnn.tensor([1, 2]).item(), ValueError, "one element"),
        (lambda: float(fastnn.tensor([1.0, 2.0])), ValueError, "one element"),
        (lambda: len(fastnn.tensor(1)), TypeError, "0-d"),
        (lambda: [1, 2][fastnn.tensor(1.0)], TypeError, "integer tensor"),
        (lambda: int(fastnn.tensor(float("nan"))), ValueError, "NaN|nan"),
        (lambda: int(fastnn.tensor(float("inf"))), OverflowError, "infinity"),
    ],
)
def test_number_errors(use, error, words):
    with pytest.raises(error, match=words):
        use()


def test_attributes():
    t = fastnn.from_numpy(np.zeros((2, 3), np.float64))
    assert (t.shape, t.ndim, t.itemsize, t.nbytes, t.device) == ((2, 3), 2, 8, 48, "cpu")
    assert t.T.shape == (3, 2) and t.mT.shape == (3, 2) and t._version == 0
    assert t.is_leaf and t.grad is None and t.grad_fn is None
    with pytest.raises(ValueError, match="mT"):
        _ = fastnn.tensor([1]).mT
    with pytest.raises(AttributeError):
        t.shape = (3, 2)


def test_grad_assignment_is_checked():
    x = fastnn.tensor([1.0, 2.0], requires_grad=True)
    x.grad = fastnn.tensor([1.0, 1.0])
    for bad, error in [(fastnn.tensor([1.0]), ValueError), (fastnn.tensor([1, 2]), ValueError), (3, TypeError)]:
        with pytest.raises(error, match="grad: expected"):
            x.grad = bad
    x.grad = None
    assert x.grad is None


def test_data_assignment():
    x = fastnn.tensor([1.0, 2.0], requires_grad=True)
    x.data = fastnn.tensor([3.0])
    assert x.tolist() == [3.0] and x.requires_grad
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0]
    with pytest.raises(TypeError, match="data"):
        x.data = fastnn.tensor([1])
    with pytest.raises(RuntimeError, match="leaf"):
        (x * 2).data = fastnn.tensor([1.0])


# --- views ----------------------------------------------------------------------------------------------------------


def test_views_share_memory():
    a = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    t = fastnn.from_numpy(a)
    for got, want in [
        (t.reshape(6, 4), a.reshape(6, 4)),
        (t.view(-1), a.reshape(-1)),
        (t.permute(2, 0, 1), a.transpose(2, 0, 1)),
        (t.transpose(0, -1), a.swapaxes(0, -1)),
        (t.unsqueeze(1), a[:, None]),
        (t.unsqueeze(-1), a[..., None]),
        (t.unsqueeze(0).squeeze(0), a),
        (t.select(1, -1), a[:, -1]),
        (t.diagonal(0, 1, 2), np.diagonal(a, 0, 1, 2)),
        (t.diagonal(1, 2, 1), np.diagonal(a, 1, 2, 1)),
        (t.diagonal(-9, 2, 1), np.diagonal(a, -9, 2, 1)),
        (t.select(0, 1).expand(5, 3, 4), np.broadcast_to(a[1], (5, 3, 4))),
        (t.T, a.T),
    ]:
        assert np.array_equal(got.numpy(), want) and got.shape == want.shape
        assert want.size == 0 or np.shares_memory(got.numpy(), a)


def test_reshape_copies_only_where_it_must():
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    t = fastnn.from_numpy(a)
    assert np.shares_memory(t.reshape(2, 6).numpy(), a)
    assert not np.shares_memory(t.T.reshape(12).numpy(), a)
    assert np.array_equal(t.T.reshape(12).numpy(), a.T.reshape(12))
    with pytest.raises(ValueError, match="without a copy"):
        t.T.view(12)


def test_versions_are_shared_by_views():
    t = fastnn.from_numpy(np.zeros((2, 3), np.float32))
    v = t.reshape(3, 2)
    v.add_(1)
    assert t._version == v._version == 1 and t.tolist() == [[1] * 3] * 2


def test_views_keep_memory():
    before = fastnn.memory_stats()["allocated"]
    t = fastnn.tensor(np.ones((100, 100), np.float32))
    v = t.select(0, 5)
    del t
    assert v.sum().item() == 100 and fastnn.memory_stats()["allocated"] - before >= 40000
    del v
    assert fastnn.memory_stats()["allocated"] == before


# --- memory, random state -------------------------------------------------------------------------------------------


def test_memory_stats():
    fastnn.empty_cache()
    before = fastnn.memory_stats()
    assert before["cached"] == 0
    t = fastnn.tensor(np.ones(1 << 20, np.float32))
    fastnn.reset_peak_memory()
    during = fastnn.memory_stats()
    assert during["allocated"] - before["allocated"] >= 4 << 20 and during["peak"] >= during["allocated"]
    del t
    after = fastnn.memory_stats()
    assert after["allocated"] == before["allocated"] and after["cached"] >= 4 << 20
    fastnn.empty_cache()
    assert fastnn.memory_stats()["cached"] == 0


def test_memory_is_reused():
    """A loop of equal steps asks the system for memory once."""
    x = fastnn.tensor(np.ones(1 << 18, np.float32))
    for _ in range(3):
        _ = x + x
    cached = fastnn.memory_stats()["cached"] + fastnn.memory_stats()["allocated"]
    for _ in range(20):
        _ = x + x
    assert fastnn.memory_stats()["cached"] + fastnn.memory_stats()["allocated"] == cached


def test_rng_state():
    fastnn.manual_seed(7)
    assert fastnn.get_rng_state()[0] == 7
    fastnn.manual_seed(-1)
    assert fastnn.get_rng_state()[0] == 2**64 - 1
    fastnn.manual_seed(2**64 + 3)
    assert fastnn.get_rng_state()[0] == 3
    fastnn.set_rng_state((5, 9))
    assert fastnn.get_rng_state() == (5, 9)
    with pytest.raises(TypeError):
        fastnn.manual_seed("seed")
    with pytest.raises(TypeError):
        fastnn.set_rng_state((1,))


def test_isa_names():
    assert fastnn.isa() in ("baseline", "avx2", "avx512", "neon")
    with pytest.raises(ValueError, match="set_isa"):
        fastnn.set_isa("mmx")
