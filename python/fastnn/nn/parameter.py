"""Parameter: a tensor that a module owns and an optimiser updates."""

from __future__ import annotations

from .._C import Tensor


class Parameter(Tensor):
    """A leaf tensor that modules list in ``parameters()``.

    Parameters
    ----------
    data : Tensor or array-like
        The initial value. A Tensor is shared, not copied; anything else is converted as by ``fastnn.tensor``.
    requires_grad : bool, default True
        False freezes the parameter: it stays in ``state_dict()`` and gets no gradient.
    """

    def __new__(cls, data, requires_grad: bool = True):
        self = super().__new__(cls, data)
        self.requires_grad = requires_grad
        return self
