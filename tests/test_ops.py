"""Every operation of the list: values, gradients, instruction sets, threads."""

import os

import harness
import numpy as np
import pytest
from cases import CASES
from cases.case import torch
from harness import Sample, array, assert_close, same_bits

import fastnn

FULL = os.environ.get("FASTNN_TEST_FULL") == "1"
pytestmark = pytest.mark.kernels

every_case = pytest.mark.parametrize("case", CASES, ids=[c.op for c in CASES])
every_isa = pytest.mark.parametrize("isa", harness.ISAS)


def samples(case, dtype, large=False):
    """The samples of a case; the large ones only where asked or in a full run."""
    for i, spec in enumerate(case.samples):
        if large or FULL or not spec.threads:
            yield Sample(case, i, dtype)


@every_isa
@every_case
def test_forward(case, isa):
    """Values against the NumPy reference in float64; inputs and the memory around them stay as they are."""
    with harness.isa(isa):
        for dtype in case.dtypes:
            tol = case.tol32 if dtype == "float32" else case.tol64
            for s in samples(case, dtype):
                what = f"{case.op} {dtype} {isa} {s.spec}"
                before = None
                outputs, tensors, memory = s.fastnn(grad=False)
                before = [harness.lay(v, a.layout)[1] for a, v in zip(s.specs, s.values, strict=True)]
                for b, m in zip(before, memory, strict=True):
                    assert same_bits(b, m), f"{what}: an input was changed"
                if case.numpy and s.spec.numpy:
                    wanted = s.numpy()
                    assert len(outputs) == len(wanted), f"{what}: {len(outputs)} outputs, expected {len(wanted)}"
                    for i, (y, w) in enumerate(zip(outputs, wanted, strict=True)):
                        if y.dtype.is_floating_point and any(a.dtype is None for a in s.specs):
                            assert y.dtype.name == dtype, f"{what}: output {i} is {y.dtype}"
                        assert_close(y, w, tol, f"{what}, output {i}")
                if case.check:
                    case.check(s, outputs)


@every_isa
@every_case
def test_gradient(case, isa):
    """Gradients against central differences in float64; backward leaves the inputs as they are."""
    if not case.differentiable:
        pytest.skip("has no gradient")
    with harness.isa(isa):
        for s in samples(case, "float64"):
            if not any(s.differentiable()):
                continue
            what = f"{case.op} gradient {isa} {s.spec}"
            outputs, tensors, memory = s.fastnn()
            assert all(not y.dtype.is_floating_point or y.requires_grad for y in outputs), f"{what}: not recorded"
            grads = s.gradients(outputs, tensors)
            before = [harness.lay(v, a.layout)[1] for a, v in zip(s.specs, s.values, strict=True)]
            assert all(map(same_bits, before, memory)), f"{what}: backward changed an input"
            central_differences(s, grads, outputs, what, case.gradcheck_tol)


def central_differences(s, grads, outputs, what, tol):
    """Compares with (f(x + h d) - f(x - h d)) / 2h for single elements d, or random directions where there are many."""
    weights = s.weights(outputs)

    def loss(values):
        return sum(
            float((array(y) * w).sum())
            for y, w in zip(s.fastnn(values, grad=False, layouts=False)[0], weights, strict=True)
            if y.dtype.is_floating_point
        )

    h = 1e-6
    rng = np.random.default_rng(s.seed + 1)
    for k, on in enumerate(s.differentiable()):
        x = s.values[k]
        if not on or x.size == 0:
            continue
        g = np.zeros_like(x) if grads[k] is None else array(grads[k])
        assert g.shape == x.shape, f"{what}: gradient {k} has shape {g.shape}, expected {x.shape}"
        if x.size <= (64 if FULL else 12):
            directions = np.eye(x.size).reshape(-1, *x.shape)
        else:
            directions = rng.standard_normal((8 if FULL else 3, *x.shape))
            directions /= np.sqrt(x.size)
        for d in directions:
            up, down = list(s.values), list(s.values)
            up[k], down[k] = x + h * d, x - h * d
            assert_close(
                np.asarray((g * d).sum()), np.asarray((loss(up) - loss(down)) / (2 * h)), tol, f"{what}, argument {k}"
            )


@every_isa
@every_case
def test_torch(case, isa):
    """Values and gradients against PyTorch."""
    if case.torch is None or torch is None:
        pytest.skip("no counterpart in PyTorch" if torch is not None else "PyTorch is not installed")
    with harness.isa(isa):
        for dtype in case.dtypes:
            tol = tuple(4 * t for t in (case.tol32 if dtype == "float32" else case.tol64))
            grad_tol = case.grad_tol32 if dtype == "float32" and case.grad_tol32 else tuple(4 * t for t in tol)
            for s in samples(case, dtype):
                if not s.spec.torch:
                    continue
                what = f"{case.op} {dtype} {isa} {s.spec} against PyTorch"
                outputs, tensors, _ = s.fastnn()
                wanted, sources = s.torch()
                assert len(outputs) == len(wanted), f"{what}: {len(outputs)} outputs, expected {len(wanted)}"
                for i, (y, w) in enumerate(zip(outputs, wanted, strict=True)):
                    assert_close(y, w, tol, f"{what}, output {i}")
                if not any(s.differentiable()):
                    continue
                grads = s.gradients(outputs, tensors)
                weights = [torch.from_numpy(w) for w in s.weights(outputs)]
                sum((y * w).sum() for y, w in zip(wanted, weights, strict=True) if y.requires_grad).backward()
                for k, (g, source) in enumerate(zip(grads, sources, strict=True)):
                    if g is None and (source.grad is None or not source.grad.any()):
                        continue
                    assert g is not None, f"{what}: argument {k} got no gradient"
                    reference = torch.zeros_like(source) if source.grad is None else source.grad
                    assert_close(g, reference, grad_tol, f"{what}, gradient {k}")


@every_isa
@every_case
def test_threads(case, isa):
    """The same bits on 1, 2, 3 and 8 threads, and when run again: values and gradients."""
    with harness.isa(isa):
        for dtype in case.dtypes:
            chosen = [s for s in samples(case, dtype, large=True) if s.spec.threads]
            if not FULL:  # one small sample too: its bits must not change from run to run either
                chosen += [s for s in samples(case, dtype) if sum(v.size for v in s.values) > 30][:1]
            first = None
            for n in (1, 1, *harness.THREADS[1:]):
                with harness.threads(n):
                    results = [bits(s) for s in chosen]
                if first is None:
                    first = results
                for s, a, b in zip(chosen, first, results, strict=True):
                    for i, (x, y) in enumerate(zip(a, b, strict=True)):
                        assert same_bits(x, y), (
                            f"{case.op} {dtype} {isa} {s.spec}: result {i} differs on {n} threads: "
                            f"{harness.differ(y, x, ~((x == y) | ((x != x) & (y != y))))}"
                        )


def bits(s):
    """All values and gradients of a sample."""
    outputs, tensors, _ = s.fastnn()
    grads = s.gradients(outputs, tensors) if any(s.differentiable()) else []
    return [array(y).copy() for y in outputs] + [array(g).copy() for g in grads if g is not None]


def test_restored():
    """The tests above put the settings back."""
    assert fastnn.isa() == os.environ.get("FASTNN_ISA", fastnn.isa_found())
