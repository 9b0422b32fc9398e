"""Runs side by side: what ``fastnn runs`` shows."""

from __future__ import annotations

import csv
import difflib
import math
from pathlib import Path

from .tracking import Run, read_run

__all__ = ["find_runs", "runs_table", "plot_runs"]


def find_runs(folder="runs", damaged: list | None = None) -> list[dict]:
    """The records of all runs below a folder, in the order in which they were started; ``"folder"`` says where.

    With a list as `damaged`, what is wrong with records that cannot be read goes there instead of being raised.

    Raises
    ------
    FileNotFoundError
        When there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    found = []
    for path in sorted(folder.rglob(Run.FILE)):
        try:
            found.append({**read_run(path.parent), "folder": path.parent})
        except ValueError as error:
            if damaged is None:
                raise
            damaged.append(str(error))
    return sorted(found, key=lambda r: (r.get("started", ""), str(r["folder"])))


def runs_table(runs: list[dict], sort: str | None = None, every: bool = False) -> list[list[str]]:
    """Rows of text, the head first: run, status, epochs trained, seconds, the settings in which runs differ, results.

    Settings and results that less than half of the runs have are left out, unless `every` is set or they are sorted
    by. Runs of the same name are shown by their folders. `sort` is a column to sort by, largest first for accuracies
    and the like, smallest first for losses and errors.
    """

    def common(k, part):
        return every or k == sort or 2 * sum(k in r[part] for r in runs) >= len(runs)

    settings = [k for k in _keys(r["config"] for r in runs) if len({repr(r["config"].get(k)) for r in runs}) > 1]
    settings = [k for k in settings if k != "epochs" and common(k, "config")]
    results = [k for k in _keys(r["results"] for r in runs) if k not in settings and common(k, "results")]
    names = [r["name"] for r in runs]
    head = ["run", "status", "epochs", "seconds", *settings, *results]
    rows = []
    for r in runs:
        name = r["name"] if names.count(r["name"]) == 1 else str(r["folder"])
        values = [name, r["status"], r.get("epochs", 0), round(float(r.get("seconds", 0)), 1)]
        rows.append(values + [r["config"].get(k) for k in settings] + [r["results"].get(k) for k in results])
    if sort is not None:
        if sort not in head:
            near = difflib.get_close_matches(sort, head, 1)
            raise ValueError(f"there is no column '{sort}'" + (f"; is it '{near[0]}'?" if near else ""))
        i, falling = head.index(sort), not any(word in sort for word in ("loss", "error", "seconds", "mistakes"))
        numbers = [r for r in rows if isinstance(r[i], (int, float))]
        numbers.sort(key=lambda r: r[i], reverse=falling)
        rows = numbers + [r for r in rows if not isinstance(r[i], (int, float))]
    return [head] + [[_text(v) for v in row] for row in rows]


def plot_runs(runs: list[dict], metric: str, path) -> None:
    """The curve of one column of ``history.csv`` for every run that has it."""
    curves = {}
    for r in runs:
        file = r["folder"] / "history.csv"
        if file.exists():
            with open(file, newline="") as lines:
                column = [row.get(metric) for row in csv.DictReader(lines)]
            if column and column[0] is not None:
                name = r["name"] if r["name"] not in curves else str(r["folder"])
                curves[name] = [float(v) if v else math.nan for v in column]
    if not curves:
        raise ValueError(f"no run has a history with the column '{metric}'")
    from .plots import plot_curves

    plot_curves(curves, path, xlabel="epoch", ylabel=metric.replace("_", " "))


def _keys(dicts) -> list[str]:
    return list(dict.fromkeys(k for d in dicts for k in d))


def _text(value) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
