"""Softmax beyond the sweep of its cases: long lines, columns, extremes, bits."""

import numpy as np
import pytest
from harness import ISAS, THREADS, isa, threads

import fastnn

pytestmark = pytest.mark.kernels


def reference(x, dim):
    """Softmax in float64."""
    x = x.astype("f8")
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(dim, keepdims=True))
        return e / e.sum(dim, keepdims=True)


@pytest.mark.parametrize("name", ISAS)
@pytest.mark.parametrize(
    "shape, dim",
    [((3, n), 1) for n in (1, 2, 15, 16, 17, 63, 65, 4095, 4097, 65536, 65537, 200_003)]
    + [((n, w), 0) for n, w in ((1, 5), (3, 1), (100, 17), (129, 600), (3000, 33), (700, 1))]
    + [((2, 2049, 16), 1), ((5, 7, 3), 1)],
)
def test_against_float64(name, shape, dim):
    """Every path: one vector, cached lines, chunks of long ones, strips of columns."""
    x = (5 * np.random.default_rng(0).standard_normal(shape)).astype("f4")
    dy = np.random.default_rng(1).standard_normal(shape).astype("f4")
    want = reference(x, dim)
    with isa(name):
        t = fastnn.tensor(x, requires_grad=True)
        y = fastnn.softmax(t, dim)
        np.testing.assert_allclose(y.detach().numpy(), want, rtol=3e-6, atol=1e-10)
        np.testing.assert_allclose(y.detach().numpy().astype("f8").sum(dim), 1, rtol=3e-6)
        (y * fastnn.tensor(dy)).sum().backward()
        gradient = want * (dy - (want * dy).sum(dim, keepdims=True))
        # dy - dot cancels where the two are close: a float32 rounding of either stays.
        np.testing.assert_allclose(t.grad.numpy(), gradient, rtol=2e-5, atol=3e-6)
        t.grad = None
        z = fastnn.log_softmax(t, dim)
        np.testing.assert_allclose(z.detach().numpy(), np.log(want), rtol=3e-6, atol=3e-6)
        (z * fastnn.tensor(dy)).sum().backward()
        gradient = dy - want * dy.sum(dim, keepdims=True, dtype="f8")
        np.testing.assert_allclose(t.grad.numpy(), gradient, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("n", [4, 100, 5000, 70000])
@pytest.mark.parametrize("across", [False, True])
def test_extremes(n, across):
    """Huge numbers do not overflow, masked (-inf) places are 0, and a line of only -inf is NaN."""
    x = np.zeros((4, n), "f4")
    x[0] = 3e38
    x[1, :] = -np.inf
    x[1, n // 2] = -5
    x[2, :] = -np.inf
    x[3, 0] = np.nan
    t, dim = (fastnn.tensor(np.ascontiguousarray(x.T)), 0) if across else (fastnn.tensor(x), 1)
    y = fastnn.softmax(t, dim).numpy()
    y = y.T if across else y
    np.testing.assert_allclose(y[0], 1 / n, rtol=1e-6)
    assert y[1, n // 2] == 1 and y[1].sum() == 1
    assert np.isnan(y[2]).all() and np.isnan(y[3]).all()
    z = fastnn.log_softmax(t, dim).numpy()
    z = z.T if across else z
    assert z[1, n // 2] == 0 and z[1, 0] == -np.inf and np.isnan(z[2]).all()


@pytest.mark.parametrize("shape, dim", [((64, 1000), 1), ((3, 150_000), 1), ((2000, 90), 0), ((1000, 70, 3), 1)])
def test_bits_on_any_number_of_threads(shape, dim):
    """The same bits on 1, 2, 3 and 8 threads, forward and backward."""
    x = np.random.default_rng(2).standard_normal(shape).astype("f4")
    for f in (fastnn.softmax, fastnn.log_softmax):
        results = []
        for n in THREADS:
            with threads(n):
                t = fastnn.tensor(x, requires_grad=True)
                y = f(t, dim)
                (y * y).sum().backward()
                results.append((y.detach().numpy().tobytes(), t.grad.numpy().tobytes()))
        assert all(r == results[0] for r in results)


def test_layouts_and_dtypes():
    """Any strides; integers need a dtype."""
    x = np.random.default_rng(3).standard_normal((6, 8, 5)).astype("f4")
    for view in (x.transpose(2, 0, 1), x[::-1, ::2], np.broadcast_to(x[0], (3, 8, 5))):
        for dim in range(3):
            got = fastnn.softmax(fastnn.from_numpy(view), dim).numpy()
            np.testing.assert_allclose(got, reference(view, dim), rtol=2e-6)
    whole = fastnn.tensor([[1, 2, 3]])
    with pytest.raises(TypeError, match="softmax"):
        fastnn.softmax(whole, 1)
    assert fastnn.softmax(whole, 1, dtype=fastnn.float64).dtype is fastnn.float64
    with pytest.raises(IndexError, match="log_softmax"):
        fastnn.log_softmax(fastnn.tensor([1.0]), 1)


@pytest.mark.parametrize("columns", [1003, 20011])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_results_past_the_cache(name, columns):
    """Large results are not read back between the passes of a row: the same numbers as row by row."""
    x = np.random.default_rng(3).standard_normal((-(-(10 << 20) // columns), columns)).astype(np.float32)
    x[5, 7], x[6, :] = np.inf, -np.inf  # NaN in these rows alone
    y = getattr(fastnn, name)(fastnn.tensor(x), dim=1).numpy()
    for row in (0, 5, 6, 7, len(x) // 2, len(x) - 1):
        np.testing.assert_array_equal(y[row], getattr(fastnn, name)(fastnn.tensor(x[row]), dim=0).numpy())
    if name == "softmax":
        np.testing.assert_allclose(y[7:].sum(axis=1), 1, rtol=1e-5)
