"""Gradients of some rows of a table: what a lookup with ``sparse=True`` leaves on its parameter instead of ``.grad``.

A lookup takes the rows it needs, each once, as a small leaf tensor; its gradient, kept on the parameter with the rows'
numbers, is all that a step reads and writes. Nothing of the table's size is made or touched.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import _C
from ._arrays import to_numpy
from .autograd import no_grad

__all__ = ["RowGradient", "clear_row_gradient", "gradients", "move_row_gradient", "row_gradient", "take_rows"]


class RowGradient(NamedTuple):
    """``values[k]`` is the gradient of row ``rows[k]``; the others have none."""

    rows: _C.Tensor  # int64 [U], rising
    values: _C.Tensor  # [U, D]


def take_rows(weight, ids, padding_idx, max_norm, norm_type):
    """Ids into the rows that they name, those rows [U, D], and which of them is the padding.

    The backward pass of what is made of the rows leaves their gradient on `weight`.
    """
    ids = to_numpy(ids)
    rows, places = np.unique(ids, return_inverse=True)
    device = weight.device
    block = _C.embedding(_C.from_numpy(rows).to(device), weight.detach(), None, max_norm, norm_type)  # checks them
    rows = rows.astype(np.int64)
    if weight.requires_grad:
        block.requires_grad = True
        found = weight.__dict__.setdefault("_row_gradients", [])
        # The parameter may have been moved since.
        block.register_hook(lambda g: found.append((rows, g.detach().to(weight.device, weight.dtype))))
    padding = None if padding_idx is None else np.flatnonzero(rows == padding_idx)
    padding = int(padding[0]) if padding is not None and len(padding) else None
    return _C.from_numpy(places.reshape(ids.shape).astype(np.int64)).to(device), block, padding


def row_gradient(param) -> RowGradient | None:
    """The gradient that lookups have left on a parameter, of all of them since `clear_row_gradient`."""
    found = getattr(param, "__dict__", {}).get("_row_gradients")
    if not found:
        return None
    if len(found) > 1:
        with no_grad():
            rows, places = np.unique(np.concatenate([r for r, _ in found]), return_inverse=True)
            places = _C.from_numpy(places.reshape(-1).astype(np.int64)).to(param.device)
            values = _C.zeros((len(rows), param.shape[1]), dtype=param.dtype, device=param.device)
            values = values.index_add(0, places, _C.cat([g for _, g in found]))
        found[:] = [(rows, values)]
    rows, values = found[0]
    return RowGradient(_C.from_numpy(rows).to(values.device), values)


def clear_row_gradient(param) -> None:
    found = getattr(param, "__dict__", {}).get("_row_gradients")
    if found:
        found.clear()


def move_row_gradient(param) -> None:
    """Take what lookups have left to the device and dtype that the parameter has now."""
    found = getattr(param, "__dict__", {}).get("_row_gradients")
    if found:
        found[:] = [(rows, values.to(param.device, param.dtype)) for rows, values in found]


def gradients(params) -> list:
    """The gradients of those parameters that have one, of whole tensors or of rows: for norms and clipping."""
    found = []
    for p in params:
        if p.grad is not None:
            found.append(p.grad)
        rows = row_gradient(p)
        if rows is not None:
            found.append(rows.values)
    return found
