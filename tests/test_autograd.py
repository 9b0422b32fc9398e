"""What the gradient tape promises: accumulation, freeing, hooks, modes, user-defined functions, depth, threads."""

import gc
import threading
import weakref

import fastnn
import numpy as np
import pytest
from fastnn.autograd import Function, grad


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


# --- grad() -------------------------------------------------------------------------------------------------------------


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


# --- hooks --------------------------------------------------------------------------------------------------------------


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


# --- modes --------------------------------------------------------------------------------------------------------------


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


# --- in place -----------------------------------------------------------------------------------------------------------


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


# --- user-defined functions ---------------------------------------------------------------------------------------------


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


# --- anomaly, depth, leaks, threads -------------------------------------------------------------------------------------


def test_anomaly_names_the_forward_operation():
    x = fastnn.tensor([-1.0, 4.0])
    with fastnn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"detect_anomaly: sqrt is the first"):
        x.sqrt() + 1
    with fastnn.autograd.detect_anomaly():
        fastnn.tensor([4.0]).sqrt()
    x.sqrt()


def test_anomaly_names_the_backward_operation():
    x = fastnn.tensor([0.0], requires_grad=True)
    y = x.sqrt() * 0.0  # d sqrt at 0 is Inf, times 0 is NaN
    with fastnn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=r"sqrt .* gradient"):
        y.sum().backward()


def test_anomaly_in_a_function():
    nan = fastnn.from_numpy(np.full(3, np.nan))
    bad = make_function(lambda g: (nan, None))
    with fastnn.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="Custom"):
        bad.apply(leaf(3), leaf(3)).sum().backward()


def test_deep_graph():
    """200,000 nodes in a chain: neither backward nor freeing recurses."""
    x = leaf(2)
    y = x
    for _ in range(200_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    del y
    y = leaf(2)
    for _ in range(200_000):
        y = y * 1.0
    del y  # freed without a backward


def test_wide_graph():
    x = leaf(2)
    total = x * 0
    for i in range(2000):
        total = total + x * float(i)
    total.sum().backward()
    assert x.grad.tolist() == [1999000.0] * 2


def test_steps_leave_no_memory_behind():
    def step():
        x = leaf(50, 50)
        y = Square.apply(x * 2)
        y.retain_grad()
        y.register_hook(lambda g: g * 1)
        z = (y.reshape(2500) * 3).sum()
        z.backward()
        return x.grad

    for _ in range(3):
        step()
    gc.collect()
    before = fastnn.memory_stats()["allocated"]
    for _ in range(20):
        step()
    gc.collect()
    assert fastnn.memory_stats()["allocated"] == before


def test_graph_is_freed_without_backward():
    before = fastnn.memory_stats()["allocated"]
    x = leaf(100)
    y = (x * x + x).sum()
    assert fastnn.memory_stats()["allocated"] > before
    del x, y
    assert fastnn.memory_stats()["allocated"] == before


def test_hook_that_holds_its_tensor_is_collected():
    """A hook's closure may refer to the tensor it hangs on only weakly, or the two live for ever: ours reports through
    memory_stats, so this test states what holds: removing the hook frees both."""
    x = leaf(100)
    y = x * 2
    handle = y.register_hook(lambda g: y * 0 + g)
    ref = weakref.ref(y)
    handle.remove()
    del y, handle
    gc.collect()
    assert ref() is None


def test_threads_have_their_own_graphs():
    """Four threads train their own leaves at once."""
    results, errors = {}, []

    def work(k):
        try:
            x = leaf(64, seed=k)
            for _ in range(50):
                x.grad = None
                ((x * x).sum() * float(k)).backward()
            results[k] = (x.grad.numpy() / x.detach().numpy()).mean()
        except Exception as e:
            errors.append(e)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert not errors
    for k in range(1, 5):
        assert abs(results[k] - 2 * k) < 1e-9


def test_threads_share_a_leaf():
    """Gradients of several threads add up in one leaf."""
    x = leaf(1000)

    def work():
        for _ in range(25):
            (x * 1.0).sum().backward()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert x.grad.tolist() == [100.0] * 1000
