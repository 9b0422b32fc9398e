"""Indices that were changed after the forward pass, through memory shared with NumPy: an error, never a wild write."""

import numpy as np
import pytest

import fastnn


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
    y = op(x, fastnn.from_numpy(values)).sum()
    values[:] = 2**40
    with pytest.raises(IndexError):
        y.backward()


@pytest.mark.parametrize("op", ["sort", "max", "min", "topk", "median"])
def test_indices_returned(op):
    x = fastnn.tensor([[1.0, 3.0, 2.0], [4.0, 0.0, 5.0]], requires_grad=True)
    result = x.topk(2) if op == "topk" else getattr(x, op)(1)
    result[1].numpy()[...] = 2**40
    with pytest.raises(IndexError):
        result[0].sum().backward()
