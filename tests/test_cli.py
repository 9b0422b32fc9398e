"""The command line: what it prints, its exit codes, and one clear line for wrong input."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import cli
from fastnn.recipes import RECIPES


def run(*argv):
    return cli.main(list(argv))


def error_line(capsys):
    """The one line on standard error."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and text.startswith("fastnn: "), text
    return text


def test_list_shows_every_recipe(capsys):
    assert run("list") == 0
    out = capsys.readouterr().out
    assert all(f"{name} " in out for name in RECIPES) and "EXPECTED" in out


def test_version_help_and_no_command(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == f"fastnn {fastnn.__version__}"
    assert run("--help") == 0
    assert "predict" in capsys.readouterr().out
    assert run() == 2
    assert run("dance") == 2


@pytest.mark.parametrize("name,meant", [("digit", "digits"), ("Digits", "digits"), ("mnist_mlp", "mnist-mlp"),
                                        ("fashon-mlp", "fashion-mlp"), ("optimisers", "optimizers")])  # fmt: skip
def test_an_unknown_recipe_suggests_the_nearest(name, meant, capsys):
    assert run("train", name) == 2
    assert f"did you mean '{meant}'?" in error_line(capsys)


def test_an_unknown_recipe_far_from_all(capsys):
    assert run("train", "zzzzqqqq") == 2
    line = error_line(capsys)
    assert "did you mean" not in line and "fastnn list" in line


@pytest.mark.parametrize("name", RECIPES)
def test_help_of_a_recipe_shows_its_text_and_defaults(name, capsys):
    assert run("train", name, "--help") == 0
    out = capsys.readouterr().out
    assert f"{name}: " in out and "--data-dir" in out and "default: " in out
    defaults = importlib.import_module(RECIPES[name].module).DEFAULTS
    assert ("--resume" in out) == defaults.get("resume", "batch_size" in defaults)  # only where there are checkpoints


@pytest.mark.parametrize(
    "option",
    ["--epochs 0", "--epochs many", "--lr -1", "--lr nan", "--threads 0", "--batch-size 2.5", "--nothing"],
)
def test_wrong_options(option, capsys):
    assert run("train", "digits", *option.split()) == 2
    assert "usage:" in capsys.readouterr().err


def test_missing_data_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    out = str(tmp_path / "out")
    assert run("train", "logistic-cat", "--data-dir", str(tmp_path / "nowhere"), "--out", out) == 1
    assert "catvnoncat" in error_line(capsys)


def test_options_may_stand_before_the_name(tmp_path, capsys):
    assert run("train", "--epochs", "1", "xor", "--out", str(tmp_path), "--no-plots", "--quiet") == 0
    assert "xor: finished" in capsys.readouterr().out


def test_train_predict_round_trip(tmp_path, capsys):
    out = str(tmp_path / "xor")
    assert run("train", "xor", "--out", out, "--no-plots", "--quiet") == 0
    text = capsys.readouterr().out
    assert "accuracy" in text and "100.00%" in text and out in text
    table = tmp_path / "points.csv"
    table.write_text("0,0\n0,1\n1,0\n1,1\n")
    assert run("predict", "xor", str(table), "--out", out, "--top", "1") == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["0", "1", "1", "0"]
    np.save(tmp_path / "point.npy", np.array([1.0, 0.0]))
    weights = os.path.join(out, "model.safetensors")  # the file knows its recipe
    assert run("predict", weights, str(tmp_path / "point.npy")) == 0
    assert capsys.readouterr().out.startswith("1 ")


def test_predict_reads_images(tmp_path, capsys):
    image = pytest.importorskip("PIL.Image")
    from fastnn.recipes import _predict, digits

    paper = np.full((40, 40), 255, np.uint8)
    paper[5:35, 15:25] = 0  # a stroke of ink on paper
    image.fromarray(paper).save(tmp_path / "one.png")
    x = _predict.read(str(tmp_path / "one.png"), (8, 8))
    assert x.shape == (1, 8, 8) and x[0, 4, 4] > 0.5 and x[0, 0, 0] == 0  # inverted: ink is bright
    colour = _predict.read(str(tmp_path / "one.png"), (64, 64, 3))
    assert colour.shape == (1, 64, 64, 3) and colour.max() <= 1
    fastnn.manual_seed(0)
    fastnn.io.save(digits.build_model().state_dict(), tmp_path / "w.safetensors", {"recipe": "digits"})
    assert run("predict", str(tmp_path / "w.safetensors"), str(tmp_path / "one.png"), "--top", "2") == 0
    assert capsys.readouterr().out.count("%") == 2


def test_predict_with_wrong_input(tmp_path, capsys):
    out = str(tmp_path / "xor")
    run("train", "xor", "--out", out, "--no-plots", "--quiet", "--epochs", "1")
    files = {
        "odd.csv": "1,2,3\n",
        "words.csv": "a,b\n",
        "empty.csv": "",
        "notes.doc": "x",
        "broken.npy": "no",
        "broken.png": "no",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    np.save(tmp_path / "strings.npy", np.array(["a", "b"]))
    capsys.readouterr()
    for name in [*files, "strings.npy", "missing.csv"]:
        assert run("predict", "xor", str(tmp_path / name), "--out", out) == 1, name
        assert name in error_line(capsys)


def test_predict_without_a_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for argv, code, text in [
        (("xor", "points.csv"), 1, "fastnn train xor"),
        (("xorr", "points.csv"), 2, "did you mean the recipe 'xor'?"),
        (("optimizers", "points.csv", "--out", "."), 1, "train first"),
    ]:
        assert run("predict", *argv) == code
        assert text in error_line(capsys)
    fastnn.io.save({"w": fastnn.tensor([1.0])}, tmp_path / "w.safetensors")
    assert run("predict", "w.safetensors", "points.csv") == 2
    assert "--recipe" in error_line(capsys)
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    assert run("predict", "junk.safetensors", "points.csv") == 1
    assert "junk.safetensors" in error_line(capsys)
    assert run("predict", "w.safetensors", "points.csv", "--recipe", "optimizers") == 2
    assert "no predictions" in error_line(capsys)
    (tmp_path / "points.csv").write_text("0,1\n")
    assert run("predict", "w.safetensors", "points.csv", "--recipe", "xor") == 1
    assert "missing keys" in error_line(capsys)


def test_info(capsys):
    assert run("info") == 0
    out = capsys.readouterr().out
    assert fastnn.__version__ in out and fastnn.isa() in out and "threads" in out
    assert run("info", "--peaks", "--seconds", "-1") == 2
    capsys.readouterr()


def test_as_a_program():
    out = subprocess.run([sys.executable, "-m", "fastnn", "list"], capture_output=True, text=True, check=True).stdout
    assert "digits" in out
    code = "import sys; from fastnn import cli; cli.main(['list']); print([m for m in ('matplotlib', 'sklearn', 'PIL', "
    code += "'h5py', 'pooch', 'fastnn.train', 'fastnn.nn') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"  # listing and helping load nothing heavy
    assert subprocess.run([sys.executable, "-m", "fastnn", "train", "nope"], capture_output=True).returncode == 2


def test_predict_takes_the_folder_of_a_run_and_knows_whose_weights_they_are(tmp_path, capsys):
    assert run("train", "xor", "--out", str(tmp_path), "--no-plots", "--epochs", "200") == 0
    (tmp_path / "points.csv").write_text("0,1\n1,1\n")
    capsys.readouterr()
    assert run("predict", str(tmp_path), str(tmp_path / "points.csv")) == 0
    assert run("predict", str(tmp_path), str(tmp_path / "points.csv"), "--recipe", "planar") == 2
    assert "holds weights of the recipe 'xor', not of 'planar'" in error_line(capsys)
    assert run("predict", str(tmp_path.parent), "x.csv") == 1
    assert "train into this folder first" in error_line(capsys)
