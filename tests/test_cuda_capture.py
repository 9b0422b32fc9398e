"""Captured steps on a CUDA device: graphs with the bits of eager calls."""

import os

import numpy as np
import pytest
from cases import CASES
from harness import Sample, lay, on_device, same_bits
from test_capture_ops import bits_of, changed, depends_on_data, step_of

import fastnn
from fastnn import nn, optim
from fastnn.nn import functional as F

FULL = os.environ.get("FASTNN_TEST_FULL") == "1"
pytestmark = pytest.mark.device
DEVICE = "cuda:0"


def samples(case):
    """Two samples of each dtype, all in a full run."""
    for dtype in case.dtypes:
        chosen = [i for i, spec in enumerate(case.samples) if FULL or not spec.threads]
        for i in chosen if FULL else chosen[:: max(1, -(-len(chosen) // 2))]:
            yield Sample(case, i, dtype)


def tensors_of(s, values):
    out = [on_device(*lay(v, a.layout), DEVICE) for a, v in zip(s.specs, values, strict=True)]
    for t, on in zip(out, s.differentiable(), strict=True):
        if on:
            t.requires_grad_()
    return out


@pytest.mark.parametrize("case", CASES, ids=[c.op for c in CASES])
def test_replay_has_the_bits_of_eager(case):
    """Three recorded calls and two replays, with other values, against eager calls of the same seed."""
    with fastnn.device(DEVICE):
        for s in samples(case):
            if depends_on_data(s):
                continue
            what = f"{case.op} {s.dtype} {s.spec}"
            step = step_of(s)
            captured = fastnn.capture(step)
            fastnn.manual_seed(5)
            weights = [fastnn.tensor(w, dtype=w.dtype) for w in s.weights(step(tensors_of(s, s.values), []))]
            for k in range(5):
                values = changed(s, k // 2) if k else s.values
                results = []
                for run in (step, captured):
                    fastnn.manual_seed(k)
                    results.append(bits_of(run(tensors_of(s, values), weights)))
                if case.op in ("empty", "empty_like"):  # whatever lay in the memory
                    continue
                for i, (a, b) in enumerate(zip(*results, strict=True)):
                    assert same_bits(a, b), f"{what}: call {k}, result {i}: eager {a!r}, captured {b!r}"


def test_a_training_step_is_one_graph():
    """Forward, dropout, loss, backward, clipping and Adam: eager's bits, one graph, other rates without a new one."""

    def train(captured):
        fastnn.manual_seed(3)
        model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4)).to(DEVICE)
        optimizer = optim.Adam(model.parameters(), lr=1e-2)

        def step(x, y):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            return loss

        run = fastnn.capture(step) if captured else step
        rng = np.random.default_rng(0)
        losses = []
        for k in range(8):
            optimizer.param_groups[0]["lr"] = 1e-2 / (1 + k // 3)
            x = fastnn.tensor(rng.standard_normal((10, 12)), device=DEVICE)
            y = fastnn.tensor(rng.integers(0, 4, 10), device=DEVICE)
            losses.append(run(x, y).item())
        if captured:
            (program,) = run.summary()
            assert program["graphs"] == 1, program
        return losses, [p.detach().cpu().numpy() for p in model.parameters()]

    eager, captured = train(False), train(True)
    assert eager[0] == captured[0]
    assert all(map(same_bits, eager[1], captured[1]))


def test_labels_out_of_range():
    """Eager calls refuse them; a replay does nothing outside its memory, and says so where errors are asked for."""
    step = fastnn.capture(lambda x, y: F.cross_entropy(x, y))
    x = fastnn.randn(4, 3, device=DEVICE)
    good, bad = (fastnn.tensor(v, device=DEVICE) for v in ([0, 1, 2, 0], [0, 1, 7, 0]))
    for _ in range(4):
        step(x, good)
    with pytest.raises(IndexError):
        F.cross_entropy(x, bad)
    assert np.isnan(step(x, bad).item())
    fastnn.cuda.set_blocking(True)
    try:
        with pytest.raises(IndexError):
            step(x, bad)
    finally:
        fastnn.cuda.set_blocking(False)
    assert np.isfinite(step(x, good).item())
