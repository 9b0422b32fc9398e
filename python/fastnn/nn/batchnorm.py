"""Batch and instance normalisation, which may keep running statistics."""

from __future__ import annotations

from .. import _C
from . import functional as F
from .module import Module
from .parameter import Parameter


class _Norm(Module):
    """Parameters and running statistics of one value per channel; `_forms` are the inputs that a class takes."""

    _forms: dict[int, str] = {}

    def __init__(self, num_features, eps, momentum, affine, track_running_stats, dtype):
        super().__init__()
        if num_features < 0:
            raise ValueError(f"{type(self).__name__}: expected num_features >= 0, got {num_features}")
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

    def _check(self, x) -> None:
        if x.ndim not in self._forms or x.shape[-1] != self.num_features:
            forms = " or ".join(f"[{form}, {self.num_features}]" for form in self._forms.values())
            raise ValueError(f"{type(self).__name__}: expected input {forms}, got {list(x.shape)}")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Norm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype=None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x):
        self._check(x)
        use_batch = self.training or self.running_mean is None
        tracked = self.num_batches_tracked if self.training else None
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, use_batch, self.momentum,
                            self.eps, tracked)  # fmt: skip


class BatchNorm1d(_BatchNorm):
    """Normalises every channel over the batch, then scales and shifts it.

    y = (x - mean) / sqrt(var + eps) * weight + bias. In training mean and (biased) variance are those of the batch, and
    the running statistics follow them: running = (1 - momentum) * running + momentum * batch, with the unbiased
    variance. In evaluation mode the running statistics are used; ``nn.utils.fold_batch_norm`` puts them into the layer
    in front.

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

    _forms = {2: "N", 3: "N, T"}


class BatchNorm2d(_BatchNorm):
    """As `BatchNorm1d`, for images [N, H, W, C]: channels last (PyTorch has [N, C, H, W])."""

    _forms = {4: "N, H, W"}


class BatchNorm3d(_BatchNorm):
    """As `BatchNorm1d`, for volumes [N, D, H, W, C]: channels last (PyTorch has [N, C, D, H, W])."""

    _forms = {5: "N, D, H, W"}


class _InstanceNorm(_Norm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype=None,
    ):
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x):
        self._check(x)
        use_input = self.training or self.running_mean is None
        stats = (self.running_mean, self.running_var) if self.running_mean is not None else (None, None)
        tracked = self.num_batches_tracked if self.training else None
        return F.instance_norm(x, *stats, self.weight, self.bias, use_input, self.momentum, self.eps, tracked)


class InstanceNorm1d(_InstanceNorm):
    """Normalises every channel of every example by the mean and variance over its places.

    y = (x - mean) / sqrt(var + eps) * weight + bias.

    Parameters
    ----------
    num_features : int
        C. Input [N, T, C]: channels last (PyTorch has [N, C, T]).
    eps : float, default 1e-5
    momentum : float or None, default 0.1
    affine : bool, default False
        Learn ``weight`` and ``bias``.
    track_running_stats : bool, default False
        Keep running statistics, and use them in evaluation mode.
    """

    _forms = {3: "N, T"}


class InstanceNorm2d(_InstanceNorm):
    """As `InstanceNorm1d`, for images [N, H, W, C]: channels last (PyTorch has [N, C, H, W])."""

    _forms = {4: "N, H, W"}


class InstanceNorm3d(_InstanceNorm):
    """As `InstanceNorm1d`, for volumes [N, D, H, W, C]: channels last (PyTorch has [N, C, D, H, W])."""

    _forms = {5: "N, D, H, W"}
