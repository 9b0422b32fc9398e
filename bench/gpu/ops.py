"""Every case of the operations on the device: values and gradients in float32 against the CPU in float64.

The error of an output is its largest difference over the largest magnitude of the reference. Where the two precisions
do not make the same choice (draws, kinks, integers) the CPU's float32 result is the reference instead; a row of the
table names those cases. ``bf16`` does the same for the products, at that precision. Some larger products are added,
which Hopper's own instructions take then.
"""

import time

import numpy as np

BOUND, BOUND_BF16 = 1e-4, 1e-2
PRODUCTS = ("matmul", "linear", "conv", "lstm", "gru", "rnn", "attention", "einsum", "bmm", "mm")


def large_cases():
    """Products of the sizes that are worth packing operands for: edges in every axis, a batch, transposed operands."""
    from cases.case import A, Case, S

    pairs = [
        S(A(256, 512), A(512, 256)),
        S(A(130, 261), A(261, 137)),
        S(A(200, 400, layout="transposed"), A(400, 300, layout="transposed")),
        S(A(3, 150, 300), A(3, 300, 140)),
    ]
    return [Case("matmul", samples=pairs), Case("linear", samples=[S(A(300, 520), A(520, 260), A(260))])]


def error(got, want):
    """Relative to the reference's largest magnitude; inf where shapes or special values differ."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return np.inf
    if want.dtype.kind != "f":
        return 0.0 if np.array_equal(got, want) else np.inf
    got, want = got.astype(np.float64), want.astype(np.float32).astype(np.float64)
    finite = np.isfinite(want)
    special = ~finite
    if not np.array_equal(got[special], want[special], equal_nan=True):
        return np.inf
    if not finite.any():
        return 0.0
    if not np.isfinite(got[finite]).all():
        return np.inf
    scale = max(np.abs(want[finite]).max(), 1e-30)
    return float(np.abs(got[finite] - want[finite]).max() / scale)


def results(sample, device):
    """Values and gradients as arrays (None: no gradient)."""
    from harness import array

    outputs, tensors, _ = sample.fastnn(device=device)
    found = [array(y) for y in outputs]
    if any(sample.differentiable()):
        found += [None if g is None else array(g) for g in sample.gradients(outputs, tensors)]
    return found


def worst(got, want):
    if len(got) != len(want) or any((g is None) != (w is None) for g, w in zip(got, want)):
        return np.inf
    return max([0.0, *(error(g, w) for g, w in zip(got, want) if g is not None)])


def check(case, index, bound):
    """(error, whether it is that to the CPU's float32) of one sample."""
    from harness import Sample

    sample = Sample(case, index, "float32" if "float32" in case.dtypes else case.dtypes[0])
    got = results(sample, "cuda:0")
    wide = Sample(case, index, "float64") if "float64" in case.dtypes else sample
    found = worst(got, results(wide, "cpu"))
    if found <= bound:
        return found, False
    narrow = worst(got, results(sample, "cpu"))
    return min(found, narrow), narrow <= bound


def chosen(options):
    """(case, indices of samples): all, or the small ones for the sanitizers and for tiny runs."""
    from cases import CASES

    cases = sorted(CASES, key=lambda c: c.op)
    if options.part == "bf16":
        cases = [c for c in cases if any(word in c.op for word in PRODUCTS)]
    for case in cases[:: 12 if options.tiny else 1]:
        every = [i for i, s in enumerate(case.samples) if not s.threads]
        yield case, every[: 1 if options.tiny or options.part in ("memcheck", "racecheck") else None]
    if options.part in ("ops", "bf16"):
        for case in large_cases():
            yield case, range(1 if options.tiny else len(case.samples))


def run(options):
    import fastnn

    bf16 = options.part == "bf16"
    bound = BOUND_BF16 if bf16 else BOUND
    if bf16:
        fastnn.set_matmul_precision("bf16")
    start, passed, total, largest, narrow = time.monotonic(), 0, 0, 0.0, {}
    every = list(chosen(options))
    for case, indices in options.mine(every):
        bad = None
        for index in indices:
            try:
                (found, as_narrow), note = check(case, index, bound), ""
            except Exception as problem:  # noqa: BLE001 (reported; the other cases go on)
                found, as_narrow, note = np.inf, False, f"{type(problem).__name__}: {problem}"
            if as_narrow:
                narrow[case.op] = narrow.get(case.op, 0) + 1
            largest = max(largest, found if found <= bound else 0.0)
            if not found <= bound and bad is None:
                bad = {"name": case.op, "value": found if np.isfinite(found) else None, "ok": False,
                       "target": f"< {bound:g}", "note": f"sample {index} {note}"[:300]}  # fmt: skip
        total += 1
        passed += bad is None
        if bad:
            yield bad
    mine = len(every[options.share :: options.shares])
    yield {
        "name": f"cases, share {options.share + 1} of {options.shares}", "value": passed, "unit": f"of {mine} pass",
        "ok": passed == mine, "target": f"relative error < {bound:g}",
        "note": f"largest {largest:.1e}; {sum(narrow.values())} samples against the CPU's float32; {total} run in "
                f"{time.monotonic() - start:.0f} s",
    }  # fmt: skip
    if narrow:
        named = ", ".join(f"{op} ({n})" for op, n in sorted(narrow.items()))
        yield {"name": f"of them against the CPU's float32, not float64, share {options.share + 1}",
               "value": sum(narrow.values()), "unit": "samples", "note": named}  # fmt: skip
