"""Cases of the views."""

import numpy as np
from cases.case import A, Case, S, shapes, torch

CASES = [
    Case(
        "reshape",
        numpy=np.reshape,
        torch=lambda x, shape: torch.reshape(x, shape),
        samples=[S(a, (-1,)) for a in shapes() if 0 not in a.shape]
        + [
            S(A(2, 6, layout=l), s)
            for l in ("dense", "transposed", "negative")
            for s in ((3, 4), (2, 2, 3), (12, 1), (12,))
        ]
        + [
            S(A(0, 3), (3, 0)),
            S(A(1), ()),
            S(A(), (1, 1)),
            S(A(600, 700, layout="transposed"), (-1, 3), _threads=True),
        ],
        tol32=(0, 0),
        tol64=(0, 0),
        why="moves elements, changes none",
    ),
]
