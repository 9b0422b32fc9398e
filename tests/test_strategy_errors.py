"""Error tables: collecting, tagging, files, pictures, and the command line."""

import numpy as np
import pytest

from fastnn import cli
from fastnn.strategy import ErrorRow, ErrorTable, collect_errors, confused_pairs, most_confident_errors

SCORES = np.array([[9, 0, 0], [0, 9, 0], [1, 0, 0], [0, 5, 1], [0, 0, 3], [2, 1, 0]], np.float32)
TRUE = np.array([0, 0, 1, 2, 2, 1])
NAMES = ["cat", "dog", "lion"]


def test_collecting_finds_the_mistakes_and_how_sure_they_were():
    table = collect_errors(SCORES, TRUE, NAMES)
    assert [(r.index, r.true, r.predicted) for r in table.rows] == [
        (1, "cat", "dog"), (2, "dog", "cat"), (3, "lion", "dog"), (5, "dog", "cat")]  # fmt: skip
    assert table.examples == 6 and table.errors == 4 and table.error == 4 / 6
    e = np.exp([1.0, 0, 0])
    assert table.rows[1].confidence == pytest.approx(e[0] / e.sum())
    assert list(most_confident_errors(SCORES, TRUE, 3)) == [1, 3, 5]
    assert confused_pairs(SCORES, TRUE, NAMES) == [("dog", "cat", 2), ("cat", "dog", 1), ("lion", "dog", 1)]
    binary = collect_errors(np.array([0.9, 0.2, 0.6]), [1, 1, 0])
    assert [(r.index, round(r.confidence, 6)) for r in binary.rows] == [(1, 0.8), (2, 0.6)]
    assert collect_errors([0, 1, 1], [0, 0, 1]).rows[0].confidence == 1.0


def test_a_sample_is_seeded_and_of_the_errors_alone():
    pred, true = np.zeros(1000, int), np.arange(1000) % 2
    a, b = collect_errors(pred, true, limit=50, seed=1), collect_errors(pred, true, limit=50, seed=1)
    c = collect_errors(pred, true, limit=50, seed=2)
    assert [r.index for r in a.rows] == [r.index for r in b.rows] != [r.index for r in c.rows]
    assert len(a.rows) == 50 and a.errors == 500 and all(r.index % 2 for r in a.rows)
    assert len(collect_errors(pred, true, limit=None).rows) == 500


def test_tags_overlap_and_come_off():
    table = collect_errors(SCORES, TRUE, NAMES)
    table.tag([1, 2], "blurry"), table.tag(2, "dog", "blurry", comment="Pitbull")
    assert table.tags == ["blurry", "dog"] and table.count("blurry") == 2 and table.share("dog") == 0.25
    assert "a sample" not in str(table) and "2 without a tag" in str(table) and "dog taken for cat (2)" in str(table)
    table.untag(2, "dog")
    assert table.tags == ["blurry"]
    table.untag([1, 2])
    assert table.tags == []


def test_csv_round_trip_and_what_a_spreadsheet_adds(tmp_path):
    path = tmp_path / "errors.csv"
    table = collect_errors(SCORES, TRUE, NAMES)
    table.tag(2, "dog", comment='a "Pitbull", wet')
    table.tag([2, 5], "blurry, dark")
    table.to_csv(path)
    again = ErrorTable.from_csv(path)
    assert [vars(r) | {"confidence": 0} for r in again.rows] == [vars(r) | {"confidence": 0} for r in table.rows]
    assert str(again) == str(table)
    lines = path.read_text().splitlines()
    lines = [lines[0], lines[1] + ",Instagram"] + [
        line + (",1" if i == 0 else ",0") for i, line in enumerate(lines[2:])
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n,,,,\r\n")  # as Excel saves it
    assert ErrorTable.from_csv(path).count("Instagram") == 1


@pytest.mark.parametrize("text, error", [
    ("", "not a table of errors"),
    ("a,b\n1,2\n", "not a table of errors"),
    ("# fastnn errors,examples,x,errors,2\nindex,true,predicted,confidence\n", "not a table of errors"),
    ("# fastnn errors,examples,5,errors,2\nindex,true,predicted\n", "not a table of errors"),
    ("# fastnn errors,examples,5,errors,2\nindex,true,predicted,confidence\nx,a,b,0.5\n", "line 3"),
    ("# fastnn errors,examples,5,errors,9\nindex,true,predicted,confidence\n", "errors <= examples"),
    ("# fastnn errors,examples,5,errors,2\nindex,true,predicted,confidence\n1,a,b,1\n1,a,b,1\n", "twice"),
])  # fmt: skip
def test_a_damaged_file_is_a_clear_error(tmp_path, text, error):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match="t.csv") as caught:
        ErrorTable.from_csv(tmp_path / "t.csv")
    assert error in str(caught.value)


@pytest.mark.parametrize("call, kind", [
    (lambda: collect_errors([0, 1], [0, 1]), ValueError),
    (lambda: collect_errors([0, 1], [1, 1], limit=0), ValueError),
    (lambda: collect_errors([0, 1], [1, 1], classes=["one"]), ValueError),
    (lambda: collect_errors(np.array([3.0, -1.0]), [0, 1]), ValueError),
    (lambda: collect_errors([0, 1], [1]), ValueError),
    (lambda: collect_errors([], []), ValueError),
    (lambda: ErrorTable(5, 0), ValueError),
    (lambda: ErrorTable(5, 1, [ErrorRow(0, "a", "b", 1), ErrorRow(1, "a", "b", 1)]), ValueError),
    (lambda: ErrorTable(5, 1).share("a"), ValueError),
    (lambda: collect_errors(SCORES, TRUE).tag(0, "right"), KeyError),
    (lambda: collect_errors(SCORES, TRUE).tag(1, ""), ValueError),
    (lambda: collect_errors(SCORES, TRUE).tag(1, "comment"), ValueError),
    (lambda: collect_errors(SCORES, TRUE).tag(1, 3), ValueError),
    (lambda: collect_errors(SCORES, TRUE).plot("x.png"), ValueError),
    (lambda: collect_errors(SCORES, TRUE).plot_images(np.zeros((2, 3, 3)), "x.png"), ValueError),
    (lambda: collect_errors(SCORES, TRUE).plot_images(np.zeros((6, 3, 3)), "x.png", tag="none"), ValueError),
])  # fmt: skip
def test_malformed_calls(call, kind):
    with pytest.raises(kind):
        call()


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    rows = [ErrorRow(i, "cat", "dog", float(rng.random())) for i in range(100)]
    table = ErrorTable(1000, 100, rows)
    for tag, share in (("dog", 0.08), ("great cats", 0.43), ("blurry", 0.61), ("Instagram", 0.12)):
        table.tag(np.flatnonzero(rng.random(100) < share), tag)
    table.plot(tmp_path / "tags.png")
    table.plot_images(rng.random((1000, 8, 8)), tmp_path / "sheet.png", most=16)
    assert all((tmp_path / f"{n}.png").stat().st_size > 10_000 for n in ("tags", "sheet"))


def test_the_command_line(tmp_path, capsys):
    np.save(tmp_path / "s.npy", SCORES), np.save(tmp_path / "y.npy", TRUE)
    path = str(tmp_path / "errors.csv")
    new = ["errors", "new", path, "--scores", str(tmp_path / "s.npy"), "--labels", str(tmp_path / "y.npy")]
    assert cli.main([*new, "--classes", "cat,dog,lion"]) == 0 and "4 of 4 mistakes" in capsys.readouterr().out
    assert cli.main(["errors", "tag", path, "1,2", "blurry", "incorrectly labelled", "--comment", "rain"]) == 0
    assert "1: blurry, incorrectly labelled (rain)" in capsys.readouterr().out
    assert cli.main(["errors", "tag", path, "1", "blurry", "--remove"]) == 0
    capsys.readouterr()
    assert cli.main(["errors", "show", path, "--rows", "--difference", "0.01"]) == 0
    out = capsys.readouterr().out
    assert "incorrectly labelled" in out and "50%" in out and "due to wrong labels 33.33%" in out and "rain" in out


@pytest.mark.parametrize("words, code", [
    (["errors"], 2),
    (["errors", "tag", "T", "one", "x"], 2),
    (["errors", "tag", "T", "1"], 2),
    (["errors", "tag", "T", "77", "x"], 1),
    (["errors", "show", "missing.csv"], 1),
    (["errors", "show", "S"], 1),
    (["errors", "new", "N", "--scores", "T", "--labels", "T"], 1),
])  # fmt: skip
def test_a_wrong_command_is_one_clear_line(words, code, tmp_path, capsys):
    table = tmp_path / "t.csv"
    collect_errors(SCORES, TRUE).to_csv(table)
    np.save(tmp_path / "s.npy", SCORES)
    files = {"T": str(table), "S": str(tmp_path / "s.npy"), "N": str(tmp_path / "n.csv")}
    assert cli.main([files.get(w, w) for w in words]) == code
    text = capsys.readouterr().err
    assert "Traceback" not in text and "fastnn" in text


def test_a_table_with_tags_is_not_written_over(tmp_path, capsys):
    from fastnn.cli import main

    np.save(tmp_path / "s.npy", np.eye(4)[[0, 1, 2, 3, 0]])
    np.save(tmp_path / "l.npy", np.array([0, 1, 2, 0, 1]))
    table = str(tmp_path / "e.csv")
    command = ["errors", "new", table, "--scores", str(tmp_path / "s.npy"), "--labels", str(tmp_path / "l.npy")]
    assert main(command) == 0 and main(["errors", "tag", table, "3", "blurry"]) == 0
    capsys.readouterr()
    assert main(command) == 1 and "--force" in capsys.readouterr().err
    assert "blurry" in open(table).read()
    assert main([*command, "--force"]) == 0 and "blurry" not in open(table).read()
    np.save(tmp_path / "l.npy", np.array([0, 1, 2, 0, 9]))
    assert main([*command, "--force"]) == 1 and "do not fit 4 scores" in capsys.readouterr().err
    (tmp_path / "s.npy").write_bytes(b"no array")
    assert main([*command, "--force"]) == 1
    line = capsys.readouterr().err
    assert "is not an array in a .npy file" in line and "pickle" not in line
