"""Cases of embedding tables."""

import numpy as np

import fastnn
from cases.case import A, Case, S, torch

LAYOUTS = ("dense", "transposed", "strided", "negative", "offset")


def ids(*shape, size, dtype="int64", layout="dense"):
    return A(*shape, dtype=dtype, low=0, high=size, layout=layout)


def bag(x, weight, offsets=None, mode="mean", per_sample_weights=None, padding_idx=None, include_last_offset=False):
    if x.ndim == 2:
        offsets = np.arange(x.shape[0]) * x.shape[1]
    factors = np.ones(x.size) if per_sample_weights is None else per_sample_weights.reshape(-1)
    x = x.reshape(-1)
    ends = offsets[1:] if include_last_offset else [*offsets[1:], len(x)]
    out = []
    for start, end in zip(offsets, ends, strict=False):
        kept = [i for i in range(start, end) if x[i] != padding_idx]
        rows = weight[x[kept]] * factors[kept][:, None]
        reduce = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
        out.append(reduce(rows, 0) if kept else np.zeros(weight.shape[1]))
    return np.array(out).reshape(-1, weight.shape[1])


def bag_torch(x, weight, offsets=None, mode="mean", per_sample_weights=None, **kwargs):
    offsets = None if offsets is None else offsets.long()
    return torch.nn.functional.embedding_bag(
        x.long(), weight, offsets, mode=mode, per_sample_weights=per_sample_weights, **kwargs
    )


def starts(*values, dtype="int64"):
    return A(values=values, dtype=dtype)


CASES = [
    Case(
        "embedding",
        call=lambda x, weight, padding_idx=None: fastnn.embedding(x, weight, padding_idx),
        numpy=lambda x, weight, padding_idx=None: weight[x],
        torch=lambda x, weight, padding_idx=None: torch.nn.functional.embedding(x.long(), weight, padding_idx),
        samples=[S(ids(3, 5, size=7, layout=layout), A(7, 18, layout=layout)) for layout in LAYOUTS]
        + [
            S(ids(40, size=3, dtype="int32"), A(3, 33)),
            S(ids(size=5), A(5, 4)),
            S(ids(2, 1, 3, size=1, dtype="uint8"), A(1, 1), _torch=False),
            S(ids(0, 3, size=5), A(5, 4)),
            S(ids(0, size=5), A(0, 4), _torch=False),
            S(ids(4, size=5), A(5, 0), _torch=False),
            S(ids(9, size=2), A(2, 1500)),
            S(A(6, dtype="int64", low=0, high=5), A(5, 9, kind="special"), _grad=False),
            S(ids(5000, size=300), A(300, 130), _threads=True),
            S(ids(3000, size=40000), A(40000, 65), _threads=True),
        ],
        tol32=(0, 0),
        tol64=(0, 0),
        why="copies rows; the gradient is a sum over equal ids",
        grad_tol32=(1e-5, 1e-5),
    ),
    Case(
        "embedding_bag",
        numpy=bag,
        torch=bag_torch,
        samples=[S(ids(4, 3, size=5, layout=layout), A(5, 18, layout=layout), mode="sum") for layout in LAYOUTS]
        + [S(ids(4, 3, size=6), A(6, 7, kind="distinct"), mode=mode) for mode in ("mean", "max")]
        + [
            S(ids(9, size=6), A(6, 20, kind="distinct"), starts(0, 2, 2, 7), mode=mode)
            for mode in ("sum", "mean", "max")
        ]
        + [
            S(ids(9, size=6), A(6, 20), starts(0, 4, 9, dtype="int32"), include_last_offset=True),
            S(ids(9, size=3), A(3, 5, kind="distinct"), starts(0, 1, 5), mode="max", padding_idx=1),
            S(ids(9, size=3), A(3, 5), starts(0, 1, 5), mode="mean", padding_idx=2),
            S(ids(4, 3, size=5), A(5, 18), mode="sum", per_sample_weights=A(4, 3)),
            S(ids(9, size=5), A(5, 1100), starts(0, 3), mode="sum", per_sample_weights=A(9)),
            S(ids(3, 0, size=5), A(5, 4), mode="sum", _torch=False),
            S(ids(0, size=5), A(5, 4), starts(0, 0), _torch=False),
            S(ids(700, 9, size=300), A(300, 65), mode="mean", _threads=True),
        ],
        tol32=(1e-6, 1e-6),
        tol64=(1e-13, 1e-13),
    ),
]
