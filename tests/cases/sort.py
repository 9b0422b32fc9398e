"""Cases of sorting."""

import numpy as np

import fastnn
from cases.case import A, Case, S, torch

SHAPES = [((), 0), ((), -1), ((1,), 0), ((7,), -1), ((5, 33), 0), ((5, 33), 1), ((2, 3, 17), 1), ((2, 700), 1)]
EMPTY = [((0,), 0), ((3, 0, 2), 1), ((3, 0, 2), 2)]
LAYOUTS = ("transposed", "strided", "negative", "offset", "expanded")
LARGE = [((3, 5001), 1), ((5001, 7), 0), ((40, 30, 50), 1)]


def samples(*shapes, **kw):
    """Distinct values (so that PyTorch's unstable order agrees), and ties of few values."""
    out = [S(A(*s, kind="distinct"), dim=d, **kw) for s, d in shapes]
    # Expanded along axis 0 every line there is one value: PyTorch does not promise the first.
    out += [
        S(A(4, 9, kind="distinct", layout=layout), dim=d, _torch=layout != "expanded" or d == 1, **kw)
        for layout in LAYOUTS
        for d in (0, 1)
    ]
    out += [
        S(A(5, 60, dtype=t, high=7), dim=d, _torch=False, **kw) for t in ("int64", "int32", "uint8") for d in (0, 1)
    ]
    out += [S(A(3, 200, dtype=t, high=3), dim=1, _torch=False, **kw) for t in ("int64", "int32", "uint8", "bool")]
    nan, inf = np.nan, np.inf
    row = [3.0, nan, -inf, inf, 0.0, -0.0, nan, 1e-40, -1e-40, -3.0, 0.0]
    out += [S(A(values=row * r), dim=0, _grad=False, _torch=False, **kw) for r in (1, 10)]
    return out + [S(A(*s, kind="distinct"), dim=d, _threads=True, **kw) for s, d in LARGE]


def np_argsort(x, dim=-1, descending=False):
    """Stable, NaN largest; descending keeps the order of equals."""
    if x.ndim == 0:
        return np.zeros((), np.int64)
    key = np.where(np.isnan(x), np.inf, x) if x.dtype.kind == "f" else x.astype(np.int64)
    nan = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    sign = -1 if descending else 1
    return np.lexsort((sign * key, sign * nan.astype(np.int64)), axis=dim).astype(np.int64)


def np_sort(x, dim=-1, descending=False):
    """(values, indices)."""
    i = np_argsort(x, dim, descending)
    return (np.take_along_axis(x, i, dim) if x.ndim else x), i


def np_topk(x, k, dim=-1, largest=True):
    """The first k of the sorted lines."""
    v, i = np_sort(x, dim, largest)
    return (v, i) if x.ndim == 0 else (np.take(v, range(k), axis=dim), np.take(i, range(k), axis=dim))


def np_kth(x, k, dim=-1, keepdim=False):
    """One place of the sorted lines."""
    v, i = np_sort(x, dim)
    if x.ndim == 0:
        return v, i
    at = [k - 1] if keepdim else k - 1
    return np.take(v, at, axis=dim), np.take(i, at, axis=dim)


def np_median(x, dim=None, keepdim=False):
    """The lower middle; the first NaN where there is one."""
    if dim is None:
        return np_kth(x.ravel(), (x.size + 1) // 2, 0)[0] if not np.isnan(x).any() else np.float64(np.nan)
    v, i = np_kth(x, ((x.shape[dim] if x.ndim else 1) + 1) // 2, dim, True)
    nan = np.isnan(x)
    first = np.argmax(nan, axis=dim, keepdims=True) if x.ndim else np.zeros((), np.int64)
    has = nan.any(axis=dim, keepdims=True) if x.ndim else nan
    v, i = np.where(has, np.nan, v), np.where(has, first, i)
    return (v, i) if keepdim or not x.ndim else (np.squeeze(v, dim), np.squeeze(i, dim))


CASES = [
    Case(
        "sort",
        call=lambda x, **kw: tuple(fastnn.sort(x, **kw)),
        numpy=np_sort,
        torch=lambda x, **kw: tuple(torch.sort(x, **kw)),
        samples=samples(*SHAPES, *EMPTY) + samples(*SHAPES, descending=True),
        tol32=(0, 0),
        tol64=(0, 0),
        grad_tol32=(1e-6, 1e-6),
    ),
    Case(
        "argsort",
        numpy=np_argsort,
        torch=lambda x, **kw: torch.argsort(x, **kw),
        samples=samples(*SHAPES, *EMPTY) + samples(*SHAPES, descending=True),
        differentiable=False,
    ),
    Case(
        "topk",
        call=lambda x, k, **kw: tuple(fastnn.topk(x, k, **kw)),
        numpy=np_topk,
        torch=lambda x, k, **kw: tuple(torch.topk(x, k, **kw)),
        samples=[
            *(S(*s.args, 1, **s.kwargs, _grad=s.grad, _torch=s.torch, _threads=s.threads) for s in samples(*SHAPES)),
            *(
                S(A(5, 33, kind="distinct"), k, dim=d, largest=g)
                for k in (0, 2, 4, 5)
                for d in (0, 1)
                for g in (True, False)
            ),
            *(
                S(A(2, 3000, kind="distinct"), k, dim=1, largest=g)
                for k in (5, 100, 374, 2999, 3000)
                for g in (True, False)
            ),
            *(S(A(2, 3000, dtype="int64", high=9), k, dim=1, _torch=False) for k in (5, 100, 374, 1000)),
            S(A(3, 0), 0, dim=1),
            S(A(4, 9, kind="distinct"), 3),
        ],
        tol32=(0, 0),
        tol64=(0, 0),
        grad_tol32=(1e-6, 1e-6),
    ),
    Case(
        "kthvalue",
        call=lambda x, k, **kw: tuple(fastnn.kthvalue(x, k, **kw)),
        numpy=np_kth,
        torch=lambda x, k, **kw: tuple(torch.kthvalue(x, k, **kw)),
        samples=[
            S(A(5, 33, kind="distinct"), k, dim=d, keepdim=q) for k in (1, 3, 5) for d in (0, 1) for q in (True, False)
        ]
        + [S(A(2, 3000, kind="distinct"), k, dim=1, _threads=True) for k in (5, 100, 2999)]
        + [S(A(kind="distinct"), 1)],
        tol32=(0, 0),
        tol64=(0, 0),
        grad_tol32=(1e-6, 1e-6),
    ),
    Case(
        "median",
        call=lambda x, **kw: tuple(fastnn.median(x, **kw)) if kw else fastnn.median(x),
        numpy=np_median,
        torch=lambda x, **kw: tuple(torch.median(x, **kw)) if kw else torch.median(x),
        samples=[S(A(5, 34, kind="distinct"), dim=d, keepdim=q) for d in (0, 1) for q in (True, False)]
        + [S(A(2, 3, 7, kind="distinct")), S(A(kind="distinct")), S(A(kind="distinct"), dim=0)]
        + [S(A(values=[[1.0, np.nan, 2.0, np.nan], [4.0, 3.0, 2.0, 1.0]]), dim=1, _grad=False)]
        + [S(A(2, 3001, kind="distinct"), dim=1, _threads=True)],
        tol32=(0, 0),
        tol64=(0, 0),
        grad_tol32=(1e-6, 1e-6),
    ),
]
