"""Losses against PyTorch, central differences and their own formulas."""

import numpy as np
import pytest

import fastnn
from fastnn.autograd import gradcheck

torch = pytest.importorskip("torch")
TF = torch.nn.functional

RNG = np.random.default_rng(0)
REDUCTIONS = ["mean", "sum", "none"]


def pair(values, dtype=np.float64):
    """The same leaf in fastnn and PyTorch."""
    values = np.asarray(values, dtype)
    return fastnn.from_numpy(values.copy()).requires_grad_(), torch.tensor(values, requires_grad=True)


def compare(ours, theirs, leaves, rtol):
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=rtol, atol=rtol)
    ours.sum().backward()
    theirs.sum().backward()
    for a, b in leaves:
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype,rtol", [(np.float64, 1e-10), (np.float32, 2e-5)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 10), (64, 3), (7, 1000), (0, 4)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_with_labels(shape, reduction, weighted, smoothing, dtype, rtol):
    x, tx = pair(RNG.standard_normal(shape) * 3, dtype)
    y = RNG.integers(0, shape[1], shape[0])
    y[1::4] = -100
    w = RNG.random(shape[1]).astype(dtype) if weighted else None
    ours = fastnn.cross_entropy(
        x, fastnn.tensor(y), None if w is None else fastnn.from_numpy(w), reduction=reduction, label_smoothing=smoothing
    )
    theirs = TF.cross_entropy(
        tx, torch.tensor(y), None if w is None else torch.tensor(w), reduction=reduction, label_smoothing=smoothing
    )
    compare(ours, theirs, [(x, tx)], rtol)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_with_probabilities(reduction, smoothing, weighted):
    x, tx = pair(RNG.standard_normal((6, 9)))
    t, tt = pair(RNG.dirichlet(np.ones(9), 6))
    w = RNG.random(9) if weighted else None
    ours = fastnn.cross_entropy(
        x, t, None if w is None else fastnn.from_numpy(w), reduction=reduction, label_smoothing=smoothing
    )
    theirs = TF.cross_entropy(
        tx, tt, None if w is None else torch.tensor(w), reduction=reduction, label_smoothing=smoothing
    )
    compare(ours, theirs, [(x, tx), (t, tt)], 1e-9)


def test_cross_entropy_takes_classes_from_the_last_axis():
    x = RNG.standard_normal((2, 5, 4))
    y = RNG.integers(0, 4, (2, 5))
    ours = fastnn.cross_entropy(fastnn.from_numpy(x), fastnn.tensor(y))
    theirs = TF.cross_entropy(torch.tensor(x).permute(0, 2, 1), torch.tensor(y))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


def test_cross_entropy_survives_extreme_logits():
    x = fastnn.tensor([[1e30, -1e30, 0.0], [-np.inf, 0.0, 1.0]], requires_grad=True)
    loss = fastnn.cross_entropy(x, fastnn.tensor([0, 2]))
    loss.backward()
    assert np.isfinite(loss.item()) and np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss(reduction):
    x, tx = pair(np.log(RNG.dirichlet(np.ones(5), 8)))
    y = RNG.integers(0, 5, 8)
    w = RNG.random(5)
    compare(
        fastnn.nll_loss(x, fastnn.tensor(y), fastnn.from_numpy(w), reduction=reduction),
        TF.nll_loss(tx, torch.tensor(y), torch.tensor(w), reduction=reduction),
        [(x, tx)],
        1e-10,
    )


POINTWISE = {
    "mse_loss": (lambda a, t, **k: fastnn.mse_loss(a, t, **k), TF.mse_loss, "real"),
    "l1_loss": (fastnn.l1_loss, TF.l1_loss, "real"),
    "huber_loss": (
        lambda a, t, **k: fastnn.huber_loss(a, t, delta=0.7, **k),
        lambda a, t, **k: TF.huber_loss(a, t, delta=0.7, **k),
        "real",
    ),
    "smooth_l1_loss": (
        lambda a, t, **k: fastnn.smooth_l1_loss(a, t, beta=0.6, **k),
        lambda a, t, **k: TF.smooth_l1_loss(a, t, beta=0.6, **k),
        "real",
    ),
    "smooth_l1_beta_0": (
        lambda a, t, **k: fastnn.smooth_l1_loss(a, t, beta=0.0, **k),
        lambda a, t, **k: TF.smooth_l1_loss(a, t, beta=0.0, **k),
        "real",
    ),
    "binary_cross_entropy": (fastnn.binary_cross_entropy, TF.binary_cross_entropy, "unit"),
    "binary_cross_entropy_with_logits": (
        fastnn.binary_cross_entropy_with_logits,
        TF.binary_cross_entropy_with_logits,
        "logit",
    ),
    "kl_div": (fastnn.kl_div, TF.kl_div, "log"),
    "kl_div_log": (
        lambda a, t, **k: fastnn.kl_div(a, t, log_target=True, **k),
        lambda a, t, **k: TF.kl_div(a, t, log_target=True, **k),
        "loglog",
    ),
    "hinge_embedding_loss": (fastnn.hinge_embedding_loss, TF.hinge_embedding_loss, "sign"),
}


def samples(kind, shape):
    x = RNG.standard_normal(shape) * 2
    if kind == "unit":
        return 1 / (1 + np.exp(-x)), RNG.random(shape)
    if kind == "logit":
        return x * 3, RNG.random(shape)
    if kind == "log":
        return -np.abs(x), RNG.random(shape)
    if kind == "loglog":
        return -np.abs(x), -RNG.random(shape)
    if kind == "sign":
        return x, RNG.choice([-1.0, 1.0], shape)
    return x, RNG.standard_normal(shape)


@pytest.mark.parametrize("dtype,rtol", [(np.float64, 1e-9), (np.float32, 3e-5)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", POINTWISE)
@pytest.mark.parametrize("shape", [(), (1,), (37,), (4, 33), (0, 3), (300, 70)])
def test_pointwise(name, shape, reduction, dtype, rtol):
    ours, theirs, kind = POINTWISE[name]
    a, t = samples(kind, shape)
    (x, tx), (y, ty) = pair(a, dtype), pair(t, dtype)
    leaves = [(x, tx)] if name.startswith("hinge") else [(x, tx), (y, ty)]
    compare(ours(x, y, reduction=reduction), theirs(tx, ty, reduction=reduction), leaves, rtol)


def test_kl_div_batchmean():
    x, t = samples("log", (4, 6))
    ours = fastnn.kl_div(fastnn.from_numpy(x), fastnn.from_numpy(t), reduction="batchmean")
    assert ours.item() == pytest.approx(TF.kl_div(torch.tensor(x), torch.tensor(t), reduction="batchmean").item())


@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_hinge(margin):
    x, t = samples("sign", (5, 7))
    leaf = fastnn.from_numpy(x).requires_grad_()
    loss = fastnn.hinge_loss(leaf, fastnn.from_numpy(t), margin=margin)
    assert loss.item() == pytest.approx(np.maximum(0, margin - t * x).mean())
    loss.backward()
    np.testing.assert_allclose(leaf.grad.numpy(), np.where(margin - t * x > 0, -t, 0) / x.size)


def test_bce_with_logits_weights():
    a, t = samples("logit", (6, 4))
    w, q = RNG.random((6, 4)), RNG.random(4) * 3
    x, tx = pair(a)
    ours = fastnn.binary_cross_entropy_with_logits(
        x, fastnn.from_numpy(t), fastnn.from_numpy(w), pos_weight=fastnn.from_numpy(q)
    )
    theirs = TF.binary_cross_entropy_with_logits(tx, torch.tensor(t), torch.tensor(w), pos_weight=torch.tensor(q))
    compare(ours, theirs, [(x, tx)], 1e-10)


@pytest.mark.parametrize("loss", [fastnn.binary_cross_entropy_with_logits, fastnn.mse_loss])
def test_mask_leaves_unknown_targets_out(loss):
    a, t = samples("logit", (6, 4))
    known = RNG.random((6, 4)) > 0.4
    dirty = np.where(known, t, np.nan)
    x = fastnn.from_numpy(a.copy()).requires_grad_()
    masked = loss(x, fastnn.from_numpy(dirty), mask=fastnn.tensor(known))
    alone = loss(fastnn.from_numpy(a[known]), fastnn.from_numpy(t[known]))
    assert masked.item() == pytest.approx(alone.item(), rel=1e-12)
    masked.backward()
    assert (x.grad.numpy()[~known] == 0).all() and (x.grad.numpy()[known] != 0).all()


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_gradcheck(name):
    ours, _, kind = POINTWISE[name]
    a, t = samples(kind, (3, 4))
    x = fastnn.from_numpy(a).requires_grad_()
    assert gradcheck(lambda x: ours(x, fastnn.from_numpy(t)), x)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_same_bits_on_any_number_of_threads(isa):
    found, before = fastnn.isa(), fastnn.get_num_threads()
    try:
        try:
            fastnn.set_isa(isa)
        except ValueError:
            pytest.skip(f"this machine has no {isa}")
        x = RNG.standard_normal((3000, 37)).astype(np.float32)
        y = RNG.integers(0, 37, 3000)
        seen = set()
        for threads in (1, 2, 3, 8):
            fastnn.set_num_threads(threads)
            leaf = fastnn.tensor(x, requires_grad=True)
            loss = fastnn.cross_entropy(leaf, fastnn.tensor(y)) + fastnn.mse_loss(leaf, fastnn.from_numpy(x[::-1]))
            loss.backward()
            seen.add((loss.item(), leaf.grad.numpy().tobytes()))
        assert len(seen) == 1
    finally:
        fastnn.set_isa(found)
        fastnn.set_num_threads(before)


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda x: fastnn.cross_entropy(x, fastnn.tensor([0, 4])), IndexError, "label 4 at position 1"),
        (lambda x: fastnn.cross_entropy(x, fastnn.tensor([0, -1])), IndexError, "label -1"),
        (lambda x: fastnn.cross_entropy(x, fastnn.tensor([0])), ValueError, "labels must be"),
        (lambda x: fastnn.cross_entropy(x, fastnn.tensor([True, False])), TypeError, "bool"),
        (lambda x: fastnn.cross_entropy(x, fastnn.tensor([0, 1]), reduction="avg"), ValueError, "reduction"),
        (lambda x: fastnn.cross_entropy(x, fastnn.tensor([0, 1]), label_smoothing=1.5), ValueError, "label_smoothing"),
        (lambda x: fastnn.cross_entropy(x, fastnn.tensor([0, 1]), fastnn.tensor([1.0])), ValueError, "weight"),
        (lambda x: fastnn.mse_loss(x, fastnn.tensor([0.0, 1.0, 2.0])), ValueError, "one shape"),
        (lambda x: fastnn.binary_cross_entropy(x * 0 + 1.5, x), ValueError, "probabilities"),
        (lambda x: fastnn.huber_loss(x, x, delta=0.0), ValueError, "delta"),
        (lambda x: fastnn.nll_loss(x, x), TypeError, "labels must be integers"),
    ],
)
def test_malformed(call, error, words):
    with pytest.raises(error, match=words):
        call(fastnn.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
