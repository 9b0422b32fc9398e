"""Activations as modules. The formulas stand in ``fastnn.nn.functional`` and in the kernels they call."""

from __future__ import annotations

from .. import _C
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class Sigmoid(Module):
    """1 / (1 + exp(-x)): the output of a binary classifier."""

    def forward(self, x):
        return F.sigmoid(x)


class Tanh(Module):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)), between -1 and 1."""

    def forward(self, x):
        return F.tanh(x)


class ReLU(Module):
    """max(0, x); the gradient at 0 is 0."""

    def forward(self, x):
        return F.relu(x)


class ReLU6(Module):
    """min(max(0, x), 6)."""

    def forward(self, x):
        return F.relu6(x)


class SELU(Module):
    """scale * (x if x > 0 else alpha * (exp(x) - 1)), with the self-normalising constants."""

    def forward(self, x):
        return F.selu(x)


class SiLU(Module):
    """x * sigmoid(x), also called swish."""

    def forward(self, x):
        return F.silu(x)


class Mish(Module):
    """x * tanh(softplus(x))."""

    def forward(self, x):
        return F.mish(x)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, x):
        return F.softsign(x)


class LogSigmoid(Module):
    """log(sigmoid(x)), without overflow."""

    def forward(self, x):
        return F.logsigmoid(x)


class Hardsigmoid(Module):
    """clip(x / 6 + 1/2, 0, 1)."""

    def forward(self, x):
        return F.hardsigmoid(x)


class Hardswish(Module):
    """x * hardsigmoid(x)."""

    def forward(self, x):
        return F.hardswish(x)


class LeakyReLU(Module):
    """x if x > 0 else negative_slope * x; the gradient at 0 is negative_slope."""

    def __init__(self, negative_slope: float = 0.01):
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, x):
        return F.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class PReLU(Module):
    """Leaky ReLU with a learned slope: one for all channels (num_parameters=1) or one per channel (the last axis)."""

    def __init__(self, num_parameters: int = 1, init_value: float = 0.25, dtype=None):
        super().__init__()
        self.num_parameters = int(num_parameters)
        self.weight = Parameter(_C.empty((self.num_parameters,), dtype=_C.float32 if dtype is None else dtype))
        init.constant_(self.weight, init_value)

    def forward(self, x):
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class ELU(Module):
    """x if x > 0 else alpha * (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = alpha

    def forward(self, x):
        return F.elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Module):
    """x * Phi(x), Phi the normal distribution function; ``approximate='tanh'`` for the tanh form."""

    def __init__(self, approximate: str = "none"):
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate expects 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x):
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta x)) / beta, linear where beta x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, x):
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Hardtanh(Module):
    """clip(x, min_val, max_val)."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: expected min_val < max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x):
        return F.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class Softmax(Module):
    """exp(x_i - max x) / sum_j exp(x_j - max x) along ``dim``: probabilities that sum to 1."""

    def __init__(self, dim: int = -1):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """log(softmax(x)) along ``dim``, without overflow."""

    def forward(self, x):
        return F.log_softmax(x, self.dim)
