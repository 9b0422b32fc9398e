"""Text data sets: real files where they are present, small and damaged ones, and what is said when they are missing."""

import gzip
import os
from pathlib import Path

import pytest

from fastnn import datasets as D

DATA = os.environ.get("FASTNN_DATA")
real = pytest.mark.skipif(not DATA or not (Path(DATA) / "text_char").is_dir(), reason="FASTNN_DATA has no text")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTNN_DATA", raising=False)
    monkeypatch.setenv("FASTNN_CACHE", str(tmp_path / "cache"))
    return tmp_path


@real
def test_the_real_files():
    train, val = D.TinyShakespeare("train"), D.TinyShakespeare("val")
    assert (len(train), len(val), len(train.vocabulary)) == (1_003_854, 111_540, 65)
    assert "".join(val.vocabulary.decode(val.ids[:20])) == val.text[:20] and val.vocabulary.tokens[0] == "\n"
    assert len(D.Names()) == 27_228 and len(D.Dinosaurs()) == 1_383 and D.Dinosaurs()[0] == "Aachenosaurus"
    wiki = [D.WikiText2(s) for s in ("train", "val", "test", "all")]
    assert [w.articles for w in wiki] == [49, 6, 6, 61] and len(wiki[3]) == sum(map(len, wiki[:3])) == 217_646
    assert sum(t != "<eos>" for t in wiki[3].tokens) == 213_886
    reviews = [D.RtPolarity(s) for s in ("train", "val", "test", "all")]
    assert [len(r) for r in reviews] == [7309, 911, 843, 9063]
    assert not set(reviews[0].sentences) & set(reviews[2].sentences)
    assert len(D.SST2()) == 67_349 and len(D.SST2("dev")) == 436


def test_small_files(empty):
    (empty / "input.txt").write_text("the cat\n" * 10)
    train = D.TinyShakespeare("train", empty)
    assert train.text == ("the cat\n" * 10)[:72] and train.vocabulary.tokens == sorted(set("the cat\n"))
    (empty / "text_char").mkdir()
    (empty / "text_char" / "names.txt").write_text("ada\n\nbob\n")
    assert D.Names(empty).items == ["ada", "bob"]
    lines = "".join(f" = Title {i} = \n \n word{i} <unk> \n = = Part = = \n" for i in range(10))
    (empty / "wikitext2_valid.txt").write_text(lines)
    test = D.WikiText2("test", empty)
    assert test.articles == 1 and "word9" in test.tokens and test.tokens.count("<eos>") == 4
    table = "label\tsentence\n1\tGood one .\n0\tbad\n1\tgood ONE\n"
    (empty / "rt_polarity.tsv.gz").write_bytes(gzip.compress(table.encode()))
    parts = [D.RtPolarity(s, empty) for s in ("train", "val", "test")]
    assert sum(map(len, parts)) == 3 and any("Good one ." in p.sentences and "good ONE" in p.sentences for p in parts)
    assert D.RtPolarity("all", empty)[0] == ("Good one .", 1)


@pytest.mark.parametrize("make, file", [
    (D.TinyShakespeare, "text_char/tinyshakespeare.txt"), (D.Names, "text_char/names.txt"),
    (D.Dinosaurs, "text_char/dinos.txt"), (D.WikiText2, "text_word/wikitext2_valid.txt.gz"),
    (D.RtPolarity, "sentiment/rt_polarity.tsv.gz"), (D.SST2, "sentiment/sst2_train.tsv.gz"),
])  # fmt: skip
def test_missing_and_damaged_files(empty, make, file):
    with pytest.raises(FileNotFoundError) as error:
        make()
    assert file in str(error.value) and "FASTNN_DATA" in str(error.value) and "It is not downloaded" in str(error.value)
    path = empty / file
    path.parent.mkdir()
    path.write_bytes(gzip.compress(b"0\ta\n" * 1000)[:-20] if path.suffix == ".gz" else b"\xff\xfe\n")
    with pytest.raises(ValueError, match="is damaged"):
        make(data_dir=empty)


def test_wrong_contents(empty):
    (empty / "rt_polarity.tsv").write_text("label\tsentence\n2\tgood\n")
    with pytest.raises(ValueError, match="line 2 is not 0 or 1"):
        D.RtPolarity("all", empty)
    (empty / "names.txt").write_text("\n")
    with pytest.raises(ValueError, match="holds no name"):
        D.Names(empty)
    for make in (D.TinyShakespeare, D.WikiText2, D.RtPolarity, D.SST2):
        with pytest.raises(ValueError, match="split must be one of"):
            make("x", empty)
