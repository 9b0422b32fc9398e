"""History, progress line and figures."""

import io
import json
import math

import numpy as np
import pytest
from training import data, loader, network, trainer

from fastnn import nn
from fastnn.data import DataLoader
from fastnn.optim import SGD
from fastnn.train import History, Progress, Trainer
from fastnn.train.progress import format_seconds


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
