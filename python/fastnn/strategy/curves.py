"""Learning curves, by the number of training examples and by epoch: what more data or more training would bring."""

from __future__ import annotations

import math

import numpy as np

from .._arrays import to_numpy
from ..data import split_indices
from ..data._random import check_seed, permutation

__all__ = ["EpochCurve", "LearningCurve", "learning_curve"]


class LearningCurve:
    """Training and dev error against the number of examples trained on.

    Attributes
    ----------
    sizes : int64 array [S]
    train, dev : float64 array [S, R]
        One column per repetition.
    """

    def __init__(self, sizes, train, dev):
        self.sizes = np.asarray(sizes, np.int64)
        self.train, self.dev = (np.asarray(v, np.float64).reshape(len(self.sizes), -1) for v in (train, dev))
        if not len(self.sizes) or (np.diff(self.sizes) <= 0).any() or self.sizes[0] < 1:
            raise ValueError(f"LearningCurve: expected sizes >= 1 that grow, got {list(sizes)}")
        if self.train.shape != self.dev.shape or not np.isfinite([self.train, self.dev]).all():
            raise ValueError("LearningCurve: expected as many finite training as dev errors")

    def expected(self, n: int) -> float:
        """The dev error at `n` examples: the fit of ``c + a n^-b`` with ``a, c >= 0``, which needs three sizes."""
        if len(self.sizes) < 3 or n < 1:
            raise ValueError(f"LearningCurve.expected: needs three sizes and n >= 1, got {len(self.sizes)} and {n}")
        y, best = self.dev.mean(axis=1), None
        for b in np.linspace(0.05, 2, 79):
            t = self.sizes**-b
            a = max(((t - t.mean()) * (y - y.mean())).sum() / ((t - t.mean()) ** 2).sum(), 0.0)
            c = y.mean() - a * t.mean()
            if c < 0:
                a, c = (t * y).sum() / (t * t).sum(), 0.0
            loss = ((c + a * t - y) ** 2).sum()
            if best is None or loss < best[0]:
                best = loss, c + a * float(n) ** -b
        return float(best[1])

    def verdict(self, human: float = 0.0) -> str:
        """ "bias" when most of the dev error at the last size is there in training too, else "variance"."""
        train, dev = self.train[-1].mean(), self.dev[-1].mean()
        return "bias" if train - human >= dev - train else "variance"

    def report(self, human: float = 0.0) -> str:
        """The table and what it means for the question of more data."""
        lines = [f"{'examples':>10} {'train':>8} {'dev':>8} {'gap':>8}"]
        for n, train, dev in zip(self.sizes, self.train.mean(axis=1), self.dev.mean(axis=1)):
            lines.append(f"{n:>10,} {train:>8.2%} {dev:>8.2%} {dev - train:>8.2%}")
        if self.verdict(human) == "bias":
            lines.append("high bias: the curves have met at a high error; more data will not help")
        else:
            lines.append("high variance: a gap is left between the curves; more data will help")
        if len(self.sizes) >= 3:
            for factor in (2, 10):
                n = int(self.sizes[-1]) * factor
                lines.append(f"  with {n:,} examples about {self.expected(n):.2%} dev error, going on like this")
        return "\n".join(lines)

    __str__ = report

    def plot(self, path, human: float | None = None, title: str | None = None) -> None:
        """Both curves with the range of their repetitions, human level, and where the dev curve is heading."""
        from ..train.plots import PALETTE, new_figure, save_figure

        figure, axes = new_figure(6, 4)
        ax = axes[0, 0]
        ax.grid(True, color="#e6e6e6", linewidth=0.8)
        for values, label, color in ((self.train, "training error", PALETTE[0]), (self.dev, "dev error", PALETTE[1])):
            ax.plot(self.sizes, 100 * values.mean(axis=1), color=color, marker="o", markersize=4, label=label)
            low, high = (100 * f(axis=1) for f in (values.min, values.max))
            ax.fill_between(self.sizes, low, high, color=color, alpha=0.15, linewidth=0)
        if len(self.sizes) >= 3:
            further = np.geomspace(self.sizes[-1], 4 * self.sizes[-1], 20)
            ax.plot(further, [100 * self.expected(n) for n in further], color=PALETTE[1], linestyle=":", linewidth=1.4)
        if human is not None:
            ax.axhline(100 * human, color="#888888", linestyle="--", linewidth=1, label="human level")
        ax.set_xscale("log")
        ax.set_ylim(bottom=0)
        ax.set_xlabel("training examples", fontsize=9, color="#444444")
        ax.set_ylabel("error, %", fontsize=9, color="#444444")
        ax.set_title(title or f"high {self.verdict(human or 0.0)}", fontsize=11, color="#222222")
        ax.legend(frameon=False, fontsize=9)
        save_figure(figure, path)


def learning_curve(run, n: int, sizes=(0.1, 0.2, 0.4, 0.7, 1.0), repeats: int = 1, seed: int = 0,
                   stratify=None) -> LearningCurve:  # fmt: skip
    """Train on growing parts of the training set.

    Parameters
    ----------
    run : callable
        ``run(indices) -> (training error, dev error)``: trains a fresh model on these rows of the training set.
    n : int
        Examples there are.
    sizes : sequence
        Counts, or fractions of `n`. Smaller parts lie within larger ones.
    repeats : int
        Repetitions with other parts.
    seed : int
    stratify : array [n], optional
        Class labels; every part then holds the classes in proportion.
    """
    if n < 1 or repeats < 1:
        raise ValueError(f"learning_curve: expected n >= 1 and repeats >= 1, got {n} and {repeats}")
    counts = sorted({int(s) if s > 1 or isinstance(s, (int, np.integer)) else round(n * s) for s in sizes})
    if not counts or counts[0] < 1 or counts[-1] > n:
        raise ValueError(f"learning_curve: sizes must lie between 1 and {n} (or be fractions), got {list(sizes)}")
    check_seed(seed, "learning_curve: seed")
    results = np.zeros((len(counts), repeats, 2))
    for r in range(repeats):
        order = permutation(n, seed, r)
        if stratify is not None:
            order = _interleaved(order, to_numpy(stratify).reshape(-1), seed)
        for i, count in enumerate(counts):
            results[i, r] = run(np.sort(order[:count]))
    return LearningCurve(counts, results[..., 0], results[..., 1])


def _interleaved(order, labels, seed):
    """The same order with every prefix in proportion to the classes."""
    if len(labels) != len(order):
        raise ValueError(f"learning_curve: expected {len(order)} labels to stratify by, got {len(labels)}")
    halves = [order]
    while len(halves[0]) > 1:  # cut the front in two, in proportion, until one is left
        first, second = split_indices(len(halves[0]), [(len(halves[0]) + 1) // 2, len(halves[0]) // 2], seed,
                                      stratify=labels[halves[0]])  # fmt: skip
        halves[:1] = [halves[0][first], halves[0][second]]
    return np.concatenate(halves)


class EpochCurve:
    """Training and dev error by epoch, from the history of a `Trainer` with validation.

    Parameters
    ----------
    history : History, or a dict of equally long lists
    metric : str
        A rate; "accuracy" counts as ``1 - accuracy``, others as they are.
    human : float

    Attributes
    ----------
    train, dev : float64 array
    best_epoch : int
        With the lowest dev error.
    avoidable_bias, variance : float
        At that epoch.
    alarms : list of str
        What the curves warn of: a loss that rises or is not finite, a dev error that rises, training cut short.
    """

    def __init__(self, history, metric: str = "accuracy", human: float = 0.0):
        for column in (metric, f"val_{metric}"):
            if column not in history or not len(history[column]):
                raise ValueError(f"EpochCurve: the history has no column {column!r}; it has {', '.join(history)}")
        train, dev = (np.asarray(history[c], np.float64) for c in (metric, f"val_{metric}"))
        rising = metric == "accuracy"
        self.metric, self.human = metric, float(human)
        self.train, self.dev = (1 - v if rising else v for v in (train, dev))
        if not np.isfinite(self.dev).any():
            raise ValueError(f"EpochCurve: val_{metric} has no value")
        self.epochs = np.asarray(history.get("epoch", range(1, len(train) + 1)))
        best = int(np.nanargmin(self.dev))
        self.best_epoch = int(self.epochs[best])
        self.avoidable_bias = float(self.train[best] - self.human)
        self.variance = float(self.dev[best] - self.train[best])
        self.alarms = self._alarms(np.asarray(history.get("loss", ()), np.float64), best)

    def _alarms(self, loss, best):
        alarms, n = [], len(self.train)
        if len(loss) and not np.isfinite(loss).all():
            alarms.append("the training loss was not finite: lower the learning rate")
        elif len(loss) > 2 and loss[-1] > 1.5 * loss.min() and loss[-1] > loss[0]:
            alarms.append("the training loss rises: lower the learning rate")
        patience = max(3, n // 5)
        if n - 1 - best >= patience and np.nanmean(self.dev[-patience:]) > self.dev[best]:
            alarms.append(
                f"the dev error has not improved since epoch {self.best_epoch}: more data or regularisation "
                "(or stop there)"
            )
        third = max(n // 3, 1)
        if n >= 6 and self.train[-1] - self.human > 0.01 and best >= n - third:
            before, last = np.nanmean(self.train[-2 * third : -third]), np.nanmean(self.train[-third:])
            if last < 0.9 * before:
                alarms.append("both errors were still falling at the end: train longer")
        return alarms

    def report(self) -> str:
        """One line on the best epoch, and the alarms."""
        head = f"best epoch {self.best_epoch} of {len(self.train)}: avoidable bias {self.avoidable_bias:.2%}, "
        return "\n".join([head + f"variance {self.variance:.2%}", *(f"note: {alarm}" for alarm in self.alarms)])

    __str__ = report

    def plot(self, path, title: str | None = None) -> None:
        """Both errors by epoch, human level, and the two gaps at the best epoch."""
        from ..train.plots import PALETTE, new_figure, save_figure

        figure, axes = new_figure(6.4, 4)
        ax = axes[0, 0]
        ax.grid(True, color="#e6e6e6", linewidth=0.8)
        ax.plot(self.epochs, 100 * self.train, color=PALETTE[0], linewidth=1.8, label="training error")
        ax.plot(self.epochs, 100 * self.dev, color=PALETTE[1], linewidth=1.8, label="dev error")
        ax.axhline(100 * self.human, color="#888888", linestyle="--", linewidth=1, label="human level")
        i = int(np.flatnonzero(self.epochs == self.best_epoch)[0])
        for low, high, text, color in ((self.human, self.train[i], "avoidable bias", PALETTE[0]),
                                       (self.train[i], self.dev[i], "variance", PALETTE[1])):  # fmt: skip
            if math.isfinite(high) and high > low:
                ax.annotate("", (self.best_epoch, 100 * high), (self.best_epoch, 100 * low),
                            arrowprops={"arrowstyle": "<->", "color": color, "shrinkA": 0, "shrinkB": 0})  # fmt: skip
                label = f"{text} {100 * (high - low):.2f}"
                ax.annotate(label, (self.best_epoch, 50 * (low + high)), xytext=(6, 0), textcoords="offset points",
                            ha="left", va="center", fontsize=8, color=color)  # fmt: skip
        ax.set_ylim(bottom=0)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("epoch", fontsize=9, color="#444444")
        ax.set_ylabel("error, %", fontsize=9, color="#444444")
        ax.set_title(title or self.report().splitlines()[0], fontsize=10, color="#222222")
        ax.legend(frameon=False, fontsize=9)
        save_figure(figure, path)
