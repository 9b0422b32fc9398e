"""Batch normalisation."""

from __future__ import annotations

from .. import _C
from . import functional as F
from .module import Module
from .parameter import Parameter


class BatchNorm1d(Module):
    """Normalises every channel over the batch, then scales and shifts it.

    y = (x - mean) / sqrt(var + eps) * weight + bias. In training mean and (biased) variance are those of the batch, and
    the running statistics follow them: running = (1 - momentum) * running + momentum * batch, with the unbiased
    variance. In evaluation mode the running statistics are used.

    Parameters
    ----------
    num_features : int
        C. Input [N, C] or, channels last, [N, T, C] (PyTorch has [N, C, T]).
    eps : float, default 1e-5
    momentum : float or None, default 0.1
        None: the plain average over all batches seen. The course's averaging factor is 1 - momentum.
    affine : bool, default True
        Learn ``weight`` (the course's gamma) and ``bias`` (its beta). A Linear in front needs no bias of its own.
    track_running_stats : bool, default True
        False: use batch statistics in evaluation mode too.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype=None,
    ):
        super().__init__()
        self.num_features, self.eps, self.momentum = int(num_features), eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        dtype = _C.float32 if dtype is None else dtype
        self.weight = Parameter(_C.ones((self.num_features,), dtype=dtype)) if affine else None
        self.bias = Parameter(_C.zeros((self.num_features,), dtype=dtype)) if affine else None
        stats = track_running_stats
        self.register_buffer("running_mean", _C.zeros((self.num_features,), dtype=dtype) if stats else None)
        self.register_buffer("running_var", _C.ones((self.num_features,), dtype=dtype) if stats else None)
        self.register_buffer("num_batches_tracked", _C.zeros((), dtype=_C.int64) if stats else None)

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def forward(self, x):
        if x.ndim not in (2, 3) or x.shape[-1] != self.num_features:
            raise ValueError(
                f"BatchNorm1d: expected input [N, {self.num_features}] or [N, T, {self.num_features}], "
                f"got {list(x.shape)}"
            )
        use_batch = self.training or self.running_mean is None
        tracked = self.num_batches_tracked if self.training else None
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, use_batch, self.momentum,
                            self.eps, tracked)  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )
