"""Tables of vectors: Embedding, EmbeddingBag."""

from __future__ import annotations

from .. import _C
from .._rows import take_rows
from ..autograd import no_grad
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter


class _Table(Module):
    def __init__(self, num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, dtype, sparse):
        super().__init__()
        name = type(self).__name__
        if num_embeddings < 0 or embedding_dim < 0:
            raise ValueError(f"{name}: expected sizes >= 0, got {num_embeddings} and {embedding_dim}")
        self.num_embeddings, self.embedding_dim = int(num_embeddings), int(embedding_dim)
        if padding_idx is not None:
            if not -self.num_embeddings <= padding_idx < self.num_embeddings:
                raise ValueError(f"{name}: padding_idx must be one of the {num_embeddings} rows, got {padding_idx}")
            padding_idx %= self.num_embeddings
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.sparse = bool(sparse)
        self.weight = Parameter(
            _C.empty((self.num_embeddings, self.embedding_dim), dtype=_C.float32 if dtype is None else dtype)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def _table(self, x):
        """Ids, the table they go into, and the row of the padding there."""
        if self.sparse and _C.is_grad_enabled():
            return take_rows(self.weight, x, self.padding_idx, self.max_norm, self.norm_type)
        return x, self.weight, self.padding_idx

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}{', sparse=True' if self.sparse else ''}"


class Embedding(_Table):
    """A row of a learned table for every id: the product of a one-hot vector with ``weight``, without the product.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        V and D.
    padding_idx : int, optional
        A row that starts at 0 and gets no gradient.
    max_norm : float, optional
        Rows that are looked up and whose norm is larger are scaled down to it first, in place.
    norm_type : float, default 2
    dtype : optional, default float32
    sparse : bool, default False
        The backward pass leaves the gradient of the rows that were looked up instead of one of the table's size:
        ``weight.grad`` stays None. Every optimiser then updates those rows and their state only, so momentum, averages
        and weight decay of a row rest while it is not looked up ("lazy", as PyTorch's SparseAdam; the step count of
        bias corrections goes on). For plain SGD and Adagrad without decay that is the same as a dense step. Clipping
        and `Trainer` see these gradients; such a step is not captured.

    Attributes
    ----------
    weight : Parameter [V, D]
        Starts normal (0, 1). Input: integers of any shape; output: [*shape, D].
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        dtype=None,
        *,
        sparse: bool = False,
    ):
        super().__init__(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, dtype, sparse)

    @classmethod
    def from_pretrained(cls, embeddings, freeze: bool = True, padding_idx: int | None = None, **kwargs) -> Embedding:
        """A layer on the given table [V, D]; ``freeze``: it is not trained."""
        if embeddings.ndim != 2:
            raise ValueError(f"Embedding.from_pretrained: expected [V, D], got {list(embeddings.shape)}")
        layer = cls(*embeddings.shape, padding_idx=padding_idx, dtype=embeddings.dtype, **kwargs)
        layer.weight = Parameter(embeddings.detach(), requires_grad=not freeze)
        return layer

    def forward(self, x):
        x, table, padding_idx = self._table(x)
        return F.embedding(x, table, padding_idx, self.max_norm, self.norm_type)


class EmbeddingBag(_Table):
    """Sums, means or maxima over bags of rows of a learned table.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        V and D.
    max_norm : float, optional
    norm_type : float, default 2
    mode : str, default "mean"
        "sum", "mean" or "max".
    include_last_offset : bool, default False
    padding_idx : int, optional
        Left out of the bags.
    sparse : bool, default False
        As in `Embedding`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        mode: str = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        dtype=None,
        *,
        sparse: bool = False,
    ):
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"EmbeddingBag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
        super().__init__(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, dtype, sparse)
        self.mode, self.include_last_offset = mode, include_last_offset

    def forward(self, x, offsets=None, per_sample_weights=None):
        x, table, padding_idx = self._table(x)
        return F.embedding_bag(x, table, offsets, self.mode, per_sample_weights, self.include_last_offset,
                               padding_idx, self.max_norm, self.norm_type)  # fmt: skip
