"""The recipes with sequences: short runs that learn, on small data where the real files are large.

Those with real data run where FASTNN_DATA names a folder that has it; their full length with FASTNN_TEST_FULL=1.
"""

import importlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.recipes import RECIPES, _common, _text

FULL = os.environ.get("FASTNN_TEST_FULL") == "1"
DATA = Path(os.environ.get("FASTNN_DATA", "/nonexistent"))
needs_text = pytest.mark.skipif(not (DATA / "text_char").is_dir(), reason="FASTNN_DATA has no folder text_char")


def train(name, out, *options, **settings):
    """The recipe's results; settings replace constants of its module for the time of the run."""
    module = importlib.import_module(RECIPES[name].module)
    before = {key: getattr(module, key) for key in settings}
    vars(module).update(settings)
    try:
        args = _common.options(name, module.DEFAULTS).parse_args(["--out", str(out), "--quiet", "--no-plots", *options])
        return module.main(args)
    finally:
        vars(module).update(before)


@pytest.fixture
def little(tmp_path):
    """A play of few words and a few articles: files like the real ones."""
    rng = np.random.default_rng(0)
    words = "to be or not that is the question whether nobler in mind".split()
    text = "".join(f"HAMLET:\n{' '.join(rng.choice(words, 8))}.\n\n" for _ in range(400))
    (tmp_path / "input.txt").write_text(text)
    articles = (f" = {w} = \n \n The {w} is <unk> . {' '.join(rng.choice(words, 300))} \n" for w in words)
    (tmp_path / "valid.txt").write_text("".join(articles))
    return tmp_path


def test_char_shakespeare(little, capsys):
    options = ["--data-dir", str(little), "--epochs", "3", "--lr", "0.02"]
    result = train("char-shakespeare", little / "out", *options, HIDDEN=32, LENGTH=32)
    assert result["val_loss"] < 2.5 and "--- temperature 0.5" in capsys.readouterr().out
    weights = (little / "out" / "model.safetensors").read_bytes()
    again = train("char-shakespeare", little / "out", *options, "--resume", HIDDEN=32, LENGTH=32)
    assert again["val_loss"] == result["val_loss"]
    assert (little / "out" / "model.safetensors").read_bytes() == weights
    if FULL:
        assert train("char-shakespeare", little / "full")["val_loss"] <= 1.60


def test_word_lm(little):
    result = train("word-lm", little / "out", "--data-dir", str(little), "--epochs", "3", "--batch-size", "4", UNITS=16)
    assert result["test_perplexity"] < 40  # of some forty words


def test_sentiment_lstm(tmp_path, capsys):
    rng = np.random.default_rng(0)
    good, bad, others = "great warm funny".split(), "dull cold lame".split(), "the a film story it is and of".split()
    rows = []
    for i in range(900):
        words = [*rng.choice(others, rng.integers(3, 9)), rng.choice(good if i % 2 else bad)]
        rows.append(f"{i % 2}\t{' '.join(rng.permutation(words))}\n")
    (tmp_path / "rt_polarity.tsv").write_text("label\tsentence\n" + "".join(rows))
    options = ["--data-dir", str(tmp_path), "--epochs", "6", "--lr", "0.01"]
    result = train("sentiment-lstm", tmp_path / "out", *options, NETWORKS=2, WIDTH=16, UNITS=8)
    assert result["test_accuracy"] > 0.9 and "SST-2 is not there" in capsys.readouterr().out
    if FULL:
        assert train("sentiment-lstm", tmp_path / "full")["test_accuracy"] >= 0.76


def test_nothing_of_the_test_is_in_the_text_for_vectors(tmp_path):
    from fastnn.recipes.sentiment_lstm import more_text

    phrases = [
        "a very warm and funny film",
        "warm and funny fil m",
        "the story is dull and long",
        "ca n't be more dull",
    ]
    (tmp_path / "sst2_train.tsv").write_text("".join(f"1\t{p}\n" for p in phrases))
    held_out = ["it's a very warm and funny film !".split(), "it can't be more dull .".split()]
    text = more_text(tmp_path, [["x"]], held_out)
    assert text == [["x"], ["x"], "the story is dull and long".split()]


@needs_text
def test_names(tmp_path):
    options = [] if FULL else ["--epochs", "1", "--lr", "0.02"]
    settings = {} if FULL else {"UNITS": 24, "VALIDATION": 22_000}
    result = train("names", tmp_path, *options, **settings)
    assert max(result[f"val_loss_{cell}"] for cell in ("rnn", "gru", "lstm")) < (2.15 if FULL else 2.8)


@needs_text
def test_dinosaur_names(tmp_path):
    result = train("dinosaur-names", tmp_path, *([] if FULL else ["--epochs", "1"]))
    assert result["gradient_difference"] < 1e-12 and result["loss_a_letter"] < (1.9 if FULL else 2.8)
    assert len((tmp_path / "names.txt").read_text().split()) > 100


def test_slot_filling(tmp_path):
    result = train("slot-filling", tmp_path)
    assert result["rnn_new_cities_f1"] > 0.98 and result["without_memory_new_cities_f1"] < 0.85


def test_ner_tagger(tmp_path):
    result = train("ner-tagger", tmp_path)
    assert result["both_directions_f1"] > 0.9 and result["left_to_right_f1"] < 0.85


def test_temperature_forecast(tmp_path):
    result = train("temperature-forecast", tmp_path)
    average = next(v for k, v in result.items() if "average" in k)
    assert result["rmse_gru"] < 0.93 * average < average < result["rmse_season"]


def test_rnn_gradients(tmp_path):
    result = train("rnn-gradients", tmp_path, "--epochs", "1")
    assert result["gradient norm before clipping"] > 1e3 and result["after"] == pytest.approx(1, rel=1e-4)


def test_jazz_chords(tmp_path):
    result = train("jazz-chords", tmp_path, *([] if FULL else ["--epochs", "2"]), **({} if FULL else {"TUNES": 300}))
    if FULL:
        assert result["melody_in_chord"] > 0.75 and result["bass_in_chord"] > 0.9 and result["whole_bars"] > 0.95
    data = (tmp_path / "C-major.mid").read_bytes()
    assert (
        data[:4] == b"MThd" and struct.unpack(">I", data[18:22])[0] == len(data) - 22 and data.endswith(b"\xff\x2f\0")
    )


def test_midi_of_a_known_tune(tmp_path):
    from fastnn.recipes.jazz_chords import _variable, midi, score, tune

    assert _variable(0) == b"\0" and _variable(0x80) == b"\x81\0" and _variable(0x3FFF) == b"\xff\x7f"  # the standard's
    style, tokens = tune(np.random.default_rng(0))
    midi(tokens, style[14], tmp_path / "t.mid")
    data = (tmp_path / "t.mid").read_bytes()
    on, off = (sum(data.count(bytes([kind | c])) for c in range(3)) for kind in (0x90, 0x80))
    notes = sum(4 if t.startswith("chord") else t != "rest" for t in tokens)
    assert on >= notes and off >= notes
    shares = score(tokens)
    assert shares["bass_in_chord"] == 1 and shares["whole_bars"] == 1 and shares["melody_in_chord"] > 0.7


def test_entities_of_labels():
    labels = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-ORG", "I-ORG"]
    assert _text.spans(labels) == {(0, 2, "PER"), (3, 4, "LOC"), (4, 5, "LOC"), (5, 7, "ORG")}
    scores = _text.span_scores([labels], [["B-PER", "O", "O", "B-LOC", "B-LOC", "O", "O"]])
    assert scores["precision"] == pytest.approx(2 / 3) and scores["recall"] == pytest.approx(2 / 4)


def test_samples_are_the_same_on_any_number_of_threads(little):
    texts = []
    for threads in (1, 2):
        fastnn.set_num_threads(threads)
        train(
            "char-shakespeare", little / str(threads), "--data-dir", str(little), "--epochs", "1", HIDDEN=32, LENGTH=32
        )
        texts.append((little / str(threads) / "sample-0.8.txt").read_text())
    fastnn.set_num_threads(2)
    assert texts[0] == texts[1] and len(texts[0]) > 500
