"""The tape under load: NaN hunting, deep and wide graphs, memory, threads."""

import gc
import threading
import weakref

import numpy as np
import pytest

import fastnn


def leaf(*shape, seed=0):
    """A random float64 leaf that requires grad."""
    return fastnn.from_numpy(np.asarray(np.random.default_rng(seed).standard_normal(shape))).requires_grad_()


def test_anomaly_names_the_forward_operation():
    x = fastnn.tensor([-1.0, 4.0])
    with fastnn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"detect_anomaly: sqrt is the first"):
        x.sqrt() + 1
    with fastnn.autograd.detect_anomaly():
        fastnn.tensor([4.0]).sqrt()
    x.sqrt()


def test_anomaly_names_the_backward_operation():
    x = fastnn.tensor([0.0], requires_grad=True)
    y = x.sqrt() * 0.0  # d sqrt at 0 is Inf, times 0 is NaN
    with fastnn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"sqrt .* gradient"):
        y.sum().backward()


def test_deep_graph():
    """200,000 nodes in a chain: neither backward nor freeing recurses."""
    x = leaf(2)
    y = x
    for _ in range(200_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    del y
    y = leaf(2)
    for _ in range(200_000):
        y = y * 1.0
    del y  # freed without a backward


def test_wide_graph():
    x = leaf(2)
    total = x * 0
    for i in range(2000):
        total = total + x * float(i)
    total.sum().backward()
    assert x.grad.tolist() == [1999000.0] * 2


def test_steps_leave_no_memory_behind():
    def step():
        x = leaf(50, 50)
        y = x * 2 * x
        y.retain_grad()
        y.register_hook(lambda g: g * 1)
        z = (y.reshape(2500) * 3).sum()
        z.backward()
        return x.grad

    for _ in range(3):
        step()
    gc.collect()
    before = fastnn.memory_stats()["allocated"]
    for _ in range(20):
        step()
    gc.collect()
    assert fastnn.memory_stats()["allocated"] == before


def test_graph_is_freed_without_backward():
    before = fastnn.memory_stats()["allocated"]
    x = leaf(100)
    y = (x * x + x).sum()
    assert fastnn.memory_stats()["allocated"] > before
    del x, y
    assert fastnn.memory_stats()["allocated"] == before


def test_removed_hook_lets_its_tensor_go():
    """A hook's closure and its tensor hold each other; removing the hook ends that."""
    x = leaf(100)
    y = x * 2
    handle = y.register_hook(lambda g, y=y: y * 0 + g)
    ref = weakref.ref(y)
    handle.remove()
    del y, handle
    gc.collect()
    assert ref() is None


def test_threads_have_their_own_graphs():
    """Four threads train their own leaves at once."""
    results, errors = {}, []

    def work(k):
        try:
            x = leaf(64, seed=k)
            for _ in range(50):
                x.grad = None
                ((x * x).sum() * float(k)).backward()
            results[k] = (x.grad.numpy() / x.detach().numpy()).mean()
        except Exception as e:
            errors.append(e)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert not errors
    for k in range(1, 5):
        assert abs(results[k] - 2 * k) < 1e-9


def test_threads_share_a_leaf():
    """Gradients of several threads add up in one leaf."""
    x = leaf(1000)

    def work():
        for _ in range(25):
            (x * 1.0).sum().backward()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert x.grad.tolist() == [100.0] * 1000
