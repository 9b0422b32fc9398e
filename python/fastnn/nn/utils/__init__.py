"""Gradient clipping, flat parameter vectors, batch normalisation folded into the layer in front; ``rnn``: packing."""

from __future__ import annotations

import copy
import math

from ... import _C
from ..._C import Tensor
from ..._rows import gradients
from ...autograd import no_grad
from . import rnn
from ._norms import clip_by_norm, joint_norm

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "fold_batch_norm", "parameters_to_vector", "rnn", "vector_to_parameters",
]  # fmt: skip


def _gradients(parameters) -> list:
    return gradients([parameters] if isinstance(parameters, Tensor) else parameters)


def clip_grad_norm_(parameters, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False):
    """Scale all gradients together, in place, so that their joint norm is at most ``max_norm``.

    Parameters
    ----------
    parameters : iterable of Tensor, or one Tensor
        Those without a gradient are skipped.
    max_norm : float
    norm_type : float, default 2
        Any p > 0, or ``inf`` for the largest absolute value.
    error_if_nonfinite : bool, default False
        Raise ValueError when the norm is NaN or infinite, before any gradient is changed.

    Returns
    -------
    Tensor
        The norm before clipping, on the device of the first gradient; they may lie on several.
    """
    grads = _gradients(parameters)
    if max_norm < 0 or not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: expected max_norm >= 0 and norm_type > 0, got {max_norm} and {norm_type}")
    if not grads:
        return _C.zeros(())
    with no_grad():
        total = joint_norm(grads, float(norm_type))
        if error_if_nonfinite and not math.isfinite(total.item()):
            raise ValueError(f"clip_grad_norm_: the norm of the gradients is {total.item()}")
        clip_by_norm(grads, total, float(max_norm))
    return total


def clip_grad_value_(parameters, clip_value: float) -> None:
    """Cut every gradient element to [-clip_value, clip_value], in place."""
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: expected clip_value >= 0, got {clip_value}")
    with no_grad():
        for grad in _gradients(parameters):
            grad.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters) -> Tensor:
    """All parameters, flattened and joined in order: the theta of the course's gradient check. Differentiable."""
    parts = [p.reshape(-1) for p in parameters]
    if not parts:
        raise ValueError("parameters_to_vector: expected at least one parameter, got none")
    return _C.cat(parts)


def vector_to_parameters(vector, parameters) -> None:
    """The inverse: copy consecutive pieces of ``vector`` into the parameters."""
    params = list(parameters)
    total = sum(p.numel() for p in params)
    if vector.ndim != 1 or vector.numel() != total:
        raise ValueError(f"vector_to_parameters: expected a vector of {total} elements, got shape {list(vector.shape)}")
    start = 0
    with no_grad():
        for p in params:
            p.copy_(vector[start : start + p.numel()].reshape(tuple(p.shape)))
            start += p.numel()


def fold_batch_norm(layer, norm):
    """A copy of a linear or convolution layer that does the work of the batch normalisation behind it as well.

    In evaluation mode batch normalisation is a scale and a shift per channel, and the output channel is the last axis
    of every weight here: weight * s and (bias - running_mean) * s + norm.bias, s = norm.weight / sqrt(running_var +
    eps), rounded once from float64.

    Parameters
    ----------
    layer : Module
        With ``weight`` [..., C] and ``bias`` [C] or None.
    norm : BatchNorm1d, BatchNorm2d or BatchNorm3d
        With running statistics of C channels.

    Returns
    -------
    Module
        Of the class of `layer`, in evaluation mode, with a bias. `layer` stays as it is.

    Raises
    ------
    ValueError
        When the channels differ, or `norm` keeps no running statistics.
    """
    from ..parameter import Parameter

    if norm.running_mean is None:
        raise ValueError("fold_batch_norm: expected a normalisation with running statistics")
    channels = norm.num_features
    if layer.weight.shape[-1] != channels:
        raise ValueError(
            f"fold_batch_norm: expected a layer with {channels} output channels, got weight {list(layer.weight.shape)}"
        )
    with no_grad():
        dtype = layer.weight.dtype
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        shift = -norm.running_mean.double()
        if layer.bias is not None:
            shift = shift + layer.bias.double()
        shift = shift * scale
        if norm.bias is not None:
            shift = shift + norm.bias.double()
        folded = copy.deepcopy(layer).eval()
        folded.weight = Parameter((layer.weight.double() * scale).to(dtype))
        folded.bias = Parameter(shift.to(dtype))
    return folded
