"""The training loop: what it measures, what its callbacks see, what it does with numbers that are not finite."""

import math
import os

import numpy as np
import pytest
from training import Stop, data, loader, network, same, trainer, weights

from fastnn import nn
from fastnn.data import DataLoader
from fastnn.optim import SGD, Adam
from fastnn.optim.lr_scheduler import InverseTimeLR, ReduceLROnPlateau, StepLR
from fastnn.train import Callback, EarlyStopping, LambdaCallback, SaveBest, Trainer, fit, load_weights


def test_it_learns():
    history = fit(
        model := network(), nn.CrossEntropyLoss(), Adam(model.parameters(), lr=0.01), loader(),
        DataLoader(data(seed=5), 50), epochs=15, metrics=["accuracy"], progress=False,
    )  # fmt: skip
    assert history["epoch"] == list(range(1, 16)) and history.stopped is None and history.epochs == 15
    assert set(history) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"}
    assert history["loss"][-1] < history["loss"][0] / 2 and history["val_accuracy"][-1] > 0.9
    assert history.best("val_accuracy", "max")[1] == max(history["val_accuracy"])


def test_evaluate_and_predict():
    t = trainer(metrics=["accuracy"])
    result = t.evaluate(DataLoader(data(), 10))
    whole = t.evaluate(DataLoader(data(), 96))
    assert math.isclose(result["loss"], whole["loss"], rel_tol=1e-6) and result["accuracy"] == whole["accuracy"]
    scores = t.predict(DataLoader(data(), 10))
    assert scores.shape == (96, 3)
    assert np.mean(scores.argmax(1) == data().tensors[1].numpy()) == whole["accuracy"]
    assert t.model.training


def test_the_number_of_loader_threads_changes_nothing():
    runs = []
    for workers in (0, 3):
        t = trainer()
        t.fit(loader(workers=workers), epochs=2)
        runs.append(weights(t.model))
    assert same(*runs)


def test_checkpoint_every_batches(tmp_path):
    seen = []
    t = trainer(
        tmp_path / "c", checkpoint_every=4, callbacks=[LambdaCallback(on_checkpoint=lambda t, _: seen.append(t.step))]
    )
    t.fit(loader(), epochs=2)
    assert seen == [4, 6, 8, 12, 12] and os.listdir(tmp_path) == ["c"]


def test_callbacks_are_called_in_order():
    calls = []

    class Log(Callback):
        pass

    for name in [n for n in vars(Callback) if n.startswith("on_")]:
        setattr(Log, name, lambda self, trainer, *_, name=name: calls.append(name))
    trainer(callbacks=[Log()]).fit([*DataLoader(data(32), 16)], epochs=2)
    batch = ["on_batch_begin", "on_batch_end"]
    epoch = ["on_epoch_begin", *batch, *batch, "on_epoch_end"]
    assert calls == ["on_fit_begin", *epoch, *epoch, "on_fit_end"]
    with pytest.raises(TypeError, match="on_epoch_ends"):
        LambdaCallback(on_epoch_ends=print)


class Scripted(Callback):
    """Puts prescribed values in place of the validation loss, and marks the weights with the epoch."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, trainer, logs):
        logs["val_loss"] = self.values[trainer.epoch]
        trainer.model.state_dict()["4.bias"].detach().numpy()[...] = trainer.epoch


def test_early_stopping_restores_the_best_weights(tmp_path):
    script = Scripted([5.0, 3.0, math.nan, 4.0, 3.5, 1.0])
    early = EarlyStopping(patience=3)
    t = trainer(tmp_path / "c", callbacks=[script, early])
    history = t.fit(loader(), DataLoader(data(), 96), epochs=6)
    assert history.stopped == "early stopping" and history.epochs == 5 and early.best_epoch == 1
    assert (weights(t.model)["4.bias"] == 1).all()
    assert (load_weights(tmp_path / "c")["4.bias"].numpy() == 1).all()
    resumed = trainer(tmp_path / "c", callbacks=[script, EarlyStopping(patience=3)])
    history = resumed.fit(loader(), DataLoader(data(), 96), epochs=6, resume=True)
    assert history.stopped == "early stopping" and history.epochs == 5 and (weights(resumed.model)["4.bias"] == 1).all()
    with pytest.raises(ValueError, match="no value 'val_f1'"):
        trainer(callbacks=[EarlyStopping("val_f1")]).fit(loader(), epochs=1)


def test_save_best(tmp_path):
    t = trainer(metrics=["accuracy"], callbacks=[SaveBest(tmp_path / "best", "val_accuracy")])
    assert t.direction("val_accuracy") == "max" and t.direction("val_loss") == "min"
    history = t.fit(loader(), DataLoader(data(seed=3), 96), epochs=4)
    best = load_weights(tmp_path / "best")
    t.model.load_state_dict(best)
    assert t.evaluate(DataLoader(data(seed=3), 96))["accuracy"] == max(history["val_accuracy"])


class Poison(Callback):
    """Makes the input of one step NaN (or its gradient infinite, by a huge input)."""

    def __init__(self, step, value=np.nan):
        self.at, self.value = step, value

    def on_batch_begin(self, trainer, batch):
        if trainer.step in (self.at if isinstance(self.at, range) else (self.at,)):
            batch[0].numpy()[0, 0] = self.value


def test_nan_raises_before_it_reaches_the_weights():
    good = trainer(callbacks=[Stop(3)])
    good.fit(loader(), epochs=1)
    t = trainer(callbacks=[Poison(3)])
    with pytest.raises(FloatingPointError, match="epoch 1, batch 4, step 4, lr 0.01"):
        t.fit(loader(), epochs=1)
    assert same(weights(t.model), weights(good.model))  # running means too


def test_nan_stops():
    t = trainer(callbacks=[Poison(3)], nan_policy="stop")
    history = t.fit(loader(), epochs=2)
    assert history.stopped == "nan" and t.step == 3


def test_nan_batches_are_skipped():
    t = trainer(callbacks=[Poison(range(2, 4))], nan_policy="skip", metrics=["accuracy"], record_steps=True)
    history = t.fit(loader(), epochs=2)
    assert t.skipped == 2 and all(math.isfinite(v) for v in history["loss"]) and history.stopped is None
    assert all(np.isfinite(v).all() for v in weights(t.model).values())  # running means too
    assert [i for i, v in enumerate(history.step_losses) if math.isnan(v)] == [2, 3]
    with pytest.raises(FloatingPointError, match="as in the 99 batches before"):
        trainer(callbacks=[Poison(range(1000))], nan_policy="skip").fit(loader(), epochs=50)


def test_infinite_gradient_is_named():
    model = nn.Sequential(nn.Linear(4, 3))
    before = weights(model)
    loss = lambda out, y: (out * 0).sqrt().sum()  # noqa: E731  (the loss is 0, its derivative 0 * inf)
    t = Trainer(model, loss, SGD(model.parameters(), lr=0.1), progress=False)
    with pytest.raises(FloatingPointError, match="the gradient of the parameter 0.weight is not finite"):
        t.fit(loader(), epochs=1)
    assert same(weights(model), before)


def test_schedules():
    t = trainer()
    t.scheduler = StepLR(t.optimizer, 2, gamma=0.1)
    assert np.allclose(t.fit(loader(), epochs=4)["lr"], [0.01, 0.01, 0.001, 0.001])
    t = trainer(schedule_per="step")
    t.scheduler = InverseTimeLR(t.optimizer, 1.0)
    t.fit(loader(), epochs=2)
    assert t.scheduler.last_epoch == 12 and math.isclose(t.optimizer.param_groups[0]["lr"], 0.01 / 13)
    t = trainer(monitor="loss")
    t.scheduler = ReduceLROnPlateau(t.optimizer, patience=0, threshold=10.0, threshold_mode="abs")
    assert np.allclose(t.fit(loader(), epochs=3)["lr"], [0.01, 0.01, 0.001])
    t.monitor = "val_loss"
    with pytest.raises(ValueError, match="follows 'val_loss'"):
        t.fit(loader(), epochs=4)


def test_clipping():
    norms = []

    class Norm(Callback):
        def on_batch_end(self, trainer, logs):
            grads = [p.grad.numpy().ravel() for p in trainer.model.parameters()]
            norms.append((np.linalg.norm(np.concatenate(grads)), max(abs(g).max() for g in grads)))

    trainer(callbacks=[Norm()], clip_norm=0.01).fit(loader(), epochs=1)
    assert max(n for n, _ in norms) <= 0.01 * (1 + 1e-4)
    norms.clear()
    trainer(callbacks=[Norm()], clip_value=0.001).fit(loader(), epochs=1)
    assert max(m for _, m in norms) <= 0.001 * (1 + 1e-6)


def test_batches_that_cannot_be_used():
    with pytest.raises(ValueError, match="no batch"):
        trainer().fit([], epochs=1)
    with pytest.raises(ValueError, match="used up"):
        trainer().fit(iter(list(loader())), epochs=2)
    with pytest.raises(ValueError, match="evaluate"):
        trainer().evaluate([])
    with pytest.raises(TypeError, match="override"):
        trainer().fit([{"x": 1}], epochs=1)


@pytest.mark.parametrize(
    "options",
    [{"nan_policy": "ignore"}, {"schedule_per": "hour"}, {"checkpoint_every": 0}, {"checkpoint_every": "batch"},
     {"clip_norm": 0}, {"clip_value": -1}, {"metrics": ["accuracy", "accuracy"]}, {"metrics": ["nonsense"]}],
)  # fmt: skip
def test_errors(options):
    with pytest.raises(ValueError):
        trainer(**options)
