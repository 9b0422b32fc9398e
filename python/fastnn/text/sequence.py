"""The shapes of tasks over sequences: one to many, many to one, many to many of the same or of another length."""

from __future__ import annotations

from .. import _C, nn
from .lm import LanguageModel, recurrent

__all__ = ["OneToMany", "SequenceClassifier", "SequenceTagger", "EncoderDecoder"]


def _inputs(model, op, x):
    """Ids [N, T] through the table, or vectors [N, T, C] as they are."""
    if model.embedding is not None:
        if x.ndim != 2:
            raise ValueError(f"{op}: expected ids of shape [N, T], got {list(x.shape)}")
        return model.dropout(model.embedding(x))
    if x.ndim != 3:
        raise ValueError(f"{op}: expected vectors of shape [N, T, C], got {list(x.shape)}")
    return x


class SequenceClassifier(nn.Module):
    """Many to one: a sequence in, one decision out (sentiment).

    Parameters
    ----------
    vocab_size : int or None
        V of ids [N, T]; None for vectors [N, T, C].
    embedding_dim : int
        D of the table, or C.
    hidden_size : int
    num_classes : int
        K.
    cell, num_layers, bidirectional
        Of the recurrent layer.
    pool : {"last", "mean", "max", "mean+max"}
        What stands for the whole sequence: the final states, or the outputs of all steps, without padding.
    dropout : float
        Of embeddings and of what is pooled.
    padding_idx : int, optional

    Called with x and lengths [N] (optional), it returns scores [N, K].
    """

    def __init__(self, vocab_size: int | None, embedding_dim: int, hidden_size: int, num_classes: int,
                 cell: str = "lstm", num_layers: int = 1, bidirectional: bool = False, pool: str = "last",
                 dropout: float = 0.0, padding_idx: int | None = None):  # fmt: skip
        super().__init__()
        if pool not in ("last", "mean", "max", "mean+max"):
            raise ValueError(f"SequenceClassifier: pool must be last, mean, max or mean+max, got {pool!r}")
        self.embedding = None if vocab_size is None else nn.Embedding(vocab_size, embedding_dim, padding_idx)
        self.rnn = recurrent("SequenceClassifier", cell, embedding_dim, hidden_size, num_layers,
                             bidirectional=bidirectional, dropout=dropout if num_layers > 1 else 0.0)  # fmt: skip
        self.pool, self.dropout = pool, nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size * (1 + bidirectional) * (2 if pool == "mean+max" else 1), num_classes)

    def forward(self, x, lengths=None):
        inputs = _inputs(self, "SequenceClassifier", x)
        y, state = self.rnn(inputs, lengths=lengths)
        if self.pool == "last":
            h = state[0] if isinstance(state, tuple) else state  # [layers D, N, H]: the last layer's directions
            d = 1 + self.rnn.bidirectional
            pooled = _C.cat([h[i] for i in range(h.shape[0] - d, h.shape[0])], 1)
        else:
            pooled = self._pooled(y, lengths)
        return self.head(self.dropout(pooled))

    def _pooled(self, y, lengths):
        n, t, _ = y.shape
        if lengths is None:
            mean, top = y.mean(1), y
        else:
            # Steps behind the length are 0 in y, so that only the maximum must be kept from them.
            mean = y.sum(1) / lengths.to(y.dtype).unsqueeze(1)
            behind = _C.arange(t, device=lengths.device).reshape(1, t, 1) >= lengths.reshape(n, 1, 1)
            top = y.masked_fill(behind, -1e30)
        if self.pool == "mean":
            return mean
        return top.amax(1) if self.pool == "max" else _C.cat([mean, top.amax(1)], 1)


class SequenceTagger(nn.Module):
    """Many to many, step by step: an output for every input (named entities, slots; with vectors in, regression).

    Parameters
    ----------
    vocab_size : int or None
        V of ids [N, T]; None for vectors [N, T, C].
    embedding_dim : int
        D of the table, or C.
    hidden_size : int
    num_outputs : int
        K scores, or numbers, a step.
    cell, num_layers, bidirectional
        Of the recurrent layer.
    head : sequence of int
        Widths of layers with ReLU between a step's state and its output: the deep head without recurrence.
    dropout : float
    padding_idx : int, optional

    Called with x and lengths [N] (optional), it returns [N, T, K].
    """

    def __init__(self, vocab_size: int | None, embedding_dim: int, hidden_size: int, num_outputs: int,
                 cell: str = "lstm", num_layers: int = 1, bidirectional: bool = False, head=(), dropout: float = 0.0,
                 padding_idx: int | None = None):  # fmt: skip
        super().__init__()
        self.embedding = None if vocab_size is None else nn.Embedding(vocab_size, embedding_dim, padding_idx)
        self.rnn = recurrent("SequenceTagger", cell, embedding_dim, hidden_size, num_layers,
                             bidirectional=bidirectional, dropout=dropout if num_layers > 1 else 0.0)  # fmt: skip
        self.dropout = nn.Dropout(dropout)
        layers, width = [], hidden_size * (1 + bidirectional)
        for size in head:
            layers += [nn.Linear(width, size), nn.ReLU()]
            width = size
        self.head = nn.Sequential(*layers, nn.Linear(width, num_outputs))

    def forward(self, x, lengths=None):
        y, _ = self.rnn(_inputs(self, "SequenceTagger", x), lengths=lengths)
        return self.head(self.dropout(y))


class OneToMany(nn.Module):
    """One to many: a vector in, a sequence out (a style, and the music to it). The vector makes the first state.

    Parameters
    ----------
    condition_size : int
        C.
    vocab_size, hidden_size, **options
        Those of `LanguageModel`, which writes the sequence.

    Called with the condition [N, C] and the tokens so far [N, T] it returns scores [N, T, V]. To sample:
    ``generate(model.decoder, ..., state=model.begin(condition))``.
    """

    def __init__(self, condition_size: int, vocab_size: int, hidden_size: int, **options):
        super().__init__()
        self.decoder = LanguageModel(vocab_size, hidden_size, **options)
        self.first = nn.Linear(condition_size, hidden_size * self.decoder.rnn.num_layers)

    def begin(self, condition):
        """The state of the decoder before its first token."""
        if condition.ndim != 2:
            raise ValueError(f"OneToMany: expected a condition of shape [N, C], got {list(condition.shape)}")
        layers, h = self.decoder.rnn.num_layers, self.decoder.rnn.hidden_size
        state = self.first(condition).tanh().reshape(-1, layers, h).permute(1, 0, 2)
        if isinstance(self.decoder.rnn, nn.LSTM):
            return state, _C.zeros_like(state)
        return state

    def forward(self, condition, x):
        return self.decoder(x, self.begin(condition))[0]


class EncoderDecoder(nn.Module):
    """Many to many of another length: the encoder's last state is the decoder's first (translation).

    Parameters
    ----------
    source_size, target_size : int
        Vocabularies of what is read and of what is written.
    embedding_dim, hidden_size : int
    cell : str
        Of both.
    dropout : float

    Called with the source [N, S], the tokens written so far [N, T] (beginning with the mark for it) and the lengths of
    the sources [N] (optional), it returns scores [N, T, target_size]. To write:
    ``generate(model.decoder, ..., first=bos, stop=eos, state=model.encode(source))``.
    """

    def __init__(self, source_size: int, target_size: int, embedding_dim: int, hidden_size: int, cell: str = "gru",
                 dropout: float = 0.0):  # fmt: skip
        super().__init__()
        self.embedding = nn.Embedding(source_size, embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.encoder = recurrent("EncoderDecoder", cell, embedding_dim, hidden_size)
        self.decoder = LanguageModel(target_size, hidden_size, embedding_dim, cell=cell, dropout=dropout)

    def encode(self, source, lengths=None):
        """The state after reading the source."""
        return self.encoder(_inputs(self, "EncoderDecoder", source), lengths=lengths)[1]

    def forward(self, source, target, lengths=None):
        return self.decoder(target, self.encode(source, lengths))[0]
