"""Cases of gather, scatter and their relatives."""

import numpy as np

from cases.case import A, Case, S, shapes, torch

EXACT = {"tol32": (0, 0), "tol64": (0, 0), "why": "moves elements, changes none"}
COPIES = {
    "tol32": (0, 0), "tol64": (2e-15, 2e-15), "grad_tol32": (1e-5, 1e-5),
    "why": "moves elements; the gradient is a sum over the copies",
}  # fmt: skip
SUMS = {"tol32": (1e-6, 2e-6), "tol64": (1e-14, 1e-14), "why": "adds a few numbers"}
LAYOUTS = ("dense", "transposed", "strided", "negative", "offset", "expanded")


def ids(*shape, size, dtype="int64"):
    """Indices of an axis of `size`. Not negative: PyTorch's gather takes none."""
    return A(*shape, dtype=dtype, low=0, high=size)


def perm(*shape, axis):
    """Indices that do not repeat along an axis."""
    return A(values=np.argsort(np.sin(np.arange(np.prod(shape))).reshape(shape), axis), dtype="int64")


def scattered(x, dim, index, src, add=False):
    """Written out as the loop that it is."""
    y = np.array(x)
    one_d = y.ndim == 0
    y, index = np.atleast_1d(y), np.atleast_1d(index)
    src = np.broadcast_to(src, index.shape) if np.ndim(src) == 0 else src
    for at in np.ndindex(index.shape):
        to = list(at)
        to[dim] = index[at]
        y[tuple(to)] = y[tuple(to)] + src[at] if add else src[at]
    return y.reshape(()) if one_d else y


def gathered(x, dim, index):
    """The loop of gather."""
    x1, i1 = np.atleast_1d(x), np.atleast_1d(index)
    y = np.empty(i1.shape)
    for at in np.ndindex(i1.shape):
        source = list(at)
        source[dim] = i1[at]
        y[at] = x1[tuple(source)]
    return y.reshape(np.shape(index))


def index_added(x, dim, index, source, alpha=1):
    """NumPy's unbuffered addition along an axis."""
    y = np.moveaxis(x.copy(), dim, 0)
    np.add.at(y, index, alpha * np.moveaxis(source, dim, 0))
    return np.moveaxis(y, 0, dim)


def long(i):
    """PyTorch wants int64."""
    return i.long()


PICKS = [
    S(A(4, 6, layout=layout), d, ids(*s, size=(4, 6)[d]))
    for layout in LAYOUTS
    for d, s in ((0, (3, 6)), (1, (4, 9)), (-1, (2, 2)))
] + [
    S(A(2, 3, 4), 1, ids(2, 5, 4, size=3)),
    S(A(2, 3, 4), 0, ids(1, 2, 3, size=2)),
    S(A(2, 3, 4), 2, ids(2, 3, 1, size=4)),
    S(A(5), 0, ids(8, size=5)),
    S(A(), 0, ids(size=1)),
    S(A(3, 4), 0, ids(0, 4, size=3)),
    S(A(0, 4), 1, ids(0, 2, size=4)),
    S(A(3, 4), 1, ids(3, 2, size=4, dtype="int32")),
    S(A(300, 500), 0, ids(300, 500, size=300), _threads=True),
    S(A(40, 7, 90), 1, ids(40, 100, 90, size=7), _threads=True),
]
MASKED = [
    S(A(3, 4, layout=layout), A(3, 4, dtype="bool", layout="dense" if layout == "expanded" else layout))
    for layout in LAYOUTS
] + [S(A(3, 4), A(4, dtype="bool")), S(A(4), A(3, 4, dtype="bool")), S(A(3, 1), A(1, 5, dtype="bool"))]
MASKED += [S(A(), A(dtype="bool")), S(A(0, 3), A(0, 3, dtype="bool")), S(A(2, 1), A(0, dtype="bool"))]
MATRICES = [S(a, k) for a in shapes() if len(a.shape) >= 2 for k in (0, 1, -2, 99, -99)]

CASES = [
    Case("gather", numpy=gathered, torch=lambda x, d, i: torch.gather(x, d, long(i)), samples=PICKS, **COPIES),
    Case(
        "scatter",
        numpy=scattered,
        torch=lambda x, d, i, src: torch.scatter(x, d, long(i), src),
        samples=[S(A(4, 6, layout=layout), 0, perm(4, 6, axis=0), A(4, 6, layout=layout)) for layout in LAYOUTS]
        + [
            S(A(4, 6), 1, perm(3, 5, axis=1), A(4, 6), _torch=False),
            S(A(2, 3, 4), 1, perm(2, 3, 3, axis=1), A(2, 3, 4), _torch=False),
        ]
        + [
            S(A(4, 6), 0, ids(4, 6, size=4), 2.5),
            S(A(), 0, ids(size=1), A()),
            S(A(3, 4), 0, ids(0, 4, size=3), A(2, 4), _torch=False),
        ]
        + [S(A(4, 6), 0, ids(8, 6, size=4), A(8, 6), _torch=False)]
        + [S(A(30, 50), 0, ids(900, 50, size=30), A(900, 50), _threads=True, _torch=False)],
        **EXACT,
    ),
    Case(
        "scatter_add",
        numpy=lambda *a: scattered(*a, add=True),
        torch=lambda x, d, i, src: torch.scatter_add(x, d, long(i), src),
        samples=[S(A(4, 6, layout=layout), 0, ids(9, 6, size=4), A(9, 6, layout=layout)) for layout in LAYOUTS]
        + [
            S(A(4, 6), 1, ids(3, 9, size=6), A(4, 10), _torch=False),
            S(A(2, 3, 4), 1, ids(2, 9, 3, size=3), A(2, 9, 4), _torch=False),
        ]
        + [S(A(), 0, ids(size=1), A()), S(A(3, 4), 0, ids(0, 4, size=3), A(2, 4), _torch=False)]
        + [S(A(30, 50), 0, ids(900, 50, size=30), A(900, 50), _threads=True)]
        + [S(A(3), 0, ids(70000, size=3), A(70000), _threads=True, _torch=False)],
        **SUMS,
    ),
    Case(
        "take_along_dim",
        numpy=lambda x, i, dim=None: np.take_along_axis(x, i, dim) if dim is not None else x.reshape(-1)[i.reshape(-1)],
        torch=lambda x, i, dim=None: torch.take_along_dim(x, i, dim),
        samples=[S(A(4, 6, layout=layout), ids(4, 3, size=6), dim=1) for layout in LAYOUTS]
        + [S(A(4, 6), ids(1, 3, size=6), dim=1), S(A(1, 6), ids(4, 3, size=6), dim=-1), S(A(4, 6), ids(2, 3, size=24))]
        + [S(A(5), ids(7, size=5), dim=0)],
        **COPIES,
    ),
    Case(
        "index_select",
        numpy=lambda x, d, i: np.take(x, i, d),
        torch=lambda x, d, i: torch.index_select(x, d, i),
        samples=[S(A(4, 6, layout=layout), d, ids(9, size=(4, 6)[d])) for layout in LAYOUTS for d in (0, 1)]
        + [
            S(A(2, 3, 4), 1, ids(5, size=3)),
            S(A(2, 3, 4), -1, ids(0, size=4)),
            S(A(5), 0, ids(3, size=5, dtype="int32")),
        ]
        + [S(A(3, 0), 0, ids(2, size=3)), S(A(40, 300), 0, ids(2000, size=40), _threads=True)]
        + [S(A(300, 40), 1, ids(2000, size=40), _threads=True)],
        **COPIES,
    ),
    Case(
        "index_add",
        numpy=index_added,
        torch=lambda x, d, i, s, alpha=1: torch.index_add(x, d, i, s, alpha=alpha),
        samples=[S(A(4, 6, layout=layout), 0, ids(9, size=4), A(9, 6, layout=layout)) for layout in LAYOUTS]
        + [S(A(2, 3, 4), 1, ids(5, size=3), A(2, 5, 4), alpha=-2.5), S(A(5), -1, ids(9, size=5), A(9))]
        + [S(A(3, 4), 0, ids(0, size=3), A(0, 4)), S(A(40, 300), 0, ids(2000, size=40), A(2000, 300), _threads=True)],
        **SUMS,
    ),
    Case(
        "take",
        numpy=lambda x, i: np.take(x, i),
        torch=lambda x, i: torch.take(x, i),
        samples=[S(A(4, 6, layout=layout), ids(2, 5, size=24)) for layout in LAYOUTS]
        + [S(A(5), ids(size=5)), S(A(), ids(3, size=1)), S(A(5), ids(0, 2, size=5))],
        **COPIES,
    ),
    Case(
        "masked_select",
        numpy=lambda x, m: np.broadcast_arrays(x, m)[0][np.broadcast_arrays(x, m)[1]].reshape(-1),
        torch=lambda x, m: torch.masked_select(x, m),
        samples=[*MASKED, S(A(500, 400), A(500, 400, dtype="bool"), _threads=True)],
        **EXACT,
    ),
    Case(
        "masked_fill",
        numpy=lambda x, m, v: np.where(m, v, x),
        torch=lambda x, m, v: torch.masked_fill(x, m, v),
        samples=[S(*s.args, 2.5) for s in MASKED]
        + [S(A(3, 4), A(3, 4, dtype="bool"), A()), S(A(3, 4), A(1, 4, dtype="bool"), -np.inf, _grad=False)]
        + [S(A(500, 400), A(500, 400, dtype="bool"), A(), _threads=True)],
        **COPIES,
    ),
    Case(
        "nonzero",
        numpy=lambda x: np.argwhere(x),
        torch=lambda x: torch.nonzero(x),
        samples=[S(A(3, 4, layout=layout, dtype=t, high=2)) for layout in LAYOUTS for t in ("bool", "int32", "int64")]
        + [S(A(5)), S(A(dtype="bool")), S(A(0, 3)), S(A(67, kind="special")), S(A(2, 3, 4, dtype="uint8", high=2))]
        + [S(A(500, 400, dtype="bool"), _threads=True)],
        differentiable=False,
        **EXACT,
    ),
    Case(
        "one_hot",
        numpy=lambda i, n=-1: np.eye(n if n >= 0 else i.max() + 1, dtype="int64")[i],
        torch=lambda i, n=-1: torch.nn.functional.one_hot(long(i), n),
        samples=[S(A(*s, dtype="int64", high=4), 5) for s in ((), (3,), (2, 3), (0,), (2, 0))]
        + [S(A(values=[[0, 2], [1, 0]], dtype="int64")), S(A(4, dtype="int32", high=3), 3)]
        + [S(A(9000, dtype="int64", high=30), 30, _threads=True)],
        differentiable=False,
        **EXACT,
    ),
    Case("tril", numpy=np.tril, torch=lambda x, k=0: torch.tril(x, k), samples=MATRICES, **EXACT),
    Case("triu", numpy=np.triu, torch=lambda x, k=0: torch.triu(x, k), samples=MATRICES, **EXACT),
]
