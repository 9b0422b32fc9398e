"""Cases of the views."""

import numpy as np

from cases.case import A, Case, S, shapes, torch

EXACT = {"tol32": (0, 0), "tol64": (0, 0), "why": "moves elements, changes none"}
LAYOUTS = ("dense", "transposed", "strided", "negative", "expanded")


def diagonal(x, offset=0, dim1=0, dim2=1):
    """NumPy's diagonal."""
    return np.diagonal(x, offset, dim1, dim2)


def squeeze(x, dim=None):
    """NumPy refuses to squeeze an axis of another size; here, as in PyTorch, it stays."""
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    return np.squeeze(x, tuple(d for d in dims if x.shape[d] == 1))


CASES = [
    Case(
        "reshape",
        numpy=np.reshape,
        torch=lambda x, shape: torch.reshape(x, shape),
        samples=[S(a, (-1,)) for a in shapes() if 0 not in a.shape]
        + [
            S(A(2, 6, layout=layout), s)
            for layout in ("dense", "transposed", "negative")
            for s in ((3, 4), (2, 2, 3), (12, 1), (12,))
        ]
        + [S(A(0, 3), (3, 0)), S(A(1), ()), S(A(), (1, 1))]
        + [S(A(600, 700, layout="transposed"), (-1, 3), _threads=True)],
        **EXACT,
    ),
    Case(
        "broadcast_to",
        numpy=np.broadcast_to,
        torch=lambda x, shape: torch.broadcast_to(x, shape),
        samples=[
            S(A(*a, layout=layout), b)
            for layout in LAYOUTS
            for a, b in [((3,), (2, 3)), ((3, 1), (3, 4)), ((), (2,)), ((1, 2), (0, 2)), ((2, 1, 3), (4, 2, 5, 3))]
        ],
        tol32=(0, 0),
        tol64=(1e-16, 1e-16),
        why="moves elements; the gradient is a sum over the repeats",
        grad_tol32=(1e-6, 1e-6),
    ),
    Case(
        "diagonal",
        numpy=diagonal,
        torch=lambda x, *a: torch.diagonal(x, *a),
        samples=[
            S(A(*s, layout=layout), *a)
            for layout in LAYOUTS
            for s, a in [((3, 4), ()), ((3, 4), (1,)), ((4, 3), (-2,)), ((2, 3, 4), (0, 1, 2)), ((2, 3, 4), (1, 2, 0))]
        ]
        + [S(A(3, 4), 9), S(A(0, 4)), S(A(1, 1))],
        **EXACT,
    ),
    Case(
        "permute",
        numpy=np.transpose,
        torch=lambda x, dims: torch.permute(x, dims),
        samples=[S(A(2, 3, 4, layout=layout), d) for layout in LAYOUTS for d in ((2, 0, 1), (-1, 1, 0), (0, 1, 2))]
        + [S(A(), ()), S(A(0, 3), (1, 0)), S(A(5), (0,))],
        **EXACT,
    ),
    Case(
        "select",
        numpy=lambda x, dim, index: np.take(x, index, dim),
        torch=lambda x, dim, index: torch.select(x, dim, index),
        samples=[S(A(2, 3, 4, layout=layout), *a) for layout in LAYOUTS for a in ((0, 1), (-1, -1), (1, 0))]
        + [S(A(5), 0, -5), S(A(2, 0), 0, 1)],
        **EXACT,
    ),
    Case(
        "squeeze",
        numpy=squeeze,
        torch=lambda x, *a: torch.squeeze(x, *a),
        samples=[S(A(*s)) for s in ((1, 3, 1), (2, 3), (), (1, 1), (0, 1))]
        + [S(A(1, 3, 1, layout=layout), d) for layout in LAYOUTS for d in (0, -1, 1, (0, 2))],
        **EXACT,
    ),
    Case(
        "transpose",
        numpy=np.swapaxes,
        torch=lambda x, a, b: torch.transpose(x, a, b),
        samples=[S(A(2, 3, 4, layout=layout), *d) for layout in LAYOUTS for d in ((0, 1), (-1, 0), (1, 1))]
        + [S(A(0, 3), 0, 1)],
        **EXACT,
    ),
    Case(
        "unsqueeze",
        numpy=np.expand_dims,
        torch=lambda x, dim: torch.unsqueeze(x, dim),
        samples=[S(A(2, 3, layout=layout), d) for layout in LAYOUTS for d in (0, 1, 2, -1)] + [S(A(), 0), S(A(0), -1)],
        **EXACT,
    ),
]
