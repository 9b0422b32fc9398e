"""Random programs of views, in-place operations and arithmetic, run by fastnn and by PyTorch: same values, same
gradients, and an error here where there is one there."""

import os

import numpy as np
import pytest

import fastnn

torch = pytest.importorskip("torch")

PROGRAMS = 3000 if os.environ.get("FASTNN_TEST_FULL") == "1" else 400

# name: (function of a tensor and a random generator that returns the arguments, or None where it does not apply)
VIEWS = {
    "reshape": lambda t, r: ([int(np.prod(t.shape))],),
    "transpose": lambda t, r: tuple(int(v) for v in r.integers(0, t.ndim, 2)) if t.ndim else None,
    "select": lambda t, r: pick(t, r),
    "getitem": lambda t, r: window(t, r),
    "unsqueeze": lambda t, r: (int(r.integers(0, t.ndim + 1)),) if t.ndim < 4 else None,
    "expand": lambda t, r: ([2, *t.shape],) if t.ndim < 3 else None,
    "diagonal": lambda t, r: () if t.ndim >= 2 else None,
    "detach": lambda t, r: () if r.random() < 0.1 else None,
}
IN_PLACE = ["add_", "mul_", "sub_", "copy_", "fill_", "zero_"]
ARITHMETIC = ["add", "mul", "sub", "relu", "sum", "scale"]


def pick(t, r):
    """Arguments of select."""
    if not t.ndim or 0 in t.shape:
        return None
    dim = int(r.integers(0, t.ndim))
    return dim, int(r.integers(0, t.shape[dim]))


def window(t, r):
    """A slice along one axis."""
    if not t.ndim or 0 in t.shape:
        return None
    dim = int(r.integers(0, t.ndim))
    start = int(r.integers(0, t.shape[dim]))
    return ((*[slice(None)] * dim, slice(start, None, int(r.integers(1, 3)))),)


def apply(t, name, args):
    """One step on a tensor of either library."""
    if name == "getitem":
        return t[args[0]]
    if name == "reshape":
        return t.reshape(args[0])
    if name == "expand":
        return t.expand(*args[0])
    if name == "scale":
        return t * args[0]
    if name == "add":
        return t + args[0]
    if name == "sub":
        return t - args[0]
    if name == "mul":
        return t * args[0]
    return getattr(t, name)(*args)


class Both:
    """The same tensors in both libraries."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.values = [
            self.rng.standard_normal((3, 4)),
            self.rng.standard_normal((2, 3, 2)),
            self.rng.standard_normal(4),
        ]
        self.ours = [fastnn.from_numpy(v.copy()).requires_grad_() for v in self.values]
        self.theirs = [torch.from_numpy(v.copy()).requires_grad_() for v in self.values]
        self.leaves = list(zip(self.ours, self.theirs, strict=True))
        self.log = []

    def step(self):
        """One random operation; errors must come from both or from neither."""
        r = self.rng
        i = int(r.integers(0, len(self.ours)))
        x, t = self.ours[i], self.theirs[i]
        kind = r.random()
        if kind < 0.45:
            name = str(r.choice(list(VIEWS)))
            args = VIEWS[name](t, r)
            if args is None:
                return
            other = None
        elif kind < 0.75:
            name = str(r.choice(IN_PLACE))
            args, other = self.operand(name, t, r)
        else:
            name = str(r.choice(ARITHMETIC))
            args, other = self.operand(name, t, r)
        self.log.append((i, name, args, other))
        ours = self.attempt(x, name, args if other is None else (self.ours[other],))
        theirs = self.attempt(t, name, args if other is None else (self.theirs[other],))
        failed = isinstance(theirs, Exception)
        assert isinstance(ours, Exception) == failed, f"{self.log}: fastnn {ours!r}, PyTorch {theirs!r}"
        if not failed and name not in IN_PLACE:
            self.ours.append(ours)
            self.theirs.append(theirs)
        self.compare()

    def operand(self, name, t, r):
        """(arguments, or the number of the other tensor)."""
        if name in ("relu", "zero_"):
            return (), None
        if name == "sum":
            return (), None
        number = (float(np.round(r.standard_normal(), 3)),)
        if name in ("scale", "fill_") or r.random() < 0.4:
            return (number, None) if name != "copy_" else ((), self.same_shape(t, r))
        fits = [k for k, o in enumerate(self.theirs) if o.shape == t.shape]
        return (), int(r.choice(fits))

    def same_shape(self, t, r):
        """A tensor with the shape of t."""
        return int(r.choice([k for k, o in enumerate(self.theirs) if o.shape == t.shape]))

    @staticmethod
    def attempt(t, name, args):
        """The result or the error."""
        try:
            return apply(t, name, args)
        except (RuntimeError, ValueError) as e:
            return e

    def compare(self):
        """All tensors have the same values and the same place in the graph."""
        for x, t in zip(self.ours, self.theirs, strict=True):
            np.testing.assert_allclose(x.detach().numpy(), t.detach().numpy(), rtol=1e-12, err_msg=str(self.log))
            assert x.requires_grad == t.requires_grad, f"{self.log}: requires_grad of shape {tuple(t.shape)}"

    def gradients(self):
        """Backward from all tensors at once."""

        def total(tensors):
            out = None
            for k, t in enumerate(tensors):
                if t.requires_grad:
                    part = t.sum() * (k + 1.0)
                    out = part if out is None else out + part
            return out

        ours, theirs = self.try_backward(total(self.ours)), self.try_backward(total(self.theirs))
        if "more than one element of the written-to tensor" in str(theirs):
            return False  # a gradient that PyTorch cannot compute
        assert (ours is None) == (theirs is None), f"{self.log}: backward: fastnn {ours!r}, PyTorch {theirs!r}"
        if theirs is not None:
            return False
        for x, t in self.leaves:
            want = np.zeros(t.shape) if t.grad is None else t.grad.numpy()
            got = np.zeros(t.shape) if x.grad is None else x.grad.numpy()
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10, err_msg=str(self.log))
        return True

    @staticmethod
    def try_backward(root):
        """The error of backward, or None."""
        try:
            root.backward()
        except RuntimeError as e:
            return e


@pytest.mark.parametrize("block", range(8))
def test_random_programs(block):
    finished = 0
    for seed in range(block * PROGRAMS // 8, (block + 1) * PROGRAMS // 8):
        both = Both(seed)
        # The leaves themselves cannot change in place, so their doubles are there from the start.
        for k in range(3):
            both.ours.append(both.ours[k] * 2)
            both.theirs.append(both.theirs[k] * 2)
        for _ in range(int(both.rng.integers(2, 14))):
            both.step()
        finished += both.gradients()
    assert finished > PROGRAMS // 8 // 4  # the rest ended in the version check, in both libraries
