"""Normalisation: modules against PyTorch, digits kept beside a large mean, batch norm folded into a layer."""

import harness
import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.nn import functional as F

pytestmark = pytest.mark.kernels


def values(t):
    return t.detach().numpy()


def both(ours, theirs, shape, steps=3):
    """Runs a module and PyTorch's (channels second) in training, then in evaluation mode."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for step in range(steps + 1):
        if step == steps:
            ours.eval(), theirs.eval()
        a = rng.standard_normal(shape).astype(np.float32) * 2 + 1
        x, t = fastnn.tensor(a).requires_grad_(), torch.tensor(a).movedim(-1, 1).requires_grad_()
        y, u = ours(x), theirs(t)
        (y * y * y).sum().backward(), (u * u * u).sum().backward()
        np.testing.assert_allclose(values(y), u.detach().movedim(1, -1).numpy(), rtol=3e-5, atol=3e-5)
        np.testing.assert_allclose(values(x.grad), t.grad.movedim(1, -1).numpy(), rtol=1e-3, atol=1e-3)
    state, reference = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(reference)
    for key in state:
        if key == "num_batches_tracked" and "Instance" in type(ours).__name__:
            continue  # PyTorch's instance norm never counts
        np.testing.assert_allclose(state[key].numpy(), reference[key].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{}, dict(momentum=None), dict(affine=True, track_running_stats=True)], ids=str)
@pytest.mark.parametrize("name, shape", [("BatchNorm2d", (3, 4, 5, 6)), ("BatchNorm3d", (2, 3, 4, 2, 5)),
                                         ("InstanceNorm1d", (3, 7, 5)), ("InstanceNorm2d", (3, 4, 5, 6)),
                                         ("InstanceNorm3d", (2, 3, 4, 2, 5))])  # fmt: skip
def test_modules_with_statistics(name, shape, settings):
    torch = pytest.importorskip("torch")
    both(getattr(nn, name)(shape[-1], **settings), getattr(torch.nn, name)(shape[-1], **settings), shape)


def test_other_modules():
    torch = pytest.importorskip("torch")
    both(nn.GroupNorm(3, 6), torch.nn.GroupNorm(3, 6), (4, 3, 3, 6))
    both(nn.LocalResponseNorm(5, 0.1), torch.nn.LocalResponseNorm(5, 0.1), (4, 3, 3, 9))
    x = np.random.default_rng(1).standard_normal((4, 6, 8)).astype(np.float32)
    for ours, theirs in [
        (nn.LayerNorm(8), torch.nn.LayerNorm(8)),
        (nn.LayerNorm((6, 8), bias=False), torch.nn.LayerNorm((6, 8), bias=False)),
        (nn.RMSNorm(8), torch.nn.RMSNorm(8)),
    ]:
        assert list(ours.state_dict()) == list(theirs.state_dict())
        np.testing.assert_allclose(
            values(ours(fastnn.tensor(x))), theirs(torch.tensor(x)).detach().numpy(), rtol=2e-5, atol=2e-5
        )


CALLS = {
    "batch": (lambda x: F.batch_norm(x.reshape(-1, x.shape[-1]), training=True), (0, 1)),
    "instance": (lambda x: F.instance_norm(x), (1,)),
    "layer": (lambda x: F.layer_norm(x, x.shape[-1:]), (2,)),
    "group": (lambda x: F.group_norm(x, 1), (1, 2)),
}


@pytest.mark.parametrize("isa", harness.ISAS)
@pytest.mark.parametrize("name", CALLS)
def test_large_mean(name, isa):
    """The mean is 10,000 times the deviation: only the rounding of the input itself is left, not that of the sums."""
    call, axes = CALLS[name]
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal((2, 515, 96))).astype(np.float32)
    exact = x.astype(np.float64)
    wanted = (exact - exact.mean(axes, keepdims=True)) / np.sqrt(exact.var(axes, keepdims=True) + 1e-5)
    with harness.isa(isa):
        y = values(call(fastnn.tensor(x))).reshape(x.shape)
    np.testing.assert_allclose(y, wanted, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("c", [1, 3, 40])
def test_sums_are_taken_again_when_the_first_rows_mislead(c):
    """The rows from which the pivot is guessed lie far from all others."""
    x = np.random.default_rng(0).standard_normal((256 * 256 if c < 32 else 256, c)).astype(np.float32)
    x[:: 32 if c >= 32 else 1][:8] += 3e4
    exact = x.astype(np.float64)
    wanted = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    y = values(F.batch_norm(fastnn.tensor(x), training=True))
    np.testing.assert_allclose(y, wanted, rtol=3e-6, atol=3e-6)


def test_a_row_alone_has_the_bits_of_the_batch():
    x = fastnn.tensor(np.random.default_rng(0).standard_normal((9, 5, 130)).astype(np.float32))
    w = fastnn.tensor(np.random.default_rng(1).standard_normal(130).astype(np.float32))
    for f in (lambda x: F.layer_norm(x, 130, w, w), lambda x: F.rms_norm(x, 130, w), lambda x: F.group_norm(x, 5, w, w),
              F.instance_norm, lambda x: F.local_response_norm(x, 5)):  # fmt: skip
        np.testing.assert_array_equal(values(f(x))[3:4], values(f(x[3:4])))


def test_not_a_number_stays_in_its_channel():
    x = np.ones((300, 5), np.float32)
    x[7, 2] = np.nan
    y = values(F.batch_norm(fastnn.tensor(x), training=True))
    assert np.isnan(y[:, 2]).all() and not np.isnan(np.delete(y, 2, 1)).any()


def test_running_statistics_are_the_average_over_examples():
    layer = nn.InstanceNorm1d(2, momentum=1.0, track_running_stats=True)
    x = np.random.default_rng(0).standard_normal((3, 7, 2)).astype(np.float32)
    layer(fastnn.tensor(x))
    np.testing.assert_allclose(values(layer.running_mean), x.mean((0, 1)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values(layer.running_var), x.var(1, ddof=1).mean(0), rtol=1e-5)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_folded_batch_norm(affine, bias):
    fastnn.manual_seed(2)
    layer, norm = nn.Linear(7, 5, bias=bias), nn.BatchNorm1d(5, affine=affine)
    x = fastnn.randn((40, 7)) * 3 + 1
    if affine:
        norm.weight.detach().copy_(fastnn.randn((5,)))
        norm.bias.detach().copy_(fastnn.randn((5,)))
    for _ in range(5):
        norm(layer(x))
    norm.eval()
    folded = nn.utils.fold_batch_norm(layer, norm)
    np.testing.assert_allclose(values(folded(x)), values(norm(layer(x))), rtol=1e-4, atol=1e-5)
    assert isinstance(folded, nn.Linear) and (layer.bias is not None) == bias
    with pytest.raises(ValueError, match="4 output channels"):
        nn.utils.fold_batch_norm(layer, nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="running statistics"):
        nn.utils.fold_batch_norm(layer, nn.BatchNorm1d(5, track_running_stats=False))


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda x: F.layer_norm(x, (4,)), r"layer_norm: normalized_shape \[4\] must be the last sizes of x"),
        (lambda x: F.layer_norm(x, ()), "layer_norm: normalized_shape"),
        (lambda x: F.layer_norm(x, (1 << 62, 1 << 62)), "layer_norm: normalized_shape"),
        (lambda x: F.layer_norm(x, 3, fastnn.ones((4,))), "layer_norm: weight expects shape"),
        (lambda x: F.layer_norm(x, 3, None, fastnn.ones((3,)).double()), "layer_norm: bias expects shape"),
        (lambda x: F.layer_norm(x, 3, eps=-1), "layer_norm: expected eps >= 0"),
        (lambda x: F.layer_norm(x, 3, eps=float("nan")), "layer_norm: expected eps >= 0"),
        (lambda x: F.rms_norm(x, 3, eps=-1), "rms_norm: expected eps >= 0"),
        (lambda x: F.rms_norm(x, 3, fastnn.ones((1, 3))), "rms_norm: weight expects shape"),
        (lambda x: F.group_norm(x, 2), "group_norm: expected a number of groups that divides the 3 channels"),
        (lambda x: F.group_norm(x, 0), "group_norm: expected at least one group"),
        (lambda x: F.group_norm(x, -3), "group_norm: expected at least one group"),
        (lambda x: F.group_norm(x[0, 0], 1), r"group_norm: expected an input \[N, ..., C\]"),
        (lambda x: F.group_norm(x[:, 0], 3), "group_norm: expected more than one value"),
        (lambda x: F.instance_norm(x[0]), r"instance_norm: expected an input \[N, ..., C\]"),
        (lambda x: F.instance_norm(x[:, :1]), "instance_norm: expected more than one value"),
        (lambda x: F.instance_norm(x, use_input_stats=False), "instance_norm: running statistics are needed"),
        (lambda x: F.instance_norm(x, fastnn.zeros((3,))), "instance_norm: expected both running_mean"),
        (lambda x: F.local_response_norm(x, 0), "local_response_norm: expected size >= 1"),
        (lambda x: F.local_response_norm(x[0, 0], 5), r"local_response_norm: expected an input"),
    ],
)
def test_malformed(call, text):
    with pytest.raises(ValueError, match=text):
        call(fastnn.zeros((2, 4, 3)))


def test_integers_are_refused():
    x = fastnn.ones((2, 4, 3), dtype=fastnn.int64)
    for call in (lambda: F.layer_norm(x, 3), lambda: F.rms_norm(x, 3), lambda: F.group_norm(x, 1),
                 lambda: F.instance_norm(x), lambda: F.local_response_norm(x, 5)):  # fmt: skip
        with pytest.raises(TypeError, match="float32 or float64"):
            call()


def test_modules_name_what_they_expect():
    for layer, x, text in [
        (nn.BatchNorm2d(3), (2, 3), r"BatchNorm2d: expected input \[N, H, W, 3\]"),
        (nn.InstanceNorm1d(3), (2, 5, 4), r"InstanceNorm1d: expected input \[N, T, 3\]"),
        (nn.GroupNorm(1, 3), (2, 5, 4), r"GroupNorm: expected input \[N, ..., 3\]"),
    ]:
        with pytest.raises(ValueError, match=text):
            layer(fastnn.zeros(x))
    with pytest.raises(ValueError, match="divisor"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match="at least 1"):
        nn.LocalResponseNorm(0)


@pytest.mark.parametrize("isa", harness.ISAS)
@pytest.mark.parametrize("offset", [0, 1])
def test_results_past_the_cache(isa, offset):
    """From 36 MB on results are written around the cache; the offset leaves no vector aligned."""
    rng = np.random.default_rng(3)
    n, c = 49157, 96  # 19 MB
    memory = rng.standard_normal(n * c + offset).astype(np.float32)
    x = memory[offset:].reshape(n, c)
    dy = rng.standard_normal((n, c)).astype(np.float32)
    exact, d = x.astype(np.float64), dy.astype(np.float64)
    for axis, call in (
        (0, lambda t: F.batch_norm(t, training=True)),
        (1, lambda t: F.layer_norm(t, c)),
        (1, lambda t: F.softmax(t, 1)),
    ):
        with harness.isa(isa):
            t = fastnn.from_numpy(x).requires_grad_()
            y = call(t)
            y.backward(fastnn.from_numpy(dy))
        if call.__code__.co_names[-1] == "softmax":
            e = np.exp(exact - exact.max(1, keepdims=True))
            wanted = e / e.sum(1, keepdims=True)
            dx = wanted * (d - (d * wanted).sum(1, keepdims=True))
        else:
            r = 1 / np.sqrt(exact.var(axis, keepdims=True) + 1e-5)
            wanted = (exact - exact.mean(axis, keepdims=True)) * r
            dx = r * (d - d.mean(axis, keepdims=True) - wanted * (d * wanted).mean(axis, keepdims=True))
        np.testing.assert_allclose(values(y), wanted, rtol=3e-6, atol=3e-6)
        np.testing.assert_allclose(values(t.grad), dx, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("isa", harness.ISAS)
def test_cross_entropy_past_the_cache(isa):
    rng = np.random.default_rng(4)
    n, c = 5003, 1001  # 20 MB, rows of odd length
    x, target = rng.standard_normal((n, c)).astype(np.float32), rng.integers(0, c, n)
    with harness.isa(isa):
        t = fastnn.from_numpy(x).requires_grad_()
        F.cross_entropy(t, fastnn.from_numpy(target), reduction="sum").backward()
    exact = x.astype(np.float64)
    e = np.exp(exact - exact.max(1, keepdims=True))
    wanted = e / e.sum(1, keepdims=True)
    wanted[np.arange(n), target] -= 1
    np.testing.assert_allclose(values(t.grad), wanted, rtol=1e-5, atol=1e-7)
