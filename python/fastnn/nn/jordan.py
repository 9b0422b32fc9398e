"""The recurrent network that feeds back its output: Jordan."""

from __future__ import annotations

import math

from .. import _C
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import lengths_tensor

_INNER = {"tanh": F.tanh, "relu": F.relu}
_OUTER = {"identity": None, "sigmoid": F.sigmoid, "softmax": lambda x: F.softmax(x, -1), "tanh": F.tanh, "relu": F.relu}


class Jordan(Module):
    """A recurrent network that feeds back its output (Jordan 1986), where `RNN` (Elman) feeds back its hidden state.

    h = f(x weight_ih + bias_ih + y weight_yh) and y' = g(h weight_hy + bias_hy), y the output of the step before. The
    products with x are one product over all steps; the steps themselves are operations one by one, since g may be
    anything (`fastnn.capture` takes their overhead away).

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        C, H and O.
    nonlinearity : str, default "tanh"
        f, "tanh" or "relu".
    output : str, default "identity"
        g: "identity", "sigmoid", "softmax", "tanh" or "relu".
    bias : bool, default True
    dtype : optional, default float32

    Attributes
    ----------
    weight_ih [C, H], weight_yh [O, H], bias_ih [H], weight_hy [H, O], bias_hy [O] : Parameter
        Start uniform in (-1/sqrt(H), 1/sqrt(H)).

    Called with x [N, T, C], optionally the output y0 [N, O] before the first step (zeros) and ``lengths`` [N]
    (integers, 1 to T), it returns (y [N, T, O], the last valid output [N, O]); y is 0 after a row's length.
    """

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, nonlinearity: str = "tanh", output: str = "identity",
        bias: bool = True, dtype=None,
    ):  # fmt: skip
        super().__init__()
        if input_size < 0 or hidden_size < 1 or output_size < 1:
            raise ValueError(
                f"Jordan: expected input_size >= 0, hidden_size >= 1 and output_size >= 1, got {input_size}, "
                f"{hidden_size} and {output_size}"
            )
        for name, value, known in (("nonlinearity", nonlinearity, _INNER), ("output", output, _OUTER)):
            if value not in known:
                raise ValueError(f"Jordan: {name} must be one of {', '.join(known)}, got {value!r}")
        self.input_size, self.hidden_size, self.output_size = int(input_size), int(hidden_size), int(output_size)
        self.nonlinearity, self.output = nonlinearity, output
        shapes = {"weight_ih": (input_size, hidden_size), "weight_yh": (output_size, hidden_size)}
        shapes |= {"bias_ih": (hidden_size,)} if bias else {}
        shapes |= {"weight_hy": (hidden_size, output_size)} | ({"bias_hy": (output_size,)} if bias else {})
        for name in ("bias_ih", "bias_hy"):
            if not bias:
                setattr(self, name, None)
        for name, shape in shapes.items():
            setattr(self, name, Parameter(_C.empty(shape, dtype=_C.float32 if dtype is None else dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, x, y0=None, lengths=None):
        if x.ndim != 3 or x.shape[1] < 1 or x.shape[2] != self.input_size:
            raise ValueError(f"Jordan: expected x of shape [N, T >= 1, {self.input_size}], got {list(x.shape)}")
        n, steps = x.shape[:2]
        y = _C.zeros((n, self.output_size), dtype=x.dtype, device=x.device) if y0 is None else y0
        if tuple(y.shape) != (n, self.output_size):
            raise ValueError(f"Jordan: expected y0 of shape [{n}, {self.output_size}], got {list(y.shape)}")
        valid = None if lengths is None else self._valid(lengths, n, steps)
        if valid is not None:
            x = _C.where(valid.transpose(0, 1) > 0, x, _C.zeros((), dtype=x.dtype, device=x.device))
        f, g, outputs = _INNER[self.nonlinearity], _OUTER[self.output], []
        for t, a in enumerate(F.linear(x, self.weight_ih, self.bias_ih).unbind(1)):
            now = F.linear(f(a + y @ self.weight_yh), self.weight_hy, self.bias_hy)
            now = now if g is None else g(now)
            outputs.append(now if valid is None else now * valid[t])
            y = now if valid is None else _C.where(valid[t] > 0, now, y)
        return _C.stack(outputs, 1), y

    def _valid(self, lengths, n: int, steps: int):
        """1 where a row is at work, [T, N, 1]."""
        lengths = lengths_tensor("Jordan", lengths)
        if lengths.is_floating_point() or lengths.dtype == _C.bool:
            raise TypeError(f"Jordan: lengths must be integers, got {lengths.dtype}")
        if tuple(lengths.shape) != (n,):
            raise ValueError(f"Jordan: expected {n} lengths, got shape {list(lengths.shape)}")
        if n and not 1 <= lengths.min().item() <= lengths.max().item() <= steps:
            raise ValueError(f"Jordan: lengths must be from 1 to T = {steps}, got {lengths.tolist()}")
        lengths = lengths.to(self.weight_ih.device)
        steps = _C.arange(steps, device=lengths.device)
        return (steps.reshape(-1, 1, 1) < lengths.reshape(1, -1, 1)).to(self.weight_ih.dtype)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.output_size}, {self.nonlinearity}, output={self.output}"
