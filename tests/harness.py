"""Turns the samples of a case into arrays, tensors and PyTorch tensors, runs them and compares."""

import contextlib
import os
import zlib

import numpy as np
from cases.case import A, torch

import fastnn

ISAS = {"x86_64": ["baseline", "avx2", "avx512"]}.get(__import__("platform").machine(), [fastnn.isa_found()])
ISAS = ISAS[: ISAS.index(fastnn.isa_found()) + 1]
if "FASTNN_TEST_ISAS" in os.environ:  # of these only
    ISAS = [i for i in ISAS if i in os.environ["FASTNN_TEST_ISAS"].split()] or ISAS
THREADS = (1, 2, 3, 8)

SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1e-45, 3e38, -3e38, 1e-38, 1.0, -1.0, 0.5, 88.0, -88.0, 104.0,
     -104.0, 20.0, -20.0, 2.0, 3.0, 1e10, -1e10, 1e-10]
)  # fmt: skip


@contextlib.contextmanager
def isa(name):
    """Kernels of another instruction set inside."""
    before = fastnn.isa()
    fastnn.set_isa(name)
    try:
        yield
    finally:
        fastnn.set_isa(before)


@contextlib.contextmanager
def threads(n):
    """Another number of threads inside."""
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(n)
    try:
        yield
    finally:
        fastnn.set_num_threads(before)


def draw(a, dtype, rng):
    """The values of array argument `a` as a dense array."""
    if a.values is not None:
        return np.asarray(a.values, a.dtype or dtype)
    if a.dtype in ("int64", "int32", "uint8"):
        return np.asarray(rng.integers(a.low, 10 if a.high is None else a.high, a.shape)).astype(a.dtype)
    if a.dtype == "bool":
        return np.asarray(rng.random(a.shape) < 0.5)
    n = int(np.prod(a.shape, dtype=np.int64))
    values = {
        "normal": lambda: rng.standard_normal(n),
        "wide": lambda: rng.standard_normal(n) * 10,
        "positive": lambda: rng.uniform(0.2, 3, n),
        "unit": lambda: rng.uniform(-0.9, 0.9, n),
        "prob": lambda: rng.uniform(0.05, 0.95, n),
        "away": lambda: rng.choice([-1, 1], n) * (0.1 + np.abs(rng.standard_normal(n))),
        "distinct": lambda: rng.permutation(n) * 0.1 - 0.05 * n + rng.uniform(0, 0.04, n),
        "special": lambda: rng.permutation(np.resize(SPECIAL, n)),
        "ones": lambda: np.ones(n),
    }[a.kind]()
    return values.astype("float32").astype(a.dtype or dtype).reshape(a.shape)


def lay(values, layout):
    """(window with these values in that layout, the whole memory it lies in)."""
    if layout == "dense" or values.ndim == 0:
        out = values.copy()
        return out, out
    if layout == "expanded":
        base = np.ascontiguousarray(values[:1])
        return np.broadcast_to(base, values.shape), base
    if layout == "transposed":
        base = np.empty(values.shape[::-1], values.dtype)
        window = base.T
    elif layout == "strided":
        base = np.full([2 * s + 1 for s in values.shape], 77).astype(values.dtype)
        window = base[tuple(slice(1, 2 * s + 1, 2) for s in values.shape)]
    elif layout == "negative":
        base = np.empty(values.shape, values.dtype)
        window = base[tuple(slice(None, None, -1) for _ in values.shape)]
    elif layout == "offset":
        base = np.full(values.size + 2, 77).astype(values.dtype)
        window = base[1:-1].reshape(values.shape)
    else:
        raise ValueError(layout)
    window[...] = values
    return window, base


def on_device(window, base, device):
    """A tensor with the window's values, strides and place in memory on a device."""
    if window.size == 0:
        return fastnn.from_numpy(np.ascontiguousarray(window)).to(device)
    item = base.itemsize
    flat = base.T if base.flags.f_contiguous and not base.flags.c_contiguous else base
    memory = fastnn.from_numpy(np.ascontiguousarray(flat).reshape(-1)).to(device)
    offset = (window.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // item
    return fastnn._C._window(memory, window.shape, tuple(s // item for s in window.strides), offset)


def walk(value, f):
    """`value` with f applied to every A inside lists and tuples."""
    if isinstance(value, A):
        return f(value)
    if isinstance(value, list | tuple):
        return type(value)(walk(v, f) for v in value)
    return value


class Sample:
    """A sample with its arrays drawn for one dtype."""

    def __init__(self, case, index, dtype):
        self.case, self.spec, self.dtype = case, case.samples[index], dtype
        rng = np.random.default_rng(zlib.crc32(f"{case.op}/{index}".encode()))
        self.specs, self.values = [], []

        def take(a):
            values = draw(a, dtype, rng)
            if a.layout == "expanded" and values.ndim:
                values = np.broadcast_to(values[:1], values.shape)
            self.specs.append(a)
            self.values.append(values)

        walk(list(self.spec.args), take)
        walk(list(self.spec.kwargs.values()), take)
        self.seed = int(rng.integers(1 << 30))

    def arguments(self, items):
        """The arguments with `items` in place of the arrays, in order."""
        it = iter(items)
        args = walk(list(self.spec.args), lambda _: next(it))
        return args, {k: walk(v, lambda _: next(it)) for k, v in self.spec.kwargs.items()}

    def differentiable(self):
        """Which of the arrays have gradients."""
        return [self.case.differentiable and self.spec.grad and a.grad for a in self.specs]

    def fastnn(self, values=None, grad=True, layouts=True, device="cpu"):
        """Runs the operation: (outputs, tensors of the arrays, the memory they lie in)."""
        values = [np.asarray(v) for v in values or self.values]
        laid = [lay(v, a.layout if layouts else "dense") for a, v in zip(self.specs, values, strict=True)]
        tensors = [on_device(w, b, device) if device != "cpu" else fastnn.from_numpy(w) for w, b in laid]
        for t, on in zip(tensors, self.differentiable(), strict=True):
            if grad and on:
                t.requires_grad_()
        fastnn.manual_seed(11)
        args, kwargs = self.arguments(tensors)
        with fastnn.device("cpu" if tensors else device):  # results go where the tensors are
            return as_list(self.case.run(*args, **kwargs)), tensors, [b for _, b in laid]

    def numpy(self):
        """The reference's outputs."""
        wide = [v.astype("float64") if v.dtype.kind == "f" else v for v in self.values]
        args, kwargs = self.arguments(wide)
        with np.errstate(all="ignore"):
            return [np.asarray(y) for y in as_list(self.case.numpy(*args, **kwargs))]

    def torch(self):
        """PyTorch's outputs, and the tensors of the arrays."""
        tensors = [torch.from_numpy(v.copy()) for v in self.values]
        for t, on in zip(tensors, self.differentiable(), strict=True):
            t.requires_grad_(on)
        args, kwargs = self.arguments(tensors)
        return as_list(self.case.torch(*args, **kwargs)), tensors

    def weights(self, outputs):
        """A fixed gradient for every output."""
        rng = np.random.default_rng(self.seed)
        return [np.asarray(rng.standard_normal(tuple(y.shape)), self.dtype) for y in outputs]

    def gradients(self, outputs, tensors):
        """Gradients of sum(weights * outputs) with respect to the differentiable arrays (None for the others)."""
        weights = self.weights(outputs)
        chosen = [i for i, y in enumerate(outputs) if y.requires_grad]
        inputs = [t for t, on in zip(tensors, self.differentiable(), strict=True) if on]
        if not chosen or not inputs:
            return [None] * len(tensors)
        found = iter(
            fastnn.autograd.grad(
                [outputs[i] for i in chosen],
                inputs,
                [fastnn.from_numpy(weights[i]).to(outputs[i].device) for i in chosen],
                allow_unused=True,
            )
        )
        return [next(found) if on else None for on in self.differentiable()]


def as_list(out):
    """Outputs of an operation as a list."""
    return list(out) if isinstance(out, list | tuple) else [out]


def array(t):
    """The values of a tensor of either library."""
    return np.asarray(t) if isinstance(t, np.ndarray | float | int) else t.detach().cpu().numpy()


def same_bits(a, b):
    """Whether two arrays have the same shape, dtype and bytes."""
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
    )


def assert_close(got, want, tol, what):
    """Equal within tol = (rtol, atol); integers and booleans exactly; NaN with NaN, Inf with Inf."""
    got, want = array(got), array(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if want.dtype.kind != "f":
        assert got.dtype.kind == want.dtype.kind, f"{what}: dtype {got.dtype}, expected {want.dtype}"
        assert np.array_equal(got, want), f"{what}: {differ(got, want, got != want)}"
        return
    assert got.dtype.kind == "f", f"{what}: dtype {got.dtype}, expected a floating one"
    with np.errstate(all="ignore"):
        want = want.astype(got.dtype) if got.dtype.itemsize < want.dtype.itemsize else want  # 1e39 is Inf in float32
        wide_got, wide = got.astype("float64"), want.astype("float64")
        near = np.abs(wide_got - wide) <= tol[1] + tol[0] * np.abs(wide)
        ok = near | (wide_got == wide) | (np.isnan(wide_got) & np.isnan(wide))
        # The last step before Inf may round either way.
        limit = np.finfo(got.dtype).max * (1 - 1e-6)
        ok |= (np.abs(wide_got) >= limit) & (np.abs(wide) >= limit) & (np.sign(wide_got) == np.sign(wide))
    assert ok.all(), f"{what}: {differ(got, want, ~ok)} (rtol {tol[0]}, atol {tol[1]})"


def differ(got, want, bad):
    """The first differing element in words."""
    at = tuple(int(i) for i in np.argwhere(bad)[0]) if bad.ndim else ()
    return f"{int(bad.sum())} of {bad.size} elements differ, first at {at}: got {got[at]!r}, expected {want[at]!r}"


def prompt():
    """Seconds within which Ctrl-C must be noticed: half a second, more where other work has the processors."""
    return 0.5 if os.getloadavg()[0] < os.cpu_count() else 3.0
