"""Cases of softmax and its relatives."""

import numpy as np

import fastnn
from cases.case import A, Case, S, torch

WHY = "an exponential of 1 to 2 ulp, a sum and a division; the logarithm of a sum of up to 70,001 terms"


def np_log_softmax(x, dim=-1):
    """x - max - log(sum(exp(x - max)))."""
    with np.errstate(invalid="ignore"):
        d = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
        return d - np.log(np.exp(d).sum(axis=dim, keepdims=True))


def samples():
    """Every axis, layouts, rows longer than a chunk, columns and infinities."""
    shapes = [((), 0), ((), -1), ((1,), 0), ((7,), -1), ((5, 33), 0), ((5, 33), 1), ((2, 3, 17), 1), ((2, 3, 17), 0)]
    shapes += [((0,), 0), ((3, 0), 1), ((3, 0), 0), ((2, 1, 4, 3), 1), ((300, 5), 0), ((3, 130), -1), ((2, 150, 40), 1)]
    out = [S(A(*s, kind="wide"), dim=d) for s, d in shapes] + [S(A(4, 9))]
    out += [
        S(A(4, 9, layout=layout), dim=d)
        for layout in ("transposed", "strided", "negative", "offset", "expanded")
        for d in (0, 1)
    ]
    inf, nan = np.inf, np.nan
    rows = [[1.0, -inf, 2.0], [-inf, -inf, -inf], [inf, 1.0, 2.0], [nan, 1.0, 2.0], [1e38, -1e38, 3e38]]
    out += [S(A(values=rows), dim=1, _grad=False), S(A(values=np.array(rows).T), dim=0, _grad=False)]
    large = [((3, 70001), 1), ((700, 101), 1), ((700, 101), 0), ((3, 2100, 40), 1)]
    return out + [S(A(*s, kind="wide"), dim=d, _threads=True) for s, d in large]


CASES = [
    Case(
        "softmax",
        numpy=lambda x, dim=-1: np.exp(np_log_softmax(x, dim)),
        torch=lambda x, dim=-1: torch.softmax(x, dim),
        samples=samples(),
        tol32=(4e-6, 1e-7),
        tol64=(1e-12, 1e-14),
        why=WHY,
    ),
    Case(
        "log_softmax",
        numpy=np_log_softmax,
        torch=lambda x, dim=-1: torch.log_softmax(x, dim),
        samples=samples(),
        tol32=(4e-6, 4e-6),
        tol64=(1e-12, 1e-12),
        why=WHY,
    ),
    Case(
        "softmin",
        call=lambda x, dim=-1: fastnn.softmin(x, dim),
        numpy=lambda x, dim=-1: np.exp(np_log_softmax(-x, dim)),
        torch=lambda x, dim=-1: torch.nn.functional.softmin(x, dim),
        samples=samples(),
        tol32=(4e-6, 1e-7),
        tol64=(1e-12, 1e-14),
        why=WHY,
    ),
]
