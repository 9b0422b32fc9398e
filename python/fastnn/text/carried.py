"""State that goes from batch to batch."""

from __future__ import annotations

from .. import _C
from ..autograd import no_grad
from ..nn import Module

__all__ = ["Carried"]


class Carried(Module):
    """A recurrent model whose state at the end of a batch begins the next: truncated backpropagation through time.

    The state lives in buffers, so that it is in every checkpoint and a captured step hands it on; no gradient flows
    into the batch before. Evaluation has a state of its own and leaves that of the training alone.

    Parameters
    ----------
    model : Module
        Called with ``(x, state)`` it returns ``(output, state)``, and ``model.initial_state(N)`` is a tensor
        [layers, N, ...] or a tuple of such tensors.
    batch_size : int
        N of the training batches.

    Called with x [N, T, ...] and keep [N] (0 where a row begins anew, 1 where it goes on, as `StreamLoader` yields), it
    returns the output alone.
    """

    def __init__(self, model: Module, batch_size: int):
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"Carried: expected batch_size >= 1, got {batch_size}")
        self.model = model
        state = model.initial_state(batch_size)
        self._pair = isinstance(state, tuple)
        self._names = []
        for i, part in enumerate(state if self._pair else (state,)):
            self._names.append(f"state{i}")
            self.register_buffer(self._names[-1], part)
        self._other: list = []  # the states of an evaluation

    def _states(self, n):
        if self.training:
            states = [getattr(self, name) for name in self._names]
            if states[0].shape[1] != n:
                raise ValueError(f"Carried: made for batches of {states[0].shape[1]} rows, got {n}")
            return states
        if not self._other or self._other[0].shape[1] != n:
            state = self.model.initial_state(n)
            self._other[:] = state if self._pair else (state,)
        return self._other

    def forward(self, x, keep):
        n = x.shape[0]
        if keep.ndim != 1 or keep.shape[0] != n:
            raise ValueError(f"Carried: expected keep of shape [{n}], got {list(keep.shape)}")
        states = self._states(n)
        keep = keep.reshape(1, n, 1)
        # where, not a product: a row that begins anew is free of what was there, be it infinite
        begin = [_C.where(keep != 0, s * keep, _C.zeros_like(s)) for s in states]
        output, end = self.model(x, tuple(begin) if self._pair else begin[0])
        with no_grad():
            for state, new in zip(states, end if self._pair else (end,)):
                state.copy_(new.detach())
        return output
