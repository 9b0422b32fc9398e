"""Initialisation: every function fills a tensor in place, outside autograd, from the numbers of ``manual_seed``.

Fans follow the layout of the library: the last dimension is the output, the one before it the input, and anything in
front (kernel height, width) multiplies both. A vector or scalar has no fans.
"""

from __future__ import annotations

import math

from .. import _C
from ..autograd import no_grad

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _assign(tensor, values):
    with no_grad():
        tensor.copy_(values)
    return tensor


def _randn(tensor):
    return _C.randn(tuple(tensor.shape), dtype=tensor.dtype)


def _rand(tensor):
    return _C.rand(tuple(tensor.shape), dtype=tensor.dtype)


def _fans(tensor, name: str) -> tuple[int, int]:
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(f"{name}: expected a tensor of two or more dimensions [..., in, out], got {list(shape)}")
    receptive = math.prod(shape[:-2])
    return shape[-2] * receptive, shape[-1] * receptive


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance through an activation: 1 linear and sigmoid, 5/3 tanh, sqrt(2) ReLU,
    sqrt(2 / (1 + slope^2)) leaky ReLU (``param``: the slope, default 0.01), 3/4 SELU."""
    if nonlinearity in ("linear", "identity", "sigmoid", "conv1d", "conv2d", "conv3d"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else float(param)
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity == "selu":
        return 0.75
    raise ValueError(f"calculate_gain: expected linear, sigmoid, tanh, relu, leaky_relu or selu, got {nonlinearity!r}")


def uniform_(tensor, a: float = 0.0, b: float = 1.0):
    """Uniform in [a, b)."""
    if not a <= b:
        raise ValueError(f"uniform_: expected a <= b, got a={a}, b={b}")
    return _assign(tensor, _rand(tensor) * (b - a) + a)


def normal_(tensor, mean: float = 0.0, std: float = 0.01):
    """Normal(mean, std^2). The default std is the course's 0.01 (PyTorch's is 1)."""
    if std < 0:
        raise ValueError(f"normal_: expected std >= 0, got {std}")
    return _assign(tensor, _randn(tensor) * std + mean)


def trunc_normal_(tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0):
    """Normal(mean, std^2) cut off at a and b (absolute values), by the inverse of the distribution function."""
    if not a < b or std <= 0:
        raise ValueError(f"trunc_normal_: expected a < b and std > 0, got a={a}, b={b}, std={std}")
    cdf = lambda v: (1 + math.erf((v - mean) / std / math.sqrt(2))) / 2  # noqa: E731
    low, high = cdf(a), cdf(b)
    # float64 throughout: near 1 a float32 probability has too few digits for the tail.
    p = _C.rand(tuple(tensor.shape), dtype=_C.float64) * (high - low) + low
    values = _erfinv(2 * p - 1) * (std * math.sqrt(2)) + mean
    return _assign(tensor, _C.clamp(values, a, b).to(tensor.dtype))


def _erfinv(y):
    """The inverse error function: Winitzki's closed form (error 2e-3), then Newton steps, each squaring the error."""
    y = _C.clamp(y, -1 + 1e-15, 1 - 1e-15)
    log_term = _C.log(1 - y * y)
    half = 2 / (math.pi * 0.147) + log_term / 2
    x = _C.sqrt(_C.sqrt(half * half - log_term / 0.147) - half) * _C.sign(y)
    for _ in range(3):
        x = x - (_C.erf(x) - y) * (math.sqrt(math.pi) / 2) * _C.exp(x * x)
    return x


def constant_(tensor, val: float):
    """Every element equals ``val``."""
    with no_grad():
        tensor.fill_(val)
    return tensor


def zeros_(tensor):
    """All zero: right for biases and for logistic regression; in a hidden layer the units never become different."""
    return constant_(tensor, 0.0)


def ones_(tensor):
    return constant_(tensor, 1.0)


def eye_(tensor):
    """Ones on the diagonal of a matrix."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: expected a matrix, got {list(tensor.shape)}")
    rows, cols = tuple(tensor.shape)
    return _assign(tensor, _C.eye(rows, cols, dtype=tensor.dtype))


def xavier_uniform_(tensor, gain: float = 1.0):
    """Uniform with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    fan_in, fan_out = _fans(tensor, "xavier_uniform_")
    bound = gain * math.sqrt(6.0 / max(fan_in + fan_out, 1))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor, gain: float = 1.0):
    """Normal with variance gain^2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    fan_in, fan_out = _fans(tensor, "xavier_normal_")
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / max(fan_in + fan_out, 1)))


def _kaiming_std(tensor, a, mode, nonlinearity, name):
    fans = dict(zip(("fan_in", "fan_out"), _fans(tensor, name)))
    if mode not in fans:
        raise ValueError(f"{name}: mode expects 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fans[mode], 1))


def kaiming_uniform_(tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"):
    """Uniform with variance gain^2 / fan (He et al. 2015); ``a`` is the slope of a leaky ReLU, 0 for ReLU."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"):
    """Normal with variance gain^2 / fan (He et al. 2015): 2 / fan_in for ReLU, the course's He initialisation."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"))


def lecun_normal_(tensor):
    """Normal with variance 1 / fan_in, which the course gives for tanh (LeCun et al. 1998)."""
    fan_in, _ = _fans(tensor, "lecun_normal_")
    return normal_(tensor, 0.0, math.sqrt(1.0 / max(fan_in, 1)))


def lecun_uniform_(tensor):
    """Uniform with variance 1 / fan_in."""
    fan_in, _ = _fans(tensor, "lecun_uniform_")
    bound = math.sqrt(3.0 / max(fan_in, 1))
    return uniform_(tensor, -bound, bound)


def orthogonal_(tensor, gain: float = 1.0):
    """gain times a random matrix with orthonormal columns or rows, whichever are fewer (Saxe et al. 2014).

    Dimensions in front of the last are joined: a kernel [KH, KW, Cin, Cout] is the matrix [KH*KW*Cin, Cout].
    """
    _fans(tensor, "orthogonal_")
    shape = tuple(tensor.shape)
    rows, cols = math.prod(shape[:-1]), shape[-1]
    if rows * cols == 0:
        return tensor
    import numpy as np  # the QR factorisation is not worth a kernel

    flat = _C.randn((max(rows, cols), min(rows, cols)), dtype=_C.float64, device="cpu").numpy()
    q, r = np.linalg.qr(flat)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform over orthogonal matrices
    if rows < cols:
        q = q.T
    return _assign(tensor, _C.tensor(gain * q.reshape(shape), dtype=tensor.dtype, device="cpu"))


def sparse_(tensor, sparsity: float, std: float = 0.01):
    """Normal(0, std^2), with a fraction ``sparsity`` of every unit's incoming weights set to zero (Martens 2010)."""
    if tensor.ndim != 2 or not 0 <= sparsity <= 1:
        raise ValueError(
            f"sparse_: expected a matrix and a sparsity in [0, 1], got {list(tensor.shape)} and {sparsity}"
        )
    rows, _ = tuple(tensor.shape)
    drop = math.ceil(sparsity * rows)
    values = _randn(tensor) * std
    rank = _C.argsort(_C.argsort(_rand(tensor), 0), 0)  # a random order of the inputs for every output
    return _assign(tensor, _C.where(rank < drop, _C.zeros_like(values), values))
