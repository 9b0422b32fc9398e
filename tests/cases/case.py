"""How a case is written.

A case states, for one operation of ``fastnn.OPS``: how to call it, what NumPy and PyTorch say it is, how exact it is
and why, and the samples to try. `test_ops.py` does the rest: values against float64 NumPy, values and gradients against
PyTorch, gradients by central differences, on every instruction set, with the same bits on 1, 2, 3 and 8 threads.

    Case(
        "leaky_relu",                                               # the name in ops.inc
        call=lambda x, **kw: fastnn.leaky_relu(x, **kw),            # default: getattr(fastnn, name)
        numpy=lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
        torch=lambda x, **kw: torch.nn.functional.leaky_relu(x, **kw),
        samples=unary() + [S(A(3, 4), negative_slope=0.3)],
    )

Samples are positional and keyword arguments; every `A` among them (also inside lists) becomes an array, a tensor or a
PyTorch tensor. `call` and `torch` get tensors, `numpy` gets float64 arrays (integers stay what they are).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

try:
    import torch
except ImportError:
    torch = None

__all__ = ["A", "Case", "S", "binary", "reductions", "shapes", "torch", "unary"]

ELEMENTWISE = "a few roundings of float32 (6e-8 each) and of float64 (1e-16)"


class A:
    """An array argument: a shape, how its values are drawn and how they lie in memory.

    Parameters
    ----------
    *shape : int
        Sizes; none makes a 0-d array.
    kind : str
        normal; positive (0.2..3); unit (-0.9..0.9); prob (0.05..0.95); wide (normal * 10); away (normal, at least 0.1
        from 0); distinct (no two closer than 0.05: a maximum stays the maximum under a small step); special (NaN, Inf,
        zeros of both signs, denormals, huge and tiny); ones.
    layout : str
        dense; transposed (column-major); strided (every second element); negative (all axes backwards); offset (one
        element into its buffer, so vectors are misaligned); expanded (first axis has stride 0).
    dtype : str, optional
        int64, int32, uint8 or bool: integers in [low, high). float32/float64 pins it; None follows the run.
    values : array_like, optional
        The values themselves (shape is then theirs).
    grad : bool
        Whether it is differentiated (floating arguments only).
    """

    def __init__(self, *shape, kind="normal", layout="dense", dtype=None, low=0, high=None, values=None, grad=True):
        self.shape, self.kind, self.layout, self.dtype = shape, kind, layout, dtype
        self.low, self.high, self.values = low, high, values
        self.grad = grad and layout != "expanded" and kind != "special" and (dtype or "float32").startswith("float")

    def __repr__(self):
        extra = [x for x in (self.kind, self.layout, self.dtype) if x not in (None, "normal", "dense")]
        if self.values is not None:
            return f"A(values={self.values})"
        return f"A({', '.join(map(str, [*self.shape, *extra]))})"


class S:
    """One sample: the arguments of a call.

    The options that begin with an underscore belong to the test: ``_grad=False`` skips gradients (kinks, ties),
    ``_torch=False`` skips the comparison with PyTorch, ``_numpy=False`` the one with NumPy, ``_threads=True`` makes it
    one of the large samples, which only the test of equal bits on any number of threads runs (a full run: all).
    """

    def __init__(self, *args, _grad=True, _torch=True, _numpy=True, _threads=False, **kwargs):
        self.args, self.kwargs = args, kwargs
        self.grad, self.torch, self.numpy, self.threads = _grad, _torch, _numpy, _threads

    def __repr__(self):
        return f"S({', '.join([*map(repr, self.args), *(f'{k}={v!r}' for k, v in self.kwargs.items())])})"


@dataclass
class Case:
    """One operation. Tolerances are (rtol, atol) of float32 and of float64, against float64 NumPy; `why` says why."""

    op: str
    samples: Sequence[S]
    call: Callable | None = None
    numpy: Callable | None = None
    torch: Callable | None = None
    tol32: tuple[float, float] = (1e-6, 1e-6)
    tol64: tuple[float, float] = (1e-13, 1e-13)
    why: str = ELEMENTWISE
    grad_tol32: tuple[float, float] | None = None  # against PyTorch; ten times tol32 where not given
    gradcheck_tol: tuple[float, float] = (2e-5, 2e-6)  # central differences in float64: h = 1e-6, so 1e-10 / h is noise
    differentiable: bool = True
    # What must hold of (arrays of the arguments, outputs) beyond the references: random operations use it.
    check: Callable | None = None
    dtypes: tuple[str, ...] = ("float32", "float64")
    # Names of further operations of the list that this case covers.
    also: Sequence[str] = field(default_factory=tuple)

    def run(self, *args: Any, **kwargs: Any):
        """Calls the operation."""
        import fastnn

        return (self.call or getattr(fastnn, self.op))(*args, **kwargs)


# --- sweeps -----------------------------------------------------------------------------------------------------------

SHAPES = [(), (1,), (7,), (0,), (3, 0, 2), (1, 1), (5, 33), (2, 3, 17), (2, 1, 4, 3)]
LAYOUTS = ["transposed", "strided", "negative", "offset", "expanded"]


def shapes(kind="normal", **kw):
    """Arrays of the usual shapes and layouts."""
    return [A(*s, kind=kind, **kw) for s in SHAPES] + [
        A(*s, kind=kind, layout=layout, **kw) for layout in LAYOUTS for s in ((4, 9), (2, 3, 18))
    ]


def unary(kind="normal", special=True, **kwargs):
    """Samples of a function of one tensor: shapes, layouts, special values, one large for the threads."""
    out = [S(a, **kwargs) for a in shapes(kind)]
    if special:
        out.append(S(A(67, kind="special"), **kwargs, _grad=False))
    return [*out, S(A(3, 70001, kind=kind), **kwargs, _threads=True)]


def binary(kind="normal", kind2=None, special=True, **kwargs):
    """Samples of a function of two tensors: equal shapes, layouts, broadcasts, special values, one large."""
    kind2 = kind2 or kind
    pairs = [
        (A(*s, kind=kind), A(*s, kind=kind2)) for s in SHAPES
    ] + [
        (A(4, 9, kind=kind, layout=a), A(4, 9, kind=kind2, layout=b))
        for a, b in zip(LAYOUTS, [*LAYOUTS[1:], "dense"], strict=True)
    ] + [
        (A(*a, kind=kind), A(*b, kind=kind2))
        for a, b in [
            ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ()), ((5,), (2, 1, 5)), ((2, 3, 4), (3, 1)), ((0, 1), (1, 3)),
            ((1,), (0,)), ((2, 1, 3, 1), (4, 1, 5)), ((6, 33), (33,)), ((6, 33), (6, 1)),
        ]
    ]  # fmt: skip
    out = [S(a, b, **kwargs) for a, b in pairs]
    if special:
        out.append(S(A(67, kind="special"), A(67, kind="special"), **kwargs, _grad=False))
        out.append(S(A(67, kind="special"), A(kind=kind2), **kwargs, _grad=False))
    return [*out, S(A(300, 701, kind=kind), A(701, kind=kind2), **kwargs, _threads=True)]


def reductions(kind="normal", empty=True, special=True, **kwargs):
    """Samples of a reduction: every axis of several shapes, several axes, keepdim, layouts, one large.

    `empty`: whether a reduction over no elements is defined.
    """
    out = [
        S(A(*s, kind=kind), dim=dim, **kwargs)
        for s, dim in [
            ((), None), ((1,), 0), ((7,), None), ((7,), -1), ((5, 33), 0), ((5, 33), 1), ((5, 33), None),
            ((2, 3, 17), 1), ((2, 3, 17), -1), ((2, 3, 17), 0), ((3, 1, 2), 1), ((300, 5), 0), ((5, 300), 1),
        ]
    ]  # fmt: skip
    out += [S(A(2, 3, 17, kind=kind), dim=d, keepdim=True, **kwargs) for d in (0, 1, 2, None)]
    out += [S(A(4, 9, kind=kind, layout=layout), dim=d, **kwargs) for layout in LAYOUTS for d in (0, 1)]
    out += [S(A(3, 0, 2, kind=kind), dim=0, **kwargs), S(A(0, 4, kind=kind), dim=1, **kwargs)]
    if empty:
        out += [S(A(3, 0, 2, kind=kind), dim=1, **kwargs), S(A(0, kind=kind), dim=None, **kwargs)]
    if special:
        out += [S(A(9, 37, kind="special"), dim=d, **kwargs, _grad=False) for d in (0, 1)]
    return [*out, *(S(A(517, 613, kind=kind), dim=d, **kwargs, _threads=True) for d in (0, 1, None))]
