"""User-defined functions with their own gradient."""

from fastnn import _C


class Context:
    """What ``forward`` leaves for ``backward``: saved tensors and any attributes."""

    def __init__(self):
        self._saved = ()
        self._non_differentiable = ()
        self.needs_input_grad = ()

    def save_for_backward(self, *tensors):
        """Keeps tensors (or None) for backward; changing them in place afterwards is an error there."""
        # Without history: a saved output would otherwise keep itself alive.
        self._saved = tuple(None if t is None else (t.detach(), t._version) for t in tensors)

    @property
    def saved_tensors(self):
        """The tensors kept by save_for_backward."""
        for i, item in enumerate(self._saved):
            if item is not None and item[0]._version != item[1]:
                raise RuntimeError(
                    f"saved tensor {i} of shape {list(item[0].shape)} was changed in place after it was saved "
                    f"(version {item[0]._version}, expected {item[1]})"
                )
        return tuple(None if item is None else item[0] for item in self._saved)

    def mark_non_differentiable(self, *tensors):
        """Declares outputs that have no gradient."""
        self._non_differentiable = tensors


class Function:
    """Base of user-defined functions: static ``forward(ctx, *args)`` and ``backward(ctx, *grad_outputs)``.

    ``backward`` returns one gradient (or None) per argument of ``forward``. Call it as ``MyFunction.apply(*args)``.
    """

    @staticmethod
    def forward(ctx, *args):
        """Computes the outputs; runs without recording."""
        raise NotImplementedError("Function: define a static forward(ctx, *args)")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Computes the gradients of the arguments."""
        raise NotImplementedError("Function: define a static backward(ctx, *grad_outputs)")

    @classmethod
    def apply(cls, *args):
        """Runs ``forward`` and records ``backward``."""
        return _C._apply_function(cls, Context(), *args)
