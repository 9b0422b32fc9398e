"""The training loop: what it measures, what it survives, and that a resumed run has the bits of an unbroken one."""

import io
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import fastnn
import numpy as np
import pytest
from fastnn import nn
from fastnn.data import DataLoader, TensorDataset
from fastnn.optim import SGD, Adam
from fastnn.optim.lr_scheduler import InverseTimeLR, ReduceLROnPlateau, StepLR
from fastnn.train import (
    Callback,
    EarlyStopping,
    History,
    LambdaCallback,
    Progress,
    SaveBest,
    Trainer,
    fit,
    gradient_check,
    load_weights,
)
from fastnn.train.progress import format_seconds


def data(n=96, seed=0):
    rng = np.random.RandomState(seed)
    y = np.arange(n) % 3
    x = (rng.randn(n, 4) + 2.5 * np.eye(3, 4)[y]).astype(np.float32)
    return TensorDataset(fastnn.from_numpy(x), fastnn.from_numpy(y.astype(np.int64)))


def loader(seed=1, workers=0, n=96):
    return DataLoader(data(n), 16, shuffle=True, seed=seed, num_workers=workers)


def network(dropout=0.3):
    fastnn.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def trainer(checkpoint=None, **options):
    model = network()
    optimizer = options.pop("optimizer", None) or Adam(model.parameters(), lr=0.01)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, checkpoint=checkpoint, progress=False, **options)


def weights(model):
    return {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def plain(history):
    """What must be the same in two runs: all but the time."""
    return {k: v for k, v in history.items() if k != "seconds"}


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


class Stop(Callback):
    """Leaves the run after a number of steps, as an interruption would."""

    def __init__(self, step):
        self.at = step

    def on_batch_end(self, trainer, logs):
        if trainer.step == self.at:
            trainer.stop("test")


def full_options():
    return {"metrics": ["accuracy"], "clip_norm": 1.0, "record_steps": True}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("at", [1, 5, 6, 7, 12, 17])
def test_resume_has_the_same_bits(tmp_path, at, workers):
    """Stopped after any batch (also the last of an epoch) and continued by fresh objects of another seed."""
    valid = DataLoader(data(seed=5), 30, shuffle=True, seed=3)

    def make(checkpoint=None, callbacks=()):
        t = trainer(checkpoint, callbacks=[EarlyStopping(patience=50), *callbacks], **full_options())
        t.scheduler = InverseTimeLR(t.optimizer, 0.5)
        return t

    whole = make()
    expected = whole.fit(loader(), valid, epochs=3)
    path = tmp_path / "run.safetensors"
    first = make(path, [Stop(at)])
    history = first.fit(loader(workers=workers), valid, epochs=3)
    assert history.stopped == "test" and first.step == at
    fastnn.manual_seed(12345)
    second = make(path, [Stop(0)])
    got = second.fit(loader(seed=99, workers=workers), valid, epochs=3, resume=True)
    assert plain(got) == plain(expected) and got.step_losses == expected.step_losses
    assert same(weights(second.model), weights(whole.model)) and second.step == 18


@pytest.mark.parametrize("at", [4, 6])
def test_continue_in_the_same_process(at):
    whole = trainer()
    whole.fit(loader(), epochs=2)
    t = trainer(callbacks=[Stop(at)])
    batches = loader()
    t.fit(batches, epochs=2)
    t.fit(batches, epochs=2)
    assert same(weights(t.model), weights(whole.model))


def test_resume_with_a_plain_list_of_batches(tmp_path):
    batches = list(DataLoader(data(), 16))
    whole = trainer()
    whole.fit(batches, epochs=2)
    first = trainer(tmp_path / "c", callbacks=[Stop(8)])
    first.fit(batches, epochs=2)
    second = trainer(tmp_path / "c", callbacks=[Stop(0)])
    second.fit(batches, epochs=2, resume="auto")
    assert same(weights(second.model), weights(whole.model))


def test_resume_of_a_finished_run_changes_nothing(tmp_path):
    first = trainer(tmp_path / "c")
    history = first.fit(loader(), epochs=2)
    second = trainer(tmp_path / "c")
    assert plain(second.fit(loader(), epochs=2, resume=True)) == plain(history)
    assert same(weights(first.model), weights(second.model))
    whole = trainer()
    whole.fit(loader(), epochs=4)
    second.fit(loader(), epochs=4, resume=True)
    assert same(weights(second.model), weights(whole.model))


def test_resume_errors(tmp_path):
    path = tmp_path / "c"
    with pytest.raises(ValueError, match="no checkpoint path"):
        trainer().fit(loader(), epochs=1, resume=True)
    with pytest.raises(FileNotFoundError):
        trainer(path).fit(loader(), epochs=1, resume=True)
    trainer(path).fit(loader(), epochs=1, resume="auto")
    with pytest.raises(ValueError, match="metrics"):
        trainer(path, metrics=["accuracy"]).fit(loader(), epochs=1, resume=True)
    t = trainer(path)
    t.scheduler = StepLR(t.optimizer, 1)
    with pytest.raises(ValueError, match="schedule"):
        t.fit(loader(), epochs=1, resume=True)
    with pytest.raises(ValueError, match="items"):
        trainer(path).fit(loader(n=80), epochs=1, resume=True)


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
    loss = lambda out, y: (out - out.detach()).abs().sqrt().sum()  # noqa: E731  (0, with a derivative of 0 / 0)
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


# --- history and progress ------------------------------------------------------------------------------------------


def test_history_files(tmp_path):
    history = History()
    history.append({"epoch": 1, "loss": 0.5})
    history.append({"epoch": 2, "loss": math.nan, "f1": 0.25})
    assert history["f1"][1] == 0.25 and math.isnan(history["f1"][0]) and history.best("loss") == (1, 0.5)
    history.to_csv(tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_text() == "epoch,loss,f1\n1,0.5,nan\n2,nan,0.25\n"
    history.to_json(tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text()) == {"epoch": [1, 2], "loss": [0.5, None], "f1": [None, 0.25]}
    with pytest.raises(KeyError, match="no column"):
        history.best("val_loss")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def __init__(self, tty):
        super().__init__()
        self.tty = tty

    def isatty(self):
        return self.tty


def test_progress_on_a_terminal():
    out = Terminal(True)
    bar = Progress(3, 10, out)
    bar.interval = 0
    for i in range(10):
        bar.batch(0, i + 1, lambda: {"loss": 0.5, "accuracy": 0.75})
    bar.epoch(0, {"loss": 0.5, "val_loss": 1e-5}, 65)
    text = out.getvalue()
    assert "\r" in text and "█" in text and "epoch 1/3" in text and "5/10" in text and "accuracy 0.7500" in text
    assert "left 0:0" in text and "val_loss 1e-05" in text and text.endswith("\n") and text.count("\n") == 1
    assert all(len(line) < 200 for line in text.split("\r"))


def test_progress_without_a_terminal():
    out = Terminal(False)
    history = Trainer(model := network(), nn.CrossEntropyLoss(), SGD(model.parameters(), lr=0.1), progress=out).fit(
        loader(), epochs=2
    )
    lines = out.getvalue().splitlines()
    assert len(lines) == 2 and lines[0].startswith("epoch 1/2  loss ") and "\r" not in out.getvalue()
    assert f"{history['loss'][1]:.4f}" in lines[1]


def test_progress_survives_a_closed_output():
    out = Terminal(False)
    out.close()
    Progress(1, 1, out).epoch(0, {}, 0)
    assert [format_seconds(s) for s in (0.2, 59.6, 3599, 3600)] == ["0:00", "1:00", "59:59", "1:00:00"]


def test_plots(tmp_path):
    pytest.importorskip("matplotlib")
    from fastnn.train import plots

    history = trainer(metrics=["accuracy"]).fit(loader(), DataLoader(data(), 96), epochs=3)
    history.plot(tmp_path / "curves.png", "a run")
    plots.plot_curves({"a": [3, 2, 1], "b": np.ones(50)}, tmp_path / "many.png", smooth=10, log=True)
    x, y = np.random.randn(20, 2), np.arange(20) % 2
    plots.plot_decision_boundary(
        {"one": lambda p: (p[:, 0] > 0) * 1.0, "two": lambda p: p}, x, y, tmp_path / "planar.png"
    )
    plots.plot_confusion_matrix([[3, 1], [0, 4]], tmp_path / "confusion.png", classes=["cat", "dog"])
    plots.plot_images(np.random.rand(5, 8, 8, 1), tmp_path / "images.png", labels=range(5), columns=3)
    for name in ("curves", "many", "planar", "confusion", "images"):
        assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(ValueError, match="empty"):
        plots.plot_history(History(), tmp_path / "x.png")


# --- Ctrl-C --------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from test_trainer import *

class Slow(Callback):
    def on_batch_end(self, trainer, logs):
        print("batch", flush=True)
        time.sleep({sleep})

t = trainer({path!r}, callbacks=[Slow()])
t.progress = True
start = None
try:
    t.fit(loader(), epochs=1000)
except KeyboardInterrupt:
    print("second", flush=True)
    raise SystemExit(3)
print("interrupted", t.interrupted, t.history.stopped, flush=True)
"""


def start_script(path, sleep, batches):
    code = SCRIPT.format(tests=os.path.dirname(__file__), path=str(path), sleep=sleep)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    p = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, env=env)
    for _ in range(batches):
        assert p.stdout.readline() == "batch\n" or p.poll() is None
    return p


def test_ctrl_c_stops_with_a_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    p = start_script(path, 0.01, 9)
    sent = time.perf_counter()
    p.send_signal(signal.SIGINT)
    for line in p.stdout:
        if line.startswith("interrupted"):
            break
    took = time.perf_counter() - sent
    assert line == "interrupted True interrupted\n" and p.wait(20) == 0
    assert took < 0.5, f"{took:.2f} s"
    t = trainer(path, callbacks=[Callback()])
    t.load_checkpoint(path, loader())
    assert t.step >= 7 and t.step == t.epoch * 6 + t.batch
    whole = trainer(callbacks=[Callback()])
    whole.fit(loader(), epochs=t.epoch + 1)
    t.fit(loader(), epochs=t.epoch + 1, resume=path)
    assert same(weights(t.model), weights(whole.model))


def test_second_ctrl_c_raises_at_once(tmp_path):
    p = start_script(tmp_path / "c", 5, 1)
    p.send_signal(signal.SIGINT)
    time.sleep(0.3)
    sent = time.perf_counter()
    p.send_signal(signal.SIGINT)
    assert p.wait(20) == 3 and time.perf_counter() - sent < 3


def test_signal_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    trainer().fit(loader(), epochs=1)
    assert signal.getsignal(signal.SIGINT) is before


# --- the course's gradient check -----------------------------------------------------------------------------------


def batch(n=6):
    rng = np.random.RandomState(3)
    return rng.randn(n, 4).astype(np.float32), np.arange(n) % 3


def test_gradient_check_accepts_right_gradients():
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.4), nn.Linear(5, 3))
    before = weights(model)
    state = fastnn.get_rng_state()
    result = gradient_check(model, nn.CrossEntropyLoss(), batch())
    assert result.ok and result.ratio < 1e-6, result
    assert [p.name for p in result.parameters] == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert sum(p.checked for p in result.parameters) == 4 * 5 + 5 + 5 * 3 + 3
    assert same(weights(model), before) and model.state_dict()["0.weight"].dtype == fastnn.float32
    assert np.array_equal(np.asarray(fastnn.get_rng_state()), np.asarray(state)) and "0.weight" in str(result)


def test_gradient_check_finds_wrong_gradients():
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.good, self.bad = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            y = self.bad(x)
            return self.good(x) + y + (y.detach() - y) * 0.5  # the value of y, half its gradient

    result = gradient_check(Wrong(), nn.CrossEntropyLoss(), batch())
    assert result.verdict == "wrong" and not result.ok and result.ratio > 0.01
    by_name = {p.name: p.ratio for p in result.parameters}
    assert by_name["bad.weight"] > 0.3 and by_name["good.weight"] < 1e-5


def test_gradient_check_samples_and_errors():
    model = nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 3))
    result = gradient_check(model, nn.CrossEntropyLoss(), batch(), max_per_parameter=6)
    assert [p.checked for p in result.parameters] == [6, 6, 6, 3] and result.ok
    with pytest.raises(ValueError, match="batch"):
        gradient_check(model, nn.CrossEntropyLoss(), 3)
    with pytest.raises(ValueError, match="epsilon"):
        gradient_check(model, nn.CrossEntropyLoss(), batch(), epsilon=0)
    for p in model.parameters():
        p.requires_grad = False
    with pytest.raises(ValueError, match="no parameter"):
        gradient_check(model, nn.CrossEntropyLoss(), batch())
