"""Cases of the creation functions."""

import numpy as np

import fastnn
from cases.case import Case, S, torch

FIXED = {"differentiable": False, "dtypes": ("float32",)}
SIZES = [S(2, 3), S((4, 0, 1)), S(5), S(()), S(300, 500, _threads=True)]


def shape_of(size):
    """f(2, 3) and f((2, 3)) mean the same."""
    return size[0] if len(size) == 1 and isinstance(size[0], tuple) else size


def check_empty(sample, outputs):
    """What is in it is not said."""
    assert outputs[0].shape == tuple(shape_of(sample.spec.args)) and outputs[0].dtype == fastnn.float32


CASES = [
    Case("empty", also=["empty_like"], check=check_empty, samples=[S(2, 3), S((4, 0, 1)), S(5), S(())], **FIXED),
    Case(
        "zeros",
        also=["zeros_like"],  # in test_shape_ops.py
        numpy=lambda *size: np.zeros(shape_of(size)),
        torch=lambda *size: torch.zeros(shape_of(size)),
        samples=SIZES,
        **FIXED,
    ),
    Case(
        "ones",
        also=["ones_like"],  # in test_shape_ops.py
        numpy=lambda *size: np.ones(shape_of(size)),
        torch=lambda *size: torch.ones(shape_of(size)),
        samples=SIZES,
        **FIXED,
    ),
    Case(
        "full",
        also=["full_like"],  # in test_shape_ops.py
        numpy=np.full,
        torch=lambda size, v: torch.full(size, v),
        samples=[
            S((2, 3), 1.5),
            S((2,), 7),
            S((), True),
            S((0, 2), -1),
            S((3,), np.inf),
            S((70001,), 2.5, _threads=True),
        ],
        **FIXED,
    ),
    Case(
        "arange",
        numpy=lambda *a: np.arange(*a),
        torch=lambda *a: torch.arange(*a),
        samples=[
            S(5),
            S(0),
            S(2, 7),
            S(7, 2, -2),
            S(-3, 4, 3),
            S(0.0, 1.0, 0.1),
            S(1, 2.5, 0.5),
            S(5.0),
            S(2, -1.5, -0.25),
        ]
        + [S(0, 200000, 3, _threads=True), S(0, 1.0, 1e-5, _threads=True)],
        **FIXED,
    ),
    Case(
        "linspace",
        numpy=np.linspace,
        torch=lambda *a: torch.linspace(*a),
        samples=[
            S(0, 1, 11),
            S(-2.5, 3, 8),
            S(1, 1, 3),
            S(5, -5, 2),
            S(3, 9, 1),
            S(3, 9, 0),
            S(0, 1, 100001, _threads=True),
        ],
        **FIXED,
    ),
    Case(
        "logspace",
        numpy=lambda a, b, n, base=10.0: np.logspace(a, b, n, base=base),
        torch=lambda *a: torch.logspace(*a),
        samples=[S(0, 2, 5), S(-3, 3, 7, 2.0), S(1, 1, 1), S(0, 1, 0)],
        **FIXED,
    ),
    Case(
        "eye",
        numpy=np.eye,
        torch=lambda *a: torch.eye(*a),
        samples=[S(3), S(2, 4), S(4, 2), S(0), S(0, 3), S(1, 1)],
        **FIXED,
    ),
]
