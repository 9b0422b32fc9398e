"""GloVe: counts against a loop, training against a loop, threads, malformed calls."""

import numpy as np
import pytest
from harness import ISAS

import fastnn
from fastnn import _C
from fastnn.text import GloVe, cooccurrences

STARTS = [0, 0, 40, 41, 300, 300, 500]


def text(rng, n=500, v=40):
    return (rng.zipf(1.5, n) % v).astype(np.int64)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("by_distance", [True, False])
@pytest.mark.parametrize("window", [1, 5, 10_000])
def test_counts_against_a_loop(window, symmetric, by_distance):
    ids = text(np.random.default_rng(0))
    want = np.zeros((45, 45))
    for begin, end in zip(STARTS, STARTS[1:]):
        for p in range(begin, end):
            for q in range(max(begin, p - window), p):
                x = 1 / (p - q) if by_distance else 1
                want[ids[p], ids[q]] += x
                if symmetric:
                    want[ids[q], ids[p]] += x
    i, j, x = cooccurrences(ids, STARTS, 45, window, symmetric, by_distance)
    got = np.zeros((45, 45))
    got[i, j] = x
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert len(x) == (want > 0).sum()
    assert (np.diff(i * 45 + j) > 0).all()


@pytest.mark.kernels
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("d", [16, 48])
def test_training_against_a_loop(isa, d):
    """Residuals of 8 entries from the vectors as they are, then their steps in order; in float64."""
    rng = np.random.default_rng(0)
    v, n, batch, rate = 20, 300, 8, 0.05
    tables = [rng.normal(size=s) * 0.3 for s in ((v, d), (v, d), (2, v))]
    squares = [np.ones_like(t) for t in tables]
    i, j = rng.integers(0, v, (2, n)).astype(np.int32)
    weight, target = rng.random(n), rng.normal(size=n)
    arrays = [_C.from_numpy(a.astype(np.float32)) for a in (*tables, *squares)]
    ints = [_C.from_numpy(a.copy()) for a in (i, j)]
    floats = [_C.from_numpy(a.astype(np.float32)) for a in (weight, target)]
    fastnn.set_isa(isa)
    loss = _C._glove(*arrays, *ints, *floats, rate, batch)
    (theta, e, bias), (st, se, sb), want = tables, squares, 0.0
    for first in range(0, n, batch):
        part = range(first, min(n, first + batch))
        diff = [theta[i[k]] @ e[j[k]] + bias[0, i[k]] + bias[1, j[k]] - target[k] for k in part]
        for k, r in zip(part, diff):
            want += 0.5 * weight[k] * r * r
            g = weight[k] * r
            t, c = theta[i[k]].copy(), e[j[k]].copy()
            for p, s, at, step in ((theta, st, i[k], g * c), (e, se, j[k], g * t),
                                   (bias, sb, (0, i[k]), g), (bias, sb, (1, j[k]), g)):  # fmt: skip
                s[at] += step**2
                p[at] -= rate * step / np.sqrt(s[at])
    assert loss == pytest.approx(want, rel=1e-4)
    for got, right in zip(arrays, (theta, e, bias, st, se, sb)):
        np.testing.assert_allclose(got.numpy(), right, rtol=1e-4, atol=1e-5)


def test_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(0)
    sentences = [[f"w{i}" for i in text(rng, 300)] for _ in range(10)]
    found = set()
    for n in (1, 2, 3):
        fastnn.set_num_threads(n)
        model = GloVe(sentences, vector_size=20, min_count=1, epochs=3)
        found.add(model.wv.vectors.tobytes())
    assert len(found) == 1
    assert model.losses[-1] < model.losses[0]


def test_products_become_logarithms():
    """Enough columns fit the logarithms of the counts."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 1000, (12, 12)).astype(np.float64)
    i, j = (a.reshape(-1) for a in np.mgrid[:12, :12])
    model = GloVe(vector_size=24, epochs=400, x_max=1).fit_counts([f"w{k}" for k in range(12)], i, j, x.reshape(-1))
    assert model.losses[-1] < 0.01 * model.losses[0]


@pytest.mark.parametrize("options", [
    dict(vector_size=0), dict(window=0), dict(epochs=0), dict(lr=0), dict(lr=float("nan")), dict(x_max=0),
    dict(x_max=-1), dict(seed=-1), dict(min_count=-2), dict(exponent=float("inf")), dict(vector_size=1.5),
])  # fmt: skip
def test_bad_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        GloVe(**options)


def test_bad_text_and_counts():
    with pytest.raises(TypeError, match="list of words"):
        GloVe(["a b"])
    with pytest.raises(TypeError, match="iterator"):
        GloVe(iter([["a"]]))
    with pytest.raises(ValueError, match="no word"):
        GloVe([[]])
    with pytest.raises(ValueError, match="meet"):
        GloVe([["a"], ["b"]], min_count=1)
    model = GloVe()
    for i, j, x, error in (
        ([0], [0], [0.0], ValueError), ([0], [0], [-1.0], ValueError), ([0], [0], [np.nan], ValueError),
        ([0], [2], [1.0], IndexError), ([-1], [0], [1.0], IndexError), ([0, 1], [0], [1.0], ValueError),
        ([], [], [], ValueError),
    ):  # fmt: skip
        with pytest.raises(error):
            model.fit_counts(["a", "b"], i, j, x)
    for ids, starts, v, window, error in (
        ([0, 5], [0, 2], 5, 2, IndexError), ([0, -1], [0, 2], 5, 2, IndexError), ([0], [0, 2], 5, 2, ValueError),
        ([0, 1], [0, 3, 2], 5, 2, ValueError), ([0, 1], [], 5, 2, ValueError), ([0, 1], [1, 2], 5, 2, ValueError),
        ([0, 1], [0, 2], 5, 0, ValueError), ([0, 1], [0, 2], -1, 2, (ValueError, IndexError)),
        ([0.5], [0, 1], 5, 2, TypeError), ([[0]], [0, 1], 5, 2, TypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            cooccurrences(ids, starts, v, window)
    assert [len(a) for a in cooccurrences([], [0], 0, 2)] == [0, 0, 0]


def test_malformed_calls_of_the_kernel():
    f32, i32 = np.float32, np.int32
    good = dict(theta=np.zeros((5, 16), f32), e=np.zeros((5, 16), f32), bias=np.zeros((2, 5), f32),
                theta_squares=np.ones((5, 16), f32), e_squares=np.ones((5, 16), f32), bias_squares=np.ones((2, 5), f32),
                i=np.zeros(3, i32), j=np.zeros(3, i32), weight=np.ones(3, f32), target=np.ones(3, f32))  # fmt: skip
    bad = [
        (ValueError, dict(theta=np.zeros((5, 15), f32))), (ValueError, dict(theta=np.zeros(16, f32))),
        (ValueError, dict(e=np.zeros((4, 16), f32))), (ValueError, dict(bias=np.zeros((1, 5), f32))),
        (ValueError, dict(e_squares=np.zeros((5, 32), f32))), (ValueError, dict(j=np.zeros(2, i32))),
        (ValueError, dict(weight=np.zeros(2, f32))), (ValueError, dict(target=np.zeros((3, 1), f32))),
        (TypeError, dict(theta=np.zeros((5, 16)))), (TypeError, dict(i=np.zeros(3, np.int64))),
        (IndexError, dict(i=np.array([0, 5, 0], i32))), (IndexError, dict(j=np.array([-1, 0, 0], i32))),
        (ValueError, dict(rate=np.nan)), (ValueError, dict(rate=-1.0)), (ValueError, dict(batch=0)),
        (ValueError, dict(batch=10**9)),
    ]  # fmt: skip
    for error, change in bad:
        call = {**good, "rate": 0.1, "batch": 4, **change}
        call = {k: _C.from_numpy(a.copy()) if isinstance(a, np.ndarray) else a for k, a in call.items()}
        with pytest.raises(error, match="glove"):
            _C._glove(**call)
