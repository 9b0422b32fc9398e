"""Cases of padding, repeating and rearranging."""

import numpy as np

import fastnn
from cases.case import A, Case, S, torch

EXACT = {"tol32": (0, 0), "tol64": (0, 0), "why": "moves elements, changes none"}
COPIES = {
    "tol32": (0, 0), "tol64": (2e-15, 2e-15), "grad_tol32": (1e-5, 1e-5),
    "why": "moves elements; the gradient is a sum over the copies, in another order than PyTorch's",
}  # fmt: skip
LAYOUTS = ("dense", "transposed", "strided", "negative", "expanded")
MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(x, amounts, mode="constant", value=0):
    """NumPy's pad, then the crops."""
    if x.ndim == 0:
        return x
    pairs = [(0, 0)] * (x.ndim - len(amounts) // 2) + list(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    grown = [(max(a, 0), max(b, 0)) for a, b in pairs]
    y = np.pad(x, grown, constant_values=value) if mode == "constant" else np.pad(x, grown, MODES[mode])
    return y[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, y.shape, strict=True))]


def repeat(x, *sizes):
    """Tile with its arguments in PyTorch's order."""
    return np.tile(x, sizes)


def flatten(x, start=0, end=-1):
    """One axis for several."""
    if x.ndim == 0:
        return x.reshape(1)
    start, end = start % x.ndim, end % x.ndim
    return x.reshape(*x.shape[:start], int(np.prod(x.shape[start : end + 1])), *x.shape[end + 1 :])


def unfold(x, dim, size, step):
    """NumPy's sliding windows, every step-th of them."""
    windows = np.lib.stride_tricks.sliding_window_view(x, size, dim)
    return windows[(slice(None),) * (dim % x.ndim) + (slice(None, None, step),)]


def diag_embed(x, offset=0, dim1=-2, dim2=-1):
    """Written out as the loop that it is."""
    n = x.shape[-1] + abs(offset)
    y = np.zeros((*x.shape[:-1], n, n))
    for k in range(x.shape[-1]):
        y[..., k + max(-offset, 0), k + max(offset, 0)] = x[..., k]
    return np.moveaxis(y, (-2, -1), (dim1, dim2))


def samples(*argument_lists, shape=(3, 4, 5)):
    """Every list of arguments with every layout."""
    return [S(A(*shape, layout=layout), *a) for layout in LAYOUTS for a in argument_lists]


CASES = [
    Case(
        "pad",
        numpy=pad,
        torch=lambda x, p, mode="constant", value=None: torch.nn.functional.pad(x, p, mode, value),
        samples=samples(
            ((1, 2),), ((0, 1, 2, 0),), ((1, 1, 0, 2, 3, 0), "constant", 2.5), ((-1, 2, 1, -2),), ((-2, -1),)
        )
        + [S(A(2, 3, 4, layout=layout), (2, 1), mode) for layout in LAYOUTS for mode in MODES]
        + [S(A(1, 2, 3, 4), (2, 1, 1, 2), mode) for mode in MODES]
        + [S(A(1, 2, 4, 4), (2, -1, -1, 2), "replicate"), S(A(3, 4), (1, 1, 2, 2), "reflect", _torch=False)]
        + [S(A(3), (-1, -2)), S(A(0, 2), (1, 1, 2, 0)), S(A(), ()), S(A(2, 0), (1, 0)), S(A(5, dtype="int64"), (1, 1))]
        + [S(A(3, 100, 301), (40, 30), mode, _threads=True) for mode in ("constant", *MODES)],
        **COPIES,
    ),
    Case(
        "flip",
        numpy=lambda x, d: np.flip(x, d),
        torch=lambda x, d: torch.flip(x, d),
        samples=samples(((0,),), ((1, 2),), ((-1, 0, 1),))
        + [S(A(0, 2), (0,)), S(A(7), (0,)), S(A(300, 700), (0, 1), _threads=True)],
        **EXACT,
    ),
    Case(
        "roll",
        numpy=lambda x, s, d=None: np.roll(x, s, d),
        torch=lambda x, s, d=None: torch.roll(x, s, d),
        samples=samples((2,), (-4, 1), ((1, 7), (0, 2)), (0, 0), ((1, 2), (1, 1)))
        + [S(A(0, 2), 1), S(A(5), 12), S(A(300, 700), 123457, _threads=True)],
        **EXACT,
    ),
    Case(
        "repeat",
        call=lambda x, *s: x.repeat(*s),
        numpy=repeat,
        torch=lambda x, *s: x.repeat(*s),
        samples=samples((1, 2, 3), (2, 1, 1), (2, 1, 3, 1), (0, 1, 1))
        + [S(A(), 3), S(A(0), 2), S(A(3), 1), S(A(3, 2), 1, 1)]
        + [S(A(1, 2, 1, 2, 1, 2, 1), 2, 2, 2, 2, 2, 2, 2), S(A(300, 200), 2, 3, _threads=True)],
        **COPIES,
    ),
    Case(
        "tile",
        numpy=np.tile,
        torch=lambda x, d: torch.tile(x, d),
        samples=samples(((2,),), ((2, 1, 2, 2),), ((1, 1, 1),)) + [S(A(), (2, 2))],
        **COPIES,
    ),
    Case(
        "repeat_interleave",
        numpy=lambda x, r, d=None: np.repeat(x, r, d),
        torch=lambda x, r, d=None: torch.repeat_interleave(x, r, d),
        samples=samples(
            (2, 1),
            (3, -1),
            (2,),
            (0, 0),
            (1, 0),
            (A(4, dtype="int64", high=3), 1),
            (A(1, dtype="int64", low=2, high=3), 2),
        )
        + [S(A(), 3), S(A(0), 2, 0), S(A(300, 200), 3, 1, _threads=True), S(A(5), A(5, dtype="int64", high=4))],
        **COPIES,
    ),
    Case(
        "unfold",
        call=lambda x, *a: x.unfold(*a),
        numpy=unfold,
        torch=lambda x, *a: x.unfold(*a),
        samples=samples((2, 2, 1), (1, 3, 1), (0, 1, 2), (-1, 5, 1), (1, 2, 3))
        + [S(A(7), 0, 3, 2), S(A(300, 700), 1, 5, 2, _threads=True)],
        **COPIES,
    ),
    Case(
        "diag",
        numpy=np.diag,
        torch=lambda x, k=0: torch.diag(x, k),
        samples=[S(A(4, layout=layout), k) for layout in LAYOUTS for k in (0, 1, -2)]
        + [S(A(3, 5, layout=layout), k) for layout in LAYOUTS for k in (0, 2, -1, 9)]
        + [S(A(0)), S(A(0, 3))],
        **EXACT,
    ),
    Case(
        "diag_embed",
        numpy=diag_embed,
        torch=lambda x, *a: torch.diag_embed(x, *a),
        samples=samples((), (1,), (-2,), (0, 0, 1), (1, -1, 0), (0, 0, -1), shape=(2, 3)) + [S(A(2, 0)), S(A(3))],
        **EXACT,
    ),
    Case(
        "meshgrid",
        numpy=lambda *t, indexing="ij": np.meshgrid(*t, indexing=indexing),
        torch=lambda *t, indexing="ij": torch.meshgrid(*t, indexing=indexing),
        samples=[S(A(3), A(2), indexing=i) for i in ("ij", "xy")]
        + [S(A(3), A(2), A(4), indexing=i) for i in ("ij", "xy")]
        + [S(A(3)), S(A(0), A(2))],
        **COPIES,
    ),
    Case(
        "flatten",
        numpy=flatten,
        torch=lambda x, *a: torch.flatten(x, *a),
        samples=samples((), (1,), (0, 1), (1, -1), (-2, -2)) + [S(A()), S(A(0, 2)), S(A(2, 0, 3), 1)],
        **EXACT,
    ),
    Case(
        "unflatten",
        numpy=lambda x, d, s: x.reshape(*x.shape[: d % x.ndim], *s, *x.shape[d % x.ndim + 1 :]),
        torch=lambda x, dim, s: torch.unflatten(x, dim, s),
        samples=samples((1, (2, 2)), (1, (2, -1)), (-1, (5, 1)), (0, (3,))),
        **EXACT,
    ),
    Case(
        "movedim",
        also=["moveaxis"],  # the same function
        numpy=np.moveaxis,
        torch=lambda x, a, b: torch.movedim(x, a, b),
        samples=samples((0, 2), (-1, 0), ((0, 1), (2, 0)), (1, 1)) + [S(A(4), 0, 0)],
        **EXACT,
    ),
    Case(
        "swapaxes",
        also=["swapdims"],  # the same function
        numpy=np.swapaxes,
        torch=lambda x, a, b: torch.swapaxes(x, a, b),
        samples=samples((0, 2), (1, -1)),
        **EXACT,
    ),
    Case(
        "narrow",
        numpy=lambda x, d, start, n: np.take(x, range(start % x.shape[d], start % x.shape[d] + n), d),
        torch=lambda x, *a: torch.narrow(x, *a),
        samples=samples((0, 1, 2), (1, -2, 2), (-1, 0, 5), (2, 3, 1)),
        **EXACT,
    ),
    Case("fliplr", numpy=np.fliplr, torch=lambda x: torch.fliplr(x), samples=samples(()), **EXACT),
    Case("flipud", numpy=np.flipud, torch=lambda x: torch.flipud(x), samples=samples(()), **EXACT),
    Case("ravel", numpy=np.ravel, torch=lambda x: torch.ravel(x), samples=samples(()) + [S(A()), S(A(0, 2))], **EXACT),
    Case(
        "broadcast_tensors",
        numpy=lambda *t: np.broadcast_arrays(*t),
        torch=lambda *t: torch.broadcast_tensors(*t),
        samples=[S(A(3, 1), A(1, 4)), S(A(), A(2, 3)), S(A(5)), S(A(2, 1), A(0), A(2, 1, 1))],
        **COPIES,
    ),
    Case(
        "broadcast_shapes",
        call=lambda *s: fastnn.zeros(fastnn.broadcast_shapes(*s), dtype="bool"),
        numpy=lambda *s: np.zeros(np.broadcast_shapes(*s), bool),
        samples=[S((2, 1), (3,)), S(), S((1, 0), (4, 1, 1)), S((5,))],
        differentiable=False,
        dtypes=("float32",),
        **EXACT,
    ),
]
