"""Cases of the convolutions. The reference is the definition as loops over the taps; PyTorch sees permuted layouts."""

import itertools

import numpy as np

from cases.case import A, Case, S, torch


def per_axis(value, axes):
    return (value,) * axes if isinstance(value, int) else tuple(value) * (axes if len(value) == 1 else 1)


def pads(padding, x, kernel, stride, dilation):
    """(before, after) of every spatial axis."""
    axes = len(kernel)
    if padding == "valid":
        return [(0, 0)] * axes
    if padding == "same":
        out = []
        for n, k, s, d in zip(x.shape[1:-1], kernel, stride, dilation, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            out.append((total // 2, total - total // 2))
        return out
    if not isinstance(padding, int) and not isinstance(padding[0], int):
        return [tuple(p) for p in padding]
    return [(p, p) for p in per_axis(padding, axes)]


def conv(x, w, b=None, stride=1, padding=0, dilation=1, groups=1, activation=None):
    axes = x.ndim - 2
    kernel = w.shape[:axes]
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    xp = np.pad(x, [(0, 0), *pads(padding, x, kernel, stride, dilation), (0, 0)])
    out = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(xp.shape[1:-1], kernel, stride, dilation, strict=True)]
    c, f = w.shape[axes], w.shape[axes + 1] // groups
    y = np.zeros((x.shape[0], *out, w.shape[axes + 1]))
    for tap in itertools.product(*map(range, kernel)):
        window = xp[
            (
                slice(None),
                *(
                    slice(t * d, t * d + s * (n - 1) + 1, s)
                    for t, d, s, n in zip(tap, dilation, stride, out, strict=True)
                ),
            )
        ]
        for g in range(groups):
            y[..., g * f : (g + 1) * f] += window[..., g * c : (g + 1) * c] @ w[tap][:, g * f : (g + 1) * f]
    y = y if b is None else y + b
    return np.maximum(y, 0) if activation else y


def conv_transpose(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, activation=None):
    axes = x.ndim - 2
    kernel = w.shape[:axes]
    stride, dilation, extra = per_axis(stride, axes), per_axis(dilation, axes), per_axis(output_padding, axes)
    pad = pads(padding, x, kernel, stride, dilation)
    c, f = w.shape[axes] // groups, w.shape[axes + 1]
    whole = [
        (n - 1) * s + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(x.shape[1:-1], kernel, stride, dilation, extra, strict=True)
    ]
    y = np.zeros((x.shape[0], *whole, f * groups))
    for tap in itertools.product(*map(range, kernel)):
        at = (
            slice(None),
            *(
                slice(t * d, t * d + s * (n - 1) + 1, s)
                for t, d, s, n in zip(tap, dilation, stride, x.shape[1:-1], strict=True)
            ),
        )
        for g in range(groups):
            y[at][..., g * f : (g + 1) * f] += x[..., g * c : (g + 1) * c] @ w[tap][g * c : (g + 1) * c]
    y = y[(slice(None), *(slice(p, n - q) for (p, q), n in zip(pad, whole, strict=True)))]
    y = y if b is None else y + b
    return np.maximum(y, 0) if activation else y


def channels_first(x):
    return x.movedim(-1, 1)


def torch_conv(x, w, b=None, stride=1, padding=0, dilation=1, groups=1, activation=None):
    axes = x.ndim - 2
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)
    pad = pads(padding, x, w.shape[:axes], stride, dilation)
    xp = torch.nn.functional.pad(channels_first(x), [n for p in reversed(pad) for n in p])
    f = getattr(torch.nn.functional, f"conv{axes}d")
    y = f(xp, w.movedim((-1, -2), (0, 1)), b, stride, 0, dilation, groups).movedim(1, -1)
    return torch.relu(y) if activation else y


def torch_transpose(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, activation=None):
    axes = x.ndim - 2
    f = getattr(torch.nn.functional, f"conv_transpose{axes}d")
    w = w.movedim((-2, -1), (0, 1)).contiguous()
    y = f(channels_first(x), w, b, stride, padding, output_padding, groups, dilation).movedim(1, -1)
    return torch.relu(y) if activation else y


def sample(x, kernel, f, groups=1, bias=True, x_layout="dense", w_layout="dense", kind="normal", **kw):
    """A convolution of x [N, *in, C] with f filters."""
    weight = (*kernel, x[-1] // groups, f)
    tensors = [A(*x, layout=x_layout, kind=kind), A(*weight, layout=w_layout)] + ([A(f)] if bias else [])
    options = {k: v for k, v in kw.items() if not k.startswith("_")}
    if groups != 1:
        options["groups"] = groups
    return S(*tensors, **options, **{k: v for k, v in kw.items() if k.startswith("_")})


def transposed(x, kernel, f, groups=1, bias=True, x_layout="dense", w_layout="dense", **kw):
    weight = (*kernel, x[-1], f // groups)
    if groups != 1:
        kw["groups"] = groups
    return S(A(*x, layout=x_layout), A(*weight, layout=w_layout), *([A(f)] if bias else []), **kw)


TOLERANCES = dict(
    tol32=(1e-5, 1e-4),
    tol64=(1e-12, 1e-12),
    why="K roundings of 6e-8 of a partial sum each; partial sums reach 100 for the longest K",
)
RELU = {"activation": "relu"}

CASES = [
    Case(
        "conv1d",
        numpy=conv,
        torch=torch_conv,
        samples=[
            sample((2, 9, 3), (3,), 4),
            sample((2, 9, 3), (3,), 4, bias=False, stride=2, padding=1),
            sample((1, 12, 2), (4,), 3, dilation=2, padding=((3, 1),)),
            sample((2, 11, 4), (2,), 6, groups=2, stride=3),
            sample((2, 10, 5), (3,), 5, groups=5, padding="same"),
            sample((0, 9, 3), (3,), 4),
            sample((2, 1, 1), (1,), 1),
            sample((2, 7, 3), (7,), 2, **RELU),
        ],
        **TOLERANCES,
    ),
    Case(
        "conv2d",
        numpy=conv,
        torch=torch_conv,
        samples=[
            sample((2, 6, 7, 3), (3, 3), 4),
            sample((2, 6, 7, 3), (3, 3), 4, padding=1, **RELU),
            sample((2, 6, 7, 3), (3, 2), 4, padding=(2, 0), stride=(2, 1), bias=False),
            sample((1, 7, 5, 2), (3, 3), 3, padding=((0, 2), (1, 0)), stride=2),
            sample((2, 7, 8, 2), (3, 3), 5, padding="same", stride=2),
            sample((2, 5, 6, 2), (2, 3), 5, padding="valid", dilation=(2, 1)),
            sample((1, 9, 9, 2), (3, 3), 3, padding=3, dilation=(2, 3), stride=(3, 2)),
            sample((1, 6, 6, 4), (1, 1), 7),
            sample((2, 6, 5, 4), (1, 1), 3, stride=2),
            sample((2, 4, 3, 4), (4, 3), 5, **RELU),
            sample((2, 5, 5, 4), (3, 3), 6, groups=2, padding=1),
            sample((2, 5, 5, 4), (3, 3), 8, groups=4, padding=1, stride=2),
            sample((2, 6, 7, 5), (3, 3), 5, groups=5, padding=1, **RELU),
            sample((1, 7, 7, 19), (3, 2), 19, groups=19, padding=1, stride=2, dilation=2),
            sample((1, 4, 4, 3), (2, 2), 3, groups=3, stride=40, padding=50),
            sample((1, 4, 4, 2), (2, 2), 3, stride=40, padding=50),
            sample((1, 3, 3, 2), (2, 2), 3, dilation=30, padding=20),
            sample((1, 2, 2, 1), (5, 5), 1, padding=4),
            sample((0, 4, 4, 3), (3, 3), 2),
            sample((2, 4, 4, 0), (3, 3), 2, _torch=False),
            sample((2, 4, 4, 3), (3, 3), 0, _torch=False),
            sample((2, 0, 4, 3), (2, 2), 2, padding=1, _torch=False),
            sample((1, 1, 1, 1), (1, 1), 1),
        ]
        + [
            sample((2, 5, 4, 3), (3, 3), 4, padding=1, x_layout=a, w_layout=b)
            for a, b in [
                ("transposed", "strided"),
                ("strided", "negative"),
                ("negative", "offset"),
                ("offset", "transposed"),
                ("expanded", "expanded"),
            ]
        ]
        + [
            sample((1, 5, 6, 33), (3, 3), 35, padding=1),
            sample((1, 3, 4, 80), (3, 3), 18, padding=1),
            sample((1, 3, 3, 2), (2, 2), 3, kind="special", _grad=False),
            sample((3, 40, 37, 20), (3, 3), 40, padding=1, _threads=True),
            sample((9, 20, 21, 3), (5, 5), 6, stride=2, _threads=True),
            sample((3, 40, 37, 20), (3, 3), 20, groups=20, padding=1, _threads=True),
            sample((2, 9, 9, 130), (3, 3), 140, padding=1, _threads=True),
        ],
        **TOLERANCES,
    ),
    Case(
        "conv3d",
        numpy=conv,
        torch=torch_conv,
        samples=[
            sample((2, 4, 3, 5, 2), (2, 2, 3), 3),
            sample((1, 4, 4, 5, 2), (3, 2, 1), 3, padding=(1, 0, 2), stride=(2, 1, 3), dilation=(1, 2, 1)),
            sample((1, 3, 4, 4, 4), (2, 2, 2), 4, groups=4, padding="same"),
            sample((1, 3, 4, 4, 4), (2, 2, 2), 6, groups=2, padding=1, **RELU),
            sample((0, 3, 4, 4, 2), (2, 2, 2), 2),
        ],
        **TOLERANCES,
    ),
    Case(
        "conv_transpose1d",
        numpy=conv_transpose,
        torch=torch_transpose,
        samples=[
            transposed((2, 5, 3), (3,), 4),
            transposed((2, 5, 3), (4,), 4, stride=2, padding=1),
            transposed((2, 5, 4), (2,), 6, groups=2, stride=3, output_padding=2, bias=False),
            transposed((0, 5, 3), (3,), 4),
        ],
        **TOLERANCES,
    ),
    Case(
        "conv_transpose2d",
        numpy=conv_transpose,
        torch=torch_transpose,
        samples=[
            transposed((2, 4, 3, 3), (3, 3), 4),
            transposed((2, 4, 3, 3), (4, 4), 5, stride=2, padding=1, **RELU),
            transposed((2, 4, 3, 3), (2, 3), 4, stride=(3, 2), padding=(0, 1), output_padding=(2, 1)),
            transposed((1, 4, 3, 2), (3, 2), 3, dilation=(2, 3), stride=2, padding=1, output_padding=1, bias=False),
            transposed((1, 4, 3, 2), (3, 3), 3, dilation=2, stride=4, output_padding=3, **RELU),
            transposed((1, 3, 3, 2), (2, 2), 3, dilation=4, output_padding=3),
            transposed((2, 3, 3, 4), (1, 1), 6),
            transposed((2, 1, 1, 4), (3, 3), 6),
            transposed((2, 3, 3, 4), (3, 3), 6, groups=2, padding=1),
            transposed((2, 4, 4, 5), (3, 3), 5, groups=5, padding=1, stride=2, output_padding=1),
            transposed((0, 4, 3, 3), (3, 3), 4),
            transposed((2, 4, 3, 0), (3, 3), 4, _torch=False),
            transposed((2, 3, 4, 3), (3, 3), 4, stride=2, x_layout="transposed", w_layout="negative"),
            transposed((5, 16, 15, 20), (4, 4), 12, stride=2, padding=1, _threads=True),
        ],
        **TOLERANCES,
    ),
    Case(
        "conv_transpose3d",
        numpy=conv_transpose,
        torch=torch_transpose,
        samples=[
            transposed((1, 2, 3, 3, 2), (2, 2, 3), 3),
            transposed((1, 2, 3, 3, 2), (3, 2, 2), 4, stride=(2, 1, 3), padding=(1, 0, 1), output_padding=(1, 0, 2)),
            transposed((1, 2, 2, 2, 4), (2, 2, 2), 4, groups=4, stride=2, **RELU),
        ],
        **TOLERANCES,
    ),
]
