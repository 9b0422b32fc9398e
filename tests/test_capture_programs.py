"""Captured steps beyond single operations: changes in place, views, broadcasting, conversions, gradients, errors."""

import gc
import threading

import numpy as np
import pytest

import fastnn
from fastnn import nn


def assign_row(x, y):
    z = x.clone()
    z[1] = y[0] * 2
    z[:, 2:] += 1
    z[::2, 0] = 7
    return z


def assign_view(x, y):
    z = x * 1
    window = z[1:, ::2]
    window.mul_(3)
    window.add_(y[1:, ::2])
    return z, window.sum()


def transposed_inplace(x, y):
    z = x.clone()
    z.T.add_(y.T)
    z.reshape(-1)[3:9].exp_()
    return z


def overlapping(x, y):
    z = x.clone()
    z[1:] = z[:-1]
    z[:, :-1] = z[:, 1:]
    return z


def self_broadcast(x, y):
    """An operand whose place the result may not take: it is read again in another order."""
    h = x * 2
    h = h * h[:1]
    h = h - h[:, :1]
    return h / h.sum(0)


def conversions(x, y):
    i = (x * 10).to(fastnn.int64)
    b = x > y
    return i, i.to(fastnn.float64) / 3, b.to(fastnn.float32) * x, (i % 3 == 0), x.to(fastnn.int32).to(fastnn.uint8)


def chain(x, y):
    for k in range(6):
        x = ((x + k) * 0.5).tanh()
        y = y - x.relu()
    return x, y


def joins(x, y):
    a, b = fastnn.cat([x, y], 0).chunk(2, 0)
    return fastnn.stack([a.T, b.T]).flip(0), fastnn.where(a > b, a, 0.5)


def gradients(x, y):
    w = y.detach().clone().requires_grad_()
    z = (x * w).tanh()
    z = z + z.T.contiguous().T
    (g,) = fastnn.autograd.grad(((z * z).sum()), [w])
    return z.detach(), g


def inplace_gradients(x, y):
    w = y.detach().clone().requires_grad_()
    z = w * x
    z[1:].mul_(z[0].detach().clone())
    z.sigmoid_()
    (g,) = fastnn.autograd.grad(z.sum(), [w])
    return g


PROGRAMS = [assign_row, assign_view, transposed_inplace, overlapping, self_broadcast, conversions, chain, joins,
            gradients, inplace_gradients]  # fmt: skip


def bits(out):
    return [np.array(t.detach().numpy()).tobytes() for t in (out if isinstance(out, (tuple, list)) else [out])]


@pytest.mark.parametrize("program", PROGRAMS, ids=[p.__name__ for p in PROGRAMS])
@pytest.mark.parametrize("layout", ["dense", "transposed", "strided", "expanded"])
def test_program(program, layout):
    captured = fastnn.capture(program)
    rng = np.random.default_rng(3)

    def arrays():
        for _ in range(2):
            a = rng.standard_normal((6, 6)).astype(np.float32)
            if layout == "transposed":
                a = a.T
            elif layout == "strided":
                a = np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2]
            t = fastnn.from_numpy(a)
            yield t[:1].expand(6, 6) if layout == "expanded" else t

    for _ in range(7):
        x, y = arrays()
        before = bits([x, y])
        assert bits(program(x, y)) == bits(captured(x, y))
        assert bits([x, y]) == before
    (report,) = captured.summary()
    assert report["unplanned_bytes"] == 0 and report["peak_bytes"] <= report["requested_bytes"] + 64 * report["buffers"]


def test_results_take_the_place_of_dying_operands():
    x = fastnn.randn(1000)
    captured = fastnn.capture(chain)
    for _ in range(4):
        captured(x, x)
    (report,) = captured.summary()
    assert report["in_place"] >= 15
    # x, y, what relu leaves, and what is copied from the arguments: no more than that at any time.
    assert report["arena_bytes"] <= 5 * 4096


READS = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "bool": lambda x: bool(x.sum() > 0),
    "if": lambda x: 1 if x.sum() > 0 else 2,
    "numpy": lambda x: x.numpy(),
    "tolist": lambda x: x.tolist(),
    "print": lambda x: print(x),
    "format": lambda x: f"{x.sum():.3f}",
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
    "in": lambda x: 3.0 in x,
    "len of unique": lambda x: fastnn.one_hot(x.long()),
    "manual_seed": lambda x: fastnn.manual_seed(1),
    "python random": lambda x: x * __import__("random").random(),
    "numpy random": lambda x: x * float(np.random.random()),
}


@pytest.mark.parametrize("read", list(READS.values()), ids=list(READS))
@pytest.mark.parametrize("caught", [False, True])
def test_error_names_the_line(read, caught):
    """Also where the step itself catches the error: it is not recorded."""

    def step(x):
        y = x * 2
        try:
            read(y)
        except fastnn.CaptureError:
            if not caught:
                raise
        return y

    captured = fastnn.capture(step)
    for _ in range(2):
        with pytest.raises(fastnn.CaptureError, match=r"test_capture_programs\.py:\d+"):
            captured(fastnn.tensor([1.0, 2.0]))
    assert captured.summary() == []
    assert (fastnn.tensor([1.0]) + 1).item() == 2.0


def test_gradients_are_those_of_the_last_call():
    """Two programs with gradients of their own: .grad shows those of the one that ran."""
    w = fastnn.tensor([1.0, 2.0], requires_grad=True)

    def step(x):
        w.grad = None
        (w * x).sum().backward()
        return w.grad.sum()

    captured = fastnn.capture(step)
    for k in range(12):
        x = fastnn.full((1 + k % 2, 2), float(k))
        captured(x)
        assert w.grad.tolist() == [k * (1 + k % 2)] * 2


def test_gradients_accumulate_as_in_eager():
    ends = []
    for wrap in (lambda f: f, fastnn.capture):
        w = fastnn.tensor([1.0, 2.0], requires_grad=True)
        optimizer = fastnn.optim.SGD([w], lr=0.1, momentum=0.5)
        step = wrap(lambda x, w=w: (w * w * x).sum().backward())
        seen = []
        for k in range(24):
            step(fastnn.full((2,), float(k)))
            if k % 4 == 3:
                seen.append(w.grad.tolist())
                optimizer.step()
                optimizer.zero_grad(set_to_none=k < 12)
        ends.append((seen, w.tolist()))
    assert ends[0] == ends[1]


def test_gradients_of_arguments_are_refused():
    step = fastnn.capture(lambda x: (x * x).sum().backward())
    with pytest.raises(fastnn.CaptureError, match="backward.*argument"):
        step(fastnn.tensor([1.0], requires_grad=True))


def test_state_that_is_replaced_is_refused():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.total = fastnn.zeros(3)

        def forward(self, x):
            self.total = self.total + x
            return self.total * 1

    with pytest.raises(fastnn.CaptureError, match="copy_"):
        step = fastnn.capture(Counter())
        for _ in range(4):
            step(fastnn.ones(3))


def test_state_in_place_is_kept():
    total = fastnn.zeros(3)
    step = fastnn.capture(lambda x: total.add_(x) * 1)
    assert [step(fastnn.ones(3)).tolist()[0] for _ in range(6)] == [1, 2, 3, 4, 5, 6]


def test_steps_that_differ_from_run_to_run_are_refused():
    count = iter(range(100))
    step = fastnn.capture(lambda x: x + 1 if next(count) % 2 else x * 2 * 3)
    with pytest.raises(fastnn.CaptureError, match="did not do the same"):
        for _ in range(4):
            step(fastnn.ones(3))


def test_changed_attributes_are_recorded_anew():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    step = fastnn.capture(model)
    x = fastnn.ones(2, 3)
    for _ in range(5):
        step(x)
    model[1].p = 0.0
    assert step(x).tolist() == model(x).tolist()
    model[2] = nn.Linear(4, 1)
    for _ in range(5):
        assert step(x).tolist() == model(x).tolist()
    model.eval()
    assert step(x).tolist() == model(x).tolist()
    model[2].weight.requires_grad = False
    assert step(x).tolist() == model(x).tolist()


def test_frozen_and_unfrozen_parameters_are_recorded_anew():
    w = fastnn.tensor([1.0, 2.0])
    v = fastnn.tensor([3.0, 4.0], requires_grad=True)

    def step(x):
        w.grad = v.grad = None
        (w * v * x).sum().backward()

    captured = fastnn.capture(step)
    for on in (False, True, False):
        w.requires_grad = on
        for _ in range(5):
            captured(fastnn.ones(2))
            assert (w.grad.tolist() if on else w.grad) == ([3.0, 4.0] if on else None)


def test_constants_are_told_apart():
    step = fastnn.capture(lambda x, c: x * (2 if c is True else 3) + (1 if str(c) == "-0.0" else 0))
    x = fastnn.ones(1)
    for _ in range(5):
        assert [step(x, c).item() for c in (True, 1, 1.0, 0.0, -0.0)] == [2, 3, 3, 3, 4]


def test_programs_are_dropped_when_there_are_many():
    w = fastnn.ones(3, 3)
    step = fastnn.capture(lambda x: (x @ w).tanh(), max_programs=3)
    for _ in range(3):
        for n in range(1, 9):
            x = fastnn.randn(n, 3)
            for _ in range(4):
                assert step(x).tolist() == step.fn(x).tolist()
    assert [s["shapes"] for s in step.summary()] == [[(8, 3)], [(7, 3)], [(6, 3)]]
    with pytest.raises(ValueError, match="max_programs"):
        fastnn.capture(step.fn, max_programs=0)


def test_memory_stays_flat_over_changing_shapes():
    """Eager and captured; bench/memory.py --soak 10000 is the long run."""
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = fastnn.optim.Adam(model.parameters())

    def step(x, y):
        loss = fastnn.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    for run in (step, fastnn.capture(step, max_programs=4)):
        held = []
        for k in range(300):
            n = int(rng.integers(1, 33)) if k % 3 else 16
            run(fastnn.randn(n, 20), fastnn.randint(0, 4, (n,)))
            if k % 100 == 99:
                gc.collect()
                stats = fastnn.memory_stats()
                held.append(stats["allocated"] + stats["cached"])
        assert held[2] <= held[1] * 1.1 + 65536


def test_captured_inside_captured():
    inner = fastnn.capture(lambda x: x * 2)
    outer = fastnn.capture(lambda x: inner(x) + 1)
    for k in range(6):
        assert inner(fastnn.full((2,), float(k))).tolist() == [2.0 * k] * 2
        assert outer(fastnn.full((2,), float(k))).tolist() == [2.0 * k + 1] * 2


def test_a_step_may_be_freed():
    """A step that its model holds and that holds its model: the collector frees both."""
    import weakref

    class Owner:
        pass

    owner = Owner()
    model = nn.Linear(2, 2)
    owner.step = fastnn.capture(lambda x, owner=owner: model(x))
    for _ in range(5):
        owner.step(fastnn.ones(1, 2))
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


def test_hooks_come_and_go_during_backward():
    """Hooks registered and removed by one thread while another runs backward."""
    x = fastnn.ones(8, requires_grad=True)
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            handles = [x.register_hook(lambda g: g * 1) for _ in range(5)]
            for h in handles:
                h.remove()

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        for _ in range(300):
            x.grad = None
            (x * 2).sum().backward()
            assert x.grad.tolist() == [2.0] * 8
    finally:
        stop.set()
        for t in threads:
            t.join()


def test_threads_share_a_step():
    w = fastnn.ones(4, 4)
    step = fastnn.capture(lambda x: (x @ w).sum(1))
    for _ in range(4):
        step(fastnn.ones(3, 4))
    errors = []

    def work(k):
        x = fastnn.full((3, 4), float(k))
        for _ in range(200):
            if step(x).tolist() != [16.0 * k] * 3:
                errors.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []


def large(k, offset=0, order="C"):
    memory = np.full(64 * 64 + 1, float(k), np.float32)
    return np.asarray(memory[offset : 64 * 64 + offset]).reshape(64, 64, order=order)


def test_large_inputs_are_read_where_they_are():
    """Also misaligned and read-only ones. Many recordings: what else lies in the recorded calls is never taken for an
    address, wherever the input was."""
    w = fastnn.randn(64, 64)
    rng = np.random.default_rng(1)
    junk = [b""] * 50
    for _ in range(60):
        step = fastnn.capture(lambda x: (x @ w).tanh() + x.sum())
        for k in range(6):
            junk[int(rng.integers(50))] = bytes(int(rng.integers(1, 70000)))
            a = large(k, offset=k % 2)
            a.flags.writeable = k % 3 != 0
            x = fastnn.from_numpy(a)
            assert bits(step(x)) == bits(step.fn(x))
    (report,) = step.summary()
    assert report["input_bytes"] == 0
    before = fastnn.memory_stats()["calls"]
    out = step(x)
    assert fastnn.memory_stats()["calls"] - before <= 1 and out.shape == (64, 64)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: (x, x * 2),  # returned
        lambda x: x[1:] * 2 + x[:-1],  # looked into behind its begin
        lambda x: fastnn.cat([x, x * 2]).T,
        lambda x: fastnn.where(x > 3, x, -x).reshape(-1)[5:].sum(),
        lambda x: x.T.contiguous() @ x,
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_large_inputs_used_otherwise(fn, order):
    step = fastnn.capture(fn)
    kept = []
    for k in range(8):
        a = large(k, order=order) + np.arange(64, dtype=np.float32)
        x, again = fastnn.from_numpy(a), fastnn.from_numpy(a.copy(order="K"))
        out = step(x)
        kept.append((out, bits(out)))
        assert bits(out) == bits(fn(again)) and bits(x) == [a.tobytes()]
        assert a[0, 0] == k
    assert all(bits(out) == was for out, was in kept)


@pytest.mark.parametrize("sizes, batch", [((784, 256, 128, 10), 64), ((256,) * 20 + (10,), 512)])
def test_a_captured_step_takes_less_memory(sizes, batch):
    peaks = []
    for wrap in (lambda f: f, fastnn.capture):
        layers = [m for a, b in zip(sizes, sizes[1:], strict=False) for m in (nn.Linear(a, b), nn.ReLU())][:-1]
        model = nn.Sequential(*layers)
        optimizer = fastnn.optim.Adam(model.parameters())

        def update(x, y, model=model, optimizer=optimizer):
            loss = fastnn.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(update)
        x, y = fastnn.randn(batch, sizes[0]), fastnn.randint(0, 10, (batch,))
        gc.collect()
        before = fastnn.memory_stats()["allocated"]
        for _ in range(5):
            step(x, y)
        gc.collect()
        fastnn.reset_peak_memory()
        for _ in range(3):
            step(x, y)
        peaks.append(fastnn.memory_stats()["peak"] - before)
        del model, optimizer, update, step, layers
        gc.collect()
    assert peaks[1] < peaks[0]
