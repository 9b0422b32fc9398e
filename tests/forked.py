"""Runs a function in a forked process, so that a crash or a hang is a result and not the end of the suite."""

import os
import pickle
import select
import signal
import time
import traceback

import fastnn  # the child must not be the first to import it


def in_child(function, *args, timeout=60.0):
    """What `function(*args)` returned in a forked child.

    Raises AssertionError with the child's traceback, the signal that ended it, or "hung" after `timeout` seconds.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read)
            try:
                answer = ("returned", function(*args))
            except BaseException:
                answer = ("raised", traceback.format_exc())
            with os.fdopen(write, "wb") as f:
                pickle.dump(answer, f)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    data, deadline, done = b"", time.monotonic() + timeout, False
    try:
        while not done:
            ready, _, _ = select.select([read], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                os.kill(pid, signal.SIGKILL)
                break
            part = os.read(read, 1 << 16)
            data += part
            done = not part
    finally:
        os.close(read)
        _, status = os.waitpid(pid, 0)
    assert done, f"the child hung (killed after {timeout} s)"
    assert not os.WIFSIGNALED(status), f"the child died of {signal.Signals(os.WTERMSIG(status)).name}"
    assert os.WEXITSTATUS(status) == 0 and data, f"the child ended with status {os.WEXITSTATUS(status)}"
    how, value = pickle.loads(data)
    assert how == "returned", f"in the child:\n{value}"
    return value


assert fastnn.__version__
