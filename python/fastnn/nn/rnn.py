"""Recurrent layers and their cells: RNN, GRU, LSTM."""

from __future__ import annotations

import math

from .. import _C
from ..autograd import no_grad
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _Recurrent(Module):
    """Parameters of all layers and directions, named as PyTorch names them: weight_ih_l0, weight_hh_l0_reverse, ..."""

    _blocks = 1
    _peepholes = False

    def __init__(
        self, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, forget_bias=None
    ):
        super().__init__()
        name = type(self).__name__
        if not batch_first:
            raise ValueError(f"{name}: sequences are [N, T, C] here: batch_first must be True")
        if input_size < 0 or hidden_size < 1 or num_layers < 1:
            raise ValueError(
                f"{name}: expected input_size >= 0, hidden_size >= 1 and num_layers >= 1, got {input_size}, "
                f"{hidden_size} and {num_layers}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{name}: expected dropout in [0, 1], got {dropout}")
        self.input_size, self.hidden_size, self.num_layers = int(input_size), int(hidden_size), int(num_layers)
        self.bias, self.batch_first, self.dropout = bool(bias), True, float(dropout)
        self.bidirectional, self.forget_bias = bool(bidirectional), forget_bias
        dtype = _C.float32 if dtype is None else dtype
        directions, width = 1 + self.bidirectional, self._blocks * self.hidden_size
        self._names = []
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else directions * self.hidden_size
            shapes = {"weight_ih": (inputs, width), "weight_hh": (self.hidden_size, width)}
            if self.bias:
                shapes |= {"bias_ih": (width,), "bias_hh": (width,)}
            if self._peepholes:
                shapes |= {"weight_ch": (3 * self.hidden_size,)}
            for suffix in ("", "_reverse")[:directions]:
                for kind, shape in shapes.items():
                    self._names.append(f"{kind}_l{layer}{suffix}")
                    setattr(self, self._names[-1], Parameter(_C.empty(shape, dtype=dtype)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in (-1/sqrt(hidden_size), 1/sqrt(hidden_size)), as PyTorch."""
        bound = 1 / math.sqrt(self.hidden_size)
        for name in self._names:
            init.uniform_(getattr(self, name), -bound, bound)
            if self.forget_bias is not None and name.startswith("bias"):
                # The two biases are added: one holds the value, the other 0.
                h = self.hidden_size
                with no_grad():
                    getattr(self, name)[h : 2 * h] = self.forget_bias if name.startswith("bias_ih") else 0.0

    def _weights(self):
        return [getattr(self, name) for name in self._names]

    def _options(self, lengths):
        if lengths is not None and not isinstance(lengths, _C.Tensor):
            lengths = _C.tensor(lengths, dtype=_C.int64)
        return {
            "lengths": lengths,
            "num_layers": self.num_layers,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            "training": self.training,
        }

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        for name, default in (("num_layers", 1), ("bias", True), ("dropout", 0.0), ("bidirectional", False)):
            if getattr(self, name) != default:
                parts.append(f"{name}={getattr(self, name)}")
        return ", ".join(parts)


_SHARED = """
    Parameters
    ----------
    input_size, hidden_size : int
        C and H.
    num_layers : int, default 1
        Layers on top of each other; each reads the outputs of the one below.
    bias : bool, default True
    batch_first : bool, default True
        Sequences are [N, T, C]; False is refused.
    dropout : float, default 0
        Of the outputs of every layer but the last, while training.
    bidirectional : bool, default False
        A second set of weights reads the sequence backwards; the outputs stand side by side.
    dtype : optional, default float32
"""


class RNN(_Recurrent):
    __doc__ = f"""A simple recurrent (Elman) network, h' = f(x W_ih + b_ih + h W_hh + b_hh).
{_SHARED}    nonlinearity : str, default "tanh"
        "tanh" or "relu".

    Attributes
    ----------
    weight_ih_l0 [C, H], weight_hh_l0 [H, H], bias_ih_l0, bias_hh_l0 [H], ... : Parameter
        PyTorch's names, its matrices transposed (``fastnn.convert``); ``_reverse`` for the backward direction.

    Called with x [N, T, C], optionally the states h0 [num_layers D, N, H] and ``lengths`` [N] (integers, 1 to T), it
    returns (y [N, T, D H], h_n [num_layers D, N, H]).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = True, dropout: float = 0.0, bidirectional: bool = False, dtype=None,
    ):  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype)

    def forward(self, x, hx=None, lengths=None):
        return F.rnn(x, self._weights(), hx, nonlinearity=self.nonlinearity, **self._options(lengths))


class GRU(_Recurrent):
    __doc__ = f"""A network of gated recurrent units (Cho 2014), h' = (1 - z) n + z h.
{_SHARED}    reset : str, default "after"
        What r multiplies: "after", h W_hh + b_hh, as PyTorch; "before", h, as the course; "none", no r (the course's
        simplified unit).

    Attributes
    ----------
    weight_ih_l0 [C, 3 H], weight_hh_l0 [H, 3 H], bias_ih_l0, bias_hh_l0 [3 H], ... : Parameter
        Blocks r, z, n (z, n without reset) in PyTorch's order. The course's update gate is 1 - z.

    Called with x [N, T, C], optionally the states h0 [num_layers D, N, H] and ``lengths`` [N] (integers, 1 to T), it
    returns (y [N, T, D H], h_n [num_layers D, N, H]).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = True,
        dropout: float = 0.0, bidirectional: bool = False, reset: str = "after", dtype=None,
    ):  # fmt: skip
        if reset not in ("after", "before", "none"):
            raise ValueError(f"GRU: expected reset 'after', 'before' or 'none', got {reset!r}")
        self.reset, self._blocks = reset, 2 if reset == "none" else 3
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype)

    def forward(self, x, hx=None, lengths=None):
        return F.gru(x, self._weights(), hx, reset=self.reset, **self._options(lengths))


class LSTM(_Recurrent):
    __doc__ = f"""A network of long short-term memory cells (Hochreiter 1997), c' = f c + i g, h' = o tanh(c').
{_SHARED}    peepholes : bool, default False
        i and f also see c, o sees c' (Gers 2000); ``weight_ch_l0`` [3 H].
    forget_bias : float, optional
        The forget gate's bias starts at this (1 or 2 lets gradients live long), instead of uniform.

    Attributes
    ----------
    weight_ih_l0 [C, 4 H], weight_hh_l0 [H, 4 H], bias_ih_l0, bias_hh_l0 [4 H], ... : Parameter
        Blocks i, f, g, o in PyTorch's order.

    Called with x [N, T, C], optionally the states (h0, c0), each [num_layers D, N, H], and ``lengths`` [N] (integers, 1
    to T), it returns (y [N, T, D H], (h_n, c_n)).
    """

    _blocks = 4

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = True,
        dropout: float = 0.0, bidirectional: bool = False, peepholes: bool = False, forget_bias: float | None = None,
        dtype=None,
    ):  # fmt: skip
        if forget_bias is not None and not bias:
            raise ValueError("LSTM: forget_bias needs bias=True")
        self._peepholes = bool(peepholes)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, forget_bias
        )

    def forward(self, x, hx=None, lengths=None):
        h0, c0 = _pair("LSTM", hx)
        y, h_n, c_n = F.lstm(x, self._weights(), h0, c0, peepholes=self._peepholes, **self._options(lengths))
        return y, (h_n, c_n)


def _pair(name, hx):
    if hx is None:
        return None, None
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise ValueError(f"{name}: the initial state is a pair (h, c), got {type(hx).__name__}")
    return hx


class _Cell(_Recurrent):
    """One step of one layer: x [N, C] and states [N, H]."""

    def __init__(self, input_size, hidden_size, bias, dtype, forget_bias=None):
        super().__init__(input_size, hidden_size, 1, bias, True, 0.0, False, dtype, forget_bias)
        # As PyTorch names a cell's parameters: without the layer.
        for i, name in enumerate(self._names):
            short = name.removesuffix("_l0")
            parameter = getattr(self, name)
            delattr(self, name)
            setattr(self, short, parameter)
            self._names[i] = short

    def _inputs(self, x, *states):
        if x.ndim != 2:
            raise ValueError(f"{type(self).__name__}: expected x of shape [N, C], got {list(x.shape)}")
        return x.unsqueeze(1), *(s if s is None else s.unsqueeze(0) for s in states)


class RNNCell(_Cell):
    """One step of a simple recurrent network: h' = f(x weight_ih + bias_ih + h weight_hh + bias_hh).

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool, default True
    nonlinearity : str, default "tanh"
        "tanh" or "relu".

    Called with x [N, C] and optionally h [N, H] (zeros), it returns h'.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", dtype=None):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, dtype)

    def forward(self, x, hx=None):
        x, h = self._inputs(x, hx)
        return F.rnn(x, self._weights(), h, nonlinearity=self.nonlinearity)[1][0]


class GRUCell(_Cell):
    """One step of a gated recurrent unit; blocks r, z, n as in GRU.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool, default True
    reset : str, default "after"
        As in GRU.

    Called with x [N, C] and optionally h [N, H] (zeros), it returns h'.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, reset: str = "after", dtype=None):
        if reset not in ("after", "before", "none"):
            raise ValueError(f"GRUCell: expected reset 'after', 'before' or 'none', got {reset!r}")
        self.reset, self._blocks = reset, 2 if reset == "none" else 3
        super().__init__(input_size, hidden_size, bias, dtype)

    def forward(self, x, hx=None):
        x, h = self._inputs(x, hx)
        return F.gru(x, self._weights(), h, reset=self.reset)[1][0]


class LSTMCell(_Cell):
    """One step of a long short-term memory cell; blocks i, f, g, o as in LSTM.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool, default True
    peepholes : bool, default False
    forget_bias : float, optional
        As in LSTM.

    Called with x [N, C] and optionally (h, c), each [N, H] (zeros), it returns (h', c').
    """

    _blocks = 4

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, peepholes: bool = False,
        forget_bias: float | None = None, dtype=None,
    ):  # fmt: skip
        if forget_bias is not None and not bias:
            raise ValueError("LSTMCell: forget_bias needs bias=True")
        self._peepholes = bool(peepholes)
        super().__init__(input_size, hidden_size, bias, dtype, forget_bias)

    def forward(self, x, hx=None):
        x, h, c = self._inputs(x, *_pair("LSTMCell", hx))
        _, h, c = F.lstm(x, self._weights(), h, c, peepholes=self._peepholes)
        return h[0], c[0]
