"""The joint norm of gradients that may lie on several devices."""

from __future__ import annotations

from ... import _C


def _by_device(grads) -> list:
    """(device, its gradients), in the order in which they come."""
    if not any(g.is_cuda for g in grads):
        return [(grads[0].device, grads)]
    parts: dict = {}
    for g in grads:
        parts.setdefault(g.device, []).append(g)
    return list(parts.items())


def joint_norm(grads, p: float):
    """The p-norm of all elements, on the device of the first gradient."""
    parts = _by_device(grads)
    if len(parts) == 1:
        return _C._grad_norm(grads, p)
    norms = [_C._grad_norm(some, p).to(grads[0].device) for _, some in parts]
    return _C._grad_norm(norms, p)


def clip_by_norm(grads, norm, max_norm: float) -> None:
    """Scale all gradients by min(1, max_norm / norm), in place."""
    for device, some in _by_device(grads):
        _C._clip_by_norm(some, norm.to(device), max_norm)
