"""Errors of the float32 functions in units in the last place (ulp), per instruction set.

    python bench/ulp.py [--step 4999]

Every `step`-th of the 2**32 bit patterns, and the edges, goes through each function; the reference is float64 (math
library), whose own error is below 1e-7 ulp of float32. Step 1 sweeps all inputs. A NaN or infinity where there should
be none, or the other way round, is reported as inf.
"""

import argparse
import math

import numpy as np

import fastnn

erf, erfc = np.vectorize(math.erf, otypes=[float]), np.vectorize(math.erfc, otypes=[float])


def sigmoid(x):
    """1 / (1 + exp(-x)) without overflow."""
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


FUNCTIONS = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh,
    "atanh": np.arctanh, "erf": erf, "erfc": erfc, "sigmoid": sigmoid, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x, "pow(x, 2.5)": lambda x: np.power(x, 2.5), "pow(1.7, x)": lambda x: np.power(
        np.float64(np.float32(1.7)), x),
}  # fmt: skip

EDGES = np.array(
    [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        1,
        -1,
        1e-45,
        -1e-45,
        1.1754944e-38,
        3.4028235e38,
        -3.4028235e38,
        0.5,
        88.72284,
    ],
    np.float32,
)


def inputs(step):
    """Every step-th float32, and the edges, in arrays of about a million."""
    yield EDGES
    for first in range(0, 1 << 32, step << 20):
        last = min(1 << 32, first + (step << 20))
        yield np.arange(first, last, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


def call(name, x):
    """The function of fastnn."""
    t = fastnn.from_numpy(x)
    if name == "pow(x, 2.5)":
        return fastnn.pow(t, 2.5).numpy()
    if name == "pow(1.7, x)":
        return fastnn.pow(1.7, t).numpy()
    return getattr(fastnn, name)(t).numpy()


def errors(got, want):
    """Distances in ulp of the float32 nearest to `want`."""
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32)
        ulp = np.ldexp(1.0, np.maximum(np.frexp(want)[1], -125) - 24)
        distance = np.abs(got.astype(np.float64) - want) / ulp
        same = (np.isnan(got) & np.isnan(want)) | (got == rounded)
        # Overflow is decided by rounding: one step is allowed at the border.
        border = np.isinf(got) != np.isinf(rounded)
        distance = np.where(border, np.where(np.abs(want) > 3.4028e38, 1.0, np.inf), distance)
        wrong = np.isnan(got) != np.isnan(want)
        return np.where(
            same, np.where(np.isfinite(want), np.minimum(distance, 0.5), 0), np.where(wrong, np.inf, distance)
        )


def sweep(name, step):
    """Worst error of a function and where it is."""
    worst, at = 0.0, 0.0
    for x in inputs(step):
        with np.errstate(all="ignore"):
            e = errors(call(name, x), FUNCTIONS[name](x.astype(np.float64)))
        k = int(np.argmax(e))
        if e[k] > worst:
            worst, at = float(e[k]), float(x[k])
    return worst, at


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--step", type=int, default=4999)
    args = parser.parse_args()
    names = ["baseline", "avx2", "avx512"] if fastnn.isa_found() != "neon" else ["neon"]
    names = names[: names.index(fastnn.isa_found()) + 1]
    print("| function | " + " | ".join(f"{n} | at" for n in names) + " |")
    print("|---|" + "---|" * (2 * len(names)))
    for f in FUNCTIONS:
        row = []
        for isa in names:
            fastnn.set_isa(isa)
            worst, at = sweep(f, args.step)
            row.append(f"{worst:.2f} | {at:.6g}")
        print(f"| {f} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
