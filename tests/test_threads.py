"""The thread pool, and several Python threads at once."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastnn


def run_threads(functions):
    """Runs the functions at once; the first error is raised."""
    errors = []

    def guarded(f):
        try:
            f()
        except BaseException as e:
            errors.append(e)

    workers = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    if errors:
        raise errors[0]


def data(*shape, seed=0):
    return fastnn.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_number_of_threads():
    for n in (1, 2, 8, 3):
        fastnn.set_num_threads(n)
        assert fastnn.get_num_threads() == n
    for bad in (0, -1, 10**6):
        with pytest.raises(ValueError, match="set_num_threads: expected a number from 1"):
            fastnn.set_num_threads(bad)
    with pytest.raises(TypeError):
        fastnn.set_num_threads("two")


@pytest.mark.parametrize("value, want", [("3", 3), ("0", None), ("many", None), ("99999999", None)])
def test_environment(value, want):
    """FASTNN_NUM_THREADS is the default; nonsense in it is ignored."""
    env = {**os.environ, "FASTNN_NUM_THREADS": value}
    code = "import fastnn; print(fastnn.get_num_threads())"
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert int(out) == (want or len(os.sched_getaffinity(0))) or (want is None and int(out) >= 1)


def test_default_respects_affinity():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "import fastnn; print(fastnn.get_num_threads())"
    env = {k: v for k, v in os.environ.items() if k != "FASTNN_NUM_THREADS"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert int(out) == 1


def test_changing_the_number_while_others_compute():
    fastnn.set_num_threads(2)
    x = data(200, 200)
    want = (x @ x).numpy().copy()

    def compute():
        for _ in range(60):
            assert np.array_equal((x @ x).numpy(), want)

    def change():
        for n in (1, 2, 3, 4, 2, 1, 3) * 3:
            fastnn.set_num_threads(n)

    run_threads([compute, compute, change])


def test_concurrent_results():
    """Four Python threads, their own data, a pool of three: every result is right to the bit."""
    fastnn.set_num_threads(3)
    xs = [data(150, 150, seed=k) for k in range(4)]
    want = [((x @ x) * 0.5).numpy().copy() for x in xs]

    def worker(k):
        def f():
            for _ in range(40):
                assert np.array_equal(((xs[k] @ xs[k]) * 0.5).numpy(), want[k])

        return f

    run_threads([worker(k) for k in range(4)])


def test_one_model_two_threads():
    """Two Python threads run inference on one model."""
    fastnn.manual_seed(0)
    model = fastnn.nn.Sequential(fastnn.nn.Linear(64, 128), fastnn.nn.ReLU(), fastnn.nn.Linear(128, 10)).eval()
    inputs = [data(256, 64, seed=k) for k in range(2)]
    with fastnn.no_grad():
        want = [model(x).numpy().copy() for x in inputs]

    def worker(k):
        def f():
            with fastnn.no_grad():
                for _ in range(30):
                    assert np.array_equal(model(inputs[k]).numpy(), want[k])

        return f

    run_threads([worker(0), worker(1)])


def test_random_numbers_across_threads():
    """Draws of several threads use the state one after the other: no number is used twice."""
    fastnn.manual_seed(3)
    draws = []
    run_threads([lambda: draws.extend(fastnn.rand(50).numpy() for _ in range(20))] * 4)
    every = np.concatenate(draws)
    assert len(np.unique(every)) > 0.999 * every.size


def test_exceptions_come_back():
    """An error inside a kernel's parallel part is raised in the caller, and the pool works on."""
    fastnn.set_num_threads(4)
    x = data(1 << 16, 4)
    bad = fastnn.from_numpy(np.where(np.arange(1 << 16) == 60000, 99, 1).astype(np.int64))
    for _ in range(20):
        with pytest.raises(IndexError):
            x[:, 0].gather(0, bad + (1 << 16))
        with pytest.raises(ValueError):
            x @ x
    want = (x * 2).numpy().copy()
    assert np.array_equal((x * 2).numpy(), want)


def test_empty_work():
    """No tasks, one task, a task that is a whole tensor."""
    fastnn.set_num_threads(4)
    for n in (0, 1, 2, 5):
        x = data(n, 3)
        assert (x + 1).shape == (n, 3) and x.sum().shape == ()


def test_exit_while_daemon_threads_compute():
    """The interpreter ends cleanly under threads that are in the middle of operations."""
    code = """
import threading, time, numpy as np, fastnn
x = fastnn.from_numpy(np.ones((200, 200), np.float32))
r = fastnn.from_numpy(np.ones((200, 200), np.float32)).requires_grad_()
def compute():
    while True:
        (x @ x).exp()
def train():
    r.register_hook(lambda g: g * 1)
    while True:
        (r * r).sum().backward()
for f in (compute, compute, train):
    threading.Thread(target=f, daemon=True).start()
time.sleep(0.2)
"""
    for _ in range(3):
        p = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert p.returncode == 0, p.stderr
