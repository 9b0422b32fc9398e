"""Products of float32 matrices with operands rounded to bfloat16."""

import numpy as np
import pytest
from harness import ISAS, THREADS, isa, threads

import fastnn
import fastnn.nn.functional as F

pytestmark = pytest.mark.kernels


@pytest.fixture
def bf16():
    fastnn.set_matmul_precision("bf16")  # conftest.py puts it back


def rounded(x):
    """To bfloat16 and back: the upper half of the bits, to nearest even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def operands(rng, m, n, k, layout):
    a = rng.standard_normal((k, m) if layout[0] == "T" else (m, k), dtype=np.float32)
    b = rng.standard_normal((n, k) if layout[1] == "T" else (k, n), dtype=np.float32)
    a, b = a.T if layout[0] == "T" else a, b.T if layout[1] == "T" else b
    if layout == "strided":
        a, b = np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3], np.repeat(np.repeat(b, 3, 0), 2, 1)[::3, ::2]
    return a, b


def product(a, b):
    return (fastnn.from_numpy(a) @ fastnn.from_numpy(b)).numpy()


@pytest.mark.parametrize("layout", ["NN", "TN", "NT", "TT", "strided"])
@pytest.mark.parametrize("level", ISAS)
def test_within_the_stated_error(level, layout, bf16):
    rng = np.random.default_rng(1)
    with isa(level):
        for _ in range(40):
            m, n = (int(rng.integers(1, 100)) for _ in "mn")
            k = int(rng.choice([0, 1, 2, 3, 15, 31, 32, 33, 64, 255, 640, 641, 1500]))
            a, b = operands(rng, m, n, k, layout)
            exact, size = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b)
            sum_error = 2 * (min(k, 640) + 4) * 2.0**-24 * size
            assert (np.abs(product(a, b) - exact) <= (2.0**-7 + 2.0**-16) * size + sum_error).all()


def test_operands_are_rounded_to_nearest_even(bf16):
    """Where the processor can: the product of the rounded operands, up to the rounding of the sum."""
    rng = np.random.default_rng(2)
    a, b = operands(rng, 70, 90, 333, "NN")
    got = product(a, b)
    fastnn.set_matmul_precision("float32")
    if np.array_equal(got, product(a, b)):
        pytest.skip("no bfloat16 instruction here: float32 was used")
    a, b = rounded(a), rounded(b)
    exact, size = a.astype(np.float64) @ b, np.abs(a).astype(np.float64) @ np.abs(b)
    assert (np.abs(got - exact) <= 2 * 333 * 2.0**-24 * size).all()


def test_bits_do_not_depend_on_threads(bf16):
    rng = np.random.default_rng(3)
    for m, n, k in [(257, 300, 70), (6, 10, 30011), (40, 33, 9001), (700, 129, 128)]:
        for layout in ("NN", "TN", "NT"):
            a, b = operands(rng, m, n, k, layout)
            bits = set()
            for t in THREADS:
                with threads(t):
                    bits.add(product(a, b).tobytes())
            assert len(bits) == 1, (m, n, k, layout)


def test_nan_and_infinity_pass(bf16):
    a, b = np.ones((20, 40), np.float32), np.ones((40, 33), np.float32)
    a[3, 5], a[7, 2] = np.nan, np.inf
    got = product(a, b)
    assert np.isnan(got[3]).all() and np.isinf(got[7]).all() and (got[0] == 40).all()


def test_epilogue_gradients_and_doubles(bf16):
    rng = np.random.default_rng(4)
    x, w, bias = (rng.standard_normal(s, dtype=np.float32) for s in ((30, 50), (50, 20), (20,)))
    xt, wt, bt = (fastnn.tensor(v, requires_grad=True) for v in (x, w, bias))
    y = F.linear(xt, wt, bt, activation="relu")
    assert np.allclose(y.detach().numpy(), np.maximum(x @ w + bias, 0), atol=0.3)
    y.sum().backward()
    live = (y.detach().numpy() > 0).astype(np.float32)
    assert np.allclose(xt.grad.numpy(), live @ w.T, atol=0.3) and np.allclose(wt.grad.numpy(), x.T @ live, atol=0.3)
    d = fastnn.tensor(x, dtype=fastnn.float64)
    assert np.allclose((d @ d.T).numpy(), x.astype(np.float64) @ x.T.astype(np.float64), rtol=1e-13)


def test_setting():
    assert fastnn.get_matmul_precision() == "float32"
    with pytest.raises(ValueError, match="set_matmul_precision: expected 'float32', 'bf16' or 'tf32', got 'fp8'"):
        fastnn.set_matmul_precision("fp8")


def test_a_captured_step_keeps_to_the_setting():
    rng = np.random.default_rng(5)
    a, b = (fastnn.from_numpy(rng.standard_normal((64, 64), dtype=np.float32)) for _ in "ab")
    step = fastnn.capture(lambda a, b: a @ b)
    plain = [step(a, b).numpy() for _ in range(4)][-1]
    fastnn.set_matmul_precision("bf16")
    try:
        eager = (a @ b).numpy()
        assert all(np.array_equal(step(a, b).numpy(), eager) for _ in range(4))
    finally:
        fastnn.set_matmul_precision("float32")
    assert np.array_equal(step(a, b).numpy(), plain)
