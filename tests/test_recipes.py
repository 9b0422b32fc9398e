"""The recipes: each runs, gives what the table promises, and leaves its weights and pictures.

The ones with downloaded data run where FASTNN_DATA names a folder that has it; their full length, and three seeds, with
FASTNN_TEST_FULL=1.
"""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.recipes import RECIPES, _common

FULL = os.environ.get("FASTNN_TEST_FULL") == "1"
DATA = Path(os.environ.get("FASTNN_DATA", "/nonexistent"))
needs = {"mnist-mlp": "mnist", "fashion-mlp": "fashion_mnist", "logistic-cat": "course", "deep-cat": "course"}


def train(name, out, *options):
    if name in needs and not (DATA / needs[name]).exists():
        pytest.skip(f"FASTNN_DATA has no folder {needs[name]}")
    module = importlib.import_module(RECIPES[name].module)
    args = _common.options(name, module.DEFAULTS).parse_args(["--out", str(out), "--quiet", *options])
    return module.main(args)


def mean(name, key, out, seeds=3, *options):
    return np.mean(
        [train(name, out, "--no-plots", "--seed", str(s), *options)[key] for s in range(seeds if FULL else 1)]
    )


def is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 10_000


def test_digits(tmp_path):
    pytest.importorskip("sklearn")
    assert mean("digits", "test_accuracy", tmp_path) >= 0.98
    state = fastnn.train.load_weights(tmp_path / "checkpoint.safetensors")
    final = fastnn.load(tmp_path / "model.safetensors")
    assert set(state) == set(final)


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    pytest.importorskip("sklearn")
    first = train("digits", tmp_path, "--epochs", "2", "--no-plots")
    weights = (tmp_path / "model.safetensors").read_bytes()
    assert train("digits", tmp_path, "--epochs", "2", "--no-plots", "--resume", "--seed", "5") == first
    assert (tmp_path / "model.safetensors").read_bytes() == weights


def test_planar(tmp_path):
    result = train("planar", tmp_path, "--no-plots")
    assert result["accuracy"] >= 0.90 and result["logistic_regression"] < 0.6


def test_xor(tmp_path):
    result = train("xor", tmp_path, "--no-plots")
    assert result["accuracy"] == 1 and result["one_neuron"] <= 0.75


def test_initialization(tmp_path):
    result = train("initialization", tmp_path, "--no-plots")
    assert result["test_he"] >= 0.95 and result["test_zeros"] <= 0.55 and result["test_large"] < result["test_he"]


def test_regularization(tmp_path):
    result = train("regularization", tmp_path, "--no-plots")
    gap = {key: result[f"train_{key}"] - result[f"test_{key}"] for key in ("none", "l2", "dropout")}
    assert gap["none"] > max(gap["l2"], gap["dropout"])  # it learnt the noise
    assert min(result["test_l2"], result["test_dropout"]) > 0.88


def test_optimizers(tmp_path):
    result = train("optimizers", tmp_path, "--no-plots")
    assert result["adam"] >= 0.95 and result["adam"] > result["gradient_descent"]


def test_mnist(tmp_path):
    least = 0.983 if FULL else 0.95
    assert mean("mnist-mlp", "test_accuracy", tmp_path, 3, *([] if FULL else ["--epochs", "1"])) >= least


def test_fashion(tmp_path):
    least = 0.89 if FULL else 0.80
    assert mean("fashion-mlp", "test_accuracy", tmp_path, 3, *([] if FULL else ["--epochs", "1"])) >= least


def test_logistic_cat(tmp_path):
    result = train("logistic-cat", tmp_path, "--no-plots")
    assert result["test_accuracy"] == pytest.approx(0.70, abs=0.021) and result["train_accuracy"] > 0.98


def test_deep_cat(tmp_path):
    assert mean("deep-cat", "test_accuracy", tmp_path) >= (0.78 if FULL else 0.74)


@pytest.mark.parametrize("name", ["digits", "planar", "xor", "regularization", "initialization", "optimizers"])
def test_pictures(name, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    train(name, tmp_path, "--epochs", "5")
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) >= 2 and all(is_png(p) for p in pictures)


def test_same_seed_same_weights(tmp_path):
    for out in ("a", "b"):
        train("planar", tmp_path / out, "--no-plots", "--epochs", "50")
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
