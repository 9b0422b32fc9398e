"""Runs that leave a record: folders, logs, TensorBoard files, tables of runs, the HTML report."""

import base64
import csv
import json
import re

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.cli import main
from fastnn.data import DataLoader, TensorDataset
from fastnn.train import (
    CSVLogger,
    JSONLinesLogger,
    LambdaCallback,
    Run,
    TensorBoardLogger,
    Trainer,
    find_runs,
    plot_runs,
    runs_table,
    write_report,
)


def make_trainer(callbacks, lr=1e-2, **options):
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = optim.Adam(model.parameters(), lr=lr)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], callbacks=callbacks, progress=False,
                   **options)  # fmt: skip


def loaders():
    random = np.random.RandomState(0)
    x = random.randn(60, 4).astype(np.float32)
    data = TensorDataset(x, np.argmax(x[:, :3], 1).astype(np.int64))
    return DataLoader(data, 20, shuffle=True, seed=1), DataLoader(data, 60)


def test_the_folder_of_a_run(tmp_path):
    run = Run(tmp_path / "a", config={"width": 8, "lr": 1e-2, "layers": (8,), "odd": object}, seed=0)
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["status"] == "running" and record["config"]["layers"] == [8] and record["seed"] == 0
    history = make_trainer([run]).fit(*loaders(), epochs=3)
    run.finish({"test_accuracy": np.float32(0.5), "nothing": float("nan")})
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["status"] == "finished" and record["epochs"] == 3 and record["name"] == "a"
    assert record["results"]["test_accuracy"] == 0.5 and record["results"]["nothing"] is None
    assert record["results"]["val_loss"] == history["val_loss"][-1]
    assert {"fastnn", "numpy", "threads", "instruction set"} <= set(record["environment"])
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", record["git"] or "0" * 40)
    lines = [json.loads(line) for line in (tmp_path / "a" / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3] and lines[2]["loss"] == history["loss"][2]


def test_a_fit_that_fails_is_on_record(tmp_path):
    def fail(trainer, logs):
        if trainer.epoch == 1:
            raise RuntimeError("no more")

    run = Run(tmp_path / "a")
    trainer = make_trainer([run, LambdaCallback(on_batch_end=fail)])
    with pytest.raises(RuntimeError, match="no more"):
        trainer.fit(*loaders(), epochs=3)
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert record["status"] == "failed: RuntimeError" and record["epochs"] == 1
    trainer.callbacks.pop()
    trainer.fit(*loaders(), epochs=3)
    assert json.loads((tmp_path / "a" / "run.json").read_text())["status"] == "finished"


def test_logs_of_a_resumed_run_have_no_epoch_twice(tmp_path):
    def callbacks():
        return [Run(tmp_path / "r"), CSVLogger(tmp_path / "log.csv"), JSONLinesLogger(tmp_path / "log.jsonl")]

    file = tmp_path / "c.safetensors"
    make_trainer(callbacks(), checkpoint=file).fit(*loaders(), epochs=2)
    started = json.loads((tmp_path / "r" / "run.json").read_text())["started"]
    make_trainer(callbacks(), checkpoint=file).fit(*loaders(), epochs=4, resume=True)
    whole = make_trainer([]).fit(*loaders(), epochs=4)
    for path in (tmp_path / "log.csv", tmp_path / "r" / "history.csv"):
        with open(path, newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert [float(r["loss"]) for r in rows] == whole["loss"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 4
    assert json.loads((tmp_path / "r" / "run.json").read_text())["started"] == started


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    file = tmp_path / "c.safetensors"
    make_trainer([TensorBoardLogger(tmp_path / "tb", every_batch=True)], checkpoint=file).fit(*loaders(), epochs=2)
    trainer = make_trainer([TensorBoardLogger(tmp_path / "tb", every_batch=True)], checkpoint=file)
    history = trainer.fit(*loaders(), epochs=3, resume=True)

    def read(part):
        accumulator = EventAccumulator(str(tmp_path / "tb" / part))
        accumulator.Reload()
        return accumulator

    train, validation = read("train"), read("validation")
    assert set(validation.Tags()["scalars"]) == {"loss", "accuracy"}
    for events, column in ((train, "loss"), (validation, "val_loss")):
        scalars = events.Scalars("loss")
        assert [e.step for e in scalars] == [1, 2, 3]
        np.testing.assert_allclose([e.value for e in scalars], history[column], rtol=1e-6)
    assert [e.step for e in read("batches").Scalars("batch/loss")] == list(range(1, 10))


def test_comparing_runs(tmp_path, capsys):
    for name, lr in (("slow", 1e-4), ("fast", 1e-1)):
        run = Run(tmp_path / name, config={"lr": lr, "same": 1}, seed=0)
        make_trainer([run], lr=lr).fit(*loaders(), epochs=3)
    runs = find_runs(tmp_path)
    assert [r["name"] for r in runs] in (["slow", "fast"], ["fast", "slow"])
    head, first, second = runs_table(runs, "val_accuracy")
    assert first[0] == "fast" and "lr" in head and "same" not in head
    assert runs_table(runs, "val_loss")[1][0] == "fast"
    assert main(["runs", str(tmp_path), "--sort", "val_accuracy", "--csv", str(tmp_path / "t.csv")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:4] == ["run", "status", "epochs", "seconds"] and out[1].startswith("fast")
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("fast,finished,3,")
    pytest.importorskip("matplotlib")
    plot_runs(runs, "val_loss", tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no run has a history with the column 'nothing'"):
        plot_runs(runs, "nothing", tmp_path / "p.png")


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 0 and "no runs below" in capsys.readouterr().out
    assert main(["runs", str(tmp_path / "nowhere")]) == 1 and "no folder" in capsys.readouterr().err
    Run(tmp_path / "x")
    assert main(["runs", str(tmp_path), "--sort", "beauty"]) == 1 and "no column 'beauty'" in capsys.readouterr().err
    (tmp_path / "x" / "run.json").write_text("[1]")
    assert main(["runs", str(tmp_path)]) == 0 and "is not the record of a run" in capsys.readouterr().err
    with pytest.raises(ValueError, match="is not the record of a run"):
        find_runs(tmp_path)
    with pytest.raises(TypeError, match="config expects a dict"):
        Run(tmp_path / "y", config=3)


def test_a_recipe_leaves_a_record(tmp_path):
    assert main(["train", "xor", "--out", str(tmp_path), "--no-plots", "--epochs", "5"]) == 0
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "finished" and record["config"]["epochs"] == 5 and "accuracy" in record["results"]


def test_the_report_is_one_file(tmp_path):
    pytest.importorskip("matplotlib")
    run = Run(tmp_path / "a", config={"lr": 1e-2, "note": "<b>&"}, seed=0)
    trainer = make_trainer([run])
    history = trainer.fit(*loaders(), epochs=3)
    random = np.random.RandomState(0)
    scores, labels = random.randn(50, 3), random.randint(0, 3, 50)
    path = tmp_path / "report.html"
    write_report(path, title="A <run>", history=history, model=trainer.model, input_shape=(4,), scores=scores,
                 labels=labels, examples=random.rand(50, 6, 6), classes=["a", "b", "<c>"], run=run)  # fmt: skip
    text = path.read_text()
    pictures = re.findall(r"src='data:image/png;base64,([^']+)'", text)
    assert len(pictures) == 3 and all(base64.b64decode(p)[:4] == b"\x89PNG" for p in pictures)
    assert "http" not in text and "A &lt;run&gt;" in text and "&lt;b&gt;&amp;" in text
    assert "Confusion matrix" in text and "Worst errors" in text and "Tanh" in text and "instruction set" in text


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({}, "nothing to report"),
        ({"scores": np.zeros((2, 2))}, "go together"),
        ({"scores": np.zeros((2, 2)), "labels": [0]}, r"expected scores \[N, C\] and labels \[N\]"),
        ({"scores": np.zeros((2, 2)), "labels": [0, 1], "classes": ["a"]}, "2 classes, 1 names"),
        ({"scores": np.eye(2), "labels": [1, 0], "examples": np.zeros((3, 2, 2))}, "3 examples, 2 labels"),
        ({"model": nn.Linear(2, 2)}, "input_shape"),
    ],
)
def test_a_report_of_wrong_parts(tmp_path, arguments, text):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=text):
        write_report(tmp_path / "r.html", title="x", **arguments)
    assert not (tmp_path / "r.html").exists()


def test_a_refused_resume_leaves_the_record_of_a_good_run(tmp_path, capsys):
    pytest.importorskip("sklearn")
    command = ["train", "digits", "--out", str(tmp_path), "--no-plots", "--quiet", "--epochs", "2"]
    assert main(command) == 0
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["epochs"] == 2 and (tmp_path / "history.csv").read_text().startswith("epoch,")
    capsys.readouterr()
    assert main([*command, "--resume", "--lr", "0.5"]) == 2
    assert "--resume goes on with lr 0.002" in capsys.readouterr().err
    assert json.loads((tmp_path / "run.json").read_text()) == record
    run = Run(tmp_path, {"lr": 1})
    run.finish(status="failed: no data")
    assert json.loads((tmp_path / "run.json").read_text()) == record
    assert main(["runs", str(tmp_path), "--recipe", "digits"]) == 0 and "digits" in capsys.readouterr().out


def test_columns_that_few_runs_have_are_left_out(tmp_path):
    for i in range(3):
        Run(tmp_path / str(i), config={"lr": i}, name="same").finish({"accuracy": 0.5, f"only{i}": 1})
    runs = find_runs(tmp_path)
    head, *rows = runs_table(runs)
    assert "accuracy" in head and "only0" not in head and "only0" in runs_table(runs, every=True)[0]
    assert [row[0] for row in rows] == [str(tmp_path / str(i)) for i in range(3)]
