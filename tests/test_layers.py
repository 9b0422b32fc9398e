"""Layers, activations and losses: values and gradients against PyTorch, starts, wrong input, weights from PyTorch."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn


def values(t):
    return t.detach().numpy()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 5, 3), (0, 3)])
def test_linear_against_pytorch(shape, bias):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.Linear(3, 2, bias=bias), torch.nn.Linear(3, 2, bias=bias)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(values(ours.weight).T.copy()))
        if bias:
            theirs.bias.copy_(torch.tensor(values(ours.bias).copy()))
    a = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    y, t = ours(fastnn.tensor(a)), theirs(torch.tensor(a))
    np.testing.assert_allclose(values(y), t.detach().numpy(), rtol=1e-5, atol=1e-6)
    y.sum().backward()
    t.sum().backward()
    np.testing.assert_allclose(values(ours.weight.grad), theirs.weight.grad.numpy().T, rtol=1e-5, atol=1e-6)


def test_linear_starts_uniform_in_one_over_root_n():
    w = values(nn.Linear(400, 300).weight)
    assert np.abs(w).max() <= 1 / 20 and w.std() == pytest.approx(1 / 20 / np.sqrt(3), rel=0.01)
    assert nn.Linear(0, 3)(fastnn.zeros((2, 0))).shape == (2, 3)
    with pytest.raises(ValueError, match="sizes >= 0"):
        nn.Linear(-1, 2)
    with pytest.raises(ValueError, match="linear"):
        nn.Linear(3, 2)(fastnn.zeros((2, 4)))


ACTIVATIONS = [
    ("Sigmoid", {}), ("Tanh", {}), ("ReLU", {}), ("ReLU6", {}), ("SELU", {}), ("SiLU", {}), ("Mish", {}),
    ("Softsign", {}),
    ("LogSigmoid", {}), ("Hardsigmoid", {}), ("Hardswish", {}), ("PReLU", {}), ("LeakyReLU", dict(negative_slope=0.2)),
    ("ELU", dict(alpha=0.7)), ("GELU", {}), ("GELU", dict(approximate="tanh")), ("Softplus", dict(beta=2.0)),
    ("Hardtanh", dict(min_val=-0.5, max_val=0.7)), ("Softmax", dict(dim=-1)), ("LogSoftmax", dict(dim=0)),
]  # fmt: skip


@pytest.mark.parametrize("name,settings", ACTIVATIONS, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_activations_against_pytorch(name, settings):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(**settings), getattr(torch.nn, name)(**settings)
    a = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32) * 3
    x, t = fastnn.tensor(a).requires_grad_(), torch.tensor(a, requires_grad=True)
    y, u = ours(x), theirs(t)
    np.testing.assert_allclose(values(y), u.detach().numpy(), rtol=2e-5, atol=2e-6)
    (y * fastnn.tensor(a)).sum().backward()
    (u * torch.tensor(a)).sum().backward()
    np.testing.assert_allclose(values(x.grad), t.grad.numpy(), rtol=2e-4, atol=2e-5)
    assert repr(ours).startswith(name + "(")


LOSSES = ["CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "MSELoss", "L1Loss", "HuberLoss",
          "SmoothL1Loss", "HingeEmbeddingLoss", "KLDivLoss"]  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_against_pytorch(name, reduction):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(nn, name)(reduction=reduction), getattr(torch.nn, name)(reduction=reduction)
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 7, 4)).astype(np.float32)
    if name in ("CrossEntropyLoss", "NLLLoss"):
        b = rng.integers(0, 4, 7)
    elif name.startswith("BCE"):
        b = (b > 0).astype(np.float32)
        a = 1 / (1 + np.exp(-a)) if name == "BCELoss" else a
    elif name == "HingeEmbeddingLoss":
        b = np.sign(b)
    elif name == "KLDivLoss":
        b = np.exp(b) / np.exp(b).sum(1, keepdims=True)
    got, expected = ours(fastnn.tensor(a), fastnn.tensor(b)), theirs(torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(values(got), expected.numpy(), rtol=2e-5, atol=1e-6)


def test_hinge_and_batchmean():
    torch = pytest.importorskip("torch")
    x, y = fastnn.tensor([0.3, -2.0, 1.5]), fastnn.tensor([1.0, 1.0, -1.0])
    assert nn.HingeLoss()(x, y).item() == pytest.approx((0.7 + 3.0 + 2.5) / 3)
    a = np.log(np.full((2, 4), 0.25, np.float32))
    b = np.array([[0.7, 0.1, 0.1, 0.1]] * 2, np.float32)
    expected = torch.nn.KLDivLoss(reduction="batchmean")(torch.tensor(a), torch.tensor(b)).item()
    assert nn.KLDivLoss("batchmean")(fastnn.tensor(a), fastnn.tensor(b)).item() == pytest.approx(expected, rel=1e-5)
    for cls in (nn.MSELoss, nn.KLDivLoss):
        with pytest.raises(ValueError, match="average"):
            cls(reduction="average")


def test_loss_weights_move_with_the_module():
    loss = nn.CrossEntropyLoss(weight=fastnn.tensor([1.0, 2.0, 3.0]))
    assert loss.double().weight.dtype == fastnn.float64
    assert list(loss.state_dict()) == ["weight"]


@pytest.mark.parametrize("settings", [{}, dict(momentum=None), dict(affine=False), dict(track_running_stats=False),
                                      dict(eps=1e-2, momentum=0.3)], ids=str)  # fmt: skip
@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 5)])
def test_batchnorm_against_pytorch(settings, shape):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.BatchNorm1d(5, **settings), torch.nn.BatchNorm1d(5, **settings)

    def channels_second(a):
        return torch.tensor(a).movedim(-1, 1) if len(shape) == 3 else torch.tensor(a)

    rng = np.random.default_rng(3)
    for step in range(6):
        if step == 4:
            ours.eval(), theirs.eval()
        a = rng.standard_normal(shape).astype(np.float32) * 2 + 1
        y, t = values(ours(fastnn.tensor(a))), theirs(channels_second(a)).detach()
        np.testing.assert_allclose(y, (t.movedim(1, -1) if len(shape) == 3 else t).numpy(), rtol=2e-5, atol=2e-5)
    state, reference = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(reference)
    for key in state:
        np.testing.assert_allclose(state[key].numpy(), reference[key].numpy(), rtol=1e-5, atol=1e-6)
    if ours.track_running_stats:
        ours.reset_running_stats()
        assert (ours.running_var.numpy() == 1).all() and ours.num_batches_tracked.item() == 0


def test_batchnorm_wrong_input():
    layer = nn.BatchNorm1d(3)
    for shape, text in [((4, 2), r"\[N, 3\]"), ((3,), r"\[N, 3\]"), ((1, 3), "more than one value")]:
        with pytest.raises(ValueError, match=text):
            layer(fastnn.zeros(shape))
    assert layer.num_batches_tracked.item() == 0


def test_bias_in_front_of_batchnorm_changes_nothing():
    x = fastnn.randn((8, 3), dtype=fastnn.float64)
    layer = nn.BatchNorm1d(3).double()
    np.testing.assert_allclose(values(layer(x)), values(layer(x + 7.5)), atol=1e-9)


def test_dropout():
    layer, x = nn.Dropout(0.2), fastnn.ones((1000, 100))
    y = values(layer(x))
    kept = (y != 0).mean()
    assert abs(kept - 0.8) < 5 * np.sqrt(0.16 / y.size)
    np.testing.assert_allclose(np.unique(y), [0, 1.25])  # inverted: divided by the keep probability
    assert not np.array_equal(y, values(layer(x)))  # a new mask every call
    assert layer.eval()(x) is x or np.array_equal(values(layer(x)), values(x))
    with pytest.raises(ValueError, match="probability"):
        nn.Dropout(1.5)


def test_dropout_uses_its_mask_in_backward():
    x = fastnn.ones((50, 50)).requires_grad_()
    y = F.dropout(x, 0.5, True)
    y.sum().backward()
    np.testing.assert_array_equal(values(x.grad), values(y))


def test_flatten_unflatten():
    x = fastnn.randn((2, 3, 4, 5))
    assert nn.Flatten()(x).shape == (2, 60) and nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Unflatten(1, (2, -1))(nn.Flatten()(x)).shape == (2, 2, 30)
    np.testing.assert_array_equal(values(nn.Unflatten(-1, (3, 4, 5))(nn.Flatten()(x))), values(x))
    with pytest.raises(IndexError, match="Unflatten"):
        nn.Unflatten(4, (1, 1))(x)


# --- weights of PyTorch -------------------------------------------------------------------------------------------


def test_convert_both_ways():
    torch = pytest.importorskip("torch")
    from fastnn import convert

    def build(lib):
        return lib.Sequential(lib.Linear(3, 5), lib.BatchNorm1d(5), lib.Sequential(lib.ReLU(), lib.Linear(5, 2)))

    ours, theirs = build(nn), build(torch.nn)
    assert convert.from_torch(ours, theirs.state_dict()) == ([], [])
    a = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    np.testing.assert_allclose(
        values(ours(fastnn.tensor(a))), theirs(torch.tensor(a)).detach().numpy(), rtol=1e-5, atol=1e-6
    )
    other = build(torch.nn)
    other.load_state_dict({k: torch.from_numpy(v) for k, v in convert.to_torch(ours).items()})
    np.testing.assert_array_equal(other[0].weight.detach().numpy(), theirs[0].weight.detach().numpy())
    with pytest.raises(ValueError, match="shape mismatch"):
        convert.from_torch(nn.Sequential(nn.Linear(3, 4)), torch.nn.Sequential(torch.nn.Linear(3, 5)).state_dict())


# --- functions that are formulas ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,settings",
    [
        ("softmin", dict(dim=1)),
        ("glu", dict(dim=-1)),
        ("normalize", {}),
        ("normalize", dict(p=1.0, dim=0)),
        ("flatten", dict(start_dim=1)),
        ("flatten", {}),
    ],
)
def test_formulas_against_pytorch(name, settings):
    torch = pytest.importorskip("torch")
    a = np.random.default_rng(5).standard_normal((4, 6, 2)).astype(np.float32)
    x, t = fastnn.tensor(a).requires_grad_(), torch.tensor(a, requires_grad=True)
    y, u = getattr(F, name)(x, **settings), getattr(torch.nn.functional, name, torch.flatten)(t, **settings)
    assert tuple(y.shape) == tuple(u.shape)
    np.testing.assert_allclose(values(y), u.detach().numpy(), rtol=2e-5, atol=1e-6)
    (y * y).sum().backward()
    (u * u).sum().backward()
    np.testing.assert_allclose(values(x.grad), t.grad.numpy(), rtol=2e-4, atol=1e-5)


def test_similarities_against_pytorch():
    torch = pytest.importorskip("torch")
    a, b = np.random.default_rng(6).standard_normal((2, 5, 3)).astype(np.float32)
    for name in ("cosine_similarity", "pairwise_distance"):
        got = getattr(F, name)(fastnn.tensor(a), fastnn.tensor(b))
        expected = getattr(torch.nn.functional, name)(torch.tensor(a), torch.tensor(b))
        np.testing.assert_allclose(values(got), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_formulas_with_wrong_arguments():
    with pytest.raises(ValueError, match="glu"):
        F.glu(fastnn.zeros((2, 3)))
    with pytest.raises(IndexError, match="flatten"):
        F.flatten(fastnn.zeros((2, 3)), 1, 0)


def test_common_mistakes_are_named():
    """Channels before pixels, a misspelt padding, inputs of another width: the message says what to do."""
    with pytest.raises(ValueError, match=r"channels come last here: x\.movedim\(1, -1\)"):
        nn.Conv2d(3, 8, 3)(fastnn.ones(2, 3, 32, 32))
    with pytest.raises(ValueError, match="Conv2d: expected padding as numbers, 'same' or 'valid', got 'sme'"):
        nn.Conv2d(3, 8, 3, padding="sme")
    with pytest.raises(ValueError, match=r"LSTM: expected x with input_size=5 features, got \[2, 7, 4\]"):
        nn.LSTM(5, 6)(fastnn.ones(2, 7, 4))
