"""Cases of the reductions."""

import numpy as np

import fastnn
from cases.case import A, Case, S, reductions, torch

SUM = "float32 blocks of 4096 added in float64: a lane rounds up to 64 partial sums; PyTorch's own order differs"


def axes(dim):
    """NumPy's axis of a dim."""
    return tuple(dim) if isinstance(dim, list | tuple) else dim


def all_axes(x, dim):
    """dim as PyTorch functions want it that do not take None."""
    return tuple(range(x.ndim)) if dim is None else dim


def reduction(name, numpy, torch, samples=None, **kw):
    """A case whose functions take (x, axis, keepdim)."""
    kw = {"tol32": (3e-6, 2e-5), "tol64": (1e-12, 1e-11), "why": SUM, **kw}
    return Case(
        name,
        numpy=lambda x, dim=None, keepdim=False, **k: numpy(x, axes(dim), keepdim, **k),
        torch=torch and (lambda x, dim=None, keepdim=False, **k: torch(x, dim, keepdim, **k)),
        # Sums of huge values that cancel depend on the order: NaN and Inf are tested in test_reduce.py.
        samples=reductions(special=False) if samples is None else samples,
        **kw,
    )


def ints(**kw):
    """Integer and bool inputs."""
    return [
        S(A(*s, dtype=t, high=h), dim=d, **kw)
        for t, h in (("int64", 7), ("int32", 7), ("uint8", 7), ("bool", None))
        for s, d in (((5, 33), 0), ((5, 33), 1), ((2, 3, 17), None))
    ]


def np_norm(x, axis, keepdim, p=2.0):
    """(sum |x|^p)^(1/p)."""
    a = np.abs(x)
    if p == np.inf:
        return a.max(axis=axis, keepdims=keepdim)
    if p == -np.inf:
        return a.min(axis=axis, keepdims=keepdim)
    if p == 0:
        return (a != 0).sum(axis=axis, keepdims=keepdim).astype(x.dtype)
    return (a**p).sum(axis=axis, keepdims=keepdim) ** (1 / p)


def np_lse(x, axis, keepdim):
    """Stable log-sum-exp; -inf of nothing."""
    m = x.max(axis=axis, keepdims=True, initial=-np.inf)
    m = np.where(np.isfinite(m), m, 0)
    y = np.log(np.exp(x - m).sum(axis=axis, keepdims=True)) + m
    return y if keepdim else np.squeeze(y, axis=axis if axis is not None else tuple(range(x.ndim)))


def variances(name, numpy, torch):
    """var and std; the samples leave out those where one element has no variance."""
    samples = [s for s in reductions(special=False) if s.args[0].shape not in ((), (1,))]
    samples = [s for s in samples if not (0 in s.args[0].shape and s.kwargs["dim"] in (0, 1, None))]
    samples = [s for s in samples if s.args[0].layout != "expanded"]
    samples += [S(A(5, 33), dim=d, correction=0) for d in (0, 1, None)] + [S(A(5, 33), dim=1, unbiased=False)]

    def call(f):
        return lambda x, axis, keepdim, correction=1, unbiased=True: f(x, axis, keepdim, correction if unbiased else 0)

    return reduction(name, call(numpy), call(torch), samples)


def extreme(name, numpy, torch, **kw):
    """amax, amin."""
    samples = reductions("distinct", empty=False)
    return reduction(name, numpy, torch, samples, tol32=(0, 0), tol64=(0, 0), grad_tol32=(1e-6, 1e-6), **kw)


def along(name, arg, numpy, torch):
    """max, min: one axis gives a pair, none a value."""

    def reference(x, axis, keepdim):
        if axis is None:
            return numpy(x)
        index = np.expand_dims(arg(x, axis), axis) if x.ndim else np.zeros((), np.int64)
        value = np.take_along_axis(x, index, axis) if x.ndim else x
        out = (value, index) if keepdim or not x.ndim else (np.squeeze(value, axis), np.squeeze(index, axis))
        return out

    def pytorch(x, dim, keepdim):
        return torch(x) if dim is None else tuple(torch(x, dim, keepdim))

    def call(x, dim=None, keepdim=False):
        f = getattr(fastnn, name)
        return f(x) if dim is None else tuple(f(x, dim, keepdim))

    samples = [
        s for s in reductions("distinct", empty=False) if s.kwargs["dim"] is not None or "keepdim" not in s.kwargs
    ]
    return reduction(
        name, reference, torch and pytorch, samples, call=call, tol32=(0, 0), tol64=(0, 0), grad_tol32=(1e-6, 1e-6)
    )


def index(name, numpy, torch):
    """argmax, argmin."""
    samples = reductions("distinct", empty=False) + [
        S(A(values=v, dtype=t), dim=d)
        for t in ("int64", "float32")
        for v, d in (([[1, 3, 3], [2, 2, 2]], 1), ([[1, 3, 3], [2, 2, 2]], None))
    ]
    return reduction(name, numpy, torch, samples, differentiable=False)


CASES = [
    reduction(
        "sum",
        lambda x, a, k: np.sum(x, axis=a, keepdims=k, dtype=None if x.dtype.kind == "f" else np.int64),
        torch and (lambda x, d, k: torch.sum(x, dim=d, keepdim=k)),
        reductions(special=False) + ints(),
    ),
    reduction(
        "mean",
        lambda x, a, k: np.mean(x, axis=a, keepdims=k),
        torch and (lambda x, d, k: torch.mean(x, dim=all_axes(x, d), keepdim=k)),
    ),
    reduction(
        "nansum",
        lambda x, a, k: np.nansum(x, axis=a, keepdims=k),
        torch and (lambda x, d, k: torch.nansum(x, dim=d, keepdim=k)),
    ),
    reduction(
        "prod",
        lambda x, a, k: np.prod(x, axis=a, keepdims=k, dtype=None if x.dtype.kind == "f" else np.int64),
        None,
        [s for s in reductions("positive", special=False) if not s.threads]
        + ints()
        + [S(A(values=[[0.0, 2.0, 3.0], [0.0, 0.0, 2.0], [1.0, 2.0, 3.0]]), dim=1)]
        + [S(A(517, 613, kind="unit"), dim=0, _threads=True)],
        tol32=(1e-4, 1e-5),
        why="n roundings; of 300 factors here",
    ),
    variances(
        "var",
        lambda x, a, k, c: np.var(x, axis=a, keepdims=k, ddof=c),
        torch and (lambda x, d, k, c: torch.var(x, dim=d, keepdim=k, correction=c)),
    ),
    variances(
        "std",
        lambda x, a, k, c: np.std(x, axis=a, keepdims=k, ddof=c),
        torch and (lambda x, d, k, c: torch.std(x, dim=d, keepdim=k, correction=c)),
    ),
    reduction(
        "var_mean",
        lambda x, a, k: (np.var(x, axis=a, keepdims=k, ddof=1), np.mean(x, axis=a, keepdims=k)),
        torch and (lambda x, d, k: torch.var_mean(x, dim=d, keepdim=k)),
        [S(A(5, 33), dim=d) for d in (0, 1, None)] + [S(A(517, 613), dim=d, _threads=True) for d in (0, 1, None)],
    ),
    reduction("logsumexp", np_lse, torch and (lambda x, d, k: torch.logsumexp(x, dim=all_axes(x, d), keepdim=k))),
    reduction(
        "norm",
        np_norm,
        torch and (lambda x, d, k, p=2.0: torch.linalg.vector_norm(x, p, dim=d, keepdim=k)),
        [
            S(*s.args, **s.kwargs, p=p, _threads=s.threads)
            for p in (2.0, 1.0, 3.5, float("inf"), 0.0)
            for s in reductions("distinct" if p == float("inf") else "away", empty=False, special=False)
            if s.args[0].shape not in ((), (1,)) and not (p == float("inf") and s.args[0].layout == "expanded")
        ]
        + [S(A(5, 33, kind="away"), dim=1, p=float("-inf"))],
        tol32=(2e-5, 2e-5),
        grad_tol32=(1e-3, 1e-4),
        why="|x|^3.5 in float32 is good to a few ulp each; PyTorch adds the powers of 300,000 elements less exactly",
    ),
    extreme(
        "amax",
        lambda x, a, k: np.max(x, axis=a, keepdims=k),
        torch and (lambda x, d, k: torch.amax(x, all_axes(x, d), k)),
    ),
    extreme(
        "amin",
        lambda x, a, k: np.min(x, axis=a, keepdims=k),
        torch and (lambda x, d, k: torch.amin(x, all_axes(x, d), k)),
    ),
    along("max", np.argmax, np.max, torch and torch.max),
    along("min", np.argmin, np.min, torch and torch.min),
    index(
        "argmax",
        lambda x, a, k: np.argmax(x, axis=a, keepdims=k),
        torch and (lambda x, d, k: torch.argmax(x, dim=d, keepdim=k)),
    ),
    index(
        "argmin",
        lambda x, a, k: np.argmin(x, axis=a, keepdims=k),
        torch and (lambda x, d, k: torch.argmin(x, dim=d, keepdim=k)),
    ),
    reduction(
        "any",
        lambda x, a, k: np.any(x, axis=a, keepdims=k),
        torch and (lambda x, d, k: torch.any(x, dim=all_axes(x, d), keepdim=k).bool()),
        reductions() + ints(),
        differentiable=False,
    ),
    reduction(
        "all",
        lambda x, a, k: np.all(x, axis=a, keepdims=k),
        torch and (lambda x, d, k: torch.all(x, dim=all_axes(x, d), keepdim=k).bool()),
        reductions() + ints(),
        differentiable=False,
    ),
    Case(
        "count_nonzero",
        numpy=lambda x, dim=None: np.asarray(np.count_nonzero(x, axis=axes(dim))),
        torch=torch and (lambda x, dim=None: torch.count_nonzero(x, dim=dim)),
        samples=[S(A(*s), dim=d) for s, d in (((), None), ((5, 33), 0), ((5, 33), 1), ((2, 3, 17), None))]
        + ints()
        + [S(A(517, 613), dim=d, _threads=True) for d in (0, 1, None)],
        differentiable=False,
    ),
]
