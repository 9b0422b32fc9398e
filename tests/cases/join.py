"""Cases of joining and splitting."""

import numpy as np

from cases.case import A, Case, S, torch

EXACT = {"tol32": (0, 0), "tol64": (0, 0), "why": "moves elements, changes none"}
LAYOUTS = ("dense", "transposed", "strided", "negative", "expanded")


def split(x, sizes, dim=0):
    """NumPy counts sections or takes the places of the cuts; here it is sizes."""
    n = x.shape[dim]
    cuts = list(range(sizes, n, sizes)) if isinstance(sizes, int) and sizes else np.cumsum(sizes)[:-1]
    return np.split(x, [] if sizes == 0 else cuts, dim)


def chunk(x, chunks, dim=0):
    """Chunks of the rounded-up size."""
    n = x.shape[dim]
    return split(x, -(-n // chunks), dim) if n else [x] * chunks


def unbind(x, dim=0):
    """Every slice."""
    return [np.take(x, i, dim) for i in range(x.shape[dim])]


ROWS = [S([A(2, 5, layout=layout), A(3, 5), A(1, 5, layout=layout)]) for layout in LAYOUTS]
AT_LEAST = [(), (3,), (2, 3), (2, 3, 4), (0,), (2, 1, 3, 1)]
CASES = [
    Case(
        "cat",
        also=["concat", "concatenate"],  # the same function
        numpy=lambda t, dim=0: np.concatenate([a for a in t if a.shape != (0,)] or t, dim),
        torch=lambda t, dim=0: torch.cat(t, dim),
        samples=[
            *ROWS,
            *(S([A(2, 3, 4, layout=layout), A(2, 5, 4)], dim=d) for layout in LAYOUTS for d in (1, -2)),
            S([A(3)]),
            S([A(0), A(2)]),
            S([A(0, 3), A(2, 3)]),
            S([A(0), A(2, 3), A(1, 3)]),
            S([A(0), A(0)]),
            S([A(2, 0), A(2, 3)], 1),
            S([A(2, 3), A(4, 3, dtype="int64")], _grad=False),
            S([A(300, 400), A(300, 500)], dim=1, _threads=True),
        ],
        **EXACT,
    ),
    Case(
        "stack",
        numpy=lambda t, dim=0: np.stack(t, dim),
        torch=lambda t, dim=0: torch.stack(t, dim),
        samples=[S([A(2, 3, layout=layout), A(2, 3)], dim=d) for layout in LAYOUTS for d in (0, 1, 2, -1)]
        + [S([A(), A(), A()]), S([A(0, 2)] * 2), S([A(4)], dim=1)],
        **EXACT,
    ),
    Case(
        "hstack",
        numpy=np.hstack,
        torch=lambda t: torch.hstack(t),
        samples=[S([A(3), A(2)]), S([A(2, 3), A(2, 1)]), S([A(), A()]), S([A(2, 3, 2), A(2, 1, 2)])],
        **EXACT,
    ),
    Case(
        "vstack",
        numpy=np.vstack,
        torch=lambda t: torch.vstack(t),
        samples=[S([A(3), A(3)]), S([A(2, 3), A(3)]), S([A(), A()]), S([A(2, 3, 2), A(1, 3, 2)])],
        **EXACT,
    ),
    Case(
        "split",
        numpy=split,
        torch=lambda x, s, dim=0: torch.split(x, s, dim),
        samples=[
            S(A(5, 6, layout=layout), *a) for layout in LAYOUTS for a in ((2,), (6, 1), ([1, 0, 4],), ([2, 4], -1))
        ]
        + [S(A(7), 7), S(A(7), 100), S(A(0, 2), 3), S(A(0, 2), 0), S(A(300, 500), 77, 1, _threads=True)],
        **EXACT,
    ),
    Case(
        "chunk",
        numpy=chunk,
        torch=lambda x, n, dim=0: torch.chunk(x, n, dim),
        samples=[S(A(5, 6, layout=layout), *a) for layout in LAYOUTS for a in ((2,), (4, 1), (9, 0), (1, -1))]
        + [S(A(0, 2), 3)],
        **EXACT,
    ),
    Case(
        "unbind",
        numpy=unbind,
        torch=lambda x, dim=0: torch.unbind(x, dim),
        samples=[S(A(2, 3, 4, layout=layout), d) for layout in LAYOUTS for d in (0, 1, -1)] + [S(A(3)), S(A(2, 0))],
        **EXACT,
    ),
    Case(
        "atleast_1d",
        numpy=np.atleast_1d,
        torch=lambda x: torch.atleast_1d(x),
        samples=[S(A(*s)) for s in AT_LEAST],
        **EXACT,
    ),
    Case(
        "atleast_2d",
        numpy=np.atleast_2d,
        torch=lambda x: torch.atleast_2d(x),
        samples=[S(A(*s)) for s in AT_LEAST],
        **EXACT,
    ),
    Case(
        "atleast_3d",
        numpy=np.atleast_3d,
        torch=lambda x: torch.atleast_3d(x),
        samples=[S(A(*s)) for s in AT_LEAST],
        **EXACT,
    ),
]
