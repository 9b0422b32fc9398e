"""Diagnosis, learning curves, choosing and measuring models: behaviour beyond the course's numbers."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim, strategy
from fastnn.data import DataLoader, TensorDataset
from fastnn.strategy import EpochCurve, ErrorMatrix, LearningCurve, diagnose
from fastnn.train import Trainer

RNG = np.random.RandomState(0)


def test_gaps_within_the_noise_of_small_sets_are_marked():
    small = diagnose(0, 0.02, dev=0.05, counts={"train": 1000, "dev": 100})
    large = diagnose(0, 0.02, dev=0.05, counts={"train": 100_000, "dev": 10_000})
    assert small.gaps[1].is_noise and "within the noise" in str(small) and "get more data" in str(small)
    assert not large.gaps[1].is_noise and "noise" not in str(large)
    assert large.gaps[1].noise == pytest.approx(1.96 * math.sqrt(0.02 * 0.98 / 1e5 + 0.05 * 0.95 / 1e4))


def test_the_report_reads_like_the_course(tmp_path):
    d = diagnose(0.04, 0.07, 0.10, 0.12, 0.12)
    text = str(d)
    assert "human level    4.00%" in text and "+3.00% avoidable bias  <-- the largest" in text
    assert "work on: avoidable bias" in text and "also 2% or more: variance, data mismatch" in text
    assert d.gap("variance") == pytest.approx(0.03)
    with pytest.raises(KeyError, match="no gap 'wrong target'"):
        d.gap("wrong target")


def test_no_error_left():
    d = diagnose(0, 0, 0, 0, 0)
    assert d.largest is None and d.problems == [] and d.remedies == ()


def test_a_trained_model_is_diagnosed():
    fastnn.manual_seed(0)
    x = RNG.randn(260, 10).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    y[:60] = RNG.randint(0, 2, 60)  # 60 noisy labels to learn by heart
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 2))
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.01), metrics=["accuracy"],
                      progress=False)  # fmt: skip
    train, dev = (DataLoader(TensorDataset(x[s], y[s]), 30) for s in (slice(0, 60), slice(60, 260)))
    history = trainer.fit(train, dev, epochs=40)
    d = strategy.diagnose_trainer(trainer, train, dev, human=0.0)
    assert d.errors["train"] < 0.02 and d.largest == "variance" and d.gaps[1].noise is not None
    assert d.errors["dev"] == pytest.approx(1 - history["val_accuracy"][-1])
    curve = EpochCurve(history)
    assert curve.train[-1] < 0.02 < curve.variance and any("has not improved" in a for a in curve.alarms)
    with pytest.raises(ValueError, match="no metric 'f1'"):
        strategy.diagnose_trainer(trainer, train, dev, metric="f1")


def test_learning_curve_sizes_nest_and_keep_the_classes():
    y = np.repeat([0, 1], [90, 10])
    seen = []

    def run(rows):
        seen.append(set(rows))
        return 0.0, 1 / len(rows)

    curve = strategy.learning_curve(run, 100, [0.1, 0.5, 100], stratify=y)
    assert list(curve.sizes) == [10, 50, 100] and seen[0] < seen[1] < seen[2]
    assert [sum(y[list(s)]) for s in seen] == [1, 5, 10]
    assert curve.verdict() == "variance" and "more data will help" in str(curve)
    again = strategy.learning_curve(run, 100, [0.1, 0.5, 100], stratify=y, repeats=2)
    assert seen[3] == seen[0] != seen[4] and again.dev.shape == (3, 2)


def test_the_expected_error_follows_a_power_law():
    n = np.array([100, 300, 1000, 3000])
    curve = LearningCurve(n, np.zeros(4), 0.05 + 2 * n**-0.5)
    assert curve.expected(30_000) == pytest.approx(0.05 + 2 * 30_000**-0.5, abs=2e-3)
    flat = LearningCurve(n, np.full(4, 0.2), np.full(4, 0.21))
    assert flat.expected(10**6) == pytest.approx(0.21, abs=1e-6) and flat.verdict() == "bias"
    assert flat.verdict(human=0.195) == "variance" and "will not help" in str(flat)


def test_alarms_of_the_epochs():
    def curve(train, dev, loss=()):
        return EpochCurve({"epoch": list(range(1, len(train) + 1)), "accuracy": [1 - e for e in train],
                           "val_accuracy": [1 - e for e in dev], "loss": list(loss)})  # fmt: skip

    falling = [0.5 * 0.8**i for i in range(12)]
    assert "train longer" in curve(falling, [e + 0.01 for e in falling]).alarms[0]
    over = curve(
        [0.3 * 0.7**i for i in range(12)], [0.2, 0.15, 0.1, 0.11, 0.12, 0.12, 0.13, 0.13, 0.14, 0.14, 0.15, 0.15]
    )
    assert over.best_epoch == 3 and "has not improved since epoch 3" in over.alarms[0]
    assert "learning rate" in curve([0.5] * 4, [0.5] * 4, [1, 2, 3, 4]).alarms[0]
    assert "not finite" in curve([0.5] * 4, [0.5] * 4, [1, 2, math.inf, 4]).alarms[0]


def test_measure():
    model = nn.Sequential(nn.Linear(100, 200), nn.BatchNorm1d(200), nn.ReLU(), nn.Linear(200, 10))
    m = strategy.measure(model, fastnn.randn(64, 100), repeats=5)
    assert m["parameters"] == 100 * 200 + 200 + 400 + 2010 and m["bytes"] >= 4 * m["parameters"]
    assert 0 < m["ms"] <= m["ms_p95"] and m["peak_bytes"] >= 64 * 200 * 4 and model.training
    choice = strategy.select({"small": {**m, "accuracy": 0.9}}, "accuracy", {"parameters": "<1e6", "ms": "<=1000"})
    assert choice.best == "small" and "take this one" in str(choice)


def test_no_model_is_good_enough():
    with pytest.raises(ValueError, match="no model satisfies the constraints: A breaks ms <= 10"):
        strategy.select({"A": {"accuracy": 1, "ms": 11}}, "accuracy", {"ms": "<=10"})


def test_directions():
    models = {"a": {"val_error": 0.2, "f1": 0.5, "ms": 3}, "b": {"val_error": 0.1, "f1": 0.4, "ms": 4}}
    assert strategy.select(models, "val_error").best == "b" and strategy.select(models, "f1").best == "a"
    assert strategy.select(models, "ms").best == "a" and strategy.select(models, "ms", mode="max").best == "b"


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    diagnose(0.04, 0.07, 0.10, 0.12, 0.12).plot(tmp_path / "chain.png")
    diagnose(0.04, 0.07, 0.10, 0.06, 0.06).plot(tmp_path / "falls.png")
    diagnose(0.005, 0.003, dev=0.004).plot(tmp_path / "below.png")
    ErrorMatrix({"general speech": {"human": 0.04, "trained": 0.07, "untrained": 0.10},
                 "mirror": {"human": 0.06, "trained": 0.06, "untrained": 0.06}}).plot(
                     tmp_path / "matrix.png")  # fmt: skip
    n = np.array([100, 300, 1000, 3000])
    noise = 1 + 0.1 * RNG.randn(4, 3)
    LearningCurve(n, noise * 0.02, noise * (0.05 + 2 * n**-0.5)[:, None]).plot(tmp_path / "sizes.png", human=0.01)
    epochs = np.arange(1, 21)
    dev = 0.9 - 0.2 * 0.6**epochs - 0.001 * epochs
    history = {"epoch": list(epochs), "accuracy": list(1 - 0.3 * 0.8**epochs), "val_accuracy": list(dev)}
    EpochCurve(history, human=0.001).plot(tmp_path / "epochs.png")
    names = ("chain", "falls", "below", "matrix", "sizes", "epochs")
    assert all((tmp_path / f"{n}.png").stat().st_size > 10_000 for n in names)


HISTORY = {"epoch": [1], "accuracy": [0.5], "val_accuracy": [math.nan]}


@pytest.mark.parametrize("call, error", [
    (lambda: diagnose(0, 8, dev=10), "between 0 and 1 (8 % is 0.08), got 8"),
    (lambda: diagnose(0, -0.1, dev=0.1), "between 0 and 1"),
    (lambda: diagnose(0, math.nan, dev=0.1), "got nan"),
    (lambda: diagnose(0, 0.1), "'dev' is needed"),
    (lambda: diagnose(0, dev=0.1), "'train' is needed"),
    (lambda: diagnose({}, 0.1, dev=0.1), "empty dict"),
    (lambda: diagnose({"team": 2}, 0.1, dev=0.1), "human level 'team'"),
    (lambda: diagnose(0.01, 0.1, dev=0.1, bayes=0.02), "cannot be above a human error"),
    (lambda: diagnose(0, 0.1, dev=0.1, threshold=0), "threshold"),
    (lambda: diagnose(0, 0.1, dev=0.1, counts={"test": 5}), "counts"),
    (lambda: diagnose(0, 0.1, dev=0.1, counts={"dev": 0}), "counts"),
    (lambda: ErrorMatrix({}), "expected a dict"),
    (lambda: ErrorMatrix({"a": {"humans": 0.1}}), "may have human"),
    (lambda: ErrorMatrix({"a": {"human": 3}}), "between 0 and 1"),
    (lambda: ErrorMatrix({"a": {"human": 0.1}}).gap("bias", "a"), "no gap"),
    (lambda: LearningCurve([10, 5], [0, 0], [0, 0]), "sizes"),
    (lambda: LearningCurve([1, 2], [0, 0], [0, math.nan]), "finite"),
    (lambda: LearningCurve([1, 2], [0, 0], [0, 0]).expected(5), "three sizes"),
    (lambda: strategy.learning_curve(lambda rows: (0, 0), 10, [20]), "between 1 and 10"),
    (lambda: strategy.learning_curve(lambda rows: (0, 0), 0), "n >= 1"),
    (lambda: strategy.learning_curve(lambda rows: (0, 0), 10, [5], stratify=[1]), "10 labels"),
    (lambda: EpochCurve({}), "no column 'accuracy'"),
    (lambda: EpochCurve(HISTORY), "has no value"),
    (lambda: strategy.select({}, "accuracy"), "expected a dict"),
    (lambda: strategy.select({"a": {}}, "accuracy"), "no value for 'accuracy'"),
    (lambda: strategy.select({"a": {"accuracy": math.nan}}, "accuracy"), "no value"),
    (lambda: strategy.select({"a": {"accuracy": 1}}, "accuracy", {"ms": "fast"}), "cannot read the constraint"),
    (lambda: strategy.select({"a": {"accuracy": 1}}, "accuracy", {"ms": "<=1.2.3"}), "cannot read"),
    (lambda: strategy.select({"a": {"accuracy": 1}}, "accuracy", mode="up"), "mode"),
    (lambda: strategy.measure(nn.Linear(2, 2), fastnn.randn(1, 2), repeats=0), "repeats"),
])  # fmt: skip
def test_malformed_input_is_a_clear_error(call, error):
    with pytest.raises(ValueError) as caught:
        call()
    assert error in str(caught.value)


def test_wrong_types():
    for call in (lambda: diagnose(0, "8%", dev=0.1), lambda: diagnose(0, [0.1], dev=0.1),
                 lambda: diagnose(0, True, dev=0),
                 lambda: strategy.measure(nn.Linear(2, 2)), lambda: strategy.measure(3, fastnn.randn(1))):  # fmt: skip
        with pytest.raises(TypeError):
            call()
