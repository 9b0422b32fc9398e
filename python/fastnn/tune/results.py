"""What a search found: its best trial, a table, pictures, and which hyperparameters mattered."""

from __future__ import annotations

import csv
import io as text_io
import math

import numpy as np

from .._arrays import require
from ..io import atomic_write

__all__ = ["Results"]


class Results:
    """Views of ``trials``; `names` are the hyperparameters, `maximize` says which scores are better."""

    @property
    def done(self) -> list:
        """Trials that have a score, the best first; equal ones in their order."""
        sign = -1 if self.maximize else 1
        return sorted((t for t in self.trials if t.status == "done"), key=lambda t: (sign * t.score, t.number))

    @property
    def best(self):
        """The best trial. ValueError where none has a score."""
        done = self.done
        if not done:
            failed = next((t.error for t in self.trials if t.status == "failed"), None)
            raise ValueError(f"Study: no trial has a score{f'; the first failed with {failed}' if failed else ''}")
        return done[0]

    def rows(self) -> list[dict]:
        """One dict a trial, the best first and failed ones last: number, hyperparameters, budget, score, metrics."""
        rows = []
        budgets = any(t.budget is not None for t in self.trials)
        for t in self.done + [t for t in self.trials if t.status == "failed"]:
            row = {"trial": t.number, **t.config}
            if budgets:
                row["budget"] = t.budget
            rows.append({**row, "score": t.score, **t.metrics, **({"error": t.error} if t.error else {})})
        return rows

    def table(self, most: int | None = None) -> str:
        """The rows as text. Nothing in it depends on the clock, so a resumed search has the same table."""
        rows = self.rows()[:most]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        cells = [columns] + [[_cell(row.get(name)) for name in columns] for row in rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
        return "\n".join("  ".join(text.rjust(w) for text, w in zip(line, widths)).rstrip() for line in cells)

    def to_csv(self, path) -> None:
        """The rows as a CSV file, numbers in full."""
        rows = self.rows()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = text_io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())

    def importance(self, seed: int = 0) -> dict[str, float]:
        """How much of the variance of the scores each hyperparameter explains alone, the largest first.

        A random forest is fitted to the trials on the unit scales of the space, and its first-order Sobol indices are
        taken (functional ANOVA: Hutter, Hoos and Leyton-Brown 2014). What is left to 1 are interactions. Needs
        scikit-learn and at least 4 trials; with few trials it is a hint, no more.
        """
        done = self._at_full_budget()
        if len(done) < 4:
            raise ValueError(f"importance: expected at least 4 trials with a score, got {len(done)}")
        require("sklearn", "recipes", "importance")
        from sklearn.ensemble import RandomForestRegressor

        x, y = np.array([t.positions for t in done]), np.array([t.score for t in done])
        forest = RandomForestRegressor(100, min_samples_leaf=2, random_state=seed).fit(x, y)
        random = np.random.RandomState(seed)
        points = random.rand(512, x.shape[1])
        total = forest.predict(points).var()
        result = {}
        for i, name in enumerate(self.names):
            fixed = np.tile(points[:128], (24, 1, 1))
            fixed[:, :, i] = (np.arange(24)[:, None] + 0.5) / 24
            marginal = forest.predict(fixed.reshape(-1, len(self.names))).reshape(24, 128).mean(1)
            result[name] = float(min(np.var(marginal) / total, 1.0)) if total > 0 else 0.0
        return dict(sorted(result.items(), key=lambda item: -item[1]))

    def _at_full_budget(self):
        """Trials that can be compared: those with the largest budget that several have, or all where none has one."""
        done = self.done
        budgets = sorted({t.budget for t in done if t.budget is not None}, reverse=True)
        for budget in budgets:
            same = [t for t in done if t.budget == budget]
            if len(same) >= 4:
                return same
        return done

    def plot_parallel(self, path, title: str | None = None) -> None:
        """One axis a hyperparameter and one for the score, one line a trial: bright lines are good ones."""
        done = self.done
        if not done:
            raise ValueError("plot_parallel: no trial has a score")
        from ..train.plots import new_figure, save_figure

        figure, axes = new_figure(2.2 * (len(self.names) + 1), 4.2)
        ax = axes[0, 0]
        scores = np.array([t.score for t in done])
        low, high = scores.min(), scores.max()
        heights = (scores - low) / (high - low) if high > low else np.full(len(scores), 0.5)
        good = 1 - np.arange(len(done)) / max(len(done) - 1, 1)  # by rank: one hopeless trial must not grey the others
        from matplotlib import colormaps

        colours = colormaps["viridis"](0.95 * good)
        x = np.arange(len(self.names) + 1)
        for i in reversed(range(len(done))):  # the best is drawn last
            ax.plot(x, [*done[i].positions, heights[i]], color=colours[i], linewidth=2.4 if i == 0 else 1.2,
                    alpha=1 if i == 0 else 0.7)  # fmt: skip
        for i, name in enumerate(self.names):
            ax.axvline(i, color="#444444", linewidth=0.8)
            for text, y in _ticks([(t.positions[i], t.config[name]) for t in done]):
                ax.text(i - 0.03, y, text, ha="right", va="center", fontsize=8, color="#444444")
        ax.axvline(len(self.names), color="#444444", linewidth=0.8)
        for value, y in ((low, 0), (high, 1)) if high > low else ((low, 0.5),):
            ax.text(len(self.names) + 0.03, y, f"{value:.4g}", ha="left", va="center", fontsize=8, color="#444444")
        ax.set_xticks(x, [*self.names, "score"])
        ax.set_xlim(-0.6, len(self.names) + 0.5)
        ax.set_ylim(-0.05, 1.05)
        ax.set_yticks([])
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(length=0)
        ax.set_title(title or f"{len(done)} trials; the best ({self.best.score:.4g}) is the thick line", fontsize=11)
        save_figure(figure, path)

    def plot_importance(self, path) -> None:
        """The score against each hyperparameter on its scale, most important first, with its share of the variance."""
        shares = self.importance()
        from ..train.plots import PALETTE, new_figure, save_figure

        figure, axes = new_figure(3.2 * len(shares), 3.2, 1, len(shares))
        done = self._at_full_budget()
        for ax, (name, share) in zip(axes.flat, shares.items()):
            i = self.names.index(name)
            ax.scatter([t.positions[i] for t in done], [t.score for t in done], s=18, color=PALETTE[0], alpha=0.7)
            ticks = _ticks([(t.positions[i], t.config[name]) for t in done], apart=0.2)
            ax.set_xticks([y for _, y in ticks], [text for text, _ in ticks], fontsize=8)
            ax.set_title(f"{name}: {share:.0%} of the variance", fontsize=10)
            ax.set_xlim(-0.05, 1.05)
        axes[0, 0].set_ylabel("score")
        save_figure(figure, path)


def _cell(value) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _ticks(pairs, most: int = 5, apart: float = 0.06) -> list[tuple[str, float]]:
    """Labels for an axis: up to `most` of the values that occur, spread over it."""
    pairs = sorted({(y, _cell(v) if not isinstance(v, float) else f"{v:.3g}") for y, v in pairs})
    if len(pairs) > most:
        pairs = [pairs[math.floor(i * (len(pairs) - 1) / (most - 1))] for i in range(most)]
    kept: list[tuple[str, float]] = []
    for y, text in pairs:
        if not kept or y - kept[-1][1] > apart:
            kept.append((text, y))
    return kept
