"""Cases of pooling: max, average, adaptive, unpooling; the references are loops over windows."""

import itertools

import numpy as np

from cases.case import A, Case, S, torch

EXACT = {"tol32": (0, 0), "tol64": (0, 0), "why": "picks elements; gradients are sums of a few"}
EXACT |= {"grad_tol32": (1e-6, 1e-6), "dtypes": ("float32", "float64")}
MEANS = {"tol32": (1e-6, 1e-6), "tol64": (1e-14, 1e-14), "why": "a mean of a few numbers"}


def per_axis(v, rank):
    """One number, or one an axis."""
    return [v] * rank if isinstance(v, int) else list(v)


def axis_windows(size, kernel, stride, padding, dilation=1, ceil_mode=False):
    """For every window of one axis: its cells, the padding's included, and the size that the average counts."""
    extent = (kernel - 1) * dilation + 1
    if padding == "same":
        out = -(-size // stride)
        total = max((out - 1) * stride + extent - size, 0)
        before, after = total // 2, total - total // 2
    else:
        before = after = padding
        room = size + 2 * padding - extent
        out = (-(-room // stride) if ceil_mode else room // stride) + 1
        if (out - 1) * stride >= size + padding:
            out -= 1
    found = []
    for o in range(out):
        start = o * stride - before
        found.append((range(start, start + extent, dilation), min(start + extent, size + after) - start))
    return found


def adaptive_axis(size, out):
    """Windows of an adaptive pooling."""
    out = size if out is None else out
    spans = [range(o * size // out, -(-(o + 1) * size // out)) for o in range(out)]
    return [(span, len(span)) for span in spans]


def pooled(x, rank, windows, reduce):
    """y[o] = reduce(cells inside x [cells, C], their flat positions, the counted size)."""
    batch = x[None] if x.ndim == rank + 1 else x
    space = batch.shape[1:-1]
    shape = [len(w) for w in windows]
    y = np.zeros((batch.shape[0], *shape, batch.shape[-1]))
    where = np.zeros(y.shape, np.int64)
    for n in range(batch.shape[0]):
        for o in np.ndindex(*shape):
            axes = [windows[i][o[i]] for i in range(rank)]
            cells = [c for c in itertools.product(*(a[0] for a in axes))]
            cells = [c for c in cells if all(0 <= v < s for v, s in zip(c, space, strict=True))]
            values = np.array([batch[(n, *c)] for c in cells]).reshape(len(cells), -1)
            flat = [int(np.ravel_multi_index(c, space)) for c in cells]
            y[(n, *o)], where[(n, *o)] = reduce(values, flat, np.prod([a[1] for a in axes]))
    return (y[0], where[0]) if x.ndim == rank + 1 else (y, where)


def largest(values, flat, _):
    """The maximum, NaN winning, and where it is."""
    if not flat:
        return -np.inf, -1
    nan = np.isnan(values)
    last = len(flat) - 1 - nan[::-1].argmax(0)  # the last NaN, as in PyTorch
    at = np.where(nan.any(0), last, np.where(nan, -np.inf, values).argmax(0))
    return values.max(0), np.array(flat)[at]


def max_pool(rank):
    """The loop of max pooling over `rank` axes."""

    def reference(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        k = per_axis(kernel_size, rank)
        s = k if stride is None else per_axis(stride, rank)
        p = [padding] * rank if isinstance(padding, str) else per_axis(padding, rank)
        d = per_axis(dilation, rank)
        space = x.shape[-1 - rank : -1]
        y, i = pooled(x, rank, [axis_windows(*a, ceil_mode) for a in zip(space, k, s, p, d, strict=True)], largest)
        return (y, i) if return_indices else y

    return reference


def avg_pool(rank):
    """The loop of average pooling over `rank` axes."""

    def reference(
        x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
    ):
        k = per_axis(kernel_size, rank)
        s = k if stride is None else per_axis(stride, rank)
        p = [padding] * rank if isinstance(padding, str) else per_axis(padding, rank)

        def mean(values, flat, size):
            return values.sum(0) / (divisor_override or (size if count_include_pad else len(flat))), 0

        space = x.shape[-1 - rank : -1]
        return pooled(x, rank, [axis_windows(*a, 1, ceil_mode) for a in zip(space, k, s, p, strict=True)], mean)[0]

    return reference


def adaptive_pool(rank, reduce):
    """The loop of adaptive pooling."""

    def reference(x, output_size, return_indices=False):
        sizes = [output_size] * rank if isinstance(output_size, int | None) else output_size
        windows = [adaptive_axis(*a) for a in zip(x.shape[-1 - rank : -1], sizes, strict=True)]
        y, i = pooled(x, rank, windows, reduce)
        return (y, i) if return_indices else y

    return reference


def unpool(rank):
    """Zeros, and x where the indices say."""

    def reference(x, indices, kernel_size, stride=None, padding=0, output_size=None):
        k, p = per_axis(kernel_size, rank), per_axis(padding, rank)
        s = k if stride is None else per_axis(stride, rank)
        space = x.shape[-1 - rank : -1]
        size = output_size or [(n - 1) * b - 2 * c + a for n, a, b, c in zip(space, k, s, p, strict=True)]
        y = np.zeros((*x.shape[: -1 - rank], int(np.prod(size)), x.shape[-1]))
        np.put_along_axis(y, indices.reshape(*x.shape[: -1 - rank], -1, x.shape[-1]), x.reshape(
            *x.shape[: -1 - rank], -1, x.shape[-1]), -2)  # fmt: skip
        return y.reshape(*x.shape[: -1 - rank], *size, x.shape[-1])

    return reference


def channels_first(name, rank, tensors=1):
    """PyTorch's function of that name on channels-last arguments."""

    def reference(*args, **kwargs):
        if kwargs.get("padding") == "same":
            kwargs["padding"] = tuple((k - 1) // 2 for k in per_axis(args[1], rank))  # odd kernels, stride 1
        first = [t.movedim(-1, t.ndim - 1 - rank) for t in args[:tensors]]
        out = getattr(torch.nn.functional, name)(*first, *args[tensors:], **kwargs)
        if isinstance(out, tuple):
            return tuple(t.movedim(t.ndim - 1 - rank, -1) for t in out)
        return out.movedim(out.ndim - 1 - rank, -1)

    return reference


LAYOUTS = ("dense", "transposed", "strided", "negative", "offset", "expanded")
# (shape, options) by the number of axes.
WINDOWS = {
    1: [
        ((2, 9, 3), {"kernel_size": 2}),
        ((9, 5), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ((2, 10, 17), {"kernel_size": 3, "stride": 2, "ceil_mode": True}),
        ((1, 7, 40), {"kernel_size": (7,)}),
        ((3, 1, 1), {"kernel_size": 1}),
        ((2, 11, 2), {"kernel_size": 3, "stride": 1, "padding": "same"}),
        ((0, 5, 3), {"kernel_size": 2}),
        ((2, 5, 0), {"kernel_size": 2}),
        ((1, 600, 5), {"kernel_size": 300, "stride": 7}),
    ],
    2: [
        ((2, 6, 6, 3), {"kernel_size": 2}),
        ((2, 7, 9, 16), {"kernel_size": 3, "stride": 2, "padding": 1}),
        ((1, 7, 8, 70), {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0), "ceil_mode": True}),
        ((6, 6, 5), {"kernel_size": 2, "stride": 1}),
        ((2, 5, 6, 133), {"kernel_size": 2, "stride": 2, "padding": 1, "ceil_mode": True}),
        ((1, 4, 6, 8), {"kernel_size": 3, "stride": 1, "padding": "same"}),
        ((1, 1, 1, 1), {"kernel_size": 1}),
        ((1, 20, 20, 2), {"kernel_size": 17, "stride": 2}),
    ],
    3: [
        ((2, 4, 4, 4, 3), {"kernel_size": 2}),
        ((1, 5, 6, 7, 20), {"kernel_size": (3, 2, 3), "stride": 2, "padding": (1, 1, 0), "ceil_mode": True}),
        ((3, 4, 5, 2), {"kernel_size": 3, "stride": 1, "padding": 1}),
        ((2, 3, 3, 3, 5), {"kernel_size": 3, "padding": "same", "stride": 1}),
    ],
}
DILATED = {
    1: [((2, 11, 3), {"kernel_size": 3, "dilation": 2}), ((1, 9, 5), {"kernel_size": 2, "dilation": 5, "padding": 1})],
    2: [((2, 9, 8, 5), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": (2, 3), "ceil_mode": True})],
    3: [((1, 5, 5, 6, 2), {"kernel_size": 2, "stride": 1, "dilation": (1, 2, 3)})],
}
ADAPTIVE = {
    1: [((2, 9, 3), 4), ((7, 5), 1), ((1, 5, 17), 8), ((2, 6, 0), 3), ((2, 6, 2), 0), ((1, 700, 2), 2)],
    2: [((2, 7, 7, 3), 1), ((2, 8, 9, 70), (3, 4)), ((5, 6, 2), (None, 2)), ((1, 3, 3, 5), 7), ((2, 20, 20, 2), 1)],
    3: [((2, 4, 5, 6, 3), 2), ((1, 3, 4, 5, 17), (1, None, 7)), ((4, 4, 4, 2), 1)],
}
LARGE = {1: (3, 4001, 33), 2: (3, 61, 67, 33), 3: (2, 9, 31, 33, 19)}


def split(options):
    """kernel_size is positional."""
    options = dict(options)
    return (options.pop("kernel_size"),), options


def same_in_torch(options):
    return options.get("padding") != "same" or options["kernel_size"] == 3


def max_samples(rank):
    out = []
    for shape, options in WINDOWS[rank] + DILATED[rank]:
        args, kw = split(options)
        fits = same_in_torch(options) and 0 not in shape[1:]
        out.append(S(A(*shape, kind="distinct"), *args, **kw, _torch=fits))
        out.append(S(A(*shape, kind="distinct"), *args, **kw, return_indices=True, _torch=fits))
        if min(shape) > 0:
            out.append(S(A(*shape, kind="special"), *args, **kw, _grad=False, _torch=fits))
    shape, options = WINDOWS[rank][1 if rank > 1 else 2]
    args, kw = split(options)
    out += [S(A(*shape, kind="distinct", layout=layout), *args, **kw) for layout in LAYOUTS]
    out.append(S(A(*LARGE[rank], kind="distinct"), 3, stride=2, padding=1, _threads=True))
    out.append(S(A(*LARGE[rank], kind="distinct"), 2, return_indices=True, _threads=True))
    return out


def avg_samples(rank):
    out = []
    for shape, options in WINDOWS[rank]:
        args, kw = split(options)
        fits = same_in_torch(options) and 0 not in shape[1:]
        more = [{}, {"count_include_pad": False}, {"divisor_override": 5}]
        for extra in more:
            known = fits and not (rank == 1 and "divisor_override" in extra)
            out.append(S(A(*shape), *args, **kw, **extra, _torch=known))
    shape, options = WINDOWS[rank][1 if rank > 1 else 2]
    args, kw = split(options)
    out += [S(A(*shape, layout=layout), *args, **kw) for layout in LAYOUTS]
    holes = np.where(np.arange(np.prod(shape)) % 13 == 5, np.nan, 1.0) * np.where(
        np.arange(np.prod(shape)) % 17, 1, np.inf
    )
    out.append(S(A(values=holes.reshape(shape)), *args, **kw, _grad=False))
    out.append(S(A(*LARGE[rank]), 3, stride=2, padding=1, count_include_pad=False, _threads=True))
    return out


def adaptive_samples(rank, kind, indices):
    out = []
    for shape, size in ADAPTIVE[rank]:
        fits = 0 not in shape and size != 0
        out.append(S(A(*shape, kind=kind), size, _torch=fits))
        if indices:
            out.append(S(A(*shape, kind=kind), size, return_indices=True, _torch=fits))
    out += [S(A(*ADAPTIVE[rank][0][0], kind=kind, layout=layout), ADAPTIVE[rank][0][1]) for layout in LAYOUTS]
    out.append(S(A(*LARGE[rank], kind=kind), 5, _threads=True))
    return out


def places(*shape, plane):
    """Indices without repeats within a channel."""
    n = int(np.prod(shape[1:-1]))
    rng = np.random.default_rng(n)
    values = [[rng.permutation(plane)[:n] for _ in range(shape[-1])] for _ in range(shape[0])]
    return A(values=np.array(values).transpose(0, 2, 1).reshape(shape), dtype="int64")


UNPOOL = {
    1: [
        S(A(2, 4, 3), places(2, 4, 3, plane=8), 2),
        S(A(1, 3, 5), places(1, 3, 5, plane=5), 3, stride=2, padding=1),
        S(A(1, 3, 5), places(1, 3, 5, plane=7), 2, output_size=(7,)),
        S(A(2, 300, 90), places(2, 300, 90, plane=600), 2, _threads=True),
    ],
    2: [
        S(A(2, 3, 4, 3), places(2, 3, 4, 3, plane=48), 2),
        *(S(A(1, 3, 2, 5, layout=layout), places(1, 3, 2, 5, plane=15), 3, stride=2, padding=1)
          for layout in LAYOUTS if layout != "expanded"),
        S(A(1, 3, 3, 70), places(1, 3, 3, 70, plane=35), 2, output_size=(7, 5)),
    ],
    3: [S(A(2, 2, 3, 2, 3), places(2, 2, 3, 2, 3, plane=96), 2), S(A(1, 2, 2, 2, 5), places(1, 2, 2, 2, 5, plane=27), 2,
          stride=1, output_size=(3, 3, 3))],
}  # fmt: skip

CASES = []
for rank in (1, 2, 3):
    CASES += [
        Case(f"max_pool{rank}d", numpy=max_pool(rank), torch=channels_first(f"max_pool{rank}d", rank),
             samples=max_samples(rank), **EXACT),
        Case(f"avg_pool{rank}d", numpy=avg_pool(rank), torch=channels_first(f"avg_pool{rank}d", rank),
             samples=avg_samples(rank), **MEANS),
        Case(f"adaptive_max_pool{rank}d", numpy=adaptive_pool(rank, largest),
             torch=channels_first(f"adaptive_max_pool{rank}d", rank), samples=adaptive_samples(rank, "distinct", True),
             **EXACT),
        Case(f"adaptive_avg_pool{rank}d", numpy=adaptive_pool(rank, lambda v, flat, _: (v.sum(0) / len(flat), 0)),
             torch=channels_first(f"adaptive_avg_pool{rank}d", rank), samples=adaptive_samples(rank, "normal", False),
             **MEANS),
        Case(f"max_unpool{rank}d", numpy=unpool(rank), torch=channels_first(f"max_unpool{rank}d", rank, 2),
             samples=UNPOOL[rank], **EXACT),
    ]  # fmt: skip
