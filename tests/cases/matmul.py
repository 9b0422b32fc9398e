"""Cases of the matrix products."""

import numpy as np

from cases.case import A, Case, S, torch


def torch_linear(x, weight, bias=None, activation=None):
    y = torch.nn.functional.linear(x, weight.t(), bias)
    return torch.relu(y) if activation else y


CASES = [
    Case(
        "matmul",
        numpy=np.matmul,
        torch=lambda x, y: torch.matmul(x, y),
        samples=[
            S(A(m, k, layout=a), A(k, n, layout=b))
            for (m, k, n), a, b in [
                ((1, 1, 1), "dense", "dense"),
                ((3, 5, 7), "dense", "dense"),
                ((0, 5, 7), "dense", "dense"),
                ((3, 0, 7), "dense", "dense"),
                ((3, 5, 0), "dense", "dense"),
                ((17, 9, 33), "transposed", "dense"),
                ((17, 9, 33), "dense", "transposed"),
                ((5, 9, 4), "negative", "strided"),
                ((5, 9, 4), "offset", "negative"),
                ((4, 6, 5), "expanded", "expanded"),
            ]
        ]
        + [
            S(A(*a), A(*b))
            for a, b in [
                ((4,), (4,)),
                ((4,), (4, 5)),
                ((3, 4), (4,)),
                ((0,), (0,)),
                ((2, 3, 4), (4, 5)),
                ((3, 4), (7, 4, 5)),
                ((2, 1, 3, 4), (5, 4, 6)),
                ((2, 6, 3, 4), (2, 1, 4, 5)),
                ((1, 3, 4), (6, 4, 5)),
                ((4,), (2, 4, 5)),
                ((2, 3, 4), (4,)),
                ((0, 3, 4), (4, 5)),
                ((2, 0, 3, 4), (4, 5)),
                ((1, 4, 3), (6, 3, 1)),
                ((2, 1, 3, 2, 1, 4), (3, 1, 4, 2)),
            ]
        ]
        + [
            S(A(2, 3, 5, 4, layout=a), A(2, 3, 4, 6, layout=b))
            for a, b in [
                ("transposed", "dense"),
                ("strided", "negative"),
                ("negative", "transposed"),
                ("offset", "strided"),
            ]
        ]
        + [S(A(64, 1300), A(1300, 10)), S(A(3, 1400), A(1400, 2, layout="transposed"))]
        + [
            S(A(4, 6, kind="special"), A(6, 3), _grad=False),
            S(A(67, 129), A(129, 97), _threads=True),
        ]
        + [
            S(A(5, 20011, layout="transposed"), A(20011, 7), _threads=True),
            S(A(1, 1500), A(1500, 700), _threads=True),
        ],
        tol32=(1e-5, 1e-4),
        tol64=(1e-12, 1e-12),
        why="K roundings of 6e-8 of a partial sum each; partial sums reach 100 for the longest K",
    ),
    Case(
        "linear",
        numpy=lambda x, w, b=0.0, activation=None: np.maximum(x @ w + b, 0) if activation else x @ w + b,
        torch=torch_linear,
        samples=[
            S(A(*s, 6), A(6, 5), *([A(5)] if bias else []), activation=activation)
            for s in [(), (3,), (0,), (2, 4), (2, 0, 3), (1, 1)]
            for bias in (True, False)
            for activation in (None, "relu")
        ]
        + [
            S(A(7, 6, layout=x), A(6, 5, layout=w), A(5, layout=b))
            for x, w, b in [
                ("transposed", "dense", "strided"),
                ("strided", "transposed", "negative"),
                ("negative", "offset", "offset"),
            ]
        ]
        + [
            S(A(3, 6), A(6, 0), A(0)),
            S(A(3, 0), A(0, 5), A(5)),
            S(A(4, 6, kind="special"), A(6, 3), A(3), _grad=False),
        ]
        + [S(A(130, 784), A(784, 70), A(70), activation="relu", _threads=True)],
        tol32=(1e-5, 1e-4),
        tol64=(1e-12, 1e-12),
        why="K roundings of 6e-8 of a partial sum each; partial sums reach 100 for the longest K",
    ),
    Case("mm", numpy=np.matmul, torch=lambda x, y: torch.mm(x, y), samples=[S(A(5, 3), A(3, 7)), S(A(0, 3), A(3, 2))]),
    Case(
        "bmm",
        numpy=np.matmul,
        torch=lambda x, y: torch.bmm(x, y),
        samples=[S(A(4, 5, 3), A(4, 3, 7)), S(A(0, 2, 3), A(0, 3, 1))],
    ),
    Case("mv", numpy=np.matmul, torch=lambda x, y: torch.mv(x, y), samples=[S(A(5, 3), A(3)), S(A(5, 0), A(0))]),
    Case("dot", numpy=np.dot, torch=lambda x, y: torch.dot(x, y), samples=[S(A(9), A(9)), S(A(0), A(0))]),
    Case("outer", numpy=np.outer, torch=lambda x, y: torch.outer(x, y), samples=[S(A(4), A(6)), S(A(0), A(3))]),
]
