"""What the gradient tape promises: accumulation, freeing, hooks, modes, in-place changes."""

import threading

import numpy as np
import pytest

import fastnn
from fastnn.autograd import grad


def leaf(*shape, seed=0, dtype="float64"):
    """A random leaf that requires grad."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return fastnn.from_numpy(np.asarray(values)).requires_grad_()


def test_gradients_accumulate():
    x = leaf(3)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0, 5.0]
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


def test_grad_memory_stays_and_is_counted():
    """A second backward adds into the same memory, and counts as a change of it."""
    x = leaf(3)
    (x * 2).sum().backward()
    g, version = x.grad, x.grad._version
    (x * 2).sum().backward()
    assert x.grad is g and g.tolist() == [4.0] * 3 and g._version > version


def test_first_grad_is_not_shared():
    """x.grad is not the memory that the caller passed, nor that of another leaf."""
    x, y = leaf(3), leaf(3, seed=1)
    seed = fastnn.tensor(np.ones(3), dtype="float64")
    (x + y).backward(seed)
    x.grad.numpy()[:] = 7
    assert seed.tolist() == [1.0] * 3 and y.grad.tolist() == [1.0] * 3


def test_used_twice():
    x = leaf(4)
    y = x * x + x
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy() + 1, rtol=1e-14)


def test_second_backward_is_an_error():
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_retain_graph():
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy(), rtol=1e-14)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_backward_needs_a_gradient_for_many_elements():
    x = leaf(3)
    with pytest.raises(RuntimeError, match="gradient must be given"):
        (x * 2).backward()
    (x * 2).backward(fastnn.tensor([1.0, 2.0, 3.0], dtype="float64"))
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


@pytest.mark.parametrize("shape, dtype", [((4,), "float64"), ((3,), "float32"), ((1, 3), "float64")])
def test_backward_checks_its_gradient(shape, dtype):
    with pytest.raises(ValueError, match="backward: expected a gradient of shape"):
        (leaf(3) * 2).backward(fastnn.tensor(np.ones(shape), dtype=dtype))


def test_backward_without_history():
    with pytest.raises(RuntimeError, match="does not require grad"):
        fastnn.tensor([1.0]).backward()


def test_backward_several_roots():
    x = leaf(3)
    a, b = (x * 2).sum(), x * 3
    fastnn.autograd.backward([a, b], [None, fastnn.tensor(np.ones(3), dtype="float64")])
    assert x.grad.tolist() == [5.0] * 3
    with pytest.raises(ValueError, match="expected 2 gradients, got 1"):
        fastnn.autograd.backward([a, b], [None])


# --- grad() ---------------------------------------------------------------------------------------------------------


def test_grad_of_inner_tensors():
    x = leaf(3)
    y = x * 2
    z = (y * y).sum()
    gx, gy = grad(z, [x, y])
    np.testing.assert_allclose(gy.numpy(), 4 * x.detach().numpy(), rtol=1e-14)
    np.testing.assert_allclose(gx.numpy(), 8 * x.detach().numpy(), rtol=1e-14)
    assert x.grad is None and y.grad is None


def test_grad_of_the_root_itself():
    x = leaf(3)
    z = (x * x).sum()
    assert grad(z, [z])[0].item() == 1.0


def test_grad_unused():
    x, other = leaf(3), leaf(2)
    z = (x * x).sum()
    with pytest.raises(RuntimeError, match="was not used"):
        grad(z, [other], retain_graph=True)
    assert grad(z, [other], allow_unused=True, retain_graph=True) == (None,)
    with pytest.raises(RuntimeError, match="input 0 does not require grad"):
        grad(z, [fastnn.tensor([1.0])])


def test_grad_runs_only_what_is_needed():
    """Branches that do not lead to an input stay untouched and can be used afterwards."""
    x, y = leaf(3), leaf(3, seed=1)
    a = x * x
    b = y * y
    z = (a + b).sum()
    grad(z, [y], retain_graph=False)
    a.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * x.detach().numpy(), rtol=1e-14)


def test_grad_of_a_view_and_its_base():
    x = leaf(2, 3)
    y = x * 1
    v = y.reshape(3, 2)
    gy, gv = grad((v * v).sum(), [y, v])
    assert gy.shape == (2, 3) and gv.shape == (3, 2)


# --- hooks ----------------------------------------------------------------------------------------------------------


def test_hook_sees_and_replaces():
    x = leaf(3)
    seen = []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert seen == [[1.0] * 3] and x.grad.tolist() == [20.0] * 3


def test_hook_on_leaf():
    x = leaf(3)
    handle = x.register_hook(lambda g: g * 2)
    (x * 1).sum().backward()
    assert x.grad.tolist() == [2.0] * 3
    handle.remove()
    handle.remove()
    (x * 1).sum().backward()
    assert x.grad.tolist() == [3.0] * 3


def test_hook_runs_once_on_the_sum():
    """A tensor used twice: the hook gets the gathered gradient, not the parts."""
    x = leaf(3)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * 2 + x * 3).sum().backward()
    assert seen == [[5.0] * 3]


def test_hook_that_removes_itself():
    x = leaf(3)
    handles = []

    def once(g):
        handles[0].remove()
        return g * 5

    handles.append(x.register_hook(once))
    (x * 1).sum().backward()
    (x * 1).sum().backward()
    assert x.grad.tolist() == [6.0] * 3


@pytest.mark.parametrize(
    "hook, error, words",
    [
        (lambda g: fastnn.tensor([1.0]), RuntimeError, "hook"),
        (lambda g: "text", TypeError, "hook: expected a Tensor or None"),
        (lambda g: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_hook_errors(hook, error, words):
    x = leaf(3)
    x.register_hook(hook)
    with pytest.raises(error, match=words):
        (x * 2).sum().backward()
    x2 = leaf(3)
    (x2 * 2).sum().backward()  # the failed pass left nothing locked
    assert x2.grad.tolist() == [2.0] * 3


def test_hook_is_not_for_constants():
    with pytest.raises(RuntimeError, match="does not require grad"):
        fastnn.tensor([1.0]).register_hook(lambda g: None)
    with pytest.raises(TypeError, match="expected a callable"):
        leaf(3).register_hook(3)


def test_retain_grad():
    x = leaf(3)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    (y * y).sum().backward()
    np.testing.assert_allclose(y.grad.numpy(), 2 * y.detach().numpy(), rtol=1e-14)
    assert (x * 2).grad is None
    with pytest.raises(RuntimeError, match="retain_grad"):
        fastnn.tensor([1.0]).retain_grad()


# --- modes ----------------------------------------------------------------------------------------------------------


def test_no_grad_forms():
    x = leaf(3)
    with fastnn.no_grad():
        assert not (x * 2).requires_grad and not fastnn.is_grad_enabled()
        with fastnn.enable_grad():
            assert (x * 2).requires_grad
        assert not fastnn.is_grad_enabled()

    @fastnn.no_grad()
    def with_call(t):
        return t * 2

    @fastnn.no_grad
    def without_call(t):
        return t * 2

    assert not with_call(x).requires_grad and not without_call(x).requires_grad
    fastnn.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    fastnn.set_grad_enabled(True)
    with fastnn.set_grad_enabled(False):
        assert not fastnn.is_grad_enabled()
    assert fastnn.is_grad_enabled()


def test_no_grad_ends_with_an_exception():
    with pytest.raises(ZeroDivisionError), fastnn.no_grad():
        _ = 1 / 0
    assert fastnn.is_grad_enabled()


def test_modes_belong_to_threads():
    seen = []
    with fastnn.no_grad():
        t = threading.Thread(target=lambda: seen.append(fastnn.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_detach():
    x = leaf(3)
    y = (x * 2).detach()
    assert not y.requires_grad and y.is_leaf and y.grad_fn is None
    d = x.detach()
    d.numpy()[:] = 1
    assert x.detach().tolist() == [1.0] * 3


def test_only_floats_require_grad():
    with pytest.raises(TypeError, match="only floating tensors"):
        fastnn.tensor([1, 2]).requires_grad_()
    with pytest.raises(RuntimeError, match="only a leaf"):
        (leaf(3) * 2).requires_grad = False


# --- in place -------------------------------------------------------------------------------------------------------


def test_saved_tensor_changed_in_place():
    x = leaf(3)
    y = x * 1
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"mul: .*changed in place.*version 1, expected 0"):
        z.sum().backward()


def test_unsaved_tensor_may_change_in_place():
    """A product with a number needs the number only."""
    x = leaf(3)
    y = x * 1
    z = y * 2
    y.add_(1)
    z.sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_leaf_in_place_is_an_error_while_recording():
    x = leaf(3)
    with pytest.raises(RuntimeError, match="leaf tensor that requires grad"):
        x.add_(1)
    with pytest.raises(RuntimeError, match="view of a leaf"):
        x.reshape(3, 1).add_(1)
    with fastnn.no_grad():
        x.add_(1)
    assert x._version == 1


def test_in_place_makes_history():
    """A tensor without history that takes in one with history gets one."""
    x = leaf(3)
    y = fastnn.tensor(np.zeros(3), dtype="float64")
    y.add_(x * 3)
    assert y.requires_grad and not y.is_leaf
    y.sum().backward()
    assert x.grad.tolist() == [3.0] * 3


def test_a_gradient_from_before_a_move_stays():
    """What arrives after the leaf was given data of another dtype is not added to the gradient that it had before."""
    x = leaf(3, dtype="float32")
    (x * 2).sum().backward()
    before, y = x.grad, (x * 3).sum()
    x.data = x.data.to("float64")
    y.backward()
    assert before.tolist() == [2.0] * 3
    assert x.grad.tolist() == [3.0] * 3 and x.grad.dtype == fastnn.float64
