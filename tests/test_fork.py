"""Computing, forking and computing in the child; interrupts."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from forked import in_child
from harness import prompt

import fastnn

N = 300
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")


def work():
    """Something that uses every thread, forward and backward; returns bytes."""
    x = fastnn.from_numpy(np.linspace(-1, 1, N * N, dtype=np.float32).reshape(N, N)).requires_grad_()
    y = (x @ x) * x + 1.0
    y.sum().backward()
    return y.detach().numpy().tobytes() + x.grad.numpy().tobytes()


def test_child_computes():
    """A hundred times: parent computes on several threads, child computes the same bits and ends."""
    fastnn.set_num_threads(4)
    want = work()
    for _ in range(100):
        assert in_child(work, timeout=20) == want
    assert work() == want


def test_grandchild_computes():
    fastnn.set_num_threads(3)
    want = work()

    def child():
        work()
        return in_child(work, timeout=20)

    assert in_child(child, timeout=40) == want


def test_child_sets_threads():
    fastnn.set_num_threads(4)
    want = work()

    def child():
        out = []
        for n in (1, 2, 8, 3):
            fastnn.set_num_threads(n)
            out.append(work())
        return out

    assert in_child(child) == [want] * 4
    assert fastnn.get_num_threads() == 4


def test_fork_while_another_thread_computes():
    """The forking thread cannot know what the others hold: pool, allocator and tape must all survive."""
    fastnn.set_num_threads(3)
    want = work()
    stop, errors = threading.Event(), []

    def busy():
        try:
            while not stop.is_set():
                work()
        except Exception as e:
            errors.append(e)

    t = threading.Thread(target=busy)
    t.start()
    try:
        for _ in range(20):
            assert in_child(work, timeout=20) == want
    finally:
        stop.set()
        t.join()
    assert not errors


def test_multiprocessing_pool():
    import multiprocessing

    fastnn.set_num_threads(2)
    want = work()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.starmap(work, [()] * 6) == [want] * 6


INTERRUPTED = {
    "ops": """
x = fastnn.from_numpy(np.ones((400, 400), np.float32))
print("ready", flush=True)
while True:
    x = x @ x * 0.0025
""",
    "backward": """
x = fastnn.from_numpy(np.ones((300, 300), np.float32)).requires_grad_()
print("ready", flush=True)
while True:
    y = x
    for _ in range(10):
        y = y @ x * 0.003
    y.sum().backward()
""",
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_interrupt(name):
    """Ctrl-C ends a loop of operations within half a second, as KeyboardInterrupt."""
    code = "import numpy as np, fastnn\n" + INTERRUPTED[name]
    p = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline() == "ready\n"
        time.sleep(0.3)
        start = time.monotonic()
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=10)
    finally:
        p.kill()
    took = time.monotonic() - start
    assert "KeyboardInterrupt" in err
    assert took < prompt(), f"{took:.2f} s"  # the interpreter's own exit is part of the time
