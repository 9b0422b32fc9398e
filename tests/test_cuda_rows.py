"""Reductions, scans, sorts, softmax and normalisation on a device where rows are long: parts of a row, blocks of one
row, merged tiles, columns in chunks. Compared with the CPU, which the cases of the operations check."""

import harness
import numpy as np
import pytest

import fastnn
from fastnn.nn import functional as F

pytestmark = pytest.mark.device
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def compare(f, arrays, *args, grad=None, times=1, **kwargs):
    """f(*arrays, *args) on both devices, to `times` the tolerance (0: equal), its gradients to `grad` times."""
    what = f"{f.__name__} {[a.shape for a in arrays]} {arrays[0].dtype} {args} {kwargs}"
    unit = TOLERANCE.get(str(arrays[0].dtype), 0)
    here = [fastnn.tensor(a, dtype=getattr(fastnn, str(a.dtype))) for a in arrays]
    there = [t.to("cuda:0") for t in here]
    for t in here + there:
        t.requires_grad = grad is not None
    wanted, got = f(*here, *args, **kwargs), f(*there, *args, **kwargs)
    wanted, got = (r if isinstance(r, tuple) else (r,) for r in (wanted, got))
    for w, g in zip(wanted, got, strict=True):
        assert g.device == "cuda:0"
        harness.assert_close(g.detach(), w.detach(), (times * unit, times * unit), what)
    if grad is not None:
        dy = fastnn.tensor(normal(*wanted[0].shape, seed=2), dtype=wanted[0].dtype)
        wanted = fastnn.autograd.grad(wanted[0], here, dy)
        got = fastnn.autograd.grad(got[0], there, dy.to("cuda:0"))
        for w, g in zip(wanted, got, strict=True):
            harness.assert_close(g, w, (grad * unit, grad * unit), f"gradient of {what}")


def normal(*shape, dtype="float32", seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


LONG = [
    ((40000,), None),
    ((3, 9000), 1),
    ((9000, 3), 0),
    ((2, 1500, 7), (0, 2)),
    ((2, 1100, 40), (0, 1)),
    ((5, 6, 7, 8), (1, 3)),
    ((1030, 130), 0),
]


@every_dtype
@pytest.mark.parametrize("shape,dim", LONG)
def test_reductions(dtype, shape, dim):
    x = normal(*shape, dtype=dtype)
    for name in ["sum", "mean", "nansum", "var", "std", "logsumexp", "amax", "amin"]:
        compare(getattr(fastnn, name), [x], dim, grad=10)
    compare(fastnn.prod, [1 + x / 100], dim, grad=10)
    for p in [0.0, 1.0, 2.0, 3.0, np.inf]:
        compare(fastnn.norm, [x], p, dim, grad=10)
    for name in ["sum", "prod", "any", "all", "count_nonzero"]:
        compare(getattr(fastnn, name), [np.round(x * 3).astype("int32")], dim)
    if not isinstance(dim, tuple):
        for name in ["argmax", "argmin"]:
            compare(getattr(fastnn, name), [np.round(x)], dim)


@every_dtype
@pytest.mark.parametrize("step", [np.s_[::2], np.s_[:, ::3], np.s_[1:, 1:]])
def test_views(dtype, step):
    """Rows that are not aligned, or do not lie together."""

    def of_view(x, name, dim, turned):
        view = x[step]
        return getattr(fastnn, name)(view.T if turned else view, dim)

    for dim in [0, 1, None]:
        for name in ["sum", "var", "logsumexp", "amax", "argmin"]:
            for turned in [False, True]:
                compare(of_view, [normal(70, 90, dtype=dtype)], name, dim, turned)


ROWS = [(9, 3), (3, 33), (3, 100), (2, 300), (2, 1001), (2, 1500), (1, 9000), (2, 20001)]


@every_dtype
def test_softmax(dtype):
    for shape, dim in [(s, 1) for s in ROWS] + [((700, 3), 0), ((3, 500, 40), 1), ((2, 7, 600), 1)]:
        for f in [F.softmax, F.log_softmax]:
            compare(f, [3 * normal(*shape, dtype=dtype)], dim, grad=10)
    x = np.full((2, 20001), -np.inf, dtype)
    x[1, 5:20000] = normal(19995, dtype=dtype)
    for special in [-np.inf, np.inf, np.nan]:
        x[1, 3] = special
        compare(F.softmax, [x], 1)


@every_dtype
def test_scans(dtype):
    for shape, dim in [((3, 513), 1), ((2, 5000), 1), ((1, 20000), 1), ((2, 2000, 5), 1), ((300, 40), 0)]:
        x = normal(*shape, dtype=dtype)
        compare(fastnn.cumsum, [x], dim, grad=1000)
        for zeros in [0, 1, 2]:
            y = 1 + x / 50
            y.reshape(-1)[np.random.default_rng(zeros).integers(0, y.size, zeros)] = 0
            compare(fastnn.cumprod, [y], dim, grad=1000)
        compare(fastnn.cumprod, [np.round(x * 3).astype("int64")], dim)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_sorts(dtype):
    """Stable in both directions, NaN the largest, whether a line is one tile, several, or only its first are wanted."""
    for shape, dim in [((3, 40), 1), ((3, 513), 1), ((2, 5000), 1), ((1, 2500, 3), 1), ((1, 9001), 1)]:
        x = np.round(normal(*shape) * 50).astype(dtype)
        if dtype.startswith("float"):
            x[normal(*shape, seed=3) > 2] = np.nan
        places = [k for k in [1, 5, 400, 2400] if k <= shape[dim]]
        for down in [False, True]:
            compare(fastnn.sort, [x], dim, descending=down, times=0)
            for k in places:
                compare(fastnn.topk, [x], k, dim, largest=down, times=0)
        for k in places:
            compare(fastnn.kthvalue, [x], k, dim, times=0)
        compare(fastnn.median, [x], dim, times=0)


@every_dtype
def test_row_norms(dtype):
    for shape in [*ROWS, (600, 12), (300, 600), (2100, 130)]:
        x, w, b = (normal(*s, dtype=dtype) for s in (shape, shape[1:], shape[1:]))
        compare(F.layer_norm, [x + np.array(3, dtype)], shape[1:], grad=100)

        def layer_norm(x, w, b):
            return F.layer_norm(x, w.shape, w, b)

        def rms_norm(x, w):
            return F.rms_norm(x, w.shape, w)

        compare(layer_norm, [x + np.array(3, dtype), w, b], grad=100)
        compare(rms_norm, [x, w], grad=100)


@every_dtype
def test_channel_norms(dtype):
    def batch_norm(x, w, b, training):
        mean, var = fastnn.zeros_like(w), fastnn.ones_like(w)
        return F.batch_norm(x, mean, var, w, b, training=training), mean, var

    def group_norm(x, w, b, groups):
        return F.group_norm(x, groups, w, b)

    for shape in [(40, 33), (2, 40, 40, 3), (5, 9, 64), (1200, 100), (2, 3, 130)]:
        x, w, b = (normal(*s, dtype=dtype) for s in (shape, shape[-1:], shape[-1:]))
        x += np.array(3, dtype)
        for training in [True, False]:
            compare(batch_norm, [x, w, b], training, times=10, grad=100)
        for groups in [1, shape[-1]] if len(shape) > 2 else []:
            compare(group_norm, [x, w, b], groups, times=10, grad=100)
        for size in [1, 4, 300]:
            compare(F.local_response_norm, [x], size, grad=10)
