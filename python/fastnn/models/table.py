"""What a network costs: shapes, sizes of activations, parameters and multiplications of every layer."""

from __future__ import annotations

import math
from typing import NamedTuple

from .. import _C, nn
from .._arrays import device_of
from ..autograd import no_grad

__all__ = ["LayerCost", "count_multiplications", "count_parameters", "layer_table"]


class LayerCost(NamedTuple):
    """One row of `layer_table`; ``shape`` and ``size`` leave the batch out."""

    name: str
    kind: str
    shape: tuple[int, ...]
    size: int
    parameters: int
    multiplications: int


def count_parameters(model: nn.Module, trainable: bool = False) -> int:
    """Numbers in all parameters, or in those that are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def _multiplications(module, output) -> int:
    """Of the products that convolutions and linear layers are made of, for one example."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return math.prod(output.shape[1:]) * math.prod(module.weight.shape[:-1])
    if isinstance(module, nn.Linear):
        return math.prod(output.shape[1:]) * module.in_features
    if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        raise TypeError(f"layer_table: cannot count {type(module).__name__}")
    return 0


def layer_table(model: nn.Module, input_shape) -> list[LayerCost]:
    """The layers in the order of their calls, found by one forward pass on zeros.

    Parameters
    ----------
    model : nn.Module
    input_shape : tuple of int
        Without the batch: (H, W, C).

    Returns
    -------
    list of LayerCost
        Of the modules without children, the table that the course draws of its networks.
    """
    rows, handles = [], []

    def noting(path):
        def note(module, args, output):
            shape = tuple(output.shape[1:])
            own = sum(p.numel() for p in module.parameters())
            rows.append(
                LayerCost(path, type(module).__name__, shape, math.prod(shape), own, _multiplications(module, output))
            )

        return note

    modes = [(m, m.training) for m in model.modules()]
    for path, module in model.named_modules():
        if next(module.children(), None) is None:
            handles.append(module.register_forward_hook(noting(path)))
    model.eval()
    try:
        with no_grad():
            model(_C.zeros((1, *input_shape), device=device_of(model)))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return rows


def count_multiplications(model: nn.Module, input_shape) -> int:
    """Multiplications of all convolutions and linear layers for one example (additions are about as many)."""
    return sum(row.multiplications for row in layer_table(model, input_shape))
