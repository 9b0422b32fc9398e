"""Sorting and running sums beyond the sweep of their cases: ties, NaN, lengths around the limits, errors."""

import numpy as np
import pytest
from harness import ISAS, THREADS, isa, threads

import fastnn

pytestmark = pytest.mark.kernels

LENGTHS = (1, 2, 3, 47, 48, 49, 64, 511, 512, 513, 5000)


def stable(x, descending=False):
    """Indices of a stable sort along the last axis, NaN largest."""
    if x.dtype.kind == "f":
        nan, key = np.isnan(x), np.where(np.isnan(x), 0, x)
    else:
        nan, key = np.zeros(x.shape, bool), x.astype("i8")
    sign = -1 if descending else 1
    return np.lexsort((sign * key, sign * nan.astype(int)), axis=-1)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "i4", "u1", "bool"])
@pytest.mark.parametrize("descending", [False, True])
def test_ties_keep_their_order(dtype, descending):
    """Few different values, every length around a change of method: the lower index comes first."""
    rng = np.random.default_rng(0)
    for n in LENGTHS:
        x = rng.integers(0, 2 if dtype == "bool" else 6, (3, n)).astype(dtype)
        if dtype in ("f4", "f8", "i4", "i8"):
            x = x - 3 * np.ones((), dtype)
        if dtype in ("f4", "f8"):
            x[rng.random(x.shape) < 0.1] = np.nan
            x[rng.random(x.shape) < 0.1] = -0.0
        x = x.astype(dtype)
        want = stable(x, descending)
        values, indices = fastnn.sort(fastnn.from_numpy(x), 1, descending)
        assert np.array_equal(indices.numpy(), want), n
        assert np.array_equal(values.numpy(), np.take_along_axis(x, want, 1), equal_nan=dtype[0] == "f"), n
        assert np.array_equal(fastnn.argsort(fastnn.from_numpy(x), -1, descending).numpy(), want), n
        for k in {0, 1, n // 9, n // 2, n}:
            v, i = fastnn.topk(fastnn.from_numpy(x), k, 1, largest=descending)
            assert np.array_equal(i.numpy(), want[:, :k]), (n, k)
            assert np.array_equal(v.numpy(), values.numpy()[:, :k], equal_nan=dtype[0] == "f"), (n, k)


def test_extreme_keys():
    """Infinities, denormals and the ends of the integers are in their places."""
    tiny = np.finfo("f4").smallest_subnormal
    x = np.array([np.inf, 1, -tiny, np.nan, -np.inf, 0, tiny, -1, np.finfo("f4").max], "f4")
    assert fastnn.argsort(fastnn.from_numpy(x)).tolist() == [4, 7, 2, 5, 6, 1, 8, 0, 3]
    for dtype in ("i4", "i8"):
        info = np.iinfo(dtype)
        y = np.array([0, info.max, -1, info.min, 1], dtype)
        assert fastnn.argsort(fastnn.from_numpy(y)).tolist() == [3, 2, 0, 4, 1]
        assert fastnn.sort(fastnn.from_numpy(y), descending=True).values.tolist() == [info.max, 1, 0, -1, info.min]


@pytest.mark.parametrize("name", ISAS)
def test_axes_and_layouts(name):
    """Any axis of any strides, on every instruction set."""
    x = np.random.default_rng(1).permutation(6 * 70 * 5).reshape(6, 70, 5).astype("f4")
    with isa(name):
        for view in (x, x.transpose(2, 0, 1), x[::-1, ::2], np.broadcast_to(x[0], (3, 70, 5))):
            for dim in range(3):
                got = fastnn.sort(fastnn.from_numpy(view), dim)
                assert np.array_equal(got.values.numpy(), np.sort(view, dim))
                assert np.array_equal(np.take_along_axis(view, got.indices.numpy(), dim), np.sort(view, dim))
                np.testing.assert_allclose(
                    fastnn.cumsum(fastnn.from_numpy(view), dim).numpy(), np.cumsum(view, dim, dtype="f8"), rtol=1e-6
                )


def test_gradients_scatter():
    """Each gradient goes to the element its value came from."""
    x = fastnn.tensor([[3.0, 1.0, 2.0], [5.0, 5.0, 4.0]], requires_grad=True)
    weight = fastnn.tensor([[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]])
    (x.sort(1).values * weight).sum().backward()
    assert x.grad.tolist() == [[30, 10, 20], [2, 3, 1]]
    x.grad = None
    (x.topk(2, 0).values * fastnn.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).sum().backward()
    assert x.grad.tolist() == [[4, 5, 6], [1, 2, 3]]
    x.grad = None
    x.median().backward()
    assert x.grad.tolist() == [[1, 0, 0], [0, 0, 0]]
    x.grad = None
    x.kthvalue(2, 1).values.sum().backward()
    assert x.grad.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_bits_on_any_number_of_threads():
    """The same bits on 1, 2, 3 and 8 threads."""
    x = np.random.default_rng(2).standard_normal((70, 3001)).astype("f4")
    line = np.random.default_rng(3).standard_normal(300_001).astype("f4")
    results = []
    for n in THREADS:
        with threads(n):
            t = fastnn.tensor(x, requires_grad=True)
            values, indices = fastnn.topk(t, 100)
            (values * values).sum().backward()
            parts = [values.detach(), indices, t.grad, fastnn.sort(fastnn.tensor(x), 0).indices]
            parts += [fastnn.cumsum(fastnn.tensor(line), 0), fastnn.cumprod(fastnn.tensor(x / 2), 0)]
            results.append([p.numpy().tobytes() for p in parts])
    assert all(r == results[0] for r in results)


def test_cumsum_accuracy():
    """A float32 line of 300,001 terms keeps the accuracy of its last addition."""
    x = (1 + 0.1 * np.random.default_rng(4).standard_normal(300_001)).astype("f4")
    want = np.cumsum(x, dtype="f8")
    np.testing.assert_allclose(fastnn.cumsum(fastnn.tensor(x), 0).numpy(), want, rtol=1.2e-7)


def test_errors():
    """Errors name the op and what is wrong."""
    x = fastnn.tensor([[1.0, 2.0, 3.0]])
    for k in (-1, 4):
        with pytest.raises(ValueError, match="topk"):
            fastnn.topk(x, k)
    for k in (0, 4):
        with pytest.raises(ValueError, match="kthvalue"):
            fastnn.kthvalue(x, k)
    for name in ("sort", "argsort", "cumsum", "cumprod"):
        with pytest.raises(IndexError, match=name):
            getattr(fastnn, name)(x, 2)
    with pytest.raises(ValueError, match="median"):
        fastnn.median(fastnn.tensor([]))
