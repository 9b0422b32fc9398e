"""Cases of the normalisations."""

import numpy as np

import fastnn
from cases.case import A, Case, S, torch


def batch_norm(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, eps=1e-5):
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes) if training else running_mean
    var = x.var(axes) if training else running_var
    y = (x - mean) / np.sqrt(var + eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


def batch_norm_torch(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, eps=1e-5):
    y = torch.nn.functional.batch_norm(
        x.movedim(-1, 1), running_mean, running_var, weight, bias, training, 0.1, eps
    )  # PyTorch has the channels second
    return y.movedim(1, -1)


def call(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, eps=1e-5):
    if training and running_mean is not None:  # they are changed in place; the sample's arrays are for reading
        running_mean, running_var = running_mean.clone(), running_var.clone()
    return fastnn.batch_norm(x, running_mean, running_var, weight, bias, training, 0.1, eps)


def stats(c):
    return A(c, grad=False), A(c, kind="positive", grad=False)


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    places = int(np.prod(x.shape[1:-1]))
    g = x.reshape(x.shape[0], places, num_groups, x.shape[-1] // num_groups)
    mean, var = g.mean((1, 3), keepdims=True), g.var((1, 3), keepdims=True)
    y = ((g - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


def group_norm_torch(x, *args, **kwargs):
    return torch.nn.functional.group_norm(x.movedim(-1, 1), *args, **kwargs).movedim(1, -1)


def instance_norm(x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, eps=1e-5):
    if use_input_stats:
        return group_norm(x, x.shape[-1], weight, bias, eps)
    return batch_norm(x, running_mean, running_var, weight, bias, False, eps)


def instance_norm_torch(x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, eps=1e-5):
    y = torch.nn.functional.instance_norm(
        x.movedim(-1, 1), running_mean, running_var, weight, bias, use_input_stats, 0.1, eps
    )
    return y.movedim(1, -1)


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    axes = tuple(range(-len(normalized_shape), 0))
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


def rms_norm(x, normalized_shape, weight=None, eps=1e-6):
    axes = tuple(range(-len(normalized_shape), 0))
    return x / np.sqrt(np.square(x).mean(axes, keepdims=True) + eps) * (1 if weight is None else weight)


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    d = np.empty(x.shape)
    for i in range(x.shape[-1]):
        window = x[..., max(0, i - size // 2) : i + (size - 1) // 2 + 1]
        d[..., i] = k + alpha / size * np.square(window).sum(-1)
    return x / d**beta


def local_response_norm_torch(x, *args):
    return torch.nn.functional.local_response_norm(x.movedim(-1, 1), *args).movedim(1, -1)


LAYOUTS = ("dense", "transposed", "strided", "negative", "offset")
CLOSE = {
    "tol32": (2e-5, 2e-5), "tol64": (1e-12, 1e-12), "gradcheck_tol": (2e-4, 2e-5),
    "why": "1 / sqrt(var) of close values magnifies the rounding of their difference",
}  # fmt: skip


CASES = [
    Case(
        "batch_norm",
        call=call,
        numpy=batch_norm,
        torch=batch_norm_torch,
        samples=[
            S(A(*shape, layout=layout), None, None, A(shape[-1]), A(shape[-1]), training=True)
            for shape in ((8, 5), (2, 1), (70, 67), (3, 4, 5), (130, 3), (2, 3, 2, 4))
            for layout in ("dense", "transposed", "strided", "negative", "offset")
        ]
        + [
            S(A(8, 5), training=True),
            S(A(8, 5), None, None, A(5), None, training=True, eps=1e-2),
            S(A(8, 5), *stats(5), training=False),
            S(A(1, 5), *stats(5), A(5), A(5), training=False),
            S(A(0, 5), *stats(5), A(5), A(5), training=False, _torch=False),
            S(A(3, 0), *stats(0), training=False, _torch=False),
            S(A(6, 4, 5, layout="negative"), *stats(5), A(5), A(5), training=False),
            S(A(2100, 300), None, None, A(300), A(300), training=True, _threads=True),
        ],
        tol32=(2e-5, 2e-5),
        tol64=(1e-12, 1e-12),
        why="1 / sqrt(var) of two close rows magnifies the rounding of their difference",
        gradcheck_tol=(2e-4, 2e-5),
    ),
    Case(
        "group_norm",
        numpy=group_norm,
        torch=group_norm_torch,
        samples=[
            S(A(*shape, layout=layout), groups, A(shape[-1]), A(shape[-1]))
            for shape, groups in (((3, 5, 6), 2), ((2, 3, 3, 8), 4), ((4, 6), 3), ((2, 70, 36), 6), ((2, 300, 40), 1))
            for layout in LAYOUTS
        ]
        + [
            S(A(3, 4, 6), 1),
            S(A(3, 4, 6), 6, A(6), None, eps=1e-2),
            S(A(2, 2, 3, 2, 4), 2, None, A(4), _torch=False),  # PyTorch's backward fails without a weight
            S(A(0, 4, 6), 3, A(6), A(6), _torch=False),
            S(A(2, 4, 0), 3, _torch=False, _numpy=False),
            S(A(3, 700, 300), 4, A(300), A(300), _threads=True),
            S(A(3, 9001, 3), 3, A(3), A(3), _threads=True),
        ],
        **CLOSE,
    ),
    Case(
        "instance_norm",
        numpy=instance_norm,
        torch=instance_norm_torch,
        samples=[
            S(A(*shape, layout=layout), None, None, A(shape[-1]), A(shape[-1]))
            for shape in ((3, 5, 6), (2, 3, 3, 35), (2, 270, 3))
            for layout in LAYOUTS
        ]
        + [
            S(A(3, 4, 6), eps=1e-2),
            S(A(3, 4, 6), *stats(6), A(6), A(6), use_input_stats=False),
            S(A(0, 4, 6), None, None, A(6), A(6), _torch=False),
            S(A(3, 4100, 33), None, None, A(33), A(33), _threads=True),
        ],
        **CLOSE,
    ),
    Case(
        "layer_norm",
        numpy=layer_norm,
        torch=lambda x, shape, *a, **kw: torch.nn.functional.layer_norm(x, shape, *a, **kw),
        samples=[
            S(A(*shape, layout=layout), shape[-last:], A(*shape[-last:]), A(*shape[-last:]))
            for shape, last in (((5, 33), 1), ((2, 3, 17), 2), ((13, 4, 70), 1), ((7, 5), 1), ((4, 3), 2))
            for layout in LAYOUTS
        ]
        + [
            S(A(9), (9,)),
            S(A(4, 9), (9,), A(9), None, eps=1e-2),
            S(A(4, 9), (9,), None, A(9)),
            S(A(4, 1), (1,), A(1), A(1)),
            S(A(0, 4), (4,), A(4), A(4)),
            S(A(3, 0), (0,), _torch=False, _numpy=False),
            S(A(2, 9000), (9000,), A(9000), A(9000)),
            S(A(701, 300), (300,), A(300), A(300), _threads=True),
            S(A(19000, 8), (8,), A(8), A(8), _threads=True),
        ],
        **CLOSE,
    ),
    Case(
        "rms_norm",
        call=lambda x, shape, weight=None, eps=1e-6: fastnn.rms_norm(x, shape, weight, eps),
        numpy=rms_norm,
        torch=lambda x, shape, weight=None, eps=1e-6: torch.nn.functional.rms_norm(x, shape, weight, eps),
        samples=[
            S(A(*shape, layout=layout), shape[-last:], A(*shape[-last:]))
            for shape, last in (((5, 33), 1), ((2, 3, 17), 2), ((13, 4, 70), 1))
            for layout in LAYOUTS
        ]
        + [
            S(A(9), (9,)),
            S(A(4, 1), (1,), A(1), eps=1e-2),
            S(A(0, 4), (4,), A(4)),
            S(A(701, 300), (300,), A(300), _threads=True),
        ],
        tol32=(2e-6, 2e-6),
        tol64=(1e-13, 1e-13),
    ),
    Case(
        "local_response_norm",
        numpy=local_response_norm,
        torch=local_response_norm_torch,
        samples=[S(A(2, 3, 11, layout=layout), 5, 0.3, 0.75, 1.0) for layout in LAYOUTS]
        + [S(A(2, 4, 9), size, 0.5, beta, 2.0) for size, beta in ((1, 0.5), (2, 1.0), (4, 0.6), (3, 0.75), (20, 0.75))]
        + [
            S(A(2, 3, 7), 5),
            S(A(3, 600), 5, 0.3, _torch=False),
            S(A(2, 700), 601, 0.3, 0.75, 1.0, _torch=False),
            S(A(0, 4, 6), 5, _torch=False),
            S(A(3, 0), 5, _torch=False),
            S(A(301, 701), 5, 0.1, _threads=True, _torch=False),
        ],
        tol32=(5e-6, 5e-6),
        tol64=(1e-13, 1e-13),
    ),
]
