"""The learning-rate range test, and the report on signals and gradients."""

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.train import Trainer, layer_report, lr_range_test


def problem():
    random = np.random.RandomState(0)
    x = random.randn(200, 6).astype(np.float32)
    return TensorDataset(x, np.argmax(x[:, :3], 1).astype(np.int64))


def make_trainer(lr=1e-3):
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=lr, momentum=0.9), progress=False)


def test_the_rate_that_is_found_trains_and_the_model_is_as_before(tmp_path):
    trainer, loader = make_trainer(), DataLoader(problem(), 20, shuffle=True, seed=0)
    before = {k: v.numpy().copy() for k, v in trainer.model.state_dict().items()}
    random = fastnn.get_rng_state()
    found = lr_range_test(trainer, loader, 1e-4, 100, 80)
    assert 1e-3 < found.steepest <= found.largest < 10
    assert len(found.rates) == len(found.losses) and found.losses[-1] > found.smooth.min()
    after = trainer.model.state_dict()
    assert all((after[k].numpy() == v).all() for k, v in before.items())
    assert fastnn.get_rng_state() == random and trainer.optimizer.param_groups[0]["lr"] == 1e-3
    histories = []
    for measured in (False, True):  # a training after the test is the training without it
        trainer, loader = make_trainer(found.steepest), DataLoader(problem(), 20, shuffle=True, seed=0)
        if measured:
            lr_range_test(trainer, loader, 1e-4, 100, 80)
        histories.append(trainer.fit(loader, epochs=5)["loss"])
    assert histories[0] == histories[1] and histories[0][-1] < 0.5 * histories[0][0]
    pytest.importorskip("matplotlib")
    found.plot(tmp_path / "lr.png")
    assert (tmp_path / "lr.png").read_bytes()[:4] == b"\x89PNG"


def test_range_test_of_wrong_settings():
    trainer = make_trainer()
    with pytest.raises(ValueError, match="0 < low < high"):
        lr_range_test(trainer, [], 1, 0.1)
    with pytest.raises(ValueError, match="no batch"):
        lr_range_test(trainer, [], 0.1, 1)
    x = np.full((20, 6), np.nan, np.float32)
    with pytest.raises(FloatingPointError, match="nan before the first update"):
        lr_range_test(trainer, DataLoader(TensorDataset(x, np.zeros(20, np.int64)), 20))


def deep(activation, scale, layers=12, width=40):
    fastnn.manual_seed(0)
    parts = []
    for _ in range(layers):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=scale / width**0.5)
        parts += [linear, activation()]
    return nn.Sequential(*parts, nn.Linear(width, 3))


BATCH = (fastnn.tensor(np.random.RandomState(0).randn(64, 40).astype(np.float32)),
         fastnn.tensor(np.random.RandomState(1).randint(0, 3, 64)))  # fmt: skip


@pytest.mark.parametrize(
    "activation, scale, words",
    [
        (nn.Tanh, 0.3, ["signals vanish", "gradients vanish"]),
        (nn.ReLU, 4.0, ["signals explode", "gradients explode"]),
        (nn.Sigmoid, 1.0, ["gradients vanish"]),
        (nn.Tanh, 20.0, ["saturated"]),
        (nn.ReLU, 1.414, []),
    ],
)
def test_what_is_wrong_is_named(activation, scale, words):
    report = layer_report(deep(activation, scale), nn.CrossEntropyLoss(), BATCH)
    text = "\n".join(report.warnings)
    assert all(word in text for word in words), text
    if not words:
        assert not [w for w in report.warnings if "dead" not in w]


def test_dead_units_and_the_table(tmp_path):
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 10), nn.ReLU(), nn.Linear(10, 3))
    with fastnn.no_grad():
        model[0].bias[:4].fill_(-100.0)
    report = layer_report(model, nn.CrossEntropyLoss(), BATCH)
    assert report[1].dead == 0.4 and "1: 40% of the units are 0 for every example" in report.warnings[0]
    assert str(report).splitlines()[0].split()[:2] == ["layer", "kind"] and "warning: 1: 40%" in str(report)
    pytest.importorskip("matplotlib")
    report.plot(tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"


def test_the_report_changes_nothing():
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    model[0].weight.grad = fastnn.ones(40, 8)
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    state = fastnn.get_rng_state()
    layer_report(model, nn.CrossEntropyLoss(), BATCH)
    assert all((model.state_dict()[k].numpy() == v).all() for k, v in before.items())
    assert fastnn.get_rng_state() == state and (model[0].weight.grad.numpy() == 1).all()
    assert model[4].weight.grad is None and not model[0]._hooks.any()
    with pytest.raises(TypeError, match="a batch is"):
        layer_report(model, nn.CrossEntropyLoss(), BATCH[0])
