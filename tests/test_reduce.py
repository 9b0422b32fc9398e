"""Reductions beyond the sweep of their cases: accuracy, NaN, empty inputs, ties, errors, bits."""

import numpy as np
import pytest
from harness import ISAS, THREADS, isa, threads

import fastnn

try:
    import torch
except ImportError:
    torch = None

pytestmark = pytest.mark.kernels
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")


def tensor(a):
    """A tensor on the memory of the array, strides and dtype kept."""
    return fastnn.from_numpy(np.asarray(a))


def layouts(a):
    """The same values dense, transposed in memory, backwards and with gaps."""
    yield a
    yield np.asfortranarray(a)
    yield np.ascontiguousarray(a[::-1])[::-1]
    if a.ndim:
        wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        wide[..., ::2] = a
        yield wide[..., ::2]


@pytest.mark.parametrize("name", ISAS)
def test_sum_accuracy(name):
    """Ten million numbers near one: within 1e-6 of the exact sum (plain float32 accumulation is off by 10 %)."""
    x = (1 + 0.1 * np.random.default_rng(0).standard_normal(10_000_000)).astype("f4")
    exact = x.astype("f8").sum()
    with isa(name):
        assert abs(float(tensor(x).sum()) - exact) <= 1e-6 * exact
        columns = x.reshape(-1, 2)
        wanted = columns.astype("f8").sum(0)
        np.testing.assert_allclose(tensor(columns).sum(0).numpy(), wanted, rtol=1e-6)
        assert abs(float(tensor(x).mean()) - exact / x.size) <= 1e-7


@pytest.mark.parametrize("dim", [0, 1, None])
def test_var_of_large_mean(dim):
    """Around 10,000 the squares have no digits left for a variance of 1: only deviations give it."""
    x = (10_000 + np.random.default_rng(1).standard_normal((3000, 500))).astype("f4")
    got = fastnn.var(tensor(x), dim).numpy()
    np.testing.assert_allclose(got, x.astype("f8").var(dim, ddof=1), rtol=2e-5)


SHAPES = [(7,), (5, 33), (2, 3, 17), (4, 1, 6, 5), (300, 20), (1, 4097), (65, 130), (2, 5000, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ISAS)
def test_every_set_of_axes(name, shape):
    """Every subset of axes of every layout, against float64 NumPy."""
    rng = np.random.default_rng(2)
    dense = rng.standard_normal(shape).astype("f4")
    with isa(name):
        for x in layouts(dense):
            t, wide = tensor(x), x.astype("f8")
            for bits in range(1, 2**x.ndim):
                axes = tuple(i for i in range(x.ndim) if bits >> i & 1)
                for keep in (False, True):
                    total = np.abs(wide).sum(axes, keepdims=keep)
                    error = np.abs(fastnn.sum(t, axes, keep).numpy() - wide.sum(axes, keepdims=keep))
                    assert (error <= 1e-6 * total).all()
                    assert np.array_equal(fastnn.amax(t, axes, keep).numpy(), x.max(axes, keepdims=keep))
                    assert np.array_equal(fastnn.amin(t, axes, keep).numpy(), x.min(axes, keepdims=keep))
                    np.testing.assert_allclose(
                        fastnn.var(t, axes, correction=0, keepdim=keep).numpy(),
                        wide.var(axes, keepdims=keep),
                        rtol=1e-5,
                        atol=1e-12,
                    )
                    np.testing.assert_allclose(
                        fastnn.norm(t, 2, axes, keep).numpy(), np.sqrt((wide**2).sum(axes, keepdims=keep)), rtol=1e-6
                    )
                    assert np.array_equal(fastnn.count_nonzero(t > 0, axes).numpy(), (x > 0).sum(axes))
            for axis in range(x.ndim):
                assert np.array_equal(fastnn.argmax(t, axis).numpy(), x.argmax(axis))
                assert np.array_equal(fastnn.argmin(t, axis, True).numpy(), x.argmin(axis, keepdims=True))
            assert int(fastnn.argmax(t)) == x.argmax()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("axis", [0, 1])
def test_nan_and_infinities(dtype, axis):
    """NaN wins every comparison and poisons every sum; infinities are numbers."""
    nan, inf = np.nan, np.inf
    lines = np.array([[1, nan, 3, nan], [inf, 1, 2, 3], [-inf, 1, 2, 3], [inf, -inf, 1, 2], [-inf] * 4], dtype)
    x = tensor(lines if axis == 1 else np.ascontiguousarray(lines.T))
    with np.errstate(invalid="ignore"):
        assert np.array_equal(fastnn.sum(x, axis).numpy(), lines.sum(1), equal_nan=True)
        assert np.array_equal(fastnn.amax(x, axis).numpy(), lines.max(1), equal_nan=True)
        assert np.array_equal(fastnn.amin(x, axis).numpy(), lines.min(1), equal_nan=True)
    assert fastnn.argmax(x, axis).tolist() == [1, 0, 3, 0, 0]
    assert fastnn.argmin(x, axis).tolist() == [1, 1, 0, 1, 0]
    values, indices = fastnn.max(x, axis)
    assert np.isnan(values.numpy()[0]) and int(indices[0]) == 1
    assert fastnn.nansum(x, axis).tolist()[:3] == [4, inf, -inf]
    lse = fastnn.logsumexp(x, axis).numpy()
    assert np.isnan(lse[0]) and lse[1] == inf and lse[3] == inf and lse[4] == -inf
    np.testing.assert_allclose(lse[2], np.log(np.exp(1.0) + np.exp(2.0) + np.exp(3.0)), rtol=1e-6)
    norms = fastnn.norm(x, float("inf"), axis).numpy()
    assert np.isnan(norms[0]) and (norms[1:] == inf).all()


@pytest.mark.parametrize(
    "shape, dim", [((0,), None), ((0,), 0), ((3, 0), 1), ((0, 3), 0), ((2, 0, 5), 1), ((2, 0, 5), 2)]
)
def test_empty(shape, dim):
    """An empty sum is 0, an empty product 1, an empty mean NaN; an empty maximum is an error that names the op."""
    x = fastnn.from_numpy(np.zeros(shape, "f4"))
    kept = np.zeros(shape).sum(dim)
    for name, value in [("sum", 0), ("prod", 1), ("mean", np.nan), ("nansum", 0), ("norm", 0), ("logsumexp", -np.inf)]:
        got = getattr(fastnn, name)(x, dim=dim).numpy()
        assert np.array_equal(got, np.full(kept.shape, value, "f4"), equal_nan=True), name
    for f in (fastnn.var, fastnn.std):
        assert np.isnan(f(x, dim).numpy()).all()
    assert not fastnn.any(x, dim).numpy().any() and fastnn.all(x, dim).numpy().all()
    if kept.size == 0 and shape != (2, 0, 5):
        return
    for name in ("amax", "amin", "argmax", "argmin"):
        if np.zeros(shape).shape[dim if dim is not None else 0] == 0:
            with pytest.raises(ValueError, match=name):
                getattr(fastnn, name)(x, dim=dim)
    if dim is not None and shape[dim] == 0:
        for name in ("max", "min"):
            with pytest.raises(ValueError, match=name):
                getattr(fastnn, name)(x, dim)


def test_variance_without_freedom():
    """One element has variance NaN with correction 1, and 0 with correction 0."""
    x = tensor(np.array([3.0], "f4"))
    assert np.isnan(float(x.var())) and np.isnan(float(x.std()))
    assert float(x.var(correction=0)) == 0 and float(fastnn.var(x, unbiased=False)) == 0


def test_first_among_equals():
    """Indices of ties are the lowest, in lines of every length and direction."""
    for n in (1, 3, 16, 17, 64, 100, 4096, 5000, 70000):
        for at in {0, n // 2, n - 1}:
            x = np.zeros((2, n), "f4")
            x[:, at:] = 1
            assert fastnn.argmax(tensor(x), 1).tolist() == [at, at]
            assert fastnn.argmax(tensor(np.ascontiguousarray(x.T)), 0).tolist() == [at, at]
            assert int(fastnn.argmax(tensor(x[0]))) == at
            assert fastnn.argmin(tensor(-x), 1).tolist() == [at, at]
            assert fastnn.argmax(tensor(x.astype("i4")), 1).tolist() == [at, at]


def test_gradient_of_ties():
    """amax shares its gradient among equals, max(x, dim) gives it to the index."""
    x = fastnn.tensor([[1.0, 3.0, 3.0, 2.0], [2.0, 2.0, 2.0, 2.0]], requires_grad=True)
    x.amax(1).sum().backward()
    assert x.grad.tolist() == [[0, 0.5, 0.5, 0], [0.25] * 4]
    x.grad = None
    x.max(1).values.sum().backward()
    assert x.grad.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    x.grad = None
    x.max().backward()
    assert x.grad.tolist() == [[0, 0.5, 0.5, 0], [0] * 4]


def test_gradient_where_there_is_none():
    """Norms of zeros, deviations of constants and products with zeros have gradients without NaN."""
    zero = fastnn.tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    for p in (1, 2, 3, 0.5, float("inf"), 0):
        zero.grad = None
        fastnn.norm(zero, p, 1).sum().backward()
        assert zero.grad.tolist() == [[0, 0], [0, 0]], p
    same = fastnn.tensor([2.0, 2.0, 2.0], requires_grad=True)
    same.std().backward()
    assert same.grad.tolist() == [0, 0, 0]
    x = fastnn.tensor([[2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, 3.0]], requires_grad=True)
    x.prod(1).sum().backward()
    assert x.grad.tolist() == [[0, 6, 0], [0, 0, 0], [6, 3, 2]]


@pytest.mark.parametrize("dtype", ["bool", "u1", "i4", "i8"])
def test_integers(dtype):
    """Integers and bools sum and multiply in int64, along every axis; wide sums do not wrap at 32 bits."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2 if dtype == "bool" else 200, (40, 3000)).astype(dtype)
    for a in layouts(x):
        for dim in (0, 1, None):
            assert np.array_equal(tensor(a).sum(dim).numpy(), x.sum(dim, dtype="i8"))
            assert np.array_equal(tensor(a).amax(dim).numpy(), x.max(dim))
            assert np.array_equal(tensor(a).any(dim).numpy(), x.any(dim))
            assert np.array_equal(tensor(a).all(dim).numpy(), x.all(dim))
            assert np.array_equal(fastnn.count_nonzero(tensor(a), dim).numpy(), np.count_nonzero(x, dim))
    assert tensor(x).sum().dtype is fastnn.int64 and tensor(x).amax().dtype is tensor(x).dtype
    assert tensor(x).sum(dtype=fastnn.float64).dtype is fastnn.float64
    big = np.full(3, 2**31 - 1, "i4")
    assert int(tensor(big).sum()) == 3 * (2**31 - 1)


@pytest.mark.parametrize(
    "shape, dim", [((1_000_003,), None), ((70, 9001), 1), ((9001, 70), 0), ((3, 2500, 40), 1), ((40, 50, 60), (0, 2))]
)
def test_bits_on_any_number_of_threads(shape, dim):
    """The same bits on 1, 2, 3 and 8 threads, forward and backward."""
    x = np.random.default_rng(4).standard_normal(shape).astype("f4")
    functions = {
        "sum": fastnn.sum, "mean": fastnn.mean, "var": fastnn.var, "amax": fastnn.amax, "logsumexp": fastnn.logsumexp,
        "norm": lambda t, d: fastnn.norm(t, 2, d), "prod": fastnn.prod,
    }  # fmt: skip
    for name, f in functions.items():
        results = []
        for n in THREADS:
            with threads(n):
                t = fastnn.tensor(x, requires_grad=True)
                y = f(t, dim)
                y.sum().backward()
                results.append((y.detach().numpy().tobytes(), t.grad.numpy().tobytes()))
        assert all(r == results[0] for r in results), name


@pytest.mark.parametrize("n", [3, 10, 100, 5000, 70001])
def test_a_row_alone(n):
    """A row alone has the bits of the row in a batch."""
    x = np.random.default_rng(5).standard_normal((37, n)).astype("f4")
    for f in (fastnn.sum, fastnn.mean, fastnn.var, fastnn.logsumexp, fastnn.softmax, fastnn.log_softmax):
        whole = f(tensor(x), 1).numpy()
        for i in (0, 17, 36):
            assert np.array_equal(f(tensor(x[i : i + 1]), 1).numpy()[0], whole[i]), f.__name__


def test_sums_have_the_same_bits_on_every_isa():
    """The lanes of a sum are logical ones, so the instruction set does not show."""
    x = np.random.default_rng(6).standard_normal((50, 3001)).astype("f4")
    results = []
    for name in ISAS:
        with isa(name):
            results.append(
                (tensor(x).sum(1).numpy().tobytes(), tensor(x).sum(0).numpy().tobytes(), float(tensor(x).sum()))
            )
    assert all(r == results[0] for r in results)


def test_errors():
    """Errors name the op and what is wrong."""
    x = tensor(np.zeros((2, 3), "f4"))
    whole = tensor(np.zeros((2, 3), "i8"))
    for name in ("sum", "mean", "amax", "var", "logsumexp", "prod"):
        with pytest.raises(IndexError, match=name):
            getattr(fastnn, name)(x, 2)
        with pytest.raises(ValueError, match="twice"):
            getattr(fastnn, name)(x, (0, -2))
    for name in ("mean", "var", "std", "logsumexp", "norm"):
        with pytest.raises(TypeError, match=name):
            getattr(fastnn, name)(whole)
    with pytest.raises(ValueError, match="nan"):
        fastnn.norm(x, float("nan"))
    with pytest.raises(IndexError, match="argmax"):
        fastnn.argmax(x, -3)
    with pytest.raises(TypeError):
        fastnn.sum(x, "rows")


@needs_torch
def test_named_results():
    """max(x, dim) is a tuple with names, like PyTorch's."""
    r = tensor(np.arange(6, dtype="f4").reshape(2, 3)).max(1)
    assert r.values.tolist() == [2, 5] and r.indices.tolist() == [2, 2]
    values, indices = r
    assert values is r[0] and indices is r[1]


def test_broadcast_gradient():
    """The gradient of a broadcast is a sum over what was broadcast, empty and expanded axes included."""
    for shape, other in [
        ((3,), (5, 3)),
        ((5, 1), (5, 3)),
        ((1,), (4, 1)),
        ((), (2, 3)),
        ((1, 3), (0, 3)),
        ((2, 1, 4), (2, 7, 4)),
    ]:
        a = fastnn.tensor(np.zeros(shape, "f4"), requires_grad=True)
        (a + tensor(np.ones(other, "f4"))).sum().backward()
        times = np.broadcast_shapes(shape, other)
        count = np.prod(times) / max(1, np.prod(shape))
        assert np.array_equal(a.grad.numpy(), np.full(shape, count, "f4")), (shape, other)
