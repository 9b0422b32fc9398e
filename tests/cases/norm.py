"""Cases of the normalisations."""

import numpy as np

import fastnn
from cases.case import A, Case, S, torch


def batch_norm(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, eps=1e-5):
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes) if training else running_mean
    var = x.var(axes) if training else running_var
    y = (x - mean) / np.sqrt(var + eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


def batch_norm_torch(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, eps=1e-5):
    y = torch.nn.functional.batch_norm(
        x.movedim(-1, 1), running_mean, running_var, weight, bias, training, 0.1, eps
    )  # PyTorch has the channels second
    return y.movedim(1, -1)


def call(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, eps=1e-5):
    if training and running_mean is not None:  # they are changed in place; the sample's arrays are for reading
        running_mean, running_var = running_mean.clone(), running_var.clone()
    return fastnn.batch_norm(x, running_mean, running_var, weight, bias, training, 0.1, eps)


def stats(c):
    return A(c, grad=False), A(c, kind="positive", grad=False)


CASES = [
    Case(
        "batch_norm",
        call=call,
        numpy=batch_norm,
        torch=batch_norm_torch,
        samples=[
            S(A(*shape, layout=layout), None, None, A(shape[-1]), A(shape[-1]), training=True)
            for shape in ((8, 5), (2, 1), (70, 67), (3, 4, 5), (130, 3), (2, 3, 2, 4))
            for layout in ("dense", "transposed", "strided", "negative", "offset")
        ]
        + [
            S(A(8, 5), training=True),
            S(A(8, 5), None, None, A(5), None, training=True, eps=1e-2),
            S(A(8, 5), *stats(5), training=False),
            S(A(1, 5), *stats(5), A(5), A(5), training=False),
            S(A(0, 5), *stats(5), A(5), A(5), training=False, _torch=False),
            S(A(3, 0), *stats(0), training=False, _torch=False),
            S(A(6, 4, 5, layout="negative"), *stats(5), A(5), A(5), training=False),
            S(A(2100, 300), None, None, A(300), A(300), training=True, _threads=True),
        ],
        tol32=(2e-5, 2e-5),
        tol64=(1e-12, 1e-12),
        why="1 / sqrt(var) of two close rows magnifies the rounding of their difference",
        gradcheck_tol=(2e-4, 2e-5),
    ),
]
