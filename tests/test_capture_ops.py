"""Every operation of the list captured: each replay has the bits of an eager call, values and gradients."""

import os

import numpy as np
import pytest
from cases import CASES
from harness import Sample, array, as_list, draw, lay, same_bits

import fastnn

FULL = os.environ.get("FASTNN_TEST_FULL") == "1"
pytestmark = pytest.mark.kernels


def depends_on_data(s):
    """What the error names where the shape of the result depends on what the tensors hold; None elsewhere."""
    dtypes = [v.dtype.kind for v in s.values]
    if s.case.op in ("nonzero", "masked_select"):
        return s.case.op
    if s.case.op in ("nms", "batched_nms", "soft_nms"):
        return "nms"
    if s.case.op == "one_hot" and len(s.spec.args) == 1:
        return "one_hot"
    if s.case.op == "repeat_interleave" and len(dtypes) == 2:
        return "repeat_interleave"
    if s.case.op in ("index", "index_put") and "b" in dtypes:
        return "nonzero"  # a mask is turned into the positions where it holds
    return None


def samples(case):
    """All samples in float32, every third in the other dtypes too; the large ones in a full run."""
    for dtype in case.dtypes:
        for i, spec in enumerate(case.samples):
            if FULL or (not spec.threads and (dtype == case.dtypes[0] or i % 3 == 0)):
                yield Sample(case, i, dtype)


def changed(s, seed):
    """Other values for the arrays of a sample; indices that were written out stay."""
    rng = np.random.default_rng(s.seed + seed)
    out = []
    for a, v in zip(s.specs, s.values, strict=True):
        if a.values is None:
            v = draw(a, s.dtype, rng)
            if a.layout == "expanded" and v.ndim:
                v = np.broadcast_to(v[:1], v.shape)
        elif v.dtype.kind == "f":
            v = np.asarray(v * 0.75, v.dtype)
        out.append(v)
    return out


def tensors_of(s, values):
    """The arrays as tensors in the layouts of the sample."""
    out = [fastnn.from_numpy(lay(v, a.layout)[0]) for a, v in zip(s.specs, values, strict=True)]
    for t, on in zip(out, s.differentiable(), strict=True):
        if on:
            t.requires_grad_()
    return out


def step_of(s):
    """The sample as a step: outputs and, given weights for them, gradients."""
    call = s.case.call or getattr(fastnn, s.case.op)
    call = getattr(call, "unseeded", call)

    def step(tensors, weights):
        args, kwargs = s.arguments(tensors)
        outputs = as_list(call(*args, **kwargs))
        chosen = [i for i, y in enumerate(outputs) if y.requires_grad]
        inputs = [t for t, on in zip(tensors, s.differentiable(), strict=True) if on]
        if not weights or not chosen or not inputs:
            return outputs
        given = [weights[i] for i in chosen]
        grads = fastnn.autograd.grad([outputs[i] for i in chosen], inputs, given, allow_unused=True)
        return [*outputs, *(g for g in grads if g is not None)]

    return step


def bits_of(outputs):
    return [np.array(array(y)) for y in outputs]


@pytest.mark.parametrize("case", CASES, ids=[c.op for c in CASES])
def test_replay_has_the_bits_of_eager(case):
    """Three recorded calls and three replays, each with other values, against eager calls of the same seed."""
    for s in samples(case):
        what = f"{case.op} {s.dtype} {s.spec}"
        step = step_of(s)
        captured = fastnn.capture(step)
        refused = depends_on_data(s)
        if refused:
            with pytest.raises(fastnn.CaptureError, match=rf"{refused}.*\(.*\.py:\d+\)"):
                captured(tensors_of(s, s.values), [])
            continue
        fastnn.manual_seed(5)
        weights = [fastnn.from_numpy(w) for w in s.weights(step(tensors_of(s, s.values), []))]
        for k in range(6):
            values = changed(s, k // 2) if k else s.values
            results = []
            for run in (step, captured):
                fastnn.manual_seed(k)
                results.append(bits_of(run(tensors_of(s, values), weights)))
            assert len(results[0]) == len(results[1]), what
            if case.op in ("empty", "empty_like"):  # whatever lay in the memory
                continue
            for i, (a, b) in enumerate(zip(*results, strict=True)):
                assert same_bits(a, b), f"{what}: call {k}, result {i}: eager {a!r}, captured {b!r}"
        (program,) = captured.summary()
        assert program["unplanned_bytes"] == 0, f"{what}: {program}"
