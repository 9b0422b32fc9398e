"""Inputs that end (or begin) at a page nobody may touch: a read or a write past a tensor is a SIGSEGV.

Every sample of every case runs so, on every instruction set, in a forked child. Outputs come from the allocator; the
sanitizer build watches those.
"""

import ctypes
import faulthandler
import mmap

import harness
import numpy as np
import pytest
from cases import CASES
from forked import in_child

import fastnn

pytestmark = [pytest.mark.kernels, pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")]

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)


def guarded(values, at_end):
    """A copy of the values (row-major) whose last byte is the last before a forbidden page, or whose first is the
    first after one."""
    size = values.nbytes
    pages = max(1, -(-size // PAGE))
    m = mmap.mmap(-1, (pages + 2) * PAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(m))
    start = base + PAGE + (pages * PAGE - size if at_end else 0)
    whole = (ctypes.c_char * max(size, 1)).from_address(start)
    whole._keeps = m
    array = np.frombuffer(whole, values.dtype, values.size).reshape(values.shape)
    array[...] = values
    for page in (base, base + (pages + 1) * PAGE):
        assert libc.mprotect(ctypes.c_void_p(page), PAGE, 0) == 0
    return array


def run_guarded(case, at_end):
    """All small samples of a case, forward and backward, with their inputs at a guard."""
    for isa in harness.ISAS:
        with harness.isa(isa):
            for dtype in case.dtypes:
                for i, spec in enumerate(case.samples):
                    if spec.threads:
                        continue
                    s = harness.Sample(case, i, dtype)
                    place(s, at_end)


def place(s, at_end):
    """Runs one sample on guarded memory, with the layout that it asks for."""
    tensors = []
    for a, v, on in zip(s.specs, s.values, s.differentiable(), strict=True):
        dense, back = dense_form(np.asarray(v), a.layout)
        t = fastnn.from_numpy(back(guarded(dense, at_end)))
        tensors.append(t.requires_grad_() if on else t)
    fastnn.manual_seed(11)
    args, kwargs = s.arguments(tensors)
    outputs = harness.as_list(s.case.run(*args, **kwargs))
    if any(s.differentiable()):
        s.gradients(outputs, tensors)


def dense_form(v, layout):
    """(row-major array to place, function from it to the array in its layout), with no spare elements around."""
    if v.ndim == 0 or layout in ("dense", "offset"):
        return np.array(v, order="C"), lambda a: a
    if layout == "transposed":
        return np.ascontiguousarray(v.T), lambda a: a.T
    if layout == "negative":
        flip = tuple(slice(None, None, -1) for _ in v.shape)
        return np.ascontiguousarray(v[flip]), lambda a: a[flip]
    if layout == "expanded":
        return np.ascontiguousarray(v[:1]), lambda a: np.broadcast_to(a, v.shape)
    every = tuple(slice(None, None, 2) for _ in v.shape)  # strided: the last element is the last of the memory
    wide = np.zeros([max(0, 2 * n - 1) for n in v.shape], v.dtype)
    wide[every] = v
    return wide, lambda a: a[every]


def test_the_guard_works():
    """Reading one element past the end does kill the child."""

    def overrun():
        faulthandler.disable()
        a = guarded(np.ones(100, np.float32), True)
        ctypes.string_at(a.ctypes.data + a.nbytes, 1)

    with pytest.raises(AssertionError, match="SIGSEGV"):
        in_child(overrun)


@pytest.mark.parametrize("at_end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("case", CASES, ids=[c.op for c in CASES])
def test_inside(case, at_end):
    in_child(run_guarded, case, at_end, timeout=120)


@pytest.mark.parametrize("at_end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("n", [1, 3, 7, 15, 16, 17, 31, 33, 63, 65, 100, 127, 1000, 1023])
def test_in_place(n, at_end):
    """Writes into guarded memory stay inside it."""

    def child():
        for isa in harness.ISAS:
            with harness.isa(isa):
                for dtype in ("float32", "float64"):
                    a = guarded(np.ones(n, dtype), at_end)
                    t = fastnn.from_numpy(a)
                    t.add_(1).mul_(2).fill_(3)
                    t.copy_(fastnn.from_numpy(np.full(n, 5, dtype)))
                    assert (a == 5).all()
                    t.zero_()
                    assert (a == 0).all()

    in_child(child)
