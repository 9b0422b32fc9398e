"""Cases of im2col and col2im: loops over the windows; PyTorch's unfold and fold where there are two axes."""

import itertools

import numpy as np

from cases.case import A, Case, S, torch
from cases.conv import pads, per_axis


def windows(x_shape, kernel, stride, padding, dilation):
    """(window position, kernel element, slices of the padded x) of everything that im2col copies."""
    axes = len(x_shape) - 2
    kernel, stride, dilation = (per_axis(v, axes) for v in (kernel, stride, dilation))
    pad = pads(padding, np.empty(x_shape), kernel, stride, dilation)
    sizes = [n + sum(p) for n, p in zip(x_shape[1:-1], pad, strict=True)]
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
    pairs = [
        (o, t, tuple(a * s + b * d for a, b, s, d in zip(o, t, stride, dilation, strict=True)))
        for o in itertools.product(*map(range, out))
        for t in itertools.product(*map(range, kernel))
    ]
    return pad, sizes, out, kernel, pairs


def im2col(x, kernel, stride=1, padding=0, dilation=1):
    pad, _, out, kernel, pairs = windows(x.shape, kernel, stride, padding, dilation)
    xp = np.pad(x, [(0, 0), *pad, (0, 0)])
    y = np.zeros((x.shape[0], *out, *kernel, x.shape[-1]))
    for o, t, at in pairs:
        y[(slice(None), *o, *t)] = xp[(slice(None), *at)]
    return y.reshape(x.shape[0], *out, int(np.prod(kernel)) * x.shape[-1])


def col2im(x, size, kernel, stride=1, padding=0, dilation=1):
    axes = x.ndim - 2
    size = per_axis(size, axes)
    c = x.shape[-1] // int(np.prod(per_axis(kernel, axes)))
    pad, sizes, out, kernel, pairs = windows((x.shape[0], *size, c), kernel, stride, padding, dilation)
    y = np.zeros((x.shape[0], *sizes, c))
    x = x.reshape(x.shape[0], *out, *kernel, c)
    for o, t, at in pairs:
        y[(slice(None), *at)] += x[(slice(None), *o, *t)]
    return y[(slice(None), *(slice(p, p + n) for (p, _), n in zip(pad, size, strict=True)))]


def torch_im2col(x, kernel, stride=1, padding=0, dilation=1):
    cols = torch.nn.functional.unfold(x.movedim(-1, 1), kernel, dilation, padding, stride)
    taps = int(np.prod(per_axis(kernel, 2)))
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(
            x.shape[1:3], *(per_axis(v, 2) for v in (padding, dilation, kernel, stride)), strict=True
        )
    ]
    return cols.reshape(x.shape[0], x.shape[-1], taps, *out).movedim((1, 2), (-1, -2)).flatten(-2)


def torch_col2im(x, size, kernel, stride=1, padding=0, dilation=1):
    taps = int(np.prod(per_axis(kernel, 2)))
    cols = x.flatten(1, 2).unflatten(-1, (taps, -1)).permute(0, 3, 2, 1).flatten(1, 2)
    return torch.nn.functional.fold(cols, per_axis(size, 2), kernel, dilation, padding, stride).movedim(1, -1)


EXACT = dict(tol32=(0, 0), tol64=(0, 0), why="copies")

CASES = [
    Case(
        "im2col",
        numpy=im2col,
        torch=torch_im2col,
        samples=[
            S(A(2, 5, 6, 3), (3, 2)),
            S(A(2, 5, 6, 3), 3, padding=1, stride=2),
            S(A(1, 7, 6, 2), (2, 3), stride=(1, 2), padding=(2, 1), dilation=(3, 2)),
            S(A(2, 5, 6, 3, layout="transposed"), 2),
            S(A(2, 5, 6, 17, layout="negative"), 2),
            S(A(0, 5, 6, 3), 2),
            S(A(1, 5, 6, 3), 2, padding=((0, 1), (2, 0)), _torch=False),
            S(A(1, 5, 6, 3), 3, stride=2, padding="same", _torch=False),
            S(A(2, 9, 2), 3, stride=2, _torch=False),
            S(A(1, 3, 4, 5, 2), (2, 1, 3), padding=1, dilation=2, _torch=False),
            S(A(2, 3, 4, 0), 2, _torch=False),
            S(A(1, 5, 5, 3, kind="special"), 2, _grad=False),
            S(A(4, 40, 41, 9), 3, padding=1, _threads=True),
        ],
        **EXACT,
    ),
    Case(
        "col2im",
        numpy=col2im,
        torch=torch_col2im,
        samples=[
            S(A(2, 3, 5, 18), (5, 6), (3, 2)),
            S(A(2, 3, 3, 27), (5, 6), 3, padding=1, stride=2),
            S(A(1, 8, 2, 12), (7, 6), (2, 3), stride=(1, 2), padding=(2, 1), dilation=(3, 2)),
            S(A(2, 4, 5, 12, layout="strided"), (5, 6), 2),
            S(A(0, 4, 5, 12), (5, 6), 2),
            S(A(2, 4, 6), 9, 3, stride=2, _torch=False),
            S(A(1, 3, 6, 3, 12), (3, 4, 5), (2, 1, 3), padding=1, dilation=2, _torch=False),
            S(A(4, 40, 41, 81), (40, 41), 3, padding=1, _threads=True),
        ],
        tol32=(1e-6, 1e-5),
        tol64=(1e-13, 1e-13),
        why="a sum of at most nine terms",
    ),
]
