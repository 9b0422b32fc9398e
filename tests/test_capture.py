"""Captured steps: the same bits as eager, and errors where a replay would go stale."""

import numpy as np
import pytest

import fastnn


def make_net(seed, sizes=(20, 32, 5)):
    rng = np.random.default_rng(seed)
    params = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        params.append(fastnn.tensor(rng.standard_normal((a, b)) / np.sqrt(a), requires_grad=True))
        params.append(fastnn.tensor(np.zeros(b), requires_grad=True))

    def forward(x):
        for i in range(0, len(params), 2):
            x = x @ params[i] + params[i + 1]
            if i + 2 < len(params):
                x = x.relu()
        return x

    def step(x, y):
        loss = fastnn.cross_entropy(forward(x), y)
        loss.backward()
        with fastnn.no_grad():
            for p in params:
                p -= p.grad * 0.1
                p.grad.zero_()
        return loss

    return params, step


def batches(n, rows=16, seed=1):
    rng = np.random.default_rng(seed)
    return [(fastnn.tensor(rng.standard_normal((rows, 20))), fastnn.tensor(rng.integers(0, 5, rows))) for _ in range(n)]


def test_training_captured_and_eager_end_in_the_same_bits():
    data = batches(50)
    ends = []
    for wrap in (lambda f: f, fastnn.capture):
        params, step = make_net(0, (20, 64, 32, 5))
        step = wrap(step)
        losses = [step(x, y).item() for x, y in data]
        ends.append((losses, [p.detach().numpy().tobytes() for p in params]))
    assert ends[0] == ends[1]


def test_replay_allocates_nothing():
    _, step = make_net(0)
    step = fastnn.capture(step)
    data = batches(10)
    for x, y in data:
        step(x, y)
    before = fastnn.memory_stats()["calls"]
    for x, y in data:
        step(x, y)
    assert fastnn.memory_stats()["calls"] == before


def test_a_new_shape_records_another_program():
    _, step = make_net(0)
    step = fastnn.capture(step)
    for rows in (4, 8, 4, 8, 4, 8, 4, 8):
        ((x, y),) = batches(1, rows, rows)
        step(x, y)
    assert len(step.summary()) == 2


def test_arena_is_smaller_than_its_buffers():
    x = fastnn.tensor(np.random.default_rng(0).standard_normal((64, 64)))

    @fastnn.capture
    def chain(x):
        for _ in range(20):
            x = (x * 0.5).relu()
        return x

    for _ in range(4):
        y = chain(x)
    plain = x
    for _ in range(20):
        plain = (plain * 0.5).relu()
    assert y.numpy().tobytes() == plain.numpy().tobytes()
    (program,) = chain.summary()
    assert program["unplanned_bytes"] == 0
    assert program["arena_bytes"] < program["requested_bytes"] / 5


def test_results_of_earlier_replays_stay():
    @fastnn.capture
    def double(x):
        return x * 2

    kept = [double(fastnn.tensor([float(i)])) for i in range(8)]
    assert [k.item() for k in kept] == [2.0 * i for i in range(8)]


def test_structures_go_in_and_out():
    @fastnn.capture
    def step(batch, scale, extra=None):
        return {"sum": batch["a"] + batch["b"][0], "pair": (batch["a"] * scale, "text", extra)}

    for i in range(6):
        a, b = fastnn.tensor([float(i)]), fastnn.tensor([1.0])
        out = step({"a": a, "b": [b]}, 3, extra=None)
        assert out["sum"].item() == i + 1 and out["pair"][0].item() == 3 * i and out["pair"][1:] == ("text", None)


@pytest.mark.parametrize(
    "bad",
    [
        lambda x: x if x.sum().item() > 0 else -x,
        lambda x: x if x.sum() > 0 else -x,
        lambda x: fastnn.tensor(x.numpy() * 2),
        lambda x: x + fastnn.tensor(np.random.default_rng().random(3)),
        lambda x: x * float(x.sum()),
    ],
)
def test_what_would_go_stale_is_refused_with_its_line(bad):
    step = fastnn.capture(bad)
    with pytest.raises(fastnn.CaptureError, match=r"test_capture\.py:\d+"):
        step(fastnn.tensor([1.0, 2.0, 3.0]))
    # The library works on as if nothing had happened.
    assert (fastnn.tensor([1.0]) + 1).item() == 2.0


def test_replaced_parameters_are_recorded_anew():
    w = fastnn.tensor([2.0], requires_grad=True)
    step = fastnn.capture(lambda x: x * w)
    for _ in range(5):
        assert step(fastnn.tensor([3.0])).item() == 6.0
    w.data = fastnn.tensor([5.0])
    for _ in range(5):
        assert step(fastnn.tensor([3.0])).item() == 15.0


def test_labels_are_validated_in_replays():
    w = fastnn.tensor(np.zeros((2, 3)), requires_grad=True)
    step = fastnn.capture(lambda x, y: fastnn.cross_entropy(x @ w, y))
    x = fastnn.tensor(np.ones((4, 2)))
    for _ in range(5):
        step(x, fastnn.tensor([0, 1, 2, 0]))
    with pytest.raises(IndexError, match="label 3"):
        step(x, fastnn.tensor([0, 3, 2, 0]))
    assert step(x, fastnn.tensor([0, 1, 2, 0])).item() == pytest.approx(np.log(3))


def test_memory_is_not_read_behind_the_back_of_a_recording():
    for read in (lambda x: float(np.asarray(x)[0]), lambda x: memoryview(x)[0], lambda x: np.from_dlpack(x)[0]):
        step = fastnn.capture(lambda x, read=read: x * float(read(x)))
        with pytest.raises(fastnn.CaptureError):
            step(fastnn.tensor([1.0, 2.0]))


def test_sizes_that_depend_on_data_are_refused():
    for bad in (
        fastnn.nonzero,
        lambda x: fastnn.nn.functional.one_hot(x.long()),
        lambda x: x.repeat_interleave(x.long()),
    ):
        with pytest.raises(fastnn.CaptureError, match="shape depends on data"):
            fastnn.capture(bad)(fastnn.tensor([1.0, 2.0]))


def test_bernoulli_and_dropout_draw_anew_in_replays():
    p = fastnn.full((64,), 0.5)
    step = fastnn.capture(lambda p: (fastnn.bernoulli(p), fastnn.nn.functional.dropout(p, 0.5)))
    fastnn.manual_seed(3)
    captured = [[t.tolist() for t in step(p)] for _ in range(6)]
    fastnn.manual_seed(3)
    eager = [[t.tolist() for t in step.fn(p)] for _ in range(6)]
    assert captured == eager and captured[4] != captured[5]


def test_a_replay_counts_as_a_change_in_place():
    w = fastnn.tensor([2.0], requires_grad=True)

    def update(x):
        with fastnn.no_grad():
            w.sub_(x)
        return x * 1

    step = fastnn.capture(update)
    for _ in range(4):
        step(fastnn.tensor([0.5]))
    y = w * w
    step(fastnn.tensor([0.5]))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_changed_settings_of_an_optimiser_are_recorded_anew():
    ends = []
    for wrap in (lambda f: f, fastnn.capture):
        w = fastnn.tensor([1.0], requires_grad=True)
        optimizer = fastnn.optim.SGD([w], lr=0.1)

        def update(x, w=w, optimizer=optimizer):
            optimizer.zero_grad()
            (w * x).sum().backward()
            optimizer.step()
            return w * 1

        step = wrap(update)
        for i in range(12):
            optimizer.param_groups[0]["weight_decay"] = 0.5 if i >= 6 else 0.0
            optimizer.param_groups[0]["lr"] = 0.1 / (i + 1)
            step(fastnn.tensor([1.0]))
        ends.append(w.item())
    assert ends[0] == ends[1]
