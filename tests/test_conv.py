"""Convolutions beyond their cases: random attributes, layers, malformed calls, the same bits alone and in a batch."""

import harness
import numpy as np
import pytest
from cases import conv as reference

import fastnn
import fastnn.nn.functional as F
from fastnn import convert, nn

torch = pytest.importorskip("torch")
f32 = np.float32


def randn(*shape, dtype=f32, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def draw(rng, axes, transposed):
    """Arguments of a random convolution that has a result."""
    while True:
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        c, f = (int(rng.integers(1, 7)) for _ in range(2))
        if rng.random() < 0.2:
            groups, f, c = int(rng.integers(2, 20)), 1, 1
        size = [int(rng.integers(1, 12 if axes < 3 else 6)) for _ in range(axes)]
        kernel = [int(rng.integers(1, 5)) for _ in range(axes)]
        stride = [int(rng.integers(1, 5)) for _ in range(axes)]
        dilation = [int(rng.integers(1, 4)) for _ in range(axes)]
        padding = [(int(rng.integers(0, 4)), int(rng.integers(0, 4))) for _ in range(axes)]
        kw = {"stride": stride, "dilation": dilation, "groups": groups}
        if transposed:
            padding = [p[0] for p in padding]
            extra = [int(rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True)]
            sizes = [
                (n - 1) * s + d * (k - 1) + 1 + e - 2 * p
                for n, s, d, k, e, p in zip(size, stride, dilation, kernel, extra, padding, strict=True)
            ]
            kw |= {"padding": padding, "output_padding": extra}
            weight = (*kernel, c * groups, f)
        else:
            sizes = [n + sum(p) - d * (k - 1) for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)]
            kw["padding"] = padding
            weight = (*kernel, c, f * groups)
        if min(sizes) >= 1:
            return (int(rng.integers(1, 4)), *size, c * groups), weight, f * groups, kw


@pytest.mark.parametrize("isa", harness.ISAS)
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_random_attributes(axes, transposed, isa):
    """Values against the definition, gradients against PyTorch's."""
    rng = np.random.default_rng([axes, transposed])
    call = getattr(F, f"conv_transpose{axes}d" if transposed else f"conv{axes}d")
    define = reference.conv_transpose if transposed else reference.conv
    oracle = reference.torch_transpose if transposed else reference.torch_conv
    with harness.isa(isa):
        for _ in range(40):
            x, w, f, kw = draw(rng, axes, transposed)
            arrays = [randn(*x, dtype=np.float64), randn(*w, dtype=np.float64), randn(f, dtype=np.float64)]
            ours = [fastnn.tensor(a, dtype="float64", requires_grad=True) for a in arrays]
            y = call(*ours, **kw)
            values = y.detach().numpy()
            np.testing.assert_allclose(values, define(*arrays, **kw), rtol=1e-11, atol=1e-11, err_msg=str(kw))
            single = call(*(fastnn.tensor(a.astype(f32)) for a in arrays), **kw)
            np.testing.assert_allclose(single.numpy(), values, rtol=1e-4, atol=1e-4, err_msg=str(kw))
            theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
            z = oracle(*theirs, **kw)
            dy = randn(*y.shape, dtype=np.float64, seed=1)
            y.backward(fastnn.tensor(dy, dtype="float64"))
            z.backward(torch.tensor(dy))
            for ours_, theirs_ in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(
                    ours_.grad.numpy(), theirs_.grad.numpy(), rtol=1e-10, atol=1e-10, err_msg=f"{x} {w} {kw}"
                )


@pytest.mark.parametrize("isa", harness.ISAS)
def test_an_image_alone_has_the_bits_it_has_in_a_batch(isa):
    with harness.isa(isa):
        for shape, kernel, f, kw in [
            ((9, 13, 11, 20), (3, 3), 33, {"padding": 1}),
            ((9, 13, 11, 3), (5, 5), 6, {"stride": 2}),
            ((9, 7, 7, 90), (3, 3), 20, {"padding": 1}),
            ((9, 28, 28, 1), (5, 5), 6, {"padding": 2}),
            ((9, 13, 11, 20), (3, 3), 20, {"padding": 1, "groups": 20}),
        ]:
            x, b = fastnn.tensor(randn(*shape)), fastnn.tensor(randn(f))
            w = fastnn.tensor(randn(*kernel, shape[-1] // kw.get("groups", 1), f))
            whole = F.conv2d(x, w, b, **kw).numpy()
            for i in (0, 4, 8):
                assert np.array_equal(F.conv2d(x[i : i + 1], w, b, **kw).numpy()[0], whole[i])


@pytest.mark.parametrize("isa", harness.ISAS)
@pytest.mark.parametrize(
    "shape, f, padding, activation, dilation",
    [
        ((2, 16, 16, 32), 32, 1, None, 1),
        ((3, 15, 17, 48), 64, 1, "relu", 1),  # odd sizes: the last patches are cut
        ((1, 20, 13, 64), 48, ((2, 0), (0, 3)), None, 1),
        ((2, 14, 15, 96), 80, 2, "relu", 1),
        ((5, 11, 23, 16), 16, 1, "relu", 1),  # one vector of channels
        ((3, 7, 7, 128), 160, 1, None, 1),  # few patches: weights are transformed where they are used
        ((2, 17, 19, 32), 16, 2, None, 2),  # patches of every second, every third pixel
        ((2, 21, 20, 16), 48, ((0, 3), (4, 1)), "relu", (3, 2)),
    ],
)
def test_winograd(shape, f, padding, activation, dilation, isa):
    """3x3 windows take fewer products; the error stays within 2e-6 of the largest value, also of the gradients."""
    arrays = randn(*shape), randn(3, 3, shape[-1], f), randn(f)
    with harness.isa(isa):
        results = []
        for dtype in ("float32", "float64"):
            tensors = [fastnn.tensor(a, dtype=dtype, requires_grad=True) for a in arrays]
            y = F.conv2d(*tensors, padding=padding, activation=activation, dilation=dilation)
            y.backward(fastnn.tensor(randn(*y.shape, seed=1), dtype=dtype))
            results.append([y.detach().numpy(), *(t.grad.numpy() for t in tensors)])
            whole = y.detach().numpy()
            for i in range(shape[0]):
                image = tensors[0][i : i + 1]
                alone = F.conv2d(image, *tensors[1:], padding=padding, activation=activation, dilation=dilation)
                assert np.array_equal(alone.detach().numpy()[0], whole[i])
        for ours, exact in zip(*results, strict=True):
            assert np.abs(ours - exact).max() <= 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("isa", harness.ISAS)
@pytest.mark.parametrize(
    "shape, f, kernel, kw",
    [
        ((3, 28, 28, 1), 6, (5, 5), {}),  # pixels are lanes
        ((2, 35, 37, 3), 6, (3, 4), {"padding": ((4, 0), (0, 5)), "activation": "relu", "dilation": (2, 1)}),
        ((2, 210, 260, 2), 5, (2, 3), {"padding": ((0, 0), (5, 1))}),  # in several bands
        ((3, 5, 40, 6), 2, (5, 7), {"padding": (0, 3)}),
        ((2, 12, 16, 3), 4, (3, 3), {"padding": 1, "activation": "relu"}),  # taken in fours; the images' gradient too
        ((2, 11, 24, 6), 4, (3, 3), {"stride": (2, 1), "padding": 1}),
        ((3, 14, 14, 6), 16, (5, 5), {}),  # the images' gradient by lines
        ((2, 19, 18, 7), 40, (2, 5), {"stride": (1, 2), "padding": (1, 3), "dilation": (3, 1)}),
        ((2, 13, 24, 5), 3, (3, 2), {"stride": (2, 3), "padding": (1, 0)}),
        ((2, 9, 11, 40), 40, (3, 3), {"padding": 1, "groups": 40, "activation": "relu"}),
        ((3, 10, 25, 19), 19, (2, 3), {"padding": (0, 3), "groups": 19, "stride": 2, "dilation": (3, 1)}),
        ((2, 4, 1, 32), 32, (3, 3), {"padding": (2, 1), "groups": 32}),  # no window is inside
        ((2, 7, 29, 36), 36, (2, 3), {"groups": 36}),  # windows that share columns: in place,
        ((2, 9, 45, 20), 20, (3, 3), {"padding": 2, "groups": 20, "stride": 2, "dilation": 2}),  # at twice the step,
        ((3, 1, 11, 17), 17, (1, 3), {"padding": (0, 1), "groups": 17}),  # and lines too short for a block of them
    ],
)
def test_narrow_and_depthwise(shape, f, kernel, kw, isa):
    """Few channels, and depthwise windows, against float64 and image by image."""
    arrays = randn(*shape), randn(*kernel, shape[-1] // kw.get("groups", 1), f), randn(f)
    with harness.isa(isa):
        results = []
        for dtype in ("float32", "float64"):
            tensors = [fastnn.tensor(a, dtype=dtype, requires_grad=True) for a in arrays]
            y = F.conv2d(*tensors, **kw)
            y.backward(fastnn.tensor(randn(*y.shape, seed=1), dtype=dtype))
            results.append([y.detach().numpy(), *(t.grad.numpy() for t in tensors)])
            for i in range(shape[0]):
                alone = F.conv2d(tensors[0][i : i + 1], *tensors[1:], **kw)
                assert np.array_equal(alone.detach().numpy()[0], y.detach().numpy()[i])
        for ours, exact in zip(*results, strict=True):
            assert np.abs(ours - exact).max() <= 2e-6 * np.abs(exact).max()


def test_gradients_do_not_depend_on_threads():
    """Shapes with many bands, so that the sum over pixels is cut into parts."""

    def gradients(kw, x, w, dy):
        tensors = [fastnn.tensor(a, requires_grad=True) for a in (x, w, np.zeros(w.shape[-1], f32))]
        F.conv2d(*tensors, **kw).backward(fastnn.tensor(dy))
        return [t.grad.numpy() for t in tensors]

    before = fastnn.get_num_threads()
    try:
        for x, w, kw in [
            (randn(32, 24, 24, 8), randn(3, 3, 8, 16), {"padding": 1}),
            (randn(4, 14, 14, 160), randn(3, 3, 160, 200), {"padding": 1}),
            (randn(3, 21, 22, 64), randn(3, 3, 64, 48), {"padding": 1}),
            (randn(3, 40, 41, 3), randn(5, 5, 3, 32), {"padding": 2, "stride": 2}),
            (randn(16, 24, 24, 24), randn(3, 3, 1, 24), {"padding": 1, "groups": 24, "stride": 2}),
            (randn(9, 26, 25, 24), randn(2, 2, 1, 24), {"padding": 1, "groups": 24}),
            (randn(24, 28, 28, 1), randn(5, 5, 1, 6), {"padding": 2}),
            (randn(24, 28, 28, 2), randn(5, 5, 2, 5), {"padding": 2, "stride": 2}),
            (randn(24, 14, 14, 6), randn(5, 5, 6, 16), {}),
            (randn(16, 16, 16, 16), randn(3, 3, 16, 16), {"padding": 2, "dilation": 2}),
        ]:
            shape = F.conv2d(fastnn.tensor(x), fastnn.tensor(w), **kw).shape
            results = []
            for n in (1, 2, 3, 8):
                fastnn.set_num_threads(n)
                results.append(gradients(kw, x, w, randn(*shape, seed=1)))
            for r in results[1:]:
                assert all(np.array_equal(a, b) for a, b in zip(r, results[0], strict=True))
    finally:
        fastnn.set_num_threads(before)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, (2, 1), "same"], ids=str)
def test_layer_padding_modes(mode, padding):
    layer = nn.Conv2d(3, 4, 3, padding=padding, padding_mode=mode)
    theirs = torch.nn.Conv2d(3, 4, 3, padding=padding, padding_mode=mode)
    state = {k: torch.from_numpy(v) for k, v in convert.to_torch(layer).items()}
    theirs.load_state_dict(state)
    x = randn(2, 6, 5, 3)
    y = theirs(torch.from_numpy(x).movedim(-1, 1)).movedim(1, -1).detach().numpy()
    np.testing.assert_allclose(layer(fastnn.tensor(x)).detach().numpy(), y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True], ids=["conv", "transposed"])
def test_layers_and_their_conversion(axes, transposed):
    """Parameters from PyTorch and back; initial values of the same scale."""
    name = f"Conv{'Transpose' if transposed else ''}{axes}d"
    kw = {"stride": 2, "padding": 1, "groups": 2} | ({"output_padding": 1} if transposed else {"dilation": 2})
    ours, theirs = (getattr(m, name)(4, 6, 3, **kw) for m in (nn, torch.nn))
    assert {k: v.shape for k, v in convert.to_torch(ours).items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    assert abs(float(ours.weight.abs().max()) / float(theirs.weight.detach().abs().max()) - 1) < 0.2
    convert.from_torch(ours, theirs.state_dict())
    x = randn(2, *(7, 8, 9)[:axes], 4)
    y = theirs(torch.from_numpy(x).movedim(-1, 1)).movedim(1, -1).detach().numpy()
    np.testing.assert_allclose(ours(fastnn.tensor(x)).detach().numpy(), y, rtol=1e-5, atol=1e-5)
    assert f"{name}(4, 6, kernel_size={(3,) * axes}, stride={(2,) * axes}" in repr(ours)


def test_transposed_output_size():
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)
    x = fastnn.tensor(randn(1, 4, 4, 2))
    assert layer(x).shape == (1, 7, 7, 3)
    assert layer(x, output_size=(8, 7)).shape == (1, 8, 7, 3)
    with pytest.raises(ValueError, match="no output_padding gives output_size"):
        layer(x, output_size=9)


def test_transposed_is_the_adjoint():
    """<conv(x), y> = <x, conv_transpose(y)>."""
    x, w, y = (fastnn.tensor(randn(*s, dtype=np.float64), dtype="float64") for s in
               [(2, 9, 8, 3), (3, 2, 3, 5), (2, 4, 4, 5)])  # fmt: skip
    kw = {"stride": 2, "padding": ((0, 1), (0, 1))}
    left = (F.conv2d(x, w, **kw) * y).sum()
    # Input first in both: the output channels of the convolution are the input of its adjoint.
    back = F.conv_transpose2d(y, w.transpose(-1, -2).contiguous(), output_padding=(1, 1), **kw)
    assert back.shape == x.shape
    np.testing.assert_allclose(float(left), float((back * x).sum()), rtol=1e-12)


X, W, B = (5, 8, 9, 4), (3, 3, 4, 6), (6,)


@pytest.mark.parametrize(
    "x, w, b, kw, error, words",
    [
        (X, W, B, {"groups": 0}, ValueError, "groups >= 1, got 0"),
        (X, W, B, {"groups": -2}, ValueError, "groups >= 1"),
        (X, W, B, {"groups": 4}, ValueError, "multiple of groups=4 output channels, got 6"),
        (X, W, B, {"groups": 3}, ValueError, "expects Cin=12, got Cin=4"),
        (X, W, B, {"groups": 2**62}, ValueError, "multiple of groups"),
        (X, (3, 3, 2**40, 0), None, {"groups": 2**40}, OverflowError, "overflows"),
        (X, (3, 3, 5, 6), B, {}, ValueError, r"expects Cin=5, got Cin=4 \(x is \[5, 8, 9, 4\]\)"),
        (X, W, (5,), {}, ValueError, r"expects bias \[6\], got \[5\]"),
        (X, W, (1, 6), {}, ValueError, r"expects bias \[6\]"),
        (X[1:], W, B, {}, ValueError, "conv2d: expected x"),
        (X, W[1:], B, {}, ValueError, "conv2d: expected weight"),
        ((), W, B, {}, ValueError, "expected x"),
        (X, (), B, {}, ValueError, "expected weight"),
        (X, W, B, {"stride": 0}, ValueError, "stride >= 1"),
        (X, W, B, {"stride": (1, -1)}, ValueError, "stride >= 1"),
        (X, W, B, {"stride": (1, 2, 3)}, ValueError, "stride as one number or 2"),
        (X, W, B, {"stride": ()}, ValueError, "stride as one number or 2"),
        (X, W, B, {"dilation": 0}, ValueError, "dilation >= 1"),
        (X, W, B, {"dilation": 2**62}, OverflowError, "overflows"),
        (X, W, B, {"dilation": 2**61}, ValueError, "window covers"),
        (X, W, B, {"dilation": 5}, ValueError, "window covers 11 positions of axis 1, more than its 8"),
        (X, W, B, {"padding": -1}, ValueError, "padding >= 0"),
        (X, W, B, {"padding": 2**63 - 1}, OverflowError, "overflows"),
        (X, W, B, {"padding": 2**40}, (MemoryError, OverflowError), "int64|memory|bytes"),
        (X, W, B, {"padding": ((1, 2, 3), (1, 2))}, ValueError, "pairs"),
        (X, W, B, {"padding": ((1, 2),) * 3}, ValueError, "padding as one number or 2"),
        (X, W, B, {"padding": "full"}, ValueError, "padding 'same', 'valid' or numbers, got 'full'"),
        (X, W, B, {"padding": ""}, ValueError, "padding"),
        (X, W, B, {"padding": "same", "dilation": 2**62}, OverflowError, "overflows"),
        (X, W, B, {"padding": 1.5}, TypeError, "conv2d"),
        (X, W, B, {"stride": "a"}, TypeError, "conv2d"),
        (X, W, B, {"activation": "tanh"}, ValueError, "activation None or 'relu'"),
        (X, (0, 3, 4, 6), B, {}, ValueError, "at least one element"),
        (X, (9, 3, 4, 6), B, {}, ValueError, "window covers 9"),
        ((5, 0, 9, 4), W, B, {}, ValueError, "window covers 3"),
    ],
)
def test_malformed(x, w, b, kw, error, words):
    tensors = [fastnn.zeros(s) if s is not None else None for s in (x, w, b)]
    with pytest.raises(error, match=words):
        F.conv2d(*tensors, **kw)


@pytest.mark.parametrize(
    "w, b, kw, error, words",
    [
        ((3, 3, 5, 6), B, {}, ValueError, "expects Cin=5, got Cin=4"),
        ((3, 3, 4, 6), (5,), {}, ValueError, r"expects bias \[6\]"),
        ((3, 3, 4, 6), B, {"groups": 3}, ValueError, "multiple of groups=3 input channels"),
        ((3, 3, 4, 6), B, {"output_padding": 1}, ValueError, "output_padding below"),
        ((3, 3, 4, 6), B, {"output_padding": -1, "stride": 2}, ValueError, "output_padding >= 0"),
        ((3, 3, 4, 6), B, {"padding": 6}, ValueError, "leaves nothing"),
        ((3, 3, 4, 6), B, {"padding": 2**62}, OverflowError, "overflows"),
        ((3, 3, 4, 6), B, {"padding": "same"}, ValueError, "padding as numbers"),
        ((3, 3, 4, 6), B, {"stride": 2**62}, OverflowError, "overflows"),
        ((3, 3, 4, 6), B, {"stride": 2**40}, (MemoryError, OverflowError), "int64|memory|bytes"),
        ((3, 3, 4, 2**40), None, {"groups": 2**40}, ValueError, "multiple of groups"),
    ],
)
def test_malformed_transposed(w, b, kw, error, words):
    weight = fastnn.zeros(1).expand(w)
    with pytest.raises(error, match=words):
        F.conv_transpose2d(fastnn.zeros(X), weight, None if b is None else fastnn.zeros(b), **kw)


def test_types():
    x, w, b = fastnn.zeros(X), fastnn.zeros(W), fastnn.zeros(B)
    for args in [(x, w.double()), (x.double(), w), (x, w, b.double()), (x.long(), w.long()), (x, w.long())]:
        with pytest.raises(TypeError, match="conv2d: expected x, weight and bias of one type"):
            F.conv2d(*args)
    with pytest.raises(TypeError):
        F.conv2d(np.zeros(X, f32), w)
    with pytest.raises(TypeError):
        F.conv2d(x, None)


def test_malformed_layers():
    for kw, words in [
        ({"groups": 3}, "divide both channels"),
        ({"groups": 0}, "groups >= 1"),
        ({"padding_mode": "constant"}, "padding_mode among"),
        ({"stride": (1, 2, 3)}, "stride as one int or 2"),
    ]:
        with pytest.raises(ValueError, match=words):
            nn.Conv2d(4, 6, 3, **kw)
    with pytest.raises(ValueError, match="kernel_size >= 1"):
        nn.Conv2d(4, 6, 0)
    with pytest.raises(ValueError, match="channels >= 0"):
        nn.Conv2d(-1, 6, 3)
    with pytest.raises(ValueError, match="padding_mode zeros"):
        nn.ConvTranspose2d(4, 6, 3, padding_mode="reflect")


def test_huge_strides_are_fine():
    """Almost everything is padding or skipped: the windows are copied out one by one."""
    x, w = fastnn.tensor(randn(1, 4, 4, 1), requires_grad=True), fastnn.tensor(randn(1, 1, 1, 1), requires_grad=True)
    y = F.conv2d(x, w, stride=2**40, padding=2**40)
    assert y.shape == (1, 3, 3, 1)
    np.testing.assert_allclose(float(y[0, 1, 1, 0]), float(x[0, 0, 0, 0]) * float(w), rtol=1e-6)
    y.sum().backward()
    assert float(x.grad[0, 0, 0, 0]) == float(w) and float(x.grad.abs().sum()) == abs(float(w))
    assert float(w.grad) == float(x[0, 0, 0, 0])


def test_sizes_near_the_largest_number():
    x, w = fastnn.ones((1, 1, 16)), fastnn.ones((2, 16, 16))
    y = F.conv_transpose1d(x, w, stride=2**63 - 1, padding=[(0, 2**62)], dilation=2**62)
    assert y.shape[:2] == (1, 1) and y.shape[2] == 16
    x, w = fastnn.ones((1, 3, 16)).requires_grad_(), fastnn.ones((2, 1, 16)).requires_grad_()
    F.conv1d(x, w, stride=2**63 - 1, padding=[(0, 2**62)], dilation=2**62, groups=16).sum().backward()
    assert float(x.grad.sum()) == 16 and float(w.grad[0].sum()) == 16


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_im2col_is_the_reference(axes):
    """A convolution is a product with the windows, and so are its gradients."""
    x = fastnn.tensor(randn(2, *(7, 8, 5)[:axes], 3, dtype=np.float64), dtype="float64", requires_grad=True)
    w = fastnn.tensor(randn(*(2, 3, 2)[:axes], 3, 4, dtype=np.float64), dtype="float64", requires_grad=True)
    kw = {"stride": 2, "padding": 1, "dilation": 2}
    results = []
    for y in (getattr(F, f"conv{axes}d")(x, w, **kw), F.im2col(x, tuple(w.shape[:axes]), **kw) @ w.reshape(-1, 4)):
        (y * y).sum().backward()
        results.append([y.detach().numpy(), x.grad.numpy(), w.grad.numpy()])
        x.grad = w.grad = None
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda x: F.im2col(x, 0), ValueError, "im2col: expected a kernel of at least one"),
        (lambda x: F.im2col(x, 9), ValueError, "im2col: the window covers 9"),
        (lambda x: F.im2col(x, (2, 2, 2)), ValueError, "kernel_size as one number or 2"),
        (lambda x: F.im2col(x, 2, stride=0), ValueError, "stride >= 1"),
        (lambda x: F.im2col(x, 2, dilation=2**62), ValueError, "window covers"),
        (lambda x: F.im2col(x[0, 0], 2), ValueError, "im2col: expected x"),
        (lambda x: F.im2col(x.long(), 2), TypeError, "im2col"),
        (lambda x: F.im2col(x, 2**40, padding=2**40), (OverflowError, MemoryError), "overflow|memory|bytes"),
        (lambda x: F.col2im(x, (9, 9), 2), ValueError, r"col2im: .* got \[2, 5, 6, 8\]"),
        (lambda x: F.col2im(x, (6, 7), 3), ValueError, "col2im: "),
        (lambda x: F.col2im(x, (7, 8), 3), ValueError, "multiple of 9"),
        (lambda x: F.col2im(x, (-6, 7), 2), ValueError, "output_size >= 0"),
        (lambda x: F.col2im(x, (6, 7), 2, padding=2**62), (ValueError, OverflowError), "col2im|overflow"),
    ],
)
def test_malformed_im2col(call, error, words):
    with pytest.raises(error, match=words):
        call(fastnn.zeros(2, 5, 6, 8))
