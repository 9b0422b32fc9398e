"""Backward passes and hooks."""

import weakref

from fastnn import _C


def _as_list(x):
    return list(x) if isinstance(x, (tuple, list)) else [x]


def backward(tensors, grad_tensors=None, retain_graph=False):
    """Adds the gradients of `tensors` into the ``.grad`` of every leaf they were made from.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
        Where to start.
    grad_tensors : Tensor, None or sequence of them, optional
        Gradient of each tensor; None means 1 and is for one-element tensors only.
    retain_graph : bool
        Keep what backward needs, so that it can run again.
    """
    tensors = _as_list(tensors)
    grads = [None] * len(tensors) if grad_tensors is None else _as_list(grad_tensors)
    if len(grads) != len(tensors):
        raise ValueError(f"backward: expected {len(tensors)} gradients, got {len(grads)}")
    _C._backward(tensors, grads, retain_graph)


def grad(outputs, inputs, grad_outputs=None, retain_graph=False, allow_unused=False):
    """Gradients of `outputs` with respect to `inputs`, returned; no ``.grad`` changes.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        Any tensors of a graph, leaves or not.
    grad_outputs : Tensor, None or sequence of them, optional
        Gradient of each output; None means 1 and is for one-element outputs only.
    retain_graph : bool
        Keep what backward needs, so that it can run again.
    allow_unused : bool
        Return None for inputs that the outputs do not depend on, instead of an error.

    Returns
    -------
    tuple of Tensor
    """
    outputs, inputs = _as_list(outputs), _as_list(inputs)
    grads = [None] * len(outputs) if grad_outputs is None else _as_list(grad_outputs)
    if len(grads) != len(outputs):
        raise ValueError(f"grad: expected {len(outputs)} grad_outputs, got {len(grads)}")
    return tuple(_C._grad(outputs, inputs, grads, retain_graph, allow_unused))


class RemovableHandle:
    """What `Tensor.register_hook` returns; ``remove()`` takes the hook away."""

    def __init__(self, tensor, hook_id):
        self._tensor = weakref.ref(tensor)
        self._id = hook_id

    def remove(self):
        """Removes the hook; removing it twice is harmless."""
        tensor = self._tensor()
        if tensor is not None:
            tensor._remove_hook(self._id)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def _register_hook(self, hook):
    """Calls ``hook(grad)`` when the gradient of this tensor is ready; a returned Tensor replaces it."""
    if not callable(hook):
        raise TypeError(f"register_hook: expected a callable, got {type(hook).__name__}")
    return RemovableHandle(self, self._register_hook(hook))


_C.Tensor.register_hook = _register_hook
