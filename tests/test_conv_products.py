"""Convolutions that are one matrix product, and those that nearly are."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F

pytestmark = pytest.mark.kernels


def transposed(x, w, stride=1, dilation=1, output_padding=0):
    """conv_transpose1d of x [N, L, C], w [taps, C, F] by its definition."""
    taps = w.shape[0]
    y = np.zeros((x.shape[0], (x.shape[1] - 1) * stride + dilation * (taps - 1) + 1 + output_padding, w.shape[2]))
    for i in range(x.shape[1]):
        for t in range(taps):
            y[:, i * stride + t * dilation] += x[:, i] @ w[t]
    return y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "length, channels, filters, taps, kw",
    [
        (8, 4, 9, 1, dict(dilation=3, output_padding=2)),  # one tap, and more positions than it reaches
        (8, 4, 9, 1, dict(stride=3, output_padding=2)),
        (8, 4, 9, 1, {}),
        (1, 17, 1, 5, {}),  # one position, one channel: the taps of a column lie apart
        (1, 17, 1, 2, {}),
        (1, 17, 2, 5, {}),
        (1, 1, 1, 3, dict(dilation=2, output_padding=1)),
        (1, 3, 1, 1, {}),
    ],
)
def test_transposed(length, channels, filters, taps, kw, dtype):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((3, length, channels)), rng.standard_normal((taps, channels, filters))
    a, b = (fastnn.tensor(v, dtype=dtype, requires_grad=True) for v in (x, w))
    y = F.conv_transpose1d(a, b, **kw)
    close = dict(rtol=1e-4, atol=1e-4) if dtype == "float32" else dict(rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(y.detach().numpy(), transposed(x, w, **kw), **close)
    g = rng.standard_normal(y.shape)
    y.backward(fastnn.tensor(g, dtype=dtype))
    # Linear in x and in w: the gradient's product with a direction is g's with the result for that direction.
    for gradient, at in ((a.grad, lambda v: transposed(v, w, **kw)), (b.grad, lambda v: transposed(x, v, **kw))):
        for i in range(gradient.numpy().size):
            one = np.zeros(gradient.numpy().size)
            one[i] = 1
            expected = np.sum(g * at(one.reshape(gradient.numpy().shape)))
            np.testing.assert_allclose(gradient.numpy().reshape(-1)[i], expected, **close)


def test_long_lines_of_few_channels():
    """Neither the planes of pixels nor the buffers of a line may grow with the line: other ways take over."""
    rng = np.random.default_rng(1)
    for length, taps in ((30011, 3), (5000, 700)):
        x = rng.standard_normal((1, length, 1)).astype(np.float32)
        w = rng.standard_normal((taps, 1, 2)).astype(np.float32)
        a, b = (fastnn.tensor(v, requires_grad=True) for v in (x, w))
        y = F.conv1d(a, b)
        for f in range(2):
            expected = np.correlate(x[0, :, 0].astype(np.float64), w[:, 0, f].astype(np.float64), "valid")
            np.testing.assert_allclose(y.detach().numpy()[0, :, f], expected, rtol=1e-3, atol=1e-3)
        g = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(fastnn.tensor(g))
        dx = sum(np.convolve(g[0, :, f].astype(np.float64), w[:, 0, f].astype(np.float64)) for f in range(2))
        np.testing.assert_allclose(a.grad.numpy()[0, :, 0], dx, rtol=1e-3, atol=2e-3)
        for f in range(2):
            dw = np.correlate(x[0, :, 0].astype(np.float64), g[0, :, f].astype(np.float64), "valid")
            np.testing.assert_allclose(b.grad.numpy()[:, 0, f], dw, rtol=1e-3, atol=5e-3)
