"""User-defined functions: several outputs, missing gradients, saved tensors, errors."""

import numpy as np
import pytest

import fastnn
from fastnn.autograd import Function


def leaf(*shape, seed=0):
    """A random float64 leaf that requires grad."""
    return fastnn.from_numpy(np.asarray(np.random.default_rng(seed).standard_normal(shape))).requires_grad_()


class Square(Function):
    """x * x with its gradient."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * x * 2


class SumAndProduct(Function):
    """Two outputs, an argument that is no tensor."""

    @staticmethod
    def forward(ctx, a, b, scale):
        assert not fastnn.is_grad_enabled()
        ctx.save_for_backward(a, b)
        ctx.scale = scale
        return (a + b) * scale, a * b * scale

    @staticmethod
    def backward(ctx, dsum, dproduct):
        a, b = ctx.saved_tensors
        return (dsum + dproduct * b) * ctx.scale, (dsum + dproduct * a) * ctx.scale, None


def test_function():
    x = leaf(3)
    Square.apply(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy(), rtol=1e-14)
    assert Square.apply(x).grad_fn == "Square"
    assert not Square.apply(x.detach()).requires_grad


@pytest.mark.parametrize("use", ["both", "first", "second"])
def test_function_with_two_outputs(use):
    """Outputs that the loss does not use come back as zeros."""
    a, b = leaf(3), leaf(3, seed=1)
    s, p = SumAndProduct.apply(a, b, 2.0)
    loss = {"both": lambda: (s + p).sum(), "first": lambda: s.sum(), "second": lambda: p.sum()}[use]()
    loss.backward()
    an, bn = a.detach().numpy(), b.detach().numpy()
    ones = np.ones(3)
    np.testing.assert_allclose(a.grad.numpy(), 2 * ((use != "second") * ones + (use != "first") * bn), rtol=1e-14)
    np.testing.assert_allclose(b.grad.numpy(), 2 * ((use != "second") * ones + (use != "first") * an), rtol=1e-14)


def test_function_in_gradcheck():
    assert fastnn.autograd.gradcheck(lambda a, b: SumAndProduct.apply(a, b, 0.5), [leaf(2, 3), leaf(2, 3, seed=1)])


def make_function(result):
    """A function whose backward returns `result`."""

    class Custom(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, dy):
            return result(dy)

    return Custom


def test_function_none_gradient():
    x, y = leaf(3), leaf(3, seed=1)
    make_function(lambda g: (None, g)).apply(x, y).sum().backward()
    assert x.grad is None and y.grad.tolist() == [1.0] * 3


@pytest.mark.parametrize(
    "result, error, words",
    [
        (lambda g: (g, g, g), RuntimeError, "returned 3 gradients for 2"),
        (lambda g: (g, "x"), TypeError, "must return tensors or None"),
        (lambda g: (g.reshape(3, 1), g), RuntimeError, "returned a gradient of shape"),
        (lambda g: (fastnn.tensor([1, 2, 3]), g), RuntimeError, "dtype"),
        (lambda g: 1 / 0, ZeroDivisionError, "division"),
        (lambda g: g, RuntimeError, "returned 1 gradient"),
    ],
)
def test_function_errors(result, error, words):
    with pytest.raises(error, match=words):
        make_function(result).apply(leaf(3), leaf(3)).sum().backward()


def test_function_forward_errors():
    class NoTensor(Function):
        @staticmethod
        def forward(ctx, x):
            return 3

    with pytest.raises(TypeError, match="NoTensor: forward must return a Tensor"):
        NoTensor.apply(leaf(3))
    with pytest.raises(NotImplementedError, match="static forward"):
        Function.apply(leaf(3))


def test_function_marks_constants():
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            sign = fastnn.tensor(np.sign(x.detach().numpy()), dtype="float64")
            ctx.mark_non_differentiable(sign)
            return x * 2, sign

        @staticmethod
        def backward(ctx, dy, dsign):
            assert dsign.tolist() == [0.0] * 3
            return dy * 2

    x = leaf(3)
    y, sign = Split.apply(x)
    assert y.requires_grad and not sign.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_function_saved_and_changed():
    x = leaf(3)
    y = x * 1
    z = Square.apply(y)
    y.add_(1)
    with pytest.raises(RuntimeError, match="saved tensor 0 .* was changed in place"):
        z.sum().backward()


def test_function_second_backward():
    x = leaf(3)
    z = Square.apply(x).sum()
    z.backward()
    with pytest.raises(RuntimeError, match="second"):
        z.backward()


def test_function_backward_inside_backward():
    """A backward may itself use the tape (checkpointing does)."""

    class Again(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            with fastnn.enable_grad():
                inner = x.detach().requires_grad_()
                (inner * inner * inner).sum().backward()
            return dy * inner.grad

    x = leaf(3)
    Again.apply(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * x.detach().numpy() ** 2, rtol=1e-13)


def test_anomaly_in_a_function():
    nan = fastnn.from_numpy(np.full(3, np.nan))
    bad = make_function(lambda g: (nan, None))
    with fastnn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="Custom"):
        bad.apply(leaf(3), leaf(3)).sum().backward()
