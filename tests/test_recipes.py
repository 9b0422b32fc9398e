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
needs = {
    "mnist-mlp": "mnist", "fashion-mlp": "fashion_mnist", "logistic-cat": "course", "deep-cat": "course",
    "lenet-mnist": "mnist", "resnet-signs": "course", "happy-house": "course", "classify-image": "weights",
    "cnn-fashion": "fashion_mnist", "cifar-resnet20": "cifar10", "inception-cifar": "cifar10",
    "plain-vs-residual": "cifar10",
    "see-layers": "weights",
    "transfer-signs": "weights",
    "tune-fashion": "fashion_mnist", "lr-range": "fashion_mnist", "batch-norm": "fashion_mnist",
}  # fmt: skip


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


def test_lenet(tmp_path):
    least = 0.99 if FULL else 0.96
    assert mean("lenet-mnist", "test_accuracy", tmp_path, 5, *([] if FULL else ["--epochs", "1"])) >= least


@pytest.mark.parametrize("name, least, short", [
    ("resnet-signs", 0.95, None),
    ("transfer-signs", 0.85, 0.85),
    ("cnn-fashion", 0.92, None),
    ("happy-house", 0.75, 0.75),
    ("cifar-resnet20", 0.74, None),
])  # fmt: skip
def test_convolutional_networks(name, least, short, tmp_path):
    if not FULL and short is None:
        pytest.skip("takes minutes: FASTNN_TEST_FULL=1")
    if name.endswith("-signs"):
        pytest.importorskip("h5py")
    assert train(name, tmp_path, "--no-plots")["test_accuracy"] >= (least if FULL else short)


def test_edge_filters(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    result = train("edge-filters", tmp_path, "--no-plots")
    assert len(result) == 5 and max(result.values()) < 0.01


def test_classify_image(tmp_path, capsys):
    pytest.importorskip("PIL")
    result = train("classify-image", tmp_path, "--no-plots")
    assert result["content_chelsea"] == "class 285, 0.908" and result["content_coffee"] == "class 967, 0.998"
    from fastnn.cli import main

    capsys.readouterr()
    picture = str(DATA / "images" / "content_chelsea.png")
    assert main(["predict", str(tmp_path / "model.safetensors"), picture, "--top", "5"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("class 285 90.8%") and line.count("class") == 5


def test_see_layers(tmp_path):
    pytest.importorskip("matplotlib")
    result = train("see-layers", tmp_path)
    assert result["content_chelsea"] == 285 and result["content_coffee"] == 967
    assert all(is_png(tmp_path / f"{name}.png") for name in ("filters", "maps", "regions"))


def few(monkeypatch, n):
    """The CIFAR-10 recipes on the first n images of both parts."""
    from fastnn.datasets import CIFAR10

    taken = CIFAR10._take
    cut = lambda self, path, images, labels, flatten: taken(self, path, images[:n], labels[:n], flatten)  # noqa: E731
    monkeypatch.setattr(CIFAR10, "_take", cut)


@pytest.mark.parametrize("name", ["cifar-resnet20", "inception-cifar"])
def test_cifar_recipes_run_and_resume(name, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    few(monkeypatch, 128)
    whole = train(name, tmp_path / "a", "--epochs", "2")
    assert whole["test_images"] == 128 and is_png(tmp_path / "a" / "curves.png")
    from fastnn.recipes import _vision

    batch = _vision.Trainer._train_batch

    def until_the_power_goes(self, data):
        if self.epoch == 1:
            raise RuntimeError("power cut")
        return batch(self, data)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
        patch.setattr(_vision.Trainer, "_train_batch", until_the_power_goes)
        train(name, tmp_path / "b", "--epochs", "2", "--no-plots")
    again = train(name, tmp_path / "b", "--epochs", "2", "--no-plots", "--resume")
    assert again == whole
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_resnet20_begins_as_its_twin_in_pytorch(tmp_path, monkeypatch):
    """The same weights, batches, images, optimiser and rates: the losses of the first steps agree to rounding."""
    pytest.importorskip("torch")
    bench = Path(__file__).resolve().parent.parent / "bench"
    if not (DATA / "cifar10").exists() or not bench.is_dir():
        pytest.skip("FASTNN_DATA has no folder cifar10, or this is no source tree")
    few(monkeypatch, 192)
    monkeypatch.syspath_prepend(str(bench))
    import twin_cifar_resnet20 as twin

    from fastnn.recipes import _vision, cifar_resnet20

    args = twin.options().parse_args(["--out", str(tmp_path), "--epochs", "1", "--quiet", "--no-plots"])
    args.folder = _common.start(args)
    theirs, _ = twin.train(args)
    steps, batch = [], _vision.Trainer._train_batch
    monkeypatch.setattr(_vision.Trainer, "_train_batch", lambda self, b: steps.append(batch(self, b)) or steps[-1])
    cifar_resnet20.main(args)
    assert len(steps) == 3
    np.testing.assert_allclose(steps, theirs, rtol=1e-3)
    np.testing.assert_allclose(steps[0], theirs[0], rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["digits", "planar", "xor", "regularization", "initialization", "optimizers", "edge-filters"]
)
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


def test_tune_fashion(tmp_path, monkeypatch):
    if not FULL:
        from fastnn.recipes import tune_fashion

        monkeypatch.setattr(tune_fashion, "TRIALS", 4)
        monkeypatch.setattr(tune_fashion, "SEARCH_EPOCHS", 1)
        monkeypatch.setattr(tune_fashion, "SEARCH_IMAGES", 1000)
    result = train("tune-fashion", tmp_path, "--no-plots", *([] if FULL else ["--epochs", "1"]))
    assert result["test_accuracy_tuned"] > (result["test_accuracy_default"] if FULL else 0.6)


def test_optimizer_paths(tmp_path):
    result = train("optimizer-paths", tmp_path)
    assert result["plateau_adam"] < 0.01 < 0.5 < result["plateau_gd"]
    assert result["saddle_rmsprop"] < -0.2 < result["saddle_gd"]
    assert (tmp_path / "paths.png").read_bytes()[:4] == b"\x89PNG"


def test_lr_range(tmp_path, monkeypatch):
    result = train("lr-range", tmp_path, "--no-plots")
    assert result["test_accuracy_found"] > 0.75 > result["test_accuracy_small"]


def test_batch_norm(tmp_path):
    result = train("batch-norm", tmp_path, "--no-plots", "--epochs", "2")
    assert result["test_accuracy_with_large"] > 0.7 > 0.5 > result["test_accuracy_without_small"]
    assert result["bias_gradient"] < 1e-6 < result["weight_gradient"]


def test_pictures_do_not_change_what_is_learnt(tmp_path):
    pytest.importorskip("matplotlib")
    for out, options in ((tmp_path / "a", ()), (tmp_path / "b", ("--no-plots",))):
        train("planar", out, "--epochs", "50", *options)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
