"""Cases of the elementwise operations: one line each, beside the NumPy and PyTorch function it must equal."""

import math

import numpy as np

import fastnn
from cases.case import A, Case, S, binary, torch, unary

F = None if torch is None else torch.nn.functional
LIBM = "float32 polynomials are within 4 ulp (docs/accuracy.md); the rest is a few roundings"
CANCEL = "the formula subtracts or divides nearly equal numbers, as PyTorch's does; absolute error counts"

_erf = np.vectorize(math.erf, otypes=[float])
_erfc = np.vectorize(math.erfc, otypes=[float])


def _sigmoid(x):
    return np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x)))


def _softplus(x, beta=1, threshold=20):
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def _relu6(x):
    return np.clip(x, 0, 6)


def _one(op, numpy, theirs=None, kind="normal", special=True, parameters=(), **kw):
    """A function of one tensor; `parameters` are dicts of further arguments to try."""
    samples = unary(kind, special=special)
    for extra in parameters:
        samples += [S(A(3, 7, kind=kind), **extra), S(A(5, 33, kind=kind, layout="transposed"), **extra)]
    if theirs is None and torch is not None:
        theirs = getattr(torch, op, None) or getattr(F, op)
    return Case(op, numpy=numpy, torch=theirs, samples=samples, **{"tol32": (2e-6, 1e-6), "why": LIBM, **kw})


ONE = [
    _one("neg", np.negative),
    _one("abs", np.abs, kind="away"),
    _one("sign", lambda x: np.where(np.isnan(x), 0, np.sign(x)), kind="away"),
    _one("square", np.square),
    _one("floor", np.floor, kind="unit"),
    _one("ceil", np.ceil, kind="unit"),
    _one("round", np.round, kind="unit"),
    _one("trunc", np.trunc, kind="unit"),
    _one("frac", lambda x: x - np.trunc(x), kind="unit", special=False),
    _one("exp", np.exp, special=False),
    _one("exp2", np.exp2, special=False),
    _one("expm1", np.expm1, special=False),
    _one("log", np.log, kind="positive"),
    _one("log2", np.log2, kind="positive"),
    _one("log10", np.log10, kind="positive"),
    _one("log1p", np.log1p, kind="positive"),
    _one("sqrt", np.sqrt, kind="positive"),
    _one("rsqrt", lambda x: 1 / np.sqrt(x), kind="positive"),
    _one("reciprocal", lambda x: 1 / x, kind="away", special=False),
    _one("sin", np.sin, special=False),
    _one("cos", np.cos, special=False),
    _one("tan", np.tan, kind="unit", special=False),
    _one("asin", np.arcsin, kind="unit"),
    _one("acos", np.arccos, kind="unit"),
    _one("atan", np.arctan),
    _one("sinh", np.sinh, special=False),
    _one("cosh", np.cosh, special=False),
    _one("tanh", np.tanh),
    _one("asinh", np.arcsinh),
    Case(
        "acosh",
        call=lambda x: fastnn.acosh(x + 1.5),
        numpy=lambda x: np.arccosh(x + 1.5),
        torch=lambda x: torch.acosh(x + 1.5),
        samples=unary("positive", special=False),
        tol32=(2e-6, 1e-6),
    ),
    _one("atanh", np.arctanh, kind="unit"),
    _one("erf", _erf, special=False),
    _one("erfc", _erfc, special=False),
    _one("sigmoid", _sigmoid),
    _one("logsigmoid", lambda x: -np.logaddexp(0, -x), special=False),
    _one("logit", lambda x, eps=None: (lambda z: np.log(z / (1 - z)))(x if eps is None else np.clip(x, eps, 1 - eps)),
         lambda x, eps=None: torch.logit(x, eps), kind="prob", special=False, parameters=[{"eps": 0.01}],
         tol32=(1e-5, 1e-6), why=CANCEL),
    _one("relu", lambda x: np.where(x < 0, 0, x), kind="away"),
    _one("relu6", _relu6, kind="away"),
    _one("leaky_relu", lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x), kind="away",
         theirs=F and (lambda x, **kw: F.leaky_relu(x, **kw)), parameters=[{"negative_slope": 0.3}]),
    _one("elu", lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), kind="away",
         theirs=F and (lambda x, **kw: F.elu(x, **kw)), parameters=[{"alpha": 1.7}]),
    _one("selu", lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
         F and F.selu, kind="away"),
    # PyTorch rounds 1 / alpha to float32 even for float64.
    _one("celu", lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)), kind="away",
         theirs=F and (lambda x, **kw: F.celu(x, **kw)),
         parameters=[{"alpha": 1.7, "_torch": False}]),  # PyTorch rounds 1 / alpha to float32 even for float64
    _one("gelu", lambda x, approximate="none": x / 2 * (1 + _erf(x / math.sqrt(2))) if approximate == "none"
         else x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
         F and (lambda x, **kw: F.gelu(x, **kw)), special=False, parameters=[{"approximate": "tanh"}],
         tol32=(1e-5, 1e-6), why=CANCEL),
    _one("softplus", _softplus, F and (lambda x, **kw: F.softplus(x, **kw)), special=False,
         parameters=[{"beta": 2.0}, {"beta": 3.0, "threshold": 2.5}]),
    _one("softsign", lambda x: x / (1 + np.abs(x)), F and F.softsign, kind="away", special=False),
    _one("silu", lambda x: x * _sigmoid(x), F and F.silu, special=False),
    _one("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), F and F.mish, special=False),
    _one("tanhshrink", lambda x: x - np.tanh(x), F and F.tanhshrink, special=False, grad_tol32=(1e-4, 1e-5), why=CANCEL,
         tol32=(1e-5, 1e-6)),
    _one("hardtanh", lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val), kind="unit",
         theirs=F and (lambda x, **kw: F.hardtanh(x, **kw)), parameters=[{"min_val": -3.0, "max_val": 2.0}]),
    _one("hardsigmoid", lambda x: _relu6(x + 3) / 6, F and F.hardsigmoid, kind="unit", tol64=(1e-7, 1e-7),
         why="PyTorch divides by 6 in float32 even for float64"),
    _one("hardswish", lambda x: x * (_relu6(x + 3) / 6), F and F.hardswish, kind="unit", special=False,
         tol64=(1e-7, 1e-7), why="PyTorch divides by 6 in float32 even for float64"),
    _one("hardshrink", lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, 0, x),
         lambda x, **kw: F.hardshrink(x, **kw), special=False, parameters=[{"lambd": 0.07}]),
    _one("softshrink", lambda x, lambd=0.5: np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0)),
         lambda x, **kw: F.softshrink(x, **kw), special=False, parameters=[{"lambd": 0.07}]),
    Case("threshold", numpy=lambda x, threshold, value: np.where(x <= threshold, value, x),
         torch=lambda x, threshold, value: F.threshold(x, threshold, value),
         samples=unary("away", threshold=0.05, value=-2.5)),
    Case("clamp", also=("clip",), numpy=lambda x, min=None, max=None: np.clip(x, min, max),
         torch=lambda x, min=None, max=None: torch.clamp(x, min, max),
         samples=unary("away", min=-0.05, max=0.07) + [S(A(3, 4), min=-0.3), S(A(3, 4), max=0.2)]
         + [S(A(3, 4), A(4, values=[-1.0, -0.5, 0.0, 0.2], grad=False), A(values=[0.3], grad=False))]
         + [S(A(9, dtype="int64", high=20), min=3, max=11), S(A(9, dtype="int32", high=20), min=3)]),
    Case("clamp_min", numpy=np.maximum, torch=lambda x, m: torch.clamp_min(x, m),
         samples=[S(A(5, 6), 0.1), S(A(3), 2)]),
    Case("clamp_max", numpy=np.minimum, torch=lambda x, m: torch.clamp_max(x, m),
         samples=[S(A(5, 6), 0.1), S(A(3), 2)]),
    Case("nan_to_num", numpy=lambda x, nan, posinf, neginf: np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf),
         torch=lambda x, nan, posinf, neginf: torch.nan_to_num(x, nan, posinf, neginf),
         samples=unary(nan=1.5, posinf=7.0, neginf=-8.0)),
    _one("deg2rad", np.deg2rad, special=False),
    _one("rad2deg", np.rad2deg, special=False, tol32=(2e-6, 1e-5)),
]  # fmt: skip

INTEGER = [
    A(4, 9, dtype=d, low=0, high=7, layout=x) for d in ("int64", "int32", "uint8") for x in ("dense", "transposed")
]

TEST = [
    Case(name, numpy=numpy, torch=getattr(torch, name, None), differentiable=False,
         samples=[S(A(*s, grad=False)) for s in [(), (0,), (5, 33)]] + [S(A(67, kind="special"))])
    for name, numpy in [
        ("isnan", np.isnan), ("isinf", np.isinf), ("isfinite", np.isfinite), ("isposinf", np.isposinf),
        ("isneginf", np.isneginf), ("signbit", np.signbit), ("logical_not", np.logical_not),
    ]
]  # fmt: skip


def _two(op, numpy, theirs=None, samples=None, **kw):
    """A function of two tensors."""
    return Case(op, numpy=numpy, torch=theirs or getattr(torch, op, None), samples=samples or binary("away"), **kw)


def _floor_divide(x, y):
    with np.errstate(all="ignore"):
        return x // y if x.dtype.kind in "iu" else np.where(y == 0, x / y, np.floor_divide(x, y))


def _xlogy(x, y):
    with np.errstate(all="ignore"):
        return np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y))


# Ties and jumps: values that are never equal and quotients that are never whole.
_FAR = [S(A(4, 9, kind="unit"), A(4, 9, kind="positive")), S(A(2, 3, 5), A(3, 1, kind="positive")),
        S(A(300, 701, kind="unit"), A(701, kind="positive"), _threads=True)]  # fmt: skip
_WHOLE = [S(A(4, 9, dtype=d, low=0, high=50), A(9, dtype=d, low=1, high=6)) for d in ("int64", "int32", "uint8")] + [
    S(A(4, 9, dtype="int64", low=-50, high=50), A(4, 9, dtype="int64", low=-6, high=0))
]

TWO = [
    _two("add", np.add, samples=binary() + [S(A(4, 9, dtype="int32", high=9), A(9, dtype="int64", high=9))]),
    _two("sub", np.subtract, samples=binary()),
    _two("mul", np.multiply, samples=binary()),
    _two("div", np.divide, samples=binary("normal", "away")),
    _two("floor_divide", _floor_divide, samples=_FAR + _WHOLE, differentiable=False),
    _two("remainder", np.remainder, samples=_FAR + _WHOLE, tol32=(1e-5, 1e-6), why=CANCEL),
    _two("fmod", np.fmod, samples=_FAR + _WHOLE, tol32=(1e-5, 1e-6), why=CANCEL),
    _two("pow", np.power, samples=binary("positive", "normal", special=False)
         + [S(A(3, 5), e) for e in (0, 1, 2, 3, 2.0)] + [S(A(3, 5, kind="positive"), e) for e in (0.5, -0.5, -1, 1.7)],
         tol32=(3e-6, 1e-6)),
    _two("minimum", np.minimum, samples=binary("distinct")),
    _two("maximum", np.maximum, samples=binary("distinct")),
    _two("fmin", np.fmin, samples=binary("distinct")),
    _two("fmax", np.fmax, samples=binary("distinct")),
    _two("atan2", np.arctan2, samples=binary("away"), tol32=(2e-6, 1e-6), why=LIBM),
    _two("hypot", np.hypot, samples=binary("away"), tol32=(2e-6, 1e-6), why=LIBM),
    _two("copysign", np.copysign, samples=binary("away", special=False)),
    _two("xlogy", _xlogy, samples=binary("normal", "positive", special=False), tol32=(2e-6, 1e-6), why=LIBM),
    _two("logaddexp", np.logaddexp, samples=binary(special=False), tol32=(2e-6, 1e-6), why=LIBM),
    _two("prelu", lambda x, w: np.where(x > 0, x, w * x), lambda x, w: torch.where(x > 0, x, w * x),
         samples=[S(A(4, 9, kind="away"), A(9)), S(A(2, 3, 5, kind="away"), A(1)), S(A(0, 3), A(3))]),
    # NaN gives NaN, as in NumPy; PyTorch makes it 0.
    _two("heaviside", np.heaviside, differentiable=False,
         samples=[S(A(4, 9, kind="away"), A(9)), S(A(67, kind="special"), A(), _torch=False)]),
]  # fmt: skip
TWO += [
    _two(op, numpy, differentiable=False, samples=[S(a, A(9, dtype=a.dtype, high=4)) for a in INTEGER])
    for op, numpy in [
        ("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor),
        ("bitwise_left_shift", np.left_shift), ("bitwise_right_shift", np.right_shift),
    ]
]  # fmt: skip
TWO += [
    _two(op, numpy, differentiable=False, samples=binary() + [S(a, A(9, dtype="int64", high=7)) for a in INTEGER])
    for op, numpy in [
        ("eq", np.equal), ("ne", np.not_equal), ("lt", np.less), ("le", np.less_equal), ("gt", np.greater),
        ("ge", np.greater_equal),
    ]
]  # fmt: skip
TWO += [
    _two(op, numpy, differentiable=False, samples=binary() + [S(a, A(9, dtype="int64", high=2)) for a in INTEGER])
    for op, numpy in [("logical_and", np.logical_and), ("logical_or", np.logical_or), ("logical_xor", np.logical_xor)]
]

_MASK = [A(*s, dtype="bool", high=2) for s in [(), (5,), (3, 1), (2, 3, 5)]]

MORE = [
    Case("bitwise_not", numpy=np.bitwise_not, torch=lambda x: torch.bitwise_not(x), differentiable=False,
         samples=[S(a) for a in INTEGER] + [S(A(7, dtype="bool", high=2))]),
    Case("where", numpy=np.where, torch=lambda c, x, y: torch.where(c, x, y),
         samples=[S(m, A(3, 5), A(5)) for m in _MASK] + [S(_MASK[1], A(3, 5, layout="transposed"), A())]),
    Case("lerp", numpy=lambda x, e, w: x + w * (e - x), torch=lambda x, e, w: torch.lerp(x, e, w),
         samples=[S(A(3, 5), A(3, 5), 0.3), S(A(3, 5), A(3, 5), A(3, 5)), S(A(3, 5, layout="strided"), A(3, 5), A(5))]),
    Case("addcmul", numpy=lambda x, a, b, value=1: x + value * a * b,
         torch=lambda x, a, b, value=1: torch.addcmul(x, a, b, value=value),
         samples=[S(A(3, 5), A(3, 5), A(5)), S(A(3, 5), A(5), A(3, 1), value=-0.7)]),
    Case("addcdiv", numpy=lambda x, a, b, value=1: x + value * a / b,
         torch=lambda x, a, b, value=1: torch.addcdiv(x, a, b, value=value),
         samples=[S(A(3, 5), A(3, 5), A(5, kind="away")), S(A(3, 5), A(5), A(3, 1, kind="away"), value=-0.7)]),
    Case("clone", numpy=np.array, torch=lambda x: torch.clone(x), samples=unary()),
]  # fmt: skip

CASES = [*ONE, *TEST, *TWO, *MORE]
