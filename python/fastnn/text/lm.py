"""Language models: recurrent and with a fixed window; how probable they find a text."""

from __future__ import annotations

import math

from .. import _C, nn
from .._arrays import to_numpy
from ..autograd import no_grad
from ..metrics import Metric
from ..nn import functional as F

__all__ = ["LanguageModel", "WindowLanguageModel", "Perplexity", "perplexity", "sequence_log_prob"]


def recurrent(op: str, cell: str, *args, **kwargs):
    """The layer a name stands for: rnn, relu, gru, lstm."""
    if cell not in ("rnn", "relu", "gru", "lstm"):
        raise ValueError(f"{op}: cell must be rnn, relu, gru or lstm, got {cell!r}")
    if cell in ("rnn", "relu"):
        return nn.RNN(*args, nonlinearity="tanh" if cell == "rnn" else "relu", **kwargs)
    return (nn.GRU if cell == "gru" else nn.LSTM)(*args, **kwargs)


def zero_state(layer, batch_size: int):
    """Zeros as the initial state of a recurrent layer: [layers D, N, H], a pair of them for an LSTM."""
    if batch_size < 1:
        raise ValueError(f"initial_state: expected batch_size >= 1, got {batch_size}")
    weight = getattr(layer, layer._names[0])
    shape = (layer.num_layers * (1 + layer.bidirectional), batch_size, layer.hidden_size)
    if isinstance(layer, nn.LSTM):
        return tuple(_C.zeros(shape, dtype=weight.dtype, device=weight.device) for _ in "hc")
    return _C.zeros(shape, dtype=weight.dtype, device=weight.device)


class LanguageModel(nn.Module):
    """A recurrent network that tells the next token from all before it (RNN, GRU or LSTM).

    Parameters
    ----------
    vocab_size : int
        V.
    hidden_size : int
        H.
    embedding_dim : int, optional
        Tokens come as learned vectors of this size; None (default): as one-hot vectors.
    num_layers : int, default 1
    cell : {"lstm", "gru", "rnn", "relu"}
        "rnn" with tanh, "relu" with ReLU.
    dropout : float, default 0
        Of embeddings, of the outputs of every layer, while training.
    tie_weights : bool, default False
        Scores are products with the embeddings (Press and Wolf 2017); needs embedding_dim == hidden_size.

    Called with x, integers [N, T], and optionally a state, it returns (scores [N, T, V], state).
    """

    def __init__(self, vocab_size: int, hidden_size: int, embedding_dim: int | None = None, num_layers: int = 1,
                 cell: str = "lstm", dropout: float = 0.0, tie_weights: bool = False):  # fmt: skip
        super().__init__()
        if vocab_size < 1:
            raise ValueError(f"LanguageModel: expected vocab_size >= 1, got {vocab_size}")
        if tie_weights and embedding_dim != hidden_size:
            raise ValueError(
                f"LanguageModel: tie_weights needs embedding_dim == hidden_size, got {embedding_dim} and {hidden_size}"
            )
        self.vocab_size, self.tie_weights = int(vocab_size), bool(tie_weights)
        self.embedding = None if embedding_dim is None else nn.Embedding(vocab_size, embedding_dim)
        self.rnn = recurrent("LanguageModel", cell, vocab_size if embedding_dim is None else embedding_dim, hidden_size,
                             num_layers, dropout=dropout if num_layers > 1 else 0.0)  # fmt: skip
        self.dropout = nn.Dropout(dropout)
        if tie_weights:
            nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(embedding_dim))
            self.bias = nn.Parameter(_C.zeros(vocab_size))
        else:
            self.head = nn.Linear(hidden_size, vocab_size)

    def initial_state(self, batch_size: int):
        """The state before the first token: zeros."""
        return zero_state(self.rnn, batch_size)

    def forward(self, x, state=None):
        if x.ndim != 2:
            raise ValueError(f"LanguageModel: expected ids of shape [N, T], got {list(x.shape)}")
        if self.embedding is None:
            inputs = _C.one_hot(x, self.vocab_size, dtype=self.head.weight.dtype)
        else:
            inputs = self.dropout(self.embedding(x))
        y, state = self.rnn(inputs, state)
        y = self.dropout(y)
        return (_C.linear(y, self.embedding.weight.T, self.bias) if self.tie_weights else self.head(y)), state

    def step(self, ids, state):
        """One token on: ids [N] and the state before them give (scores of the next [N, V], state)."""
        scores, state = self(ids.unsqueeze(1), state)
        return scores[:, 0], state


class WindowLanguageModel(nn.Module):
    """The neural language model of Bengio et al. 2003: the embeddings of a fixed window of tokens side by side, a
    hidden layer, a score for every token.

    Parameters
    ----------
    vocab_size : int
        V.
    window : int
        k, the tokens of the context.
    embedding_dim : int
        D; one table for all places.
    hidden_size : int
    direct : bool, default False
        Connections from the embeddings straight to the scores, as in the paper.

    Called with the context, integers [N, k], it returns scores [N, V].
    """

    def __init__(self, vocab_size: int, window: int, embedding_dim: int, hidden_size: int, direct: bool = False):
        super().__init__()
        if min(vocab_size, window) < 1:
            raise ValueError(f"WindowLanguageModel: expected sizes >= 1, got {vocab_size} and {window}")
        self.vocab_size, self.window = int(vocab_size), int(window)
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.hidden = nn.Linear(window * embedding_dim, hidden_size)
        self.head = nn.Linear(hidden_size, vocab_size)
        self.direct = nn.Linear(window * embedding_dim, vocab_size, bias=False) if direct else None

    def initial_state(self, batch_size: int):
        """A window of tokens 0, integers [N, k]."""
        return _C.zeros((batch_size, self.window), dtype=_C.int64, device=self.head.weight.device)

    def forward(self, x):
        if x.ndim != 2 or x.shape[1] != self.window:
            raise ValueError(f"WindowLanguageModel: expected ids of shape [N, {self.window}], got {list(x.shape)}")
        e = self.embedding(x).flatten(1)
        scores = self.head(self.hidden(e).tanh())
        return scores if self.direct is None else scores + self.direct(e)

    def step(self, ids, state):
        """One token on: ids [N] and the window before them [N, k] give (scores of the next [N, V], window)."""
        state = _C.cat([state[:, 1:], ids.unsqueeze(1)], 1)
        return self(state), state


def perplexity(loss: float) -> float:
    """exp of a mean negative log-likelihood in nats: so many equally likely tokens would be as surprising."""
    return math.exp(loss) if loss < 700 else math.inf


class Perplexity(Metric):
    """exp of the mean negative log-likelihood of all tokens seen.

    Parameters
    ----------
    ignore_index : int, default -100
        Targets that do not count.

    ``update`` takes scores [..., V] and targets [...].
    """

    name = "perplexity"
    higher_is_better = False

    def __init__(self, ignore_index: int = -100):
        self.ignore_index = int(ignore_index)
        self.reset()

    def reset(self):
        self._sum, self._count = 0.0, 0

    def update(self, pred, target):
        with no_grad():
            self._sum += F.cross_entropy(pred, target, ignore_index=self.ignore_index, reduction="sum").item()
        self._count += int((to_numpy(target) != self.ignore_index).sum())

    def compute(self) -> float:
        return perplexity(self._sum / self._count) if self._count else float("nan")


def sequence_log_prob(model, ids, lengths=None, first: int | None = None):
    """log P(y1, ..., yT) = sum over t of log P(yt | y1 ... yt-1): how probable a model finds sequences.

    Parameters
    ----------
    model : LanguageModel
        In eval mode (the caller's choice).
    ids : Tensor of integers [N, T]
    lengths : Tensor of integers [N], optional
        What is behind them does not count.
    first : int, optional
        A token before the first (beginning of sentence). Without it the first token of ids is given, not scored.

    Returns
    -------
    Tensor [N]
        In nats. Compare sequences of different lengths per token.
    """
    if ids.ndim != 2 or ids.shape[1] < (1 if first is not None else 2):
        raise ValueError(
            f"sequence_log_prob: expected ids of shape [N, T] with a token to score, got {list(ids.shape)}"
        )
    n, t = ids.shape
    with no_grad():
        if first is None:
            x, y = ids[:, :-1], ids[:, 1:]
        else:
            x, y = _C.cat([_C.full((n, 1), first, dtype=_C.int64, device=ids.device), ids[:, :-1]], 1), ids
        scores, _ = model(x, model.initial_state(n))
        log_p = -F.cross_entropy(scores, y, reduction="none")
        if lengths is not None:
            if list(lengths.shape) != [n] or int(lengths.amin()) < 1 or int(lengths.amax()) > t:
                raise ValueError(f"sequence_log_prob: expected lengths [{n}] from 1 to {t}, got {lengths.tolist()}")
            place = _C.arange(t - y.shape[1], t, device=lengths.device).unsqueeze(0)
            log_p = _C.where(place < lengths.unsqueeze(1), log_p, _C.zeros_like(log_p))
        return log_p.sum(1)
