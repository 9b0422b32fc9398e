"""The bounds of docs/accuracy.md, held on a sample of every exponent and at the inputs that were worst in the sweep."""

import math
import re
from pathlib import Path

import harness
import numpy as np
import pytest

import fastnn

pytestmark = pytest.mark.kernels

PAGE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
erf, erfc = np.vectorize(math.erf, otypes=[float]), np.vectorize(math.erfc, otypes=[float])


def sigmoid(x):
    """1 / (1 + exp(-x)) without overflow."""
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


REFERENCE = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "erf": erf, "erfc": erfc, "sigmoid": sigmoid, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x, "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: np.maximum(x, -1e3) * 0.5 * erfc(-x * math.sqrt(0.5)),  # 0 at minus infinity
    "gelu_tanh": lambda x: x * sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)),
}  # fmt: skip


def table():
    """function: (whether the error counts in ulp of x, {isa: bound}, inputs where it was met)."""
    if not PAGE.is_file():
        return {}
    rows = {}
    for line in PAGE.read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if re.fullmatch(r"\w+( \(of x\))?", cells[0]) and len(cells) == 7 and cells[0] != "function":
            name, of_x = cells[0].split()[0], "of x" in cells[0]
            isas = dict(zip(("baseline", "avx2", "avx512"), map(float, cells[1::2]), strict=True))
            rows[name] = of_x, isas, [float(c) for c in cells[2::2]]
    return rows


TABLE = table()


def sample():
    """All exponents and both signs with random mantissas, and the edges."""
    rng = np.random.default_rng(0)
    exponents = np.repeat(np.arange(512, dtype=np.uint32) << 23, 48)
    bits = exponents | rng.integers(0, 1 << 23, exponents.size, dtype=np.uint32)
    near = rng.standard_normal(20000).astype(np.float32) * np.float32(4)  # where the polynomials meet
    edges = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 1e-45, -1e-45, 1.1754944e-38, 3.4028235e38,
                      -3.4028235e38, 0.5, 88.72284, -87.33655, -103.97208], np.float32)  # fmt: skip
    return np.concatenate([bits.view(np.float32), near, edges])


def errors(x, got, want, of_x):
    """Distances in ulp of the float32 nearest to `want` (or to x where that is larger)."""
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32)
        measure = np.maximum(np.abs(want), np.abs(x.astype(np.float64))) if of_x else want
        ulp = np.ldexp(1.0, np.maximum(np.frexp(measure)[1], -125) - 24)
        distance = np.where(got == rounded, 0, np.abs(got.astype(np.float64) - want) / ulp)
        # Overflow is decided by rounding: one step is allowed at the border.
        border = np.isinf(got) != np.isinf(rounded)
        distance = np.where(border, np.where(np.abs(want) > 3.4028e38, 0, np.inf), distance)
        distance = np.where(np.isnan(got) & np.isnan(want), 0, distance)
        return np.where(np.isnan(got) != np.isnan(want), np.inf, distance)


def call(name, t):
    if name == "gelu_tanh":
        return fastnn.gelu(t, approximate="tanh")
    return getattr(fastnn, name)(t)


@pytest.mark.skipif(not TABLE, reason="runs in a source tree")
def test_table_is_whole():
    assert set(TABLE) == set(REFERENCE)


@pytest.mark.parametrize("isa", harness.ISAS)
@pytest.mark.parametrize("name", TABLE)
def test_bound(name, isa):
    of_x, bounds, worst = TABLE[name]
    if isa not in bounds:
        pytest.skip("the page has x86 figures")
    x = np.concatenate([sample(), np.array(worst, np.float32)])
    with harness.isa(isa):
        got = call(name, fastnn.from_numpy(x)).numpy()
    with np.errstate(all="ignore"):
        e = errors(x, got, REFERENCE[name](x.astype(np.float64)), of_x)
    k = int(np.argmax(e))
    # The table is rounded, and another compiler may order the operations of a formula differently: a tenth is allowed.
    assert e[k] <= bounds[isa] * 1.1 + 0.01, f"{name}({x[k]!r}) = {got[k]!r} is off by {e[k]:.2f} ulp"
