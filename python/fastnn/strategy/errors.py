"""Error analysis: look at what went wrong, tag it, and see which kind of mistake is worth a month of work.

If 5 of 100 misclassified pictures are dogs, then all that can be won by better dogs is a twentieth of the error; if 50
are, half of it. The table is also a CSV file, to be filled in with a spreadsheet or with ``fastnn errors tag``.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..data._random import check_seed, permutation
from ..io import atomic_write
from ..metrics import confusion_matrix, wilson_interval
from ..metrics.functional import class_ids

__all__ = ["ErrorRow", "ErrorTable", "LabelImpact", "collect_errors", "confused_pairs", "most_confident_errors"]

_FIXED = ("index", "true", "predicted", "confidence", "comment")
_MARK = "# fastnn errors"
_NO = {"", "0", "no", "false", "-"}


@dataclass
class ErrorRow:
    """One misclassified example: where it is, what it is, what it was taken for and how surely, tags and a comment."""

    index: int
    true: str
    predicted: str
    confidence: float
    tags: list[str] = field(default_factory=list)
    comment: str = ""


class LabelImpact(NamedTuple):
    """What wrong labels do to a dev error: all three errors as fractions of the dev set, and the share of labels."""

    overall: float
    labels: float
    rest: float
    share: float
    worth_fixing: bool

    def __str__(self):
        verdict = "worth correcting, in dev and test alike" if self.worth_fixing else "work on the rest first"
        return (
            f"overall dev error {self.overall:.2%}; due to wrong labels {self.labels:.2%} ({self.share:.0%} of it); "
            f"due to the rest {self.rest:.2%}: {verdict}"
        )


class ErrorTable:
    """Misclassified examples with tags; tags may overlap.

    Parameters
    ----------
    examples : int
        Size of the dev set.
    errors : int
        How many of it are misclassified.
    rows : sequence of ErrorRow
        Those looked at, all or a random sample.

    Examples
    --------
    >>> table = collect_errors(scores, y_dev, classes=CLASSES)  # 100 of the errors
    >>> table.tag(17, "dog", comment="Pitbull")
    >>> print(table)
    >>> table.to_csv("errors.csv")
    """

    def __init__(self, examples: int, errors: int, rows=()):
        rows = list(rows)
        if not 1 <= errors <= examples or len(rows) > errors:
            raise ValueError(
                f"ErrorTable: expected rows <= errors <= examples and at least one error, got {len(rows)} rows, "
                f"{errors} errors, {examples} examples"
            )
        self.examples, self.errors, self.rows = int(examples), int(errors), rows
        self._by_index = {row.index: row for row in rows}
        if len(self._by_index) != len(rows):
            raise ValueError("ErrorTable: an example is there twice")

    @property
    def error(self) -> float:
        """The dev error."""
        return self.errors / self.examples

    @property
    def tags(self) -> list[str]:
        """All tags, in the order of first use."""
        return list(dict.fromkeys(tag for row in self.rows for tag in row.tags))

    def tag(self, index, *tags: str, comment: str | None = None) -> None:
        """Put tags (and a comment) on examples, by their index in the dev set: one, or a list of them."""
        for tag in tags:
            if not isinstance(tag, str) or not tag.strip() or tag in _FIXED:
                raise ValueError(f"ErrorTable.tag: a tag is a text other than {', '.join(_FIXED)}, got {tag!r}")
        for row in [self._row(i) for i in np.atleast_1d(to_numpy(index))]:
            row.tags += [tag for tag in dict.fromkeys(tags) if tag not in row.tags]
            if comment is not None:
                row.comment = str(comment)

    def untag(self, index, *tags: str) -> None:
        """Take tags off examples; without names, all of them."""
        for row in [self._row(i) for i in np.atleast_1d(to_numpy(index))]:
            row.tags = [tag for tag in row.tags if tags and tag not in tags]

    def _row(self, index):
        if int(index) not in self._by_index:
            raise KeyError(f"ErrorTable: example {int(index)} is not among the {len(self.rows)} errors of the table")
        return self._by_index[int(index)]

    def count(self, tag: str) -> int:
        """Rows with the tag."""
        return sum(tag in row.tags for row in self.rows)

    def share(self, tag: str) -> float:
        """Fraction of the rows with the tag."""
        if not self.rows:
            raise ValueError("ErrorTable: the table has no rows")
        return self.count(tag) / len(self.rows)

    def ceiling(self, tag: str) -> float:
        """The dev error if every mistake with the tag were mended: ``error (1 - share)``."""
        return self.error * (1 - self.share(tag))

    def label_impact(self, tag: str = "incorrectly labelled", difference: float | None = None,
                     share: float = 0.2) -> LabelImpact:  # fmt: skip
        """How much of the error is due to wrong labels.

        Parameters
        ----------
        tag : str
            The tag of such rows.
        difference : float, optional
            Difference in dev error between the models to choose from: smaller than the error due to labels, it cannot
            be seen.
        share : float
            Of the errors, from which on correcting the labels counts as worth it.
        """
        part = self.share(tag)
        labels = self.error * part
        worth = part >= share or (difference is not None and labels > abs(difference))
        return LabelImpact(self.error, labels, self.error - labels, part, worth)

    def summary(self) -> list[dict]:
        """For every tag: ``tag``, ``count``, ``share``, its limits ``low`` and ``high``, ``ceiling``, ``gain``."""
        rows = []
        for tag in sorted(self.tags, key=lambda t: -self.count(t)):
            share = wilson_interval(self.count(tag), len(self.rows))
            limits = {"share": share.value, "low": share.low, "high": share.high}
            gain = {"ceiling": self.ceiling(tag), "gain": self.error * share.value}
            rows.append({"tag": tag, "count": self.count(tag), **limits, **gain})
        return rows

    def report(self) -> str:
        """The summary as a table, with the untagged rows and the most confused pairs."""
        looked = "all" if len(self.rows) == self.errors else f"a sample of {len(self.rows)}"
        lines = [f"dev error {self.error:.2%} ({self.errors} of {self.examples}); looked at {looked}"]
        summary = self.summary()
        if summary:
            width = max(len("tag"), *(len(r["tag"]) for r in summary)) + 2
            lines.append(
                f"{'tag'.ljust(width)}{'count':>6}{'% of total':>12}{'(95 %)':>14}{'error without':>15}{'gain':>8}"
            )
            for r in summary:
                limits = f"{r['low']:.0%} to {r['high']:.0%}"
                lines.append(f"{r['tag'].ljust(width)}{r['count']:>6}{r['share']:>12.0%}{limits:>14}{r['ceiling']:>15.2%}"
                             f"{r['gain']:>8.2%}")  # fmt: skip
        bare = sum(not row.tags for row in self.rows)
        if bare:
            lines.append(f"{bare} without a tag")
        if self.rows:
            pairs = {}
            for row in self.rows:
                pairs[row.true, row.predicted] = pairs.get((row.true, row.predicted), 0) + 1
            most = sorted(pairs.items(), key=lambda item: -item[1])[:5]
            lines.append("most confused: " + ", ".join(f"{a} taken for {b} ({n})" for (a, b), n in most))
        return "\n".join(lines)

    __str__ = report

    def to_csv(self, path) -> None:
        """Write a spreadsheet: a column for every tag, marked with x. The first line holds the size of the dev set."""
        tags, text = self.tags, io.StringIO(newline="")
        out = csv.writer(text, lineterminator="\n")
        out.writerow([_MARK, "examples", self.examples, "errors", self.errors])
        out.writerow([*_FIXED[:4], *tags, "comment"])
        for r in self.rows:
            marks = ["x" if tag in r.tags else "" for tag in tags]
            out.writerow([r.index, r.true, r.predicted, f"{r.confidence:.6g}", *marks, r.comment])
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())

    @classmethod
    def from_csv(cls, path) -> ErrorTable:
        """Read what `to_csv` wrote, also after a spreadsheet changed it: new columns are new tags, any mark counts.

        Raises
        ------
        ValueError
            For a file of another kind, or a row that cannot be read, with its line.
        """
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
        try:
            head = [cell.strip() for cell in lines[0]]
            if head[0] != _MARK or head[1] != "examples" or head[3] != "errors":
                raise IndexError
            examples, errors = int(head[2]), int(head[4])
            columns = [cell.strip() for cell in lines[1]]
            places = {name: columns.index(name) for name in _FIXED[:4]}
        except (IndexError, ValueError):
            raise ValueError(
                f"{path}: not a table of errors: expected a first line '{_MARK},examples,N,errors,M' and the columns "
                f"{', '.join(_FIXED)}"
            ) from None
        tags = [(i, name) for i, name in enumerate(columns) if name and name not in _FIXED]
        rows = []
        for number, line in enumerate(lines[2:], 3):
            line = line + [""] * (len(columns) - len(line))
            try:
                index, confidence = int(line[places["index"]]), float(line[places["confidence"]])
            except ValueError:
                raise ValueError(f"{path}: line {number}: index and confidence must be numbers, got {line}") from None
            marks = [name for i, name in tags if line[i].strip().lower() not in _NO]
            comment = line[columns.index("comment")] if "comment" in columns else ""
            rows.append(ErrorRow(index, line[places["true"]], line[places["predicted"]], confidence, marks, comment))
        try:
            return cls(examples, errors, rows)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def plot(self, path, title: str | None = None) -> None:
        """What could be won at most by mending each kind of mistake, with 95 % limits from the size of the sample."""
        from ..train.plots import PALETTE, new_figure, save_figure

        summary = self.summary()[::-1]
        if not summary:
            raise ValueError("ErrorTable.plot: no row has a tag yet")
        figure, axes = new_figure(6.6, 0.42 * len(summary) + 1.5)
        ax = axes[0, 0]
        gains = [100 * r["gain"] for r in summary]
        limits = [[100 * self.error * (r["share"] - r["low"]) for r in summary],
                  [100 * self.error * (r["high"] - r["share"]) for r in summary]]  # fmt: skip
        ax.barh(range(len(summary)), gains, color=PALETTE[0], height=0.6, xerr=limits,
                error_kw={"ecolor": "#555555", "elinewidth": 1, "capsize": 2})  # fmt: skip
        edge = max(g + u for g, u in zip(gains, limits[1]))
        for i, r in enumerate(summary):
            ax.text(
                edge * 1.02, i, f"{r['share']:.0%}: {self.error:.2%} to {r['ceiling']:.2%}", va="center", fontsize=8
            )
        ax.set_xlim(0, edge * 1.45)
        ax.set_yticks(range(len(summary)), [r["tag"] for r in summary])
        ax.set_xlabel("points of dev error that mending it would win at most", fontsize=9, color="#444444")
        ax.set_title(title or f"dev error {self.error:.2%}, {len(self.rows)} errors looked at", fontsize=11)
        save_figure(figure, path)

    def plot_images(self, images, path, most: int = 32, tag: str | None = None, columns: int = 8,
                    title: str | None = None) -> None:  # fmt: skip
        """A sheet of the errors the model was surest of, with what it said, what is true, and the tags.

        Parameters
        ----------
        images : array [examples, H, W] or [examples, H, W, C]
            The whole dev set; rows find theirs by index.
        tag : str, optional
            Only rows with it.
        """
        from ..train.plots import plot_images

        images = to_numpy(images)
        if len(images) != self.examples:
            raise ValueError(f"ErrorTable.plot_images: expected {self.examples} images, got {len(images)}")
        rows = [r for r in self.rows if tag is None or tag in r.tags]
        if not rows:
            raise ValueError(f"ErrorTable.plot_images: no row {f'with the tag {tag!r}' if tag else 'to show'}")
        rows = sorted(rows, key=lambda r: -r.confidence)[:most]
        labels = [f"{r.predicted} {r.confidence:.0%}\n(is {r.true})" for r in rows]
        if any(r.tags for r in rows):  # one line: pictures shrink with every line above them
            more = (f" +{len(r.tags) - 1}" if len(r.tags) > 1 else "" for r in rows)
            labels = [f"{label}\n{(r.tags or [''])[0][:16]}{m}" for label, r, m in zip(labels, rows, more)]
        plot_images(images[[r.index for r in rows]], path, labels, columns,
                    title or f"{len(rows)} errors the model was surest of")  # fmt: skip


def _wrong(scores, target, what):
    """(scores [N, C] or None, predicted, true ids, indices of errors, confidences)."""
    s = to_numpy(scores)
    predicted, true = class_ids(s, target, what=what)
    if not len(true):
        raise ValueError(f"{what}: expected at least one example")
    wrong = np.flatnonzero(predicted != true)
    if s.dtype.kind != "f":
        confidence = np.ones(len(true))
    elif s.ndim == 2 and s.shape[1] > 1:
        if s.min() < 0 or abs(s.sum(axis=1) - 1).max() > 1e-3:  # logits
            e = np.exp(s.astype(np.float64) - s.max(axis=1, keepdims=True))
            s = e / e.sum(axis=1, keepdims=True)
        confidence = s[np.arange(len(s)), predicted].astype(np.float64)
    else:
        p = s.reshape(-1).astype(np.float64)
        if p.size and not (p.min() >= 0 and p.max() <= 1):
            raise ValueError(f"{what}: expected probabilities of class 1 from 0 to 1; apply sigmoid to logits first")
        confidence = np.where(predicted == 1, p, 1 - p)
    return predicted, true, wrong, confidence


def collect_errors(scores, target, classes=None, limit: int | None = 100, seed: int = 0) -> ErrorTable:
    """The misclassified examples of a dev set, to be looked at.

    Parameters
    ----------
    scores : array [N, C], [N]
        Probabilities or logits, one column per class; probabilities of class 1; or class ids.
    target : array [N]
    classes : sequence of str, optional
        Names; default the ids.
    limit : int or None
        A random sample of so many (a hundred take minutes to look through); None for all.
    seed : int

    Raises
    ------
    ValueError
        Also when nothing is misclassified.
    """
    predicted, true, wrong, confidence = _wrong(scores, target, "collect_errors")
    if not len(wrong):
        raise ValueError(f"collect_errors: none of the {len(true)} examples is misclassified")
    if limit is not None and (isinstance(limit, bool) or not limit >= 1):
        raise ValueError(f"collect_errors: limit must be >= 1 or None, got {limit!r}")
    names = _names(classes, max(predicted.max(), true.max()) + 1, "collect_errors")
    order = permutation(len(wrong), check_seed(seed, "collect_errors: seed"))
    chosen = np.sort(wrong[order[:limit]])
    rows = [ErrorRow(int(i), names[true[i]], names[predicted[i]], float(confidence[i])) for i in chosen]
    return ErrorTable(len(true), len(wrong), rows)


def _names(classes, count, what):
    names = [str(c) for c in (range(count) if classes is None else classes)]
    if len(names) < count:
        raise ValueError(f"{what}: {len(names)} names for class ids up to {count - 1}")
    return names


def confused_pairs(pred, target, classes=None, most: int = 10) -> list[tuple[str, str, int]]:
    """The pairs ``(true, predicted, count)`` that are confused most often; `pred` as for `metrics.confusion_matrix`."""
    matrix = confusion_matrix(pred, target)
    names = _names(classes, len(matrix), "confused_pairs")
    counts = matrix - np.diag(np.diagonal(matrix))
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    pairs = (np.unravel_index(i, counts.shape) for i in order)
    return [(names[t], names[p], int(counts[t, p])) for t, p in pairs if counts[t, p]]


def most_confident_errors(scores, target, most: int = 32) -> np.ndarray:
    """Indices of the errors with the highest predicted probability, the surest first (int64)."""
    _, _, wrong, confidence = _wrong(scores, target, "most_confident_errors")
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
