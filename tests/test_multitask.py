"""Shared trunks, masked losses, gradient reversal; in the trainer, captured and not."""

import math

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.metrics import OfTask
from fastnn.train import LambdaCallback, Trainer

RNG = np.random.RandomState(0)


def test_gradient_reversal_is_the_identity_with_another_sign_behind():
    x = fastnn.randn(4, 3).requires_grad_()
    layer = nn.GradientReversal(0.3)
    y = layer(x)
    assert np.array_equal(y.detach().numpy(), x.detach().numpy())
    dy = fastnn.randn(4, 3)
    y.backward(dy)
    assert np.array_equal(x.grad.numpy(), -np.float32(0.3) * dy.numpy())
    assert nn.GradientReversal.schedule(0) == 0 and nn.GradientReversal.schedule(1) == pytest.approx(1, abs=1e-4)


def test_trunk_climbs_what_the_head_descends():
    trunk, head = nn.Linear(3, 4), nn.Linear(4, 1)
    model = nn.MultiTask(trunk, {"domain": nn.Sequential(nn.GradientReversal(), head)})
    x, y = fastnn.randn(8, 3), fastnn.tensor((RNG.rand(8, 1) > 0.5).astype(np.float32))
    plain = nn.MultiTask(trunk, {"domain": head})
    grads = []
    for m in (model, plain):
        for p in trunk.parameters():
            p.grad = None
        head.weight.grad = None
        nn.MultiTaskLoss({"domain": "binary"})(m(x), y).backward()
        grads.append((trunk.weight.grad.numpy().copy(), head.weight.grad.numpy().copy()))
    assert np.allclose(grads[0][0], -grads[1][0]) and np.allclose(grads[0][1], grads[1][1])


def parts():
    z = {"a": fastnn.randn(6, 3).requires_grad_(), "b": fastnn.randn(6, 1).requires_grad_(),
         "c": fastnn.randn(6).requires_grad_()}  # fmt: skip
    y = np.array([[0, 1, -3.5], [2, np.nan, 1], [-1, 0, np.nan], [1, 1, 0], [np.nan, -1, 2], [2, 0, 0]], np.float32)
    return z, y


TASKS = {"a": "cross_entropy", "b": "binary", "c": "mse"}


def test_each_task_counts_its_known_labels():
    z, y = parts()
    loss = nn.MultiTaskLoss(TASKS, weights={"b": 2.0, "c": 0.5})(z, fastnn.tensor(y))
    a = [0, 1, 3, 5]
    expected = F.cross_entropy(z["a"][fastnn.tensor(a)], fastnn.tensor(y[a, 0].astype(np.int64))).item()
    b = [0, 2, 3, 5]
    expected += 2 * F.binary_cross_entropy_with_logits(z["b"][fastnn.tensor(b)][:, 0], fastnn.tensor(y[b, 1])).item()
    c = [0, 1, 3, 4, 5]  # -3.5 is a value, not an unknown
    expected += 0.5 * F.mse_loss(z["c"][fastnn.tensor(c)], fastnn.tensor(y[c, 2])).item()
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert (z["a"].grad.numpy()[[2, 4]] == 0).all() and (z["b"].grad.numpy()[[1, 4]] == 0).all()
    assert z["c"].grad.numpy()[2] == 0 and np.isfinite(z["c"].grad.numpy()).all()
    batch = nn.MultiTaskLoss({"a": "cross_entropy"}, normalize="batch")({"a": z["a"]}, fastnn.tensor(y[:, :1]))
    known = nn.MultiTaskLoss({"a": "cross_entropy"})({"a": z["a"]}, fastnn.tensor(y[:, :1]))
    assert batch.item() == pytest.approx(known.item() * 4 / 6, rel=1e-6)


def test_a_batch_without_a_known_label_costs_nothing():
    z, y = parts()
    for kind, name in (("cross_entropy", "a"), ("binary", "b"), ("mse", "c")):
        loss = nn.MultiTaskLoss({name: kind})({name: z[name]}, fastnn.tensor(np.full((6, 1), np.nan, np.float32)))
        assert loss.item() == 0


def run(capture):
    fastnn.manual_seed(3)
    x = np.random.RandomState(1).randn(200, 5).astype(np.float32)
    y = np.c_[(x[:, 0] > 0) + (x[:, 1] > 0), x[:, 0] + x[:, 2] > 0].astype(np.float32)
    y[np.random.RandomState(2).rand(200, 2) < 0.4] = np.nan
    heads = {"kind": nn.Linear(16, 3), "sign": nn.Sequential(nn.GradientReversal(0.1), nn.Linear(16, 1))}
    model = nn.MultiTask(nn.Sequential(nn.Linear(5, 16), nn.ReLU()), heads)
    loss = nn.MultiTaskLoss({"kind": "cross_entropy", "sign": "binary"}, weights={"sign": 0.5})
    trainer = Trainer(model, loss, optim.Adam(model.parameters(), lr=0.02), progress=False, capture=capture,
                      metrics=[OfTask("kind", 0), OfTask("sign", 1)])  # fmt: skip
    data = TensorDataset(x, y)
    history = trainer.fit(DataLoader(data, 40, shuffle=True, seed=0), DataLoader(data, 50), epochs=20)
    return history, {k: v.numpy().copy() for k, v in model.state_dict().items()}


def test_the_trainer_takes_many_tasks_and_captures_them():
    history, weights = run(False)
    assert history["val_kind_accuracy"][-1] > 0.85 and "val_sign_accuracy" in history
    captured, same = run(True)
    assert captured["loss"] == history["loss"] and all((weights[k] == same[k]).all() for k in weights)


def test_a_scale_that_changes_is_seen_by_captured_steps():
    results = []
    for capture in (True, False):
        fastnn.manual_seed(0)
        model = nn.MultiTask(nn.Linear(4, 4), {"domain": nn.Sequential(nn.GradientReversal(0), nn.Linear(4, 1))})

        def rise(trainer, layer=model.heads["domain"][0]):
            layer.scale = 0.3 * trainer.epoch

        trainer = Trainer(model, nn.MultiTaskLoss({"domain": "binary"}), optim.SGD(model.parameters(), lr=0.1),
                          progress=False, capture=capture, callbacks=[LambdaCallback(on_epoch_begin=rise)])  # fmt: skip
        x, y = np.random.RandomState(0).randn(32, 4).astype(np.float32), np.arange(32, dtype=np.float32)[:, None] % 2
        trainer.fit(DataLoader(TensorDataset(x, y), 8), epochs=4)
        results.append(model.trunk.weight.detach().numpy().copy())
    assert (results[0] == results[1]).all()


@pytest.mark.parametrize("call, error", [
    (lambda: nn.GradientReversal(math.nan), "finite"),
    (lambda: nn.MultiTask(nn.Linear(1, 1), {}), "at least one head"),
    (lambda: nn.MultiTaskLoss({}), "has one of the losses"),
    (lambda: nn.MultiTaskLoss({"a": "hinge"}), "a: 'hinge'"),
    (lambda: nn.MultiTaskLoss(TASKS, weights={"d": 1}), "weights"),
    (lambda: nn.MultiTaskLoss(TASKS, weights={"a": -1}), "weights"),
    (lambda: nn.MultiTaskLoss(TASKS, normalize="sum"), "normalize"),
    (lambda: nn.MultiLabelLoss("sum"), "normalize"),
    (lambda: nn.MultiLabelLoss()(fastnn.randn(2, 3), fastnn.randn(2, 4)), "one shape [N, T]"),
    (lambda: nn.MultiTaskLoss(TASKS)({"a": fastnn.randn(2, 3)}, fastnn.randn(2, 3)), "expected outputs a, b, c"),
    (lambda: nn.MultiTaskLoss({"a": "binary"})({"a": fastnn.randn(2, 3)}, fastnn.randn(2, 1)), "expected [2, 1]"),
    (lambda: nn.MultiTaskLoss({"a": "mse"})({"a": fastnn.randn(2, 1)}, fastnn.randn(2)), "targets [N, 1]"),
])  # fmt: skip
def test_malformed_calls(call, error):
    with pytest.raises(ValueError) as caught:
        call()
    assert error in str(caught.value)


def test_a_class_id_too_large_is_an_error():
    with pytest.raises(IndexError):
        nn.MultiTaskLoss({"a": "cross_entropy"})({"a": fastnn.randn(2, 3)}, fastnn.tensor([[0], [3]]))
