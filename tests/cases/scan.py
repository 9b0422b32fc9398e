"""Cases of the running sums and products."""

import numpy as np

from cases.case import A, Case, S, torch


def samples(kind, **kw):
    """Every axis, layouts, lines longer than a chunk, integers."""
    shapes = [((), 0), ((1,), 0), ((7,), -1), ((0,), 0), ((5, 33), 0), ((5, 33), 1), ((2, 3, 17), 1), ((3, 0, 2), 2)]
    out = [S(A(*s, kind=kind), dim=d, **kw) for s, d in shapes]
    out += [
        S(A(4, 9, kind=kind, layout=layout), dim=d, **kw)
        for layout in ("transposed", "strided", "negative", "offset", "expanded")
        for d in (0, 1)
    ]
    out += [S(A(5, 7, dtype=t, high=3), dim=d, **kw) for t in ("int64", "int32", "uint8", "bool") for d in (0, 1)]
    return out


CASES = [
    Case(
        "cumsum",
        numpy=lambda x, dim: np.cumsum(x, axis=dim, dtype=None if x.dtype.kind == "f" else np.int64).reshape(x.shape),
        torch=lambda x, dim: torch.cumsum(x, dim),
        samples=[
            *samples("normal"),
            *(S(A(*s), dim=d, _threads=True) for s, d in (((2, 140001), 1), ((300, 600), 0), ((300, 600), 1))),
        ],
        tol32=(1e-6, 1e-4),
        tol64=(1e-12, 1e-10),
        why="float32 runs in float64; sums of 140,001 float64 terms, and PyTorch's float32 gradients",
    ),
    Case(
        "cumprod",
        numpy=lambda x, dim: np.cumprod(x, axis=dim, dtype=None if x.dtype.kind == "f" else np.int64).reshape(x.shape),
        torch=lambda x, dim: torch.cumprod(x, dim),
        samples=[
            *samples("away"),
            S(
                A(values=[[1.5, 0.0, 2.0, 3.0], [0.0, 2.0, 0.0, 2.0], [2.0, 3.0, 0.5, 1.0], [0.0, 0.0, 1.0, 2.0]]),
                dim=1,
            ),
            S(A(values=[[1.5, 0.0, 2.0], [2.0, 2.0, 0.0], [0.0, 3.0, 0.5]]), dim=0),
            S(A(3, 300, kind="prob"), dim=1, _threads=True),
        ],
        tol32=(1e-5, 1e-5),
        tol64=(1e-12, 1e-12),
        why="the products of 33 elements round 33 times in PyTorch",
    ),
]
