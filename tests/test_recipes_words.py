"""The recipes with vectors of words on a small language; the real files, in full, with FASTNN_TEST_FULL=1."""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest

from fastnn.recipes import RECIPES, _common
from fastnn.text import KeyedVectors

FULL = os.environ.get("FASTNN_TEST_FULL") == "1"
DATA = Path(os.environ.get("FASTNN_DATA", "/nonexistent"))


def train(name, out, *options):
    module = importlib.import_module(RECIPES[name].module)
    args = _common.options(name, module.DEFAULTS).parse_args(["--out", str(out), "--quiet", "--no-plots", *options])
    return module.main(args)


@pytest.fixture
def little(tmp_path):
    """A text in which men and women do the same things, some more often than others; its questions and pairs."""
    rng = np.random.default_rng(0)
    pairs = [("he", "she"), ("king", "queen"), ("man", "woman"), ("father", "mother"), ("son", "daughter")]
    things = {"king": "crown throne rules".split(), "man": "walks works talks".split()}
    work = {0: ["doctor", "soldier"], 1: ["nurse", "dancer"]}
    words = []
    for _ in range(4000):
        which, side = rng.integers(len(pairs)), rng.integers(2)
        verb = rng.choice(things.get(pairs[which][0], ["sees", "hears", "knows"]))
        job = rng.choice(work[side if rng.random() < 0.8 else 1 - side])
        words += ["the", pairs[which][side], pairs[0][side], verb, "a", job]
    (tmp_path / "text8").write_text(" ".join(words))
    (tmp_path / "questions-words.txt").write_text(": family\nman woman king queen\nking queen son daughter\n")
    (tmp_path / "EN-WS-353-ALL.txt").write_text("king\tcrown\t9\nking\tworks\t2\ndoctor\tsoldier\t7\nman\twalks\t8\n")
    return tmp_path


@pytest.mark.parametrize("name", ["word2vec-text8", "glove-text8"])
def test_vectors(name, little):
    result = train(name, little / "out", "--data-dir", str(little), "--epochs", "2")
    assert result["questions"] == 2 and result["pairs"] == 4 and -1 <= result["ws353"] <= 1
    load = KeyedVectors.load_glove if name == "glove-text8" else lambda p: KeyedVectors.load_word2vec(p, binary=True)
    vectors = load(little / "out" / ("vectors.txt" if name == "glove-text8" else "vectors.bin"))
    assert "king" in vectors and vectors.vector_size == 100


def test_analogies_take_vectors_that_are_there(little, capsys):
    options = ["--data-dir", str(little), "--epochs", "1"]
    train("word2vec-text8", little / "runs" / "word2vec-text8", *options)
    result = train("analogies", little / "runs" / "analogies", *options)
    assert result["questions"] == 2
    assert "vectors: " in capsys.readouterr().out
    assert train("analogies", little / "alone", *options)["questions"] == 2
    assert (little / "alone" / "vectors.bin").is_file()


def test_debias(little):
    result = train("debias", little / "out", "--data-dir", str(little), "--epochs", "200")
    assert result["gap_after"] < 1e-5 < 0.02 < result["gap_before"]


def test_sentiment_average(tmp_path):
    rng = np.random.default_rng(0)
    good, bad, other = "good fine great".split(), "bad dull weak".split(), [f"word{i}" for i in range(30)]
    rows = [(y, " ".join([*rng.choice(other, 6), rng.choice(good if y else bad)])) for y in (0, 1) * 300]
    (tmp_path / "rt_polarity.tsv").write_text("label\tsentence\n" + "".join(f"{y}\t{s}\n" for y, s in rows))
    options = ["--data-dir", str(tmp_path), "--lr", "0.02"]
    assert train("sentiment-average", tmp_path / "out", *options)["test_accuracy"] > 0.95
    if FULL:
        assert train("sentiment-average", tmp_path / "full")["test_accuracy"] > 0.73


@pytest.mark.skipif(not (FULL and (DATA / "text_word").is_dir()), reason="FASTNN_TEST_FULL=1 and FASTNN_DATA")
def test_in_full(tmp_path):
    result = train("word2vec-text8", tmp_path)
    assert result["ws353"] > 0.4 and result["analogies"] > 0.055
