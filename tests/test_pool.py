"""Pooling: the course's numbers, layers, random windows against PyTorch, forged indices, capture."""

import numpy as np
import pytest
from cases.case import torch

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

pytestmark = pytest.mark.kernels


def image(rows):
    """A matrix as [1, H, W, 1]."""
    return fastnn.tensor(rows, dtype="float32").reshape(1, len(rows), len(rows[0]), 1)


def matrix(y):
    return y.numpy()[0, ..., 0].tolist()


COURSE = [[1, 3, 2, 1], [2, 9, 1, 1], [1, 3, 2, 3], [5, 6, 1, 2]]


def test_max_pooling_by_hand():
    assert matrix(F.max_pool2d(image(COURSE), 2)) == [[9, 2], [6, 3]]
    five = [[1, 3, 2, 1, 3], [2, 9, 1, 1, 5], [1, 3, 2, 3, 2], [8, 3, 5, 1, 0], [5, 6, 1, 2, 9]]
    assert matrix(F.max_pool2d(image(five), 3, 1)) == [[9, 9, 5], [9, 9, 5], [8, 6, 9]]


def test_average_pooling_by_hand():
    rows = [[1, 3, 2, 1], [2, 9, 1, 1], [1, 4, 2, 3], [5, 6, 1, 2]]
    assert matrix(F.avg_pool2d(image(rows), 2)) == [[3.75, 1.25], [4, 2]]


def test_pooled_map_of_the_edge_filter():
    maps = [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]]
    assert matrix(F.max_pool2d(image(maps), 2)) == [[-1, 1], [0, 3]]


def test_same_padding_keeps_the_size_and_never_wins():
    x = image([[-5, -3], [-2, -9]])
    assert matrix(F.max_pool2d(x, 3, 1, "same")) == [[-2, -2], [-2, -2]]
    y = F.max_pool2d(fastnn.randn(1, 28, 28, 192), 3, 1, padding="same")
    assert tuple(y.shape) == (1, 28, 28, 192)


def test_global_pooling():
    x = fastnn.randn(2, 7, 7, 1000)
    y = nn.GlobalAvgPool()(x)
    assert tuple(y.shape) == (2, 1000)
    np.testing.assert_allclose(y.numpy(), x.numpy().mean((1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(nn.GlobalMaxPool()(x).numpy(), x.numpy().max((1, 2)))
    np.testing.assert_array_equal(F.global_max_pool(x[:, :, 0]).numpy(), x[:, :, 0].numpy().max(1))


def test_the_mean_of_ones_is_one():
    for k in range(1, 15):
        assert (F.avg_pool2d(fastnn.ones(1, 14, 14, 20), k).numpy() == 1).all()


def test_a_maximum_moved_inside_its_window_is_the_same():
    x = np.zeros((1, 4, 4, 1), np.float32)
    x[0, 0, 0] = 1
    y = F.max_pool2d(fastnn.from_numpy(x), 2)
    x2 = np.roll(x, 1, axis=2)
    assert (y.numpy() == F.max_pool2d(fastnn.from_numpy(x2), 2).numpy()).all()


def test_window_without_a_cell():
    """Dilation can step over all of x: -inf, index -1, no gradient."""
    x = fastnn.ones(1, 1, 3, dtype="float64").requires_grad_()
    y, i = F.max_pool1d(x, 2, 1, 2, 4, return_indices=True)
    assert np.isneginf(y.detach().numpy()).all() and (i.numpy() == -1).all()
    y.sum().backward()
    assert (x.grad.numpy() == 0).all()


def test_row_alone_and_in_a_batch():
    x = fastnn.randn(5, 13, 11, 37)
    whole = F.avg_pool2d(x, 3, 2, 1).numpy()
    for n in range(5):
        assert (F.avg_pool2d(x[n], 3, 2, 1).numpy() == whole[n]).all()


@pytest.mark.parametrize("pool", (F.max_pool2d, F.avg_pool2d))
@pytest.mark.parametrize("window", ((3, 2, 1), (2, 2, 0)))
def test_images_too_large_for_the_caches(pool, window):
    """Large results are written past the caches, large inputs fetched ahead: the same numbers as from one image."""
    x = fastnn.randn(9, 112, 112, 64).requires_grad_()
    y = pool(x, *window)
    g = fastnn.randn(*y.shape)
    y.backward(g)
    for n in (0, 8):
        one = x[n].detach().requires_grad_()
        z = pool(one, *window)
        z.backward(g[n])
        assert (z.detach().numpy() == y[n].detach().numpy()).all()
        assert (one.grad.numpy() == x.grad[n].numpy()).all()


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("seed", range(60))
def test_random_windows(seed):
    """Random shapes and windows: values, indices and gradients as PyTorch's."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    kernel = rng.integers(1, 5, rank)
    stride = rng.integers(1, 5, rank)
    padding = [int(rng.integers(0, k // 2 + 1)) for k in kernel]
    dilation = rng.integers(1, 4, rank)
    size = [int((k - 1) * d + 1 + rng.integers(0, 9)) for k, d in zip(kernel, dilation, strict=True)]
    x = rng.standard_normal((int(rng.integers(1, 4)), *size, int(rng.choice([1, 3, 8, 17, 40, 64, 100]))))
    x = x.astype(rng.choice(["float32", "float64"]))
    window = {"stride": [int(v) for v in stride], "padding": padding, "ceil_mode": bool(rng.integers(2))}
    kernel = [int(v) for v in kernel]
    if rng.random() < 0.5:
        kind, options = "max", {"dilation": [int(v) for v in dilation], "return_indices": True}
    else:
        kind, options = "avg", {"count_include_pad": bool(rng.integers(2))}
    a, b = fastnn.from_numpy(x).requires_grad_(), torch.from_numpy(x).requires_grad_()
    got = getattr(F, f"{kind}_pool{rank}d")(a, kernel, **window, **options)
    want = getattr(torch.nn.functional, f"{kind}_pool{rank}d")(b.movedim(-1, 1), kernel, **window, **options)
    if kind == "max":
        assert (got[1].numpy() == want[1].movedim(1, -1).numpy()).all()
        got, want = got[0], want[0]
    want = want.movedim(1, -1)
    tol = {"rtol": 1e-5, "atol": 1e-5} if x.dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), **tol)
    g = rng.standard_normal(tuple(got.shape)).astype(x.dtype)
    got.backward(fastnn.from_numpy(g))
    want.backward(torch.from_numpy(g))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), **tol)


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("rank", (1, 2, 3))
@pytest.mark.parametrize("p", (1, 2, 3.0))
def test_lp_pooling(rank, p):
    x = np.random.default_rng(rank).uniform(0.1, 2, (2, *[9, 6, 5][:rank], 5))
    a, b = fastnn.from_numpy(x).requires_grad_(), torch.from_numpy(x).requires_grad_()
    for ceil in (False, True):
        y = getattr(nn, f"LPPool{rank}d")(p, 2, 2, ceil)(a)
        w = getattr(torch.nn, f"LPPool{rank}d")(p, 2, 2, ceil)(b.movedim(-1, 1)).movedim(1, -1)
        np.testing.assert_allclose(y.detach().numpy(), w.detach().numpy(), rtol=1e-12)
        ga = fastnn.autograd.grad([y.sum()], [a])[0].numpy()
        np.testing.assert_allclose(ga, torch.autograd.grad(w.sum(), b)[0].numpy(), rtol=1e-11)


def test_lp_pooling_of_zeros_has_no_gradient():
    x = fastnn.zeros(1, 4, 4, 2).requires_grad_()
    F.lp_pool2d(x, 2, 2).sum().backward()
    assert (x.grad.numpy() == 0).all()


def test_unpooling_undoes_disjoint_windows():
    x = fastnn.randn(2, 6, 8, 5)
    y, i = nn.MaxPool2d(2, return_indices=True)(x)
    z = nn.MaxUnpool2d(2)(y, i)
    assert tuple(z.shape) == tuple(x.shape)
    assert (nn.MaxPool2d(2)(z).numpy() == np.maximum(y.numpy(), 0)).all()
    assert ((z.numpy() == x.numpy()) | (z.numpy() == 0)).all()


def test_forged_indices_in_backward():
    """Indices in memory shared with NumPy, changed between forward and backward."""
    index = np.zeros((1, 2, 2, 1), np.int64)
    x = fastnn.randn(1, 2, 2, 1).requires_grad_()
    y = F.max_unpool2d(x, fastnn.from_numpy(index), 2).sum()
    index[...] = 2**50  # the operation has its own copy
    y.backward()
    assert (x.grad == 1).all()


LAYERS = [
    (nn.MaxPool1d(2), (2, 8, 3), (2, 4, 3)), (nn.MaxPool2d(3, 2, 1), (2, 8, 9, 3), (2, 4, 5, 3)),
    (nn.MaxPool3d(2), (1, 4, 4, 4, 3), (1, 2, 2, 2, 3)), (nn.AvgPool1d(2), (8, 3), (4, 3)),
    (nn.AvgPool2d(2, ceil_mode=True), (2, 7, 7, 3), (2, 4, 4, 3)),
    (nn.AvgPool3d(2, divisor_override=3), (1, 4, 4, 4, 3), (1, 2, 2, 2, 3)),
    (nn.AdaptiveAvgPool1d(3), (2, 8, 3), (2, 3, 3)), (nn.AdaptiveAvgPool2d((None, 2)), (2, 8, 9, 3), (2, 8, 2, 3)),
    (nn.AdaptiveAvgPool3d(1), (2, 4, 4, 4, 3), (2, 1, 1, 1, 3)), (nn.AdaptiveMaxPool1d(3), (2, 8, 3), (2, 3, 3)),
    (nn.AdaptiveMaxPool2d(7), (2, 14, 9, 3), (2, 7, 7, 3)),
    (nn.AdaptiveMaxPool3d((1, None, 2)), (2, 4, 4, 4, 3), (2, 1, 4, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("layer, shape, out", LAYERS, ids=[repr(layer[0]) for layer in LAYERS])
def test_layers(layer, shape, out):
    x = fastnn.randn(*shape).requires_grad_()
    y = layer(x)
    assert tuple(y.shape) == out
    y.sum().backward()
    assert tuple(x.grad.shape) == shape
    assert repr(layer).startswith(type(layer).__name__ + "(")


def test_captured_step():
    """Eager and replayed steps have the same bits, with changed inputs."""
    w = fastnn.randn(16, 16, 8).requires_grad_()

    def step(x):
        w.grad = None
        y, i = F.max_pool2d(x * w, 3, 2, 1, return_indices=True)
        z = F.max_unpool2d(y, i, 2, 2)
        (F.avg_pool2d(z, 2) + F.adaptive_avg_pool2d(x * w, 8)).square().sum().backward()
        return z, w.grad

    captured = fastnn.capture(step)
    for seed in range(4):
        fastnn.manual_seed(seed)
        x = fastnn.randn(2, 16, 16, 8)
        z, g = (t.detach().numpy().copy() for t in step(x))
        z2, g2 = (t.detach().numpy().copy() for t in captured(x))
        assert (z == z2).all() and (g == g2).all()
