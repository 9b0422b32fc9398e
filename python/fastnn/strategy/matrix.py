"""The general table: who or what was measured, by where the data comes from."""

from __future__ import annotations

__all__ = ["ErrorMatrix"]

_ROWS = {"human": "human level", "trained": "error on examples trained on",
         "untrained": "error on examples not trained on"}  # fmt: skip


class ErrorMatrix:
    """Errors by distribution: people, examples trained on, examples not trained on.

    Down a column are avoidable bias and variance; across the last row is data mismatch; across the first, whether the
    task itself is harder there.

    Parameters
    ----------
    columns : dict of str to dict
        For every distribution the errors "human", "trained" and "untrained", those that are known, as fractions. The
        first distribution is the one there is plenty of.

    Examples
    --------
    >>> m = ErrorMatrix({"general speech": {"human": 0.04, "trained": 0.07, "untrained": 0.10},
    ...                  "rear-view mirror": {"human": 0.06, "trained": 0.06, "untrained": 0.06}})
    >>> m.gap("avoidable bias", "general speech")
    0.03
    """

    def __init__(self, columns: dict):
        if not isinstance(columns, dict) or not columns:
            raise ValueError("ErrorMatrix: expected a dict of distribution to errors")
        self.columns = {}
        for name, errors in columns.items():
            if not isinstance(errors, dict):
                raise TypeError(f"ErrorMatrix: {name!r}: expected a dict of errors, got {type(errors).__name__}")
            if set(errors) - set(_ROWS) or not errors:
                raise ValueError(f"ErrorMatrix: {name!r} may have {', '.join(_ROWS)}, got {sorted(map(str, errors))}")
            for row, value in errors.items():
                if not 0 <= float(value) <= 1:
                    raise ValueError(f"ErrorMatrix: {name!r}, {row}: an error lies between 0 and 1, got {value}")
            self.columns[str(name)] = {row: float(errors[row]) for row in _ROWS if row in errors}

    def gap(self, cause: str, column: str) -> float | None:
        """A difference, None where an error is missing.

        Parameters
        ----------
        cause : {"avoidable bias", "variance", "data mismatch", "difficulty"}
            trained - human and untrained - trained of the column; its untrained minus the first column's, and its
            human level minus the first column's.
        """
        first = next(iter(self.columns))
        pairs = {"avoidable bias": (("human", column), ("trained", column)),
                 "variance": (("trained", column), ("untrained", column)),
                 "data mismatch": (("untrained", first), ("untrained", column)),
                 "difficulty": (("human", first), ("human", column))}  # fmt: skip
        if cause not in pairs:
            raise ValueError(f"ErrorMatrix: no gap {cause!r}; there are {', '.join(pairs)}")
        if column not in self.columns:
            raise KeyError(f"ErrorMatrix: no distribution {column!r}; there are {', '.join(self.columns)}")
        start, end = (self.columns[c].get(row) for row, c in pairs[cause])
        return None if start is None or end is None else end - start

    def report(self) -> str:
        """The table and what its differences say."""
        names = list(self.columns)
        width = max(12, *(len(n) for n in names)) + 2
        lines = [" " * 34 + "".join(n.rjust(width) for n in names)]
        for row, label in _ROWS.items():
            cells = (self.columns[n].get(row) for n in names)
            lines.append(label.ljust(34) + "".join(("?" if c is None else f"{c:.2%}").rjust(width) for c in cells))
        for cause in ("avoidable bias", "variance"):
            gaps = [self.gap(cause, n) for n in names]
            lines.append(cause.ljust(34) + "".join(("?" if g is None else f"{g:+.2%}").rjust(width) for g in gaps))
        for name in names[1:]:
            lines += self._across(names[0], name)
        return "\n".join(lines)

    __str__ = report

    def _across(self, first, name):
        gap, harder = self.gap("data mismatch", name), self.gap("difficulty", name)
        if harder is not None:
            word = "harder" if harder > 0 else "easier" if harder < 0 else "as hard"
            yield f"for people {name} is {word} ({harder:+.2%} against {first})"
        if gap is not None:
            word = "data mismatch" if gap > 0 else "no loss by the change of data"
            yield f"{word}: {gap:+.2%} from {first} to {name}"
        left = self.gap("avoidable bias", name)
        untrained, human = self.columns[name].get("untrained"), self.columns[name].get("human")
        if left is not None and untrained is not None and untrained <= human:
            yield f"{name} is at human level already"

    def plot(self, path, title: str | None = None) -> None:
        """The table as a picture, the differences between its cells."""
        from ..train.plots import PALETTE, new_figure, save_figure

        names, rows = list(self.columns), list(_ROWS)
        figure, axes = new_figure(2.4 * len(names) + 2.8, 3.6)
        ax = axes[0, 0]
        grid = [[self.columns[n].get(row, float("nan")) for n in names] for row in rows]
        ax.imshow(grid, cmap="Oranges", vmin=0, vmax=1.6 * max(v for line in grid for v in line if v == v) or 1,
                  aspect="auto")  # fmt: skip
        for i, line in enumerate(grid):
            for j, value in enumerate(line):
                text = "?" if value != value else f"{value:.2%}"
                ax.text(j, i, text, ha="center", va="center", fontsize=13, color="#222222")
        for j, name in enumerate(names):
            for i, cause in enumerate(("avoidable bias", "variance")):
                gap = self.gap(cause, name)
                if gap is not None:
                    ax.text(j, i + 0.5, f"{cause} {100 * gap:+.2f}", ha="center", va="center", fontsize=8,
                            color=PALETTE[i], bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
            gap = self.gap("data mismatch", name) if j else None
            if gap is not None:
                ax.text(j - 0.5, 2.32, f"data mismatch {100 * gap:+.2f}", ha="center", va="center", fontsize=8,
                        color=PALETTE[2], bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        ax.set_xticks(range(len(names)), names)
        ax.set_yticks(range(3), [_ROWS[r].replace("error on examples", "error on examples\n") for r in rows])
        ax.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
        ax.spines[:].set_visible(False)
        if title:
            ax.set_title(title, fontsize=11, color="#222222")
        save_figure(figure, path)
