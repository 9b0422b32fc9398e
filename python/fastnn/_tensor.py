"""The parts of Tensor that are easier in Python: text, copying and pickling."""

from fastnn import _C

_PRINTED = 1000  # tensors with more elements are summarised
_UNMARKED = (_C.float32, _C.int64, _C.bool)  # dtypes that the printed numbers show by themselves


def _repr(self):
    import numpy as np

    name = type(self).__name__
    head = "tensor(" if name == "Tensor" else f"{name}("
    values = self.detach().cpu().numpy()
    notes = []
    if values.size:
        body = np.array2string(values, separator=", ", prefix=head, precision=4, threshold=_PRINTED)
    else:
        body = "[]"
        if self.shape != (0,):
            notes.append(f"shape={tuple(self.shape)}")
    if self.dtype not in _UNMARKED or not values.size:
        notes.append(f"dtype={self.dtype!r}")
    if self.is_cuda:
        notes.append(f"device='{self.device}'")
    if self.grad_fn:
        notes.append(f"grad_fn=<{self.grad_fn}>")
    elif self.requires_grad:
        notes.append("requires_grad=True")
    return head + ", ".join([body, *notes]) + ")"


def _format(self, spec):
    return (
        format(self.item(), spec) if spec and self.ndim == 0 else object.__format__(self, spec) if spec else repr(self)
    )


def _rebuild(cls, values, requires_grad, state, device="cpu"):
    tensor = _C.Tensor.__new__(cls, _C.from_numpy(values).to(device))
    tensor.requires_grad = requires_grad
    if state:
        tensor.__dict__.update(state)
    return tensor


def _reduce(self, protocol):
    # Row-major values, the leaf flag and what a subclass keeps; history and hooks stay behind.
    values = self.detach().cpu().numpy().copy(order="C")
    return _rebuild, (type(self), values, self.requires_grad, getattr(self, "__dict__", None), str(self.device))


def _copy(self):
    new = _C.Tensor.__new__(type(self), self.detach())
    new.requires_grad = self.requires_grad
    if hasattr(self, "__dict__"):
        new.__dict__.update(self.__dict__)
    return new


def _deepcopy(self, memo):
    if not self.is_leaf:
        raise RuntimeError("deepcopy: only a leaf tensor can be copied with its place in a graph; use detach().clone()")
    if id(self) in memo:
        return memo[id(self)]
    from copy import deepcopy

    new = _C.Tensor.__new__(type(self), self.detach().clone())
    new.requires_grad = self.requires_grad
    memo[id(self)] = new
    if self.grad is not None:
        new.grad = self.grad.detach().clone()
    if hasattr(self, "__dict__"):
        new.__dict__.update(deepcopy(self.__dict__, memo))
    return new


_C.Tensor.__repr__ = _repr
_C.Tensor.__format__ = _format
_C.Tensor.__reduce_ex__ = _reduce
_C.Tensor.__copy__ = _copy
_C.Tensor.__deepcopy__ = _deepcopy
