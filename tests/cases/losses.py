"""Cases of the losses. Classes are the last axis here and the second in PyTorch."""

import numpy as np

from cases.case import A, Case, S, torch

SUM = "a tree of float32 terms, each with a few roundings of exp and log"


def reduced(values, reduction, count=None):
    """The mean divides by `count` where not all terms count."""
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    with np.errstate(all="ignore"):
        return values.sum() / (values.size if count is None else count)


def log_softmax(x):
    """Over the last axis."""
    top = x.max(-1, keepdims=True) if x.size else 0.0
    return x - top - np.log(np.exp(x - top).sum(-1, keepdims=True))


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """-sum_c w_c t'_c log softmax(x)_c with t' = (1 - eps) t + eps / C."""
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else weight
    if target.dtype.kind == "f":
        t, valid, count = target, np.ones(x.shape[:-1]), x.size // classes
    else:
        valid = (target != ignore_index) * 1.0
        labels = np.where(valid > 0, target, 0)
        t = np.eye(classes)[labels]
        count = (w[labels] * valid).sum()
    t = (1 - label_smoothing) * t + label_smoothing / classes
    return reduced(-(w * t * log_softmax(x)).sum(-1) * valid, reduction, count)


def nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    """-w[label] x[label]."""
    w = np.ones(x.shape[-1]) if weight is None else weight
    valid = target != ignore_index
    labels = np.where(valid, target, 0)
    rows = -w[labels] * np.take_along_axis(x, labels[..., None], -1)[..., 0] * valid
    return reduced(rows, reduction, (w[labels] * valid).sum())


def second(x):
    """Classes from the last axis to PyTorch's second."""
    return x if x.ndim < 3 else x.movedim(-1, 1)


def torch_cross_entropy(x, target, weight=None, ignore_index=-100, **kw):
    """PyTorch's, on its own layout."""
    t = second(target) if target.is_floating_point() else target.long()
    return torch.nn.functional.cross_entropy(second(x), t, weight, ignore_index=ignore_index, **kw)


def torch_nll_loss(x, target, weight=None, ignore_index=-100, **kw):
    """PyTorch's, on its own layout."""
    return torch.nn.functional.nll_loss(second(x).contiguous(), target.long(), weight, ignore_index=ignore_index, **kw)


def labelled(probabilities):
    """Samples of a loss of scores over classes."""
    out = []
    for reduction in ("mean", "sum", "none"):
        for shape in ((5, 10), (1, 1), (64, 3), (3, 4, 7), (2, 3, 2, 5), (6,)):
            label = A(*shape[:-1], dtype="int64", low=0, high=shape[-1])
            out.append(S(A(*shape), label, reduction=reduction))
            out.append(S(A(*shape), label, A(shape[-1], kind="positive", grad=False), reduction=reduction))
        for layout in ("transposed", "strided", "negative", "offset"):
            out.append(
                S(A(4, 9, layout=layout), A(4, dtype="int32", low=0, high=9, layout=layout), reduction=reduction)
            )
        out.append(S(A(6, 3, kind="wide"), A(values=[0, 2, 7, 1, 7, 0], dtype="int64"), None, 7, reduction=reduction))
        if probabilities:
            out.append(S(A(6, 9), A(6, 9, kind="prob"), reduction=reduction))
            out.append(S(A(2, 3, 4), A(2, 3, 4, kind="prob"), label_smoothing=0.2, reduction=reduction))
            label = A(5, dtype="int64", low=0, high=10)
            weight = A(10, kind="positive", grad=False)
            out.append(S(A(5, 10), label, weight, label_smoothing=0.3, reduction=reduction))
    out.append(S(A(0, 4), A(0, dtype="int64"), reduction="sum"))
    out.append(S(A(0, 4), A(0, dtype="int64"), reduction="none"))
    out.append(S(A(1003, 517), A(1003, dtype="int64", low=0, high=517), _threads=True))
    return out


def pairs(kind="normal", target="normal", target_grad=True, torch_knows=True, values=None, **kw):
    """Samples of a loss of pairs: reductions, shapes, layouts, weight, mask."""

    def t(*shape, **options):
        if values:
            rng = np.random.default_rng(len(shape))
            return A(values=rng.choice(values, shape), dtype=None, grad=False)
        return A(*shape, kind=target, grad=target_grad, **options)

    out = []
    for reduction in ("mean", "sum", "none"):
        out += [S(A(*s, kind=kind), t(*s), reduction=reduction, **kw) for s in ((7,), (5, 33), (), (2, 3, 4), (1, 1))]
        out += [
            S(A(4, 9, kind=kind, layout=a), t(4, 9) if values else t(4, 9, layout=b), reduction=reduction, **kw)
            for a, b in [
                ("transposed", "dense"),
                ("strided", "negative"),
                ("negative", "offset"),
                ("offset", "strided"),
            ]
        ]
        mask = A(5, 6, dtype="bool")
        weight = A(5, 6, kind="positive", grad=False)
        if torch_knows is not None:
            out.append(S(A(5, 6, kind=kind), t(5, 6), reduction=reduction, mask=mask, _torch=False, **kw))
            out.append(S(A(5, 6, kind=kind), t(5, 6), reduction=reduction, weight=weight, _torch=torch_knows, **kw))
    out.append(S(A(0, 3, kind=kind), t(0, 3), reduction="sum", **kw))
    return [*out, S(A(300, 1001, kind=kind), t(300, 1001), _threads=True, **kw)]


def pointwise(formula, by_weight=False):
    """The NumPy reference of a loss of pairs with weight and mask; `by_weight`: "mean" is per unit of weight."""

    def reference(x, target, *args, reduction="mean", weight=None, mask=None, **kw):
        values = formula(x, target, *args, **kw)
        if weight is not None:
            values = values * weight
            if by_weight and reduction == "mean":
                return values.sum() / weight.sum()
        if mask is None:
            return reduced(values, reduction)
        return reduced(np.where(mask, values, 0), reduction, mask.sum())

    return reference


def huber(x, t, delta=1.0):
    d = np.abs(x - t)
    return np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def smooth_l1(x, t, beta=1.0):
    d = np.abs(x - t)
    return np.where(d < beta, 0.5 * d * d / max(beta, 1e-300), d - 0.5 * beta)


def bce(x, t):
    return -(t * np.maximum(np.log(x), -100) + (1 - t) * np.maximum(np.log1p(-x), -100))


def bce_with_logits(x, t, pos_weight=1.0):
    return (1 - t) * x + (1 + (pos_weight - 1) * t) * (np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, 0))


def kl_div(x, target, reduction="mean", log_target=False):
    values = np.exp(target) * (target - x) if log_target else target * (np.log(target) - x)
    return reduced(values, "sum") / x.shape[0] if reduction == "batchmean" else reduced(values, reduction)


def functional(name):
    """PyTorch's loss of that name, looked up when called."""
    return lambda *args, **kw: getattr(torch.nn.functional, name)(*args, **kw)


TOL = {"tol32": (5e-6, 2e-5), "tol64": (1e-12, 1e-12), "why": SUM}

CASES = [
    Case("cross_entropy", numpy=cross_entropy, torch=torch_cross_entropy, samples=labelled(True), **TOL),
    Case("nll_loss", numpy=nll_loss, torch=torch_nll_loss, samples=labelled(False), **TOL),
    Case(
        "mse_loss",
        numpy=pointwise(lambda x, t: (x - t) ** 2, by_weight=True),
        torch=functional("mse_loss"),
        samples=pairs(),
        **TOL,
    ),
    Case(
        "l1_loss",
        numpy=pointwise(lambda x, t: np.abs(x - t), by_weight=True),
        torch=functional("l1_loss"),
        samples=pairs(),
        **TOL,
    ),
    Case(
        "huber_loss",
        numpy=pointwise(huber),
        torch=functional("huber_loss"),
        samples=pairs() + pairs(torch_knows=None, delta=0.3),
        **TOL,
    ),
    Case(
        "smooth_l1_loss",
        numpy=pointwise(smooth_l1),
        torch=functional("smooth_l1_loss"),
        samples=pairs(torch_knows=False) + pairs(torch_knows=None, beta=0.3) + pairs(torch_knows=None, beta=0.0),
        **TOL,
    ),
    Case(
        "binary_cross_entropy",
        numpy=pointwise(bce),
        torch=functional("binary_cross_entropy"),
        samples=pairs("prob", "prob", target_grad=False),
        **TOL,
    ),
    Case(
        "binary_cross_entropy_with_logits",
        numpy=pointwise(bce_with_logits),
        torch=functional("binary_cross_entropy_with_logits"),
        samples=[
            *pairs("normal", "prob", target_grad=False),
            *pairs("wide", "prob", target_grad=False, torch_knows=None),
            S(A(5, 6), A(5, 6, kind="prob", grad=False), pos_weight=A(6, kind="positive", grad=False)),
        ],
        **TOL,
    ),
    Case(
        "kl_div",
        numpy=kl_div,
        torch=functional("kl_div"),
        samples=pairs("normal", "prob", torch_knows=None)
        + pairs("normal", "normal", torch_knows=None, log_target=True)
        + [S(A(4, 6), A(4, 6, kind="prob"), reduction="batchmean")],
        **TOL,
    ),
    Case(
        "hinge_loss",
        numpy=pointwise(lambda x, t, margin=1.0: np.maximum(0, margin - t * x)),
        samples=pairs(values=[-1.0, 1.0]) + pairs(values=[-1.0, 1.0], margin=0.5),
        **TOL,
    ),
    Case(
        "hinge_embedding_loss",
        numpy=pointwise(lambda x, t, margin=1.0: np.where(t == 1, x, np.maximum(0, margin - x))),
        torch=functional("hinge_embedding_loss"),
        samples=pairs(values=[-1.0, 1.0], torch_knows=False) + pairs(values=[-1.0, 1.0], margin=0.5, torch_knows=None),
        **TOL,
    ),
]
