"""Recurrent layers and their cells: RNN (Elman), Jordan, GRU, LSTM."""

from __future__ import annotations

import math

from .. import _C
from ..autograd import no_grad
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence, lengths_tensor, pad_packed_sequence


class _Recurrent(Module):
    """Parameters of all layers and directions, named as PyTorch names them: weight_ih_l0, weight_hh_l0_reverse, ..."""

    _blocks = 1
    _peepholes = False
    proj_size = 0

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
        states = self.proj_size or self.hidden_size
        self._names = []
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else directions * states
            shapes = {"weight_ih": (inputs, width), "weight_hh": (states, width)}
            if self.bias:
                shapes |= {"bias_ih": (width,), "bias_hh": (width,)}
            if self._peepholes:
                shapes |= {"weight_ch": (3 * self.hidden_size,)}
            if self.proj_size:
                shapes |= {"weight_hr": (self.hidden_size, self.proj_size)}
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

    def _run(self, op, x, states, lengths, table, **options):
        """(y, states) of an operation on a batch, padded or packed, or on one sequence; y is shaped as x is."""
        name = type(self).__name__
        packed = x if isinstance(x, PackedSequence) else None
        if packed is not None:
            if lengths is not None:
                raise ValueError(f"{name}: a PackedSequence brings its lengths, got lengths as well")
            x, lengths = pad_packed_sequence(packed)
        if not isinstance(x, _C.Tensor):
            raise TypeError(f"{name}: expected x as a Tensor or a PackedSequence, got {type(x).__name__}")
        ids = not x.is_floating_point()
        single = x.ndim == 2 - ids
        if not ids and x.ndim in (2, 3) and x.shape[-1] != self.input_size:
            raise ValueError(f"{name}: expected x with input_size={self.input_size} features, got {list(x.shape)}")
        if single:
            x, states = x.unsqueeze(0), [s if s is None or s.ndim != 2 else s.unsqueeze(1) for s in states]
        weights = self._weights()
        if ids:
            x, weights = self._looked_up(x, table, weights)
        elif table is not None:
            raise TypeError(f"{name}: a table is for ids, got x of dtype {x.dtype}")
        y, *states = op(
            x, weights, *states, lengths=None if lengths is None else lengths_tensor(name, lengths),
            num_layers=self.num_layers, bidirectional=self.bidirectional, dropout=self.dropout, training=self.training,
            products=len(weights) < len(self._names), **options,
        )  # fmt: skip
        if packed is not None:
            y = packed._like(y)
        return (y[0], [s[:, 0] for s in states]) if single else (y, states)

    def _looked_up(self, ids, table, weights):
        """Inputs and weights for ids [N, T]: rows of the products of the table with W_ih, where these are fewer."""
        if ids.ndim != 2:
            raise ValueError(f"{type(self).__name__}: expected ids of shape [N, T] or [T], got {list(ids.shape)}")
        if table is not None and (table.ndim != 2 or table.shape[1] != self.input_size):
            raise ValueError(
                f"{type(self).__name__}: expected a table of shape [V, {self.input_size}], got {list(table.shape)}"
            )
        if table is not None and table.shape[0] > ids.numel():
            return F.embedding(ids, table), weights
        each = len(weights) // (self.num_layers * (1 + self.bidirectional))
        first = weights[: each * (1 + self.bidirectional) : each]
        rows = [w if table is None else table @ w for w in first]
        products = F.embedding(ids, rows[0] if len(rows) == 1 else _C.cat(rows, 1))
        return products, [w for i, w in enumerate(weights) if i not in range(0, each * len(first), each)]

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {"num_layers": 1, "bias": True, "dropout": 0.0, "bidirectional": False, "proj_size": 0}
        for name, default in defaults.items():
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

    x may hold ids, integers [N, T]: they stand for rows of ``table`` [V, C] (``Embedding.weight``), or for one-hot rows
    without it (V = C). Products with ``weight_ih_l0`` are made once for each row of the table then, not once for each
    step, unless the table is longer than the batch. IndexError for ids outside of it.
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
    returns (y [N, T, D H], h_n [num_layers D, N, H]). x may be a `PackedSequence`, and y is one then, or one sequence
    [T, C] without the batch's axis, which y and the states do not have then either.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = True, dropout: float = 0.0, bidirectional: bool = False, dtype=None,
    ):  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype)

    def forward(self, x, hx=None, lengths=None, table=None):
        y, states = self._run(F.rnn, x, [hx], lengths, table, nonlinearity=self.nonlinearity)
        return y, states[0]


#: Elman's network (1990), which feeds back its hidden state, is what everybody calls an RNN; `Jordan` feeds back its
#: output.
Elman = RNN


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
    returns (y [N, T, D H], h_n [num_layers D, N, H]). x may be a `PackedSequence`, and y is one then, or one sequence
    [T, C] without the batch's axis, which y and the states do not have then either.
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = True,
        dropout: float = 0.0, bidirectional: bool = False, reset: str = "after", dtype=None,
    ):  # fmt: skip
        if reset not in ("after", "before", "none"):
            raise ValueError(f"GRU: expected reset 'after', 'before' or 'none', got {reset!r}")
        self.reset, self._blocks = reset, 2 if reset == "none" else 3
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype)

    def forward(self, x, hx=None, lengths=None, table=None):
        y, states = self._run(F.gru, x, [hx], lengths, table, reset=self.reset)
        return y, states[0]


class LSTM(_Recurrent):
    __doc__ = f"""A network of long short-term memory cells (Hochreiter 1997), c' = f c + i g, h' = o tanh(c').
{_SHARED}    peepholes : bool, default False
        i and f also see c, o sees c' (Gers 2000); ``weight_ch_l0`` [3 H].
    forget_bias : float, optional
        The forget gate's bias starts at this (1 or 2 lets gradients live long), instead of uniform.
    proj_size : int, default 0
        P > 0: the state is (o tanh(c')) ``weight_hr_l0`` [H, P] (Sak 2014); h and y have P elements, c has H, and
        ``weight_hh_l0`` is [P, 4 H].

    Attributes
    ----------
    weight_ih_l0 [C, 4 H], weight_hh_l0 [H, 4 H], bias_ih_l0, bias_hh_l0 [4 H], ... : Parameter
        Blocks i, f, g, o in PyTorch's order.

    Called with x [N, T, C], optionally the states (h0, c0), each [num_layers D, N, H], and ``lengths`` [N] (integers, 1
    to T), it returns (y [N, T, D H], (h_n, c_n)). x may be a `PackedSequence`, and y is one then, or one sequence
    [T, C] without the batch's axis, which y and the states do not have then either.
    """

    _blocks = 4

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = True,
        dropout: float = 0.0, bidirectional: bool = False, peepholes: bool = False, forget_bias: float | None = None,
        proj_size: int = 0, dtype=None,
    ):  # fmt: skip
        if forget_bias is not None and not bias:
            raise ValueError("LSTM: forget_bias needs bias=True")
        if not 0 <= proj_size < max(hidden_size, 1):
            raise ValueError(f"LSTM: expected 0 <= proj_size < hidden_size = {hidden_size}, got {proj_size}")
        self._peepholes, self.proj_size = bool(peepholes), int(proj_size)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, forget_bias
        )

    def forward(self, x, hx=None, lengths=None, table=None):
        states = _pair("LSTM", hx)
        options = {"peepholes": self._peepholes, "projection": self.proj_size > 0}
        y, states = self._run(F.lstm, x, states, lengths, table, **options)
        return y, tuple(states)


def _pair(name, hx):
    if hx is None:
        return None, None
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise ValueError(f"{name}: the initial state is a pair (h, c), got {type(hx).__name__}")
    return hx


class _Cell(_Recurrent):
    """One step of one layer: x [N, C] and states [N, H]; without the batch's axis, x [C] and states [H]."""

    def __init__(self, input_size, hidden_size, bias, dtype, forget_bias=None):
        super().__init__(input_size, hidden_size, 1, bias, True, 0.0, False, dtype, forget_bias)
        # As PyTorch names a cell's parameters: without the layer.
        for i, name in enumerate(self._names):
            short = name.removesuffix("_l0")
            parameter = getattr(self, name)
            delattr(self, name)
            setattr(self, short, parameter)
            self._names[i] = short

    def _step(self, op, x, states, **options):
        """The states after one step of an operation."""
        if x.ndim not in (1, 2):
            raise ValueError(f"{type(self).__name__}: expected x of shape [N, C] or [C], got {list(x.shape)}")
        single = x.ndim == 1
        if single:
            x, states = x.unsqueeze(0), [s if s is None or s.ndim != 1 else s.unsqueeze(0) for s in states]
        states = [s if s is None else s.unsqueeze(0) for s in states]
        _, *states = op(x.unsqueeze(1), self._weights(), *states, **options)
        return [s[0, 0] if single else s[0] for s in states]


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
        return self._step(F.rnn, x, [hx], nonlinearity=self.nonlinearity)[0]


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
        return self._step(F.gru, x, [hx], reset=self.reset)[0]


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
        return tuple(self._step(F.lstm, x, _pair("LSTMCell", hx), peepholes=self._peepholes))
