"""Search spaces, searches, their results, and the panda."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.train import AverageWeights, Trainer
from fastnn.tune import (
    Choice,
    CoarseToFine,
    Grid,
    Hyperband,
    Integer,
    LogUniform,
    OneMinusLog,
    Optuna,
    Panda,
    RandomSearch,
    Space,
    Study,
    SuccessiveHalving,
    Uniform,
    course_space,
    tune,
)

SPACE = Space(lr=LogUniform(1e-4, 1), units=Integer(50, 100), act=Choice("relu", "tanh"))


def peak(trial):
    """Best at lr 0.01; the rest does not matter."""
    return {"score": -abs(np.log10(trial.config["lr"]) + 2), "units": trial.config["units"]}


# --- the course's numbers -----------------------------------------------------------------------------------------


def test_course_log_scale_gives_every_decade_a_quarter():
    lr = np.array([c["lr"] for c in Space(lr=LogUniform(1e-4, 1)).sample(4000)])
    shares = np.histogram(np.log10(lr), [-4, -3, -2, -1, 0])[0] / len(lr)
    np.testing.assert_allclose(shares, 0.25, atol=0.025)
    linear = np.array([c["lr"] for c in Space(lr=Uniform(1e-4, 1)).sample(4000)])
    assert abs((linear > 0.1).mean() - 0.90009) < 0.02  # where a linear scale spends its draws


def test_course_beta_on_the_scale_of_one_minus_beta():
    beta = OneMinusLog(0.9, 0.999)
    np.testing.assert_allclose([beta.at(u) for u in (0, 0.5, 1)], [0.9, 0.99, 0.999], rtol=1e-12)
    draws = np.array([c["b"] for c in Space(b=beta).sample(4000)])
    assert abs((draws < 0.99).mean() - 0.5) < 0.03
    windows = [1 / (1 - b) for b in (0.9, 0.9005, 0.999, 0.9995)]
    np.testing.assert_allclose(windows, [10, 10.05, 1000, 2000], rtol=1e-3)


def test_course_random_search_tries_more_values_than_a_grid():
    space = Space(lr=LogUniform(1e-4, 1), eps=LogUniform(1e-9, 1e-7))
    grid, random = space.grid(5), space.sample(25)
    assert len(grid) == len(random) == 25
    assert [len({c["lr"] for c in g}) for g in (grid, random)] == [5, 25]


def test_course_units_and_layers_are_uniform_integers():
    draws = [c for c in Space(units=Integer(50, 100), layers=Integer(2, 4)).sample(6000)]
    counts = Counter(c["layers"] for c in draws)
    assert set(counts) == {2, 3, 4} and max(counts.values()) < 1.1 * min(counts.values())
    assert {min(c["units"] for c in draws), max(c["units"] for c in draws)} == {50, 100}


def test_course_order_of_importance():
    assert list(course_space(1).scales) == ["learning_rate"]
    assert {"momentum", "batch_size", "units"} < set(course_space(2).scales) < set(course_space(3).scales)
    assert not {"beta1", "beta2", "eps"} & set(course_space(3).scales)


# --- spaces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scale", [Uniform(-3, 5), LogUniform(1e-6, 10), OneMinusLog(0.5, 0.9999), Integer(1, 9), Integer(1, 512, log=True)]
)
def test_position_is_the_inverse_of_at(scale):
    for u in np.linspace(0, 1, 41):
        value = scale.at(u)
        assert scale.low <= value <= scale.high
        assert scale.at(scale.position(value)) == pytest.approx(value)
    part = scale.zoom(scale.at(0.95), 0.2)
    assert part.low >= scale.low and part.high <= scale.high and type(part) is type(scale)


def test_grids():
    assert Integer(2, 4).grid(5) == [2, 3, 4]
    np.testing.assert_allclose(LogUniform(1e-4, 1).grid(5), [1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert len(SPACE.grid({"lr": 3, "units": 2})) == 12


def test_a_sample_is_a_function_of_its_seed():
    assert SPACE.sample(5, 3) == SPACE.sample(9, 3)[:5] != SPACE.sample(5, 4)


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: LogUniform(0, 1), ValueError, "positive bounds"),
        (lambda: LogUniform(2, 1), ValueError, "low <= high"),
        (lambda: Uniform(0, float("nan")), TypeError, "finite"),
        (lambda: OneMinusLog(0.9, 1), ValueError, "below 1"),
        (lambda: Integer(1.5, 3), TypeError, "whole numbers"),
        (lambda: Integer(0, 8, log=True), ValueError, "begins at 1"),
        (lambda: Choice(), ValueError, "at least one"),
        (lambda: Choice(object()), TypeError, "numbers, strings"),
        (lambda: Space(), ValueError, "at least one"),
        (lambda: Space({1: Uniform(0, 1)}), TypeError, "names are strings"),
        (lambda: SPACE.sample(3, -1), ValueError, "seed"),
        (lambda: SPACE.zoom(SPACE.sample(1)[0], 0), ValueError, "width"),
        (lambda: RandomSearch(0), ValueError, "trials expects"),
        (lambda: Hyperband(9, eta=1), ValueError, "eta expects"),
        (lambda: SuccessiveHalving(9, 4, 2), ValueError, "max_budget expects"),
        (lambda: CoarseToFine(zoom=2), ValueError, "zoom expects"),
        (lambda: tune(3, SPACE, folder="/nowhere"), TypeError, "objective"),
        (lambda: tune(peak, SPACE, folder="/nowhere", workers=0), ValueError, "workers"),
        (lambda: course_space(4), ValueError, "tier"),
    ],
)
def test_wrong_settings(make, error, text):
    with pytest.raises(error, match=text):
        make()


# --- methods --------------------------------------------------------------------------------------------------------


def test_coarse_to_fine_comes_closer(tmp_path):
    study = tune(peak, SPACE, CoarseToFine(8, 3, 0.3), folder=tmp_path, progress=False)
    first, last = ([t.score for t in study.trials[i : i + 8]] for i in (0, 16))
    assert max(last) > max(first) and np.mean(last) > np.mean(first)


def test_successive_halving_gives_the_best_the_most(tmp_path):
    def objective(trial):
        if trial.parent is not None:  # it goes on where its parent left off
            assert (trial.parent_folder / "state").read_text() == str(trial.config["lr"])
        (trial.folder / "state").write_text(str(trial.config["lr"]))
        return peak(trial)["score"]

    study = tune(objective, SPACE, SuccessiveHalving(9, 1, 9, 3), folder=tmp_path, progress=False)
    assert [t.budget for t in study.trials] == [1] * 9 + [3] * 3 + [9]
    assert study.trials[-1].config == study.best.config


def test_brackets_of_hyperband():
    assert Hyperband(81, 3).brackets() == [(81, 1), (34, 3), (15, 9), (8, 27), (5, 81)]  # the paper's table


def test_optuna_as_a_method(tmp_path):
    pytest.importorskip("optuna")
    space = Space(lr=LogUniform(1e-4, 1), beta=OneMinusLog(0.9, 0.999), units=Integer(8, 64, log=True))
    runs = [tune(peak, space, Optuna(12, batch=2), folder=tmp_path / str(i), progress=False) for i in range(2)]
    assert runs[0].table() == runs[1].table()
    assert all(0.9 <= t.config["beta"] <= 0.999 for t in runs[0].trials)


# --- running --------------------------------------------------------------------------------------------------------


def test_processes_and_one_process_end_in_the_same_table(tmp_path):
    def objective(trial):
        return float(fastnn.randn(1).item()) + trial.config["units"]  # the seed is the trial's own

    one = tune(objective, SPACE, RandomSearch(6), folder=tmp_path / "1", progress=False)
    two = tune(objective, SPACE, RandomSearch(6), folder=tmp_path / "2", workers=2, progress=False)
    assert one.table() == two.table() == Study.load(tmp_path / "2").table()


def test_failures_are_rows_and_not_the_end(tmp_path, capsys):
    def objective(trial):
        if trial.number == 1:
            raise RuntimeError("diverged")
        if trial.number == 2:
            return float("nan")
        if trial.number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.number == 4:
            return {"loss": 1}
        if trial.number == 5:
            return {"score": 1, "by class": [np.float32(1)]}
        return 1.0

    study = tune(objective, SPACE, RandomSearch(6), folder=tmp_path, workers=2)
    errors = [t.error for t in study.trials]
    assert errors[1] == "RuntimeError: diverged" and "nan" in errors[2] and "exit code -9" in errors[3]
    assert "without 'score'" in errors[4] and errors[0] is None
    assert "float32 is not JSON serializable" in errors[5]
    assert "diverged" in study.table() and "failed: RuntimeError: diverged" in capsys.readouterr().out
    assert "diverged" in (tmp_path / "trials" / "0001" / "error.txt").read_text()
    again = tune(lambda trial: 2.0, SPACE, RandomSearch(6), folder=tmp_path, retry_failed=True, progress=False)
    assert [t.score for t in again.trials] == [1, 2, 2, 2, 2, 2]
    assert not (tmp_path / "trials" / "0001" / "error.txt").exists()


def test_another_search_in_the_same_folder_is_refused(tmp_path):
    tune(peak, SPACE, RandomSearch(2, seed=0), folder=tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds a trial of another search"):
        tune(peak, SPACE, RandomSearch(2, seed=1), folder=tmp_path, progress=False)
    (tmp_path / "trials" / "0000" / "result.json").write_text("{")
    with pytest.raises(ValueError, match="is not the result of a trial"):
        tune(peak, SPACE, RandomSearch(2, seed=0), folder=tmp_path, progress=False)
    before = (tmp_path / "study.json").read_text()
    for space, maximize in ((Space(other=Uniform(0, 1)), True), (SPACE, False)):
        with pytest.raises(ValueError, match="holds trials of another search"):
            tune(peak, space, RandomSearch(2, seed=0), folder=tmp_path, maximize=maximize, progress=False)
    assert (tmp_path / "study.json").read_text() == before
    with pytest.raises(FileNotFoundError, match="holds no search"):
        Study.load(tmp_path / "nothing")


SCRIPT = """
import sys, time
import fastnn
from fastnn.tune import LogUniform, RandomSearch, Space, tune
def objective(trial):
    time.sleep(0.05)
    return trial.config["lr"] + fastnn.rand(1).item()
space = Space(lr=LogUniform(1e-4, 1))
print(tune(objective, space, RandomSearch(20), folder=sys.argv[1], workers=2, progress=False).table())
"""


def test_a_search_killed_three_times_ends_with_the_same_table(tmp_path):
    def start(folder):
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True)

    whole = start(tmp_path / "whole").communicate()[0]
    results = tmp_path / "killed" / "trials"
    counts = []
    for _ in range(3):
        process = start(tmp_path / "killed")
        before = len(list(results.glob("*/result.json"))) if results.exists() else 0
        deadline = time.monotonic() + 30
        while len(list(results.glob("*/result.json"))) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        time.sleep(0.2)  # its children end with it
        counts.append(len(list(results.glob("*/result.json"))))
    assert 3 <= counts[0] < counts[1] < counts[2] < 20
    again = start(tmp_path / "killed").communicate()[0]
    assert whole.count("\n") == 21 and again == whole


# --- results --------------------------------------------------------------------------------------------------------


def test_importance_finds_what_matters_and_pictures_are_drawn(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    study = tune(peak, SPACE, RandomSearch(30), folder=tmp_path, progress=False)
    shares = study.importance()
    assert list(shares)[0] == "lr" and shares["lr"] > 0.7 and shares["act"] < 0.1
    for draw in (study.plot_parallel, study.plot_importance):
        draw(tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    study.to_csv(tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0] == "trial,lr,units,act,score" and len(lines) == 31


def test_minimising(tmp_path):
    study = tune(lambda t: t.config["lr"], SPACE, Grid(3), folder=tmp_path, maximize=False, progress=False)
    assert study.best.config["lr"] == pytest.approx(1e-4)
    assert Study.load(tmp_path).best.number == study.best.number


def test_no_score_at_all(tmp_path):
    study = tune(lambda t: 1 / 0, SPACE, RandomSearch(2), folder=tmp_path, progress=False)
    with pytest.raises(ValueError, match="no trial has a score; the first failed with ZeroDivisionError"):
        study.best  # noqa: B018


# --- panda ----------------------------------------------------------------------------------------------------------


def make_trainer():
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-2), progress=False)


def loader():
    random = np.random.RandomState(0)
    x = random.randn(64, 4).astype(np.float32)
    return DataLoader(TensorDataset(x, (x[:, 0] > 0).astype(np.int64)), 16, shuffle=True, seed=1)


def weights(trainer):
    return np.concatenate([p.detach().numpy().ravel() for p in trainer.model.parameters()])


def test_panda_goes_back_to_where_it_was(tmp_path):
    trainer = make_trainer()
    panda = Panda(trainer, tmp_path)
    panda.train(loader(), epochs=2)
    good = weights(trainer)
    panda.set(lr=10.0, dropout=0.5)
    panda.train(loader(), epochs=2)
    assert panda.epoch == 4 and (weights(trainer) != good).any()
    assert panda.rollback() == 2
    assert (weights(trainer) == good).all()
    assert trainer.optimizer.param_groups[0]["lr"] == 1e-2 and trainer.model[2].p == 0.1
    panda.train(loader(), epochs=1)
    straight = make_trainer()
    straight.fit(loader(), epochs=3)
    assert (weights(trainer) == weights(straight)).all()
    assert [line.split()[3] for line in panda.diary().splitlines()] == [
        "begin",
        "train",
        "set",
        "train",
        "rollback",
        "train",
    ]


def test_panda_is_taken_up_by_another_process(tmp_path):
    first = Panda(make_trainer(), tmp_path)
    first.train(loader(), epochs=2)
    first.set(lr=1e-3, dropout=0.3)
    shutil.copytree(tmp_path, tmp_path / "copy")
    first.train(loader(), epochs=1)
    again = Panda(make_trainer(), tmp_path / "copy")
    assert again.epoch == 2 and again.trainer.model[2].p == 0.3
    assert again.trainer.optimizer.param_groups[0]["lr"] == 1e-3
    again.train(loader(), epochs=1)
    assert (weights(first.trainer) == weights(again.trainer)).all()


def scheduled(schedule):
    trainer = make_trainer()
    trainer.scheduler = schedule(trainer.optimizer)
    return trainer


@pytest.mark.parametrize("schedule", [
    lambda o: optim.lr_scheduler.StepLR(o, 1, 0.5),
    lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 8, eta_min=1e-4),
    lambda o: optim.lr_scheduler.ReduceLROnPlateau(o),
    lambda o: optim.lr_scheduler.SequentialLR(
        o, [optim.lr_scheduler.LinearWarmup(o, 2), optim.lr_scheduler.StepLR(o, 1, 0.5)], [1]),
])  # fmt: skip
def test_panda_changes_the_rate_of_a_schedule(tmp_path, schedule):
    panda = Panda(scheduled(schedule), tmp_path)
    panda.train(loader(), epochs=2)
    usual = panda.trainer.optimizer.param_groups[0]["lr"]
    panda.set(lr=2 * usual)
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert panda.trainer.optimizer.param_groups[0]["lr"] == pytest.approx(2 * usual)
    panda.train(loader(), epochs=1)
    again = Panda(scheduled(schedule), tmp_path / "copy")
    again.train(loader(), epochs=1)
    assert (weights(panda.trainer) == weights(again.trainer)).all()
    rate = panda.trainer.optimizer.param_groups[0]["lr"]
    panda.rollback()
    panda.train(loader(), epochs=1)
    assert rate > 1.5 * panda.trainer.optimizer.param_groups[0]["lr"]


def test_panda_takes_callbacks_back_too(tmp_path):
    average = AverageWeights(0.9, apply=False)
    trainer = make_trainer()
    trainer.callbacks.append(average)
    panda = Panda(trainer, tmp_path)
    for _ in range(2):
        panda.train(loader(), epochs=1)
        assert average.average.updates == 4
        panda.rollback(0)
    panda.train(loader(), epochs=1)
    other = make_trainer()
    other.callbacks.append(AverageWeights(0.9, apply=False))
    again = Panda(other, tmp_path)
    again.set(lr=1e-3)  # a snapshot before any fit has begun
    assert other.callbacks[0].state_dict()["updates"] == 4


def test_panda_says_what_it_does_not_know(tmp_path):
    panda = Panda(make_trainer(), tmp_path)
    with pytest.raises(ValueError, match="no setting 'learning_rate'; there are .*lr"):
        panda.set(learning_rate=1)
    with pytest.raises(ValueError, match="probability"):
        panda.set(dropout=1.5)
    with pytest.raises(ValueError, match="something to change"):
        panda.set()
    with pytest.raises(ValueError, match="lr expects a finite number >= 0, got -1"):
        panda.set(lr=-1, dropout=0.5)
    assert panda.trainer.optimizer.param_groups[0]["lr"] == 1e-2 and panda.trainer.model[2].p == 0.1
    with pytest.raises(IndexError, match="lines 0 to 0"):
        panda.rollback(5)
    (tmp_path / "diary.json").write_text("[")
    with pytest.raises(ValueError, match="is damaged"):
        Panda(make_trainer(), tmp_path)
