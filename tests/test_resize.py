"""Resizing: by hand, layers, identities, capture."""

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


def test_twice_as_large_by_hand():
    x = image([[1, 2], [3, 4]])
    assert matrix(F.interpolate(x, scale_factor=2)) == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert matrix(F.interpolate(x, size=(1, 4), mode="bilinear"))[0] == [2, 2.25, 2.75, 3]
    corners = matrix(F.interpolate(x, size=4, mode="bilinear", align_corners=True))
    np.testing.assert_allclose(corners[0], [1, 4 / 3, 5 / 3, 2], rtol=1e-6)
    assert (corners[0][0], corners[0][3], corners[3][0], corners[3][3]) == (1, 2, 3, 4)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "area"])
def test_the_same_size_changes_nothing(mode):
    x = fastnn.randn(2, 5, 6, 3)
    assert (F.interpolate(x, size=(5, 6), mode=mode).numpy() == x.numpy()).all()


def test_the_cell_beside_takes_no_part_where_its_share_is_nothing():
    x = image([[1, np.inf], [np.nan, 3]])
    assert matrix(F.interpolate(x, size=(3, 3), mode="bilinear", align_corners=True))[0][0] == 1


def test_gradients_are_shares():
    """What goes in comes out: the gradient of a sum adds up to the number of output cells."""
    for options in ({"size": (7, 9)}, {"size": (2, 3), "mode": "bilinear"}, {"scale_factor": 1.7, "mode": "bilinear"}):
        x = fastnn.randn(2, 4, 5, 3, dtype="float64").requires_grad_()
        y = F.interpolate(x, **options)
        y.sum().backward()
        np.testing.assert_allclose(x.grad.sum().item(), y.numel(), rtol=1e-12)


@pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("seed", range(40))
def test_random_sizes(seed):
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    size = [int(v) for v in rng.integers(1, 20, rank)]
    out = [int(v) for v in rng.integers(1, 30, rank)]
    x = rng.standard_normal((2, *size, int(rng.choice([1, 3, 20])))).astype("float32")
    modes = [
        ("nearest", None),
        ("nearest-exact", None),
        (["linear", "bilinear", "trilinear"][rank - 1], bool(seed % 2)),
    ]
    for mode, align in modes:
        a, b = fastnn.from_numpy(x).requires_grad_(), torch.from_numpy(x).requires_grad_()
        y = F.interpolate(a, size=out, mode=mode, align_corners=align)
        w = torch.nn.functional.interpolate(b.movedim(-1, 1), size=out, mode=mode, align_corners=align).movedim(1, -1)
        np.testing.assert_allclose(y.detach().numpy(), w.detach().numpy(), rtol=1e-5, atol=1e-5)
        g = rng.standard_normal(tuple(y.shape)).astype("float32")
        y.backward(fastnn.from_numpy(g))
        w.backward(torch.from_numpy(g))
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-4)


def test_layer():
    x = fastnn.randn(1, 4, 6, 3)
    assert tuple(nn.Upsample(scale_factor=2)(x).shape) == (1, 8, 12, 3)
    up = nn.Upsample(size=(5, 5), mode="bilinear", align_corners=True)
    assert (up(x).numpy() == F.interpolate(x, size=(5, 5), mode="bilinear", align_corners=True).numpy()).all()
    assert repr(up) == "Upsample(size=(5, 5), mode='bilinear', align_corners=True)"
    with pytest.raises(ValueError, match="Upsample: expected either size or scale_factor"):
        nn.Upsample()


def test_captured_step():
    w = fastnn.randn(2, 5, 5, 3).requires_grad_()

    def step(x):
        w.grad = None
        y = F.interpolate(F.interpolate(x * w, size=(9, 7), mode="bilinear"), scale_factor=0.6)
        y.square().sum().backward()
        return y.detach(), w.grad

    captured = fastnn.capture(step)
    for seed in range(4):
        fastnn.manual_seed(seed)
        x = fastnn.randn(2, 5, 5, 3)
        a = [t.numpy().copy() for t in step(x)]
        b = [t.numpy().copy() for t in captured(x)]
        assert all((u == v).all() for u, v in zip(a, b, strict=True))
