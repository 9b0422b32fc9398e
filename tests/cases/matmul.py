"""Cases of the matrix products."""

import numpy as np
from cases.case import A, Case, S, torch

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
        + [S(A(4, 6, kind="special"), A(6, 3), _grad=False), S(A(67, 129), A(129, 97), _threads=True)],
        tol32=(1e-5, 2e-5),
        tol64=(1e-12, 1e-12),
        why="K roundings of partial sums: each is at most 6e-8 of sum |a b|",
    ),
]
