"""Cases of indexing with tensors; keys as Python writes them are tried in test_index.py."""

import numpy as np

from cases.case import A, Case, S, torch

EXACT = {"tol32": (0, 0), "tol64": (2e-15, 2e-15), "why": "moves elements; the gradient is a sum over the copies"}
LAYOUTS = ("dense", "transposed", "strided", "negative", "offset", "expanded")


def ids(*shape, size):
    """Indices of an axis of `size`, negative ones too."""
    return A(*shape, dtype="int64", low=-size, high=size)


def distinct(*values):
    """Indices that do not repeat."""
    return A(values=np.array(values), dtype="int64")


def put(x, indices, values, accumulate=False):
    """NumPy's assignment."""
    y = x.copy()
    if accumulate:
        np.add.at(y, tuple(indices), values)
    else:
        y[tuple(indices)] = values
    return y


CASES = [
    Case(
        "index",
        numpy=lambda x, indices: x[tuple(indices)],
        torch=lambda x, indices: x[tuple(indices)],
        samples=[S(A(4, 9, layout=layout), [ids(6, size=4)]) for layout in LAYOUTS]
        + [S(A(4, 5, layout=layout), [ids(2, 3, size=4), ids(3, size=5)]) for layout in LAYOUTS]
        + [S(A(2, 3, 4), [ids(7, size=2), ids(7, size=3), ids(size=4)]), S(A(3, 4), [A(3, 4, dtype="bool")])]
        + [S(A(3, 4), [A(3, dtype="bool")]), S(A(3, 0), [ids(2, size=3)]), S(A(3), [ids(0, size=3)])]
        + [S(A(50, 300), [ids(4000, size=50)], _threads=True), S(A(1000), [ids(100000, size=1000)], _threads=True)],
        grad_tol32=(1e-5, 1e-5),
        **EXACT,
    ),
    Case(
        "index_put",
        numpy=put,
        torch=lambda x, i, v, accumulate=False: torch.index_put(x, i, v, accumulate),
        samples=[S(A(4, 9, layout=layout), [distinct(2, -1, 1)], A(3, 9, layout=layout)) for layout in LAYOUTS]
        + [S(A(4, 5), [distinct(0, 3), distinct(4, 1)], A(2)), S(A(4, 5), [distinct(0, 3)], A())]
        + [S(A(4, 5), [distinct(0, 3)], A(2, 1)), S(A(4, 5), [distinct(2, 2, 0, 2)], A(4, 5), _torch=False)]
        + [S(A(4, 5), [ids(20, size=4)], A(20, 5), accumulate=True), S(A(3, 4), [A(3, 4, dtype="bool")], A())]
        + [S(A(50, 300), [ids(3000, size=50)], A(3000, 300), accumulate=acc, _threads=True) for acc in (False, True)],
        tol32=(1e-6, 2e-6),
        tol64=(1e-14, 1e-14),
        why="moves elements, or adds a few",
    ),
]
