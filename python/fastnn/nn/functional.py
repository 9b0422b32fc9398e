"""One function an operation, with PyTorch's argument names (the first argument is called ``x``).

Most are the compiled functions themselves; what is written out here is a formula over them that needs no kernel of its
own.
"""

from __future__ import annotations

from .._C import (
    Tensor,
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    batch_norm,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    celu,
    col2im,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    cross_entropy,
    dropout,
    elu,
    embedding,
    embedding_bag,
    gelu,
    group_norm,
    gru,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hinge_embedding_loss,
    hinge_loss,
    huber_loss,
    im2col,
    instance_norm,
    interpolate,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    local_response_norm,
    log_softmax,
    logsigmoid,
    lstm,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
    mish,
    mse_loss,
    nll_loss,
    one_hot,
    pad,
    prelu,
    relu,
    relu6,
    rms_norm,
    rnn,
    selu,
    sigmoid,
    silu,
    smooth_l1_loss,
    softmax,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
)
from ._pooling import global_avg_pool, global_max_pool, lp_pool1d, lp_pool2d, lp_pool3d

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "col2im", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "cosine_similarity", "cross_entropy", "dropout", "elu", "embedding",
    "embedding_bag", "flatten", "gelu", "global_avg_pool", "global_max_pool", "glu", "group_norm", "hardshrink",
    "hardsigmoid", "hardswish", "hardtanh", "hinge_embedding_loss", "hinge_loss", "huber_loss", "im2col",
    "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "linear", "local_response_norm",
    "log_softmax", "logsigmoid", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
    "max_unpool1d", "max_unpool2d", "max_unpool3d", "mish", "mse_loss", "nll_loss", "normalize", "one_hot", "pad",
    "pairwise_distance", "prelu", "relu", "relu6", "rms_norm", "selu", "sigmoid", "silu", "smooth_l1_loss", "softmax",
    "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
    "gru", "lstm", "rnn",
]  # fmt: skip


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions ``start_dim`` to ``end_dim`` joined into one; a view where the strides allow."""
    shape, n = tuple(x.shape), x.ndim
    if n == 0:
        return x.reshape(1)
    first, last = (d + n if d < 0 else d for d in (start_dim, end_dim))
    if not 0 <= first <= last < n:
        raise IndexError(f"flatten: expected 0 <= start_dim <= end_dim < {n}, got {start_dim} and {end_dim}")
    size = 1
    for s in shape[first : last + 1]:
        size *= s
    return x.reshape(shape[:first] + (size,) + shape[last + 1 :])


def softmin(x: Tensor, dim: int = -1) -> Tensor:
    """softmax(-x): the smallest gets the largest share."""
    return softmax(-x, dim)


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), a and b the halves of x along ``dim`` (Dauphin 2017). ValueError when the size is odd."""
    size = x.shape[dim]
    if size % 2:
        raise ValueError(f"glu: expected an even size along dim {dim}, got shape {list(x.shape)}")
    a, b = x.split(size // 2, dim)
    return a * sigmoid(b)


def normalize(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(norm, eps), the p-norm taken along ``dim``."""
    return x / x.norm(p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1.x2 / (max(|x1|, eps) max(|x2|, eps)) along ``dim``, broadcast."""
    return (x1 * x2).sum(dim) / (x1.norm(2.0, dim).clamp(min=eps) * x2.norm(2.0, dim).clamp(min=eps))


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)
