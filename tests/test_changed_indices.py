"""Indices that were changed through memory shared with NumPy, after or during a call: never a wild access."""

import threading

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F


def gather(x, i):
    return x.gather(0, i)


def scatter(x, i):
    return x.scatter(0, i, x * 2)


def scatter_add(x, i):
    return x.scatter_add(0, i, x * 2)


def cross_entropy(x, i):
    return fastnn.cross_entropy(x.reshape(2, 2), i[:2])


@pytest.mark.parametrize("op", [gather, scatter, scatter_add, cross_entropy])
def test_indices_given(op):
    values = np.array([0, 1, 0, 1])
    x = fastnn.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    op(x, fastnn.from_numpy(values)).sum().backward()
    expected, x.grad = x.grad, None
    y = op(x, fastnn.from_numpy(values)).sum()
    values[:] = 2**40  # the operation has its own copy
    y.backward()
    assert x.grad.tolist() == expected.tolist()


@pytest.mark.parametrize("op", ["sort", "max", "min", "topk", "median"])
def test_indices_returned(op):
    x = fastnn.tensor([[1.0, 3.0, 2.0], [4.0, 0.0, 5.0]], requires_grad=True)
    result = x.topk(2) if op == "topk" else getattr(x, op)(1)
    result[1].numpy()[...] = 2**40
    with pytest.raises(IndexError):
        result[0].sum().backward()


@pytest.mark.parametrize("op", ["embedding", "gather", "index", "cross_entropy", "index_select"])
def test_indices_rewritten_by_another_thread(op):
    """Each call sees good ids or raises; a thread turns them bad and good again all the time."""
    ids = np.zeros(3000, np.int64)
    i = fastnn.from_numpy(ids)
    x = fastnn.tensor(np.ones((3000, 3), np.float32))
    call = {
        "embedding": lambda: F.embedding(i, x),
        "gather": lambda: x.gather(0, i.reshape(-1, 1)),
        "index": lambda: x[i],
        "cross_entropy": lambda: F.cross_entropy(x, i),
        "index_select": lambda: x.index_select(0, i),
    }[op]
    done = threading.Event()

    def rewrite():
        while not done.is_set():
            ids[:] = 2**40
            ids[:] = 0

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(300):
            try:
                call()
            except IndexError:
                pass
    finally:
        done.set()
        writer.join()
