"""Where the error comes from: avoidable bias, variance, data mismatch, overfitting to the dev set, the wrong target.

The errors form a chain, and every step of it has its own cause and its own remedies::

    human (for Bayes) -> train -> train-dev -> dev -> test -> real world
             avoidable bias  variance   data mismatch   overfitting to dev   wrong target

Errors are fractions: 0.08 is 8 %.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["REMEDIES", "Diagnosis", "Gap", "diagnose", "diagnose_trainer"]

BIAS, VARIANCE, MISMATCH = "avoidable bias", "variance", "data mismatch"
DEV, TARGET, EITHER = "overfitting to the dev set", "wrong target", "variance or data mismatch"

# What helps, in the order of the course.
REMEDIES = {
    BIAS: (
        "train a bigger model: more units, more layers",
        "train longer, or with a better optimiser: momentum, RMSprop, Adam",
        "search for another architecture or other hyperparameters: activations, layers, units; RNN, CNN",
    ),
    VARIANCE: (
        "get more training data",
        "regularise: L2, dropout, data augmentation",
        "search for another architecture or other hyperparameters",
    ),
    MISMATCH: (
        "look at dev errors by hand to see how dev differs from the training data (not at the test set)",
        "make the training data more similar: synthesise what is missing, or collect data like the dev set",
        "learn features that do not depend on the source: domain-adversarial training",
    ),
    DEV: ("get a bigger dev set",),
    TARGET: ("change the dev set or the metric: they do not reward what the application needs",),
    EITHER: ("put aside a train-dev set, drawn like the training data and not trained on, and diagnose again",),
}

_NAMES = {"human": "human level", "train": "training", "train_dev": "train-dev", "dev": "dev", "test": "test",
          "real": "real world"}  # fmt: skip
_CAUSES = {("human", "train"): BIAS, ("train", "train_dev"): VARIANCE, ("train", "dev"): VARIANCE,
           ("train_dev", "dev"): MISMATCH, ("dev", "test"): DEV, ("test", "real"): TARGET,
           ("dev", "real"): TARGET}  # fmt: skip
_TIE = 1e-9


class Gap(NamedTuple):
    """One step of the chain: the cause, the two errors it lies between, its size, and how uncertain that is."""

    name: str
    start: str
    end: str
    size: float
    noise: float | None

    @property
    def is_noise(self) -> bool:
        """Smaller than the sets can tell (95 %); False where their sizes are not known."""
        return self.noise is not None and abs(self.size) <= self.noise


class Diagnosis:
    """What `diagnose` found.

    Attributes
    ----------
    errors : dict
        The chain: "human", "train", ... to their errors.
    gaps : list of Gap
        In the order of the chain.
    largest : str or None
        The cause to work on first; the earlier of equals. None when no error is left, or when the numbers do not say:
        the training error is below human level, and then nobody knows how much of it could be avoided.
    problems : list of str
        Every cause with a gap of `threshold` or more, the largest first.
    remedies : tuple of str
        Of the largest, in the order to try.
    by_human : dict
        For each human level given: ``(avoidable bias, largest)``.
    depends_on_human : bool
        The verdict is not the same for all of them.
    notes : list of str
    """

    def __init__(self, errors, gaps, largest, threshold, by_human, notes, bayes_known):
        self.errors, self.gaps, self.largest, self.threshold = errors, gaps, largest, threshold
        self.by_human, self.notes, self._bayes_known = by_human, notes, bayes_known
        ranked = sorted(gaps, key=lambda gap: -gap.size)
        self.problems = [gap.name for gap in ranked if gap.size >= threshold - _TIE]
        self.remedies = REMEDIES.get(largest, ())
        self.depends_on_human = len({cause for _, cause in by_human.values()}) > 1

    def gap(self, name: str) -> float:
        """Size of one gap: ``d.gap("variance")``. KeyError when the chain has no such step."""
        for gap in self.gaps:
            if gap.name == name:
                return gap.size
        raise KeyError(f"diagnosis: no gap {name!r}; there are {', '.join(g.name for g in self.gaps)}")

    def report(self) -> str:
        """The chain as a table, the verdict, the remedies."""
        lines, ends = [], {gap.end: gap for gap in self.gaps}
        for key, error in self.errors.items():
            line = f"{_label(key, self._bayes_known):<12} {error:>7.2%}"
            if key in ends:
                gap = ends[key]
                line += f"   {gap.size:+7.2%} {gap.name}"
                line += " (not known: below human level)" if self._unknown(gap) else ""
                line += f" (within the noise of {gap.noise:.2%})" if gap.is_noise else ""
                line += "  <-- the largest" if gap.name == self.largest else ""
            lines.append(line)
        if self.largest:
            lines.append(f"work on: {self.largest}")
            lines += [f"  {i}. {remedy}" for i, remedy in enumerate(self.remedies, 1)]
        others = [name for name in self.problems if name != self.largest]
        if others:
            lines.append(f"also {self.threshold:.0%} or more: {', '.join(others)}")
        return "\n".join(lines + [f"note: {note}" for note in self.notes])

    __str__ = report

    def _unknown(self, gap):
        return gap.name == BIAS and gap.size < -_TIE and not self._bayes_known

    def plot(self, path, title: str | None = None) -> None:
        """The chain as bars, the step of each over the one before in the colour of its cause."""
        from ..train.plots import new_figure, save_figure

        figure, axes = new_figure(1.5 * len(self.errors) + 2.2, 3.8)
        self.draw(axes[0, 0], title)
        save_figure(figure, path)

    def draw(self, ax, title: str | None = None, top: float | None = None) -> None:
        """The same on a panel of a larger figure; `top` is the largest error of the scale."""
        from ..train.plots import PALETTE

        colors = {BIAS: PALETTE[0], VARIANCE: PALETTE[1], EITHER: PALETTE[1], MISMATCH: PALETTE[2], DEV: PALETTE[3],
                  TARGET: PALETTE[4]}  # fmt: skip
        keys, values = list(self.errors), [100 * e for e in self.errors.values()]
        top = 100 * top if top else max(values) or 1.0
        ax.bar(range(len(keys)), values, width=0.62, color="#dfe3e8")
        ends = {gap.end: gap for gap in self.gaps}
        for i, key in enumerate(keys):
            gap = ends.get(key)
            falls = gap is not None and gap.size < 0  # then the number stands under the hatched step
            if gap is not None:
                low, size = 100 * min(self.errors[gap.start], self.errors[key]), 100 * abs(gap.size)
                ax.bar(i, size, bottom=low, width=0.62, color="none" if falls else colors[gap.name],
                       edgecolor=colors[gap.name], hatch="///" if falls else None, linewidth=0)  # fmt: skip
                bold = "bold" if gap.name == self.largest else "normal"
                text = f"{gap.name}\n{100 * gap.size:+.2f}" if not self._unknown(gap) else f"{gap.name}\nnot known"
                text = text.replace("overfitting to", "overfitting\nto").replace("avoidable ", "avoidable\n")
                ax.text(i, max(values[i], low + size) + 0.10 * top, text, ha="center", va="bottom", fontsize=8,
                        color=colors[gap.name], fontweight=bold)  # fmt: skip
                before = keys.index(gap.start)
                ax.plot([before - 0.31, i + 0.31], [values[before]] * 2, color="#888888", linewidth=0.8, linestyle=":")
            falls = falls and values[i] > 0.08 * top
            place, side = (values[i] - 0.015 * top, "top") if falls else (values[i] + 0.015 * top, "bottom")
            ax.text(i, place, f"{values[i]:.2f} %", ha="center", va=side, fontsize=8)
        ax.set_xticks(range(len(keys)), [_label(key, self._bayes_known).replace(" ", "\n") for key in keys])
        ax.set_ylabel("error, %", fontsize=9, color="#444444")
        ax.set_ylim(0, 1.5 * top)
        ax.set_title(title or f"work on: {self.largest or 'not to be told from these numbers'}", fontsize=11)


def _label(key, bayes_known):
    return "Bayes" if key == "human" and bayes_known else _NAMES[key]


def _error(name, value):
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)) and not hasattr(value, "__float__"):
        raise TypeError(f"diagnose: {name} must be an error between 0 and 1, got {value!r:.60}")
    value = float(value)
    if not 0 <= value <= 1:
        raise ValueError(f"diagnose: {name} must be an error between 0 and 1 (8 % is 0.08), got {value:g}")
    return value


def diagnose(human=0.0, train=None, train_dev=None, dev=None, test=None, real=None, *, bayes: float | None = None,
             same_distribution: bool = True, threshold: float = 0.02,
             counts: dict | None = None) -> Diagnosis:  # fmt: skip
    """Cut the error of a system into its causes, name the largest, and list what helps against it.

    Parameters
    ----------
    human : float or dict of str to float
        Human-level error, the stand-in for the Bayes error. Of several levels ("doctor", "team of doctors") the lowest
        is taken, since the Bayes error is no higher; `Diagnosis.by_human` has the verdict under each.
    train, dev : float
        Errors on the training and dev sets.
    train_dev : float, optional
        Error on data drawn like the training data but not trained on.
    test : float, optional
    real : float, optional
        Error in the application, measured as its users would.
    bayes : float, optional
        The lowest error there can be, where it is known (from the labelling process, say). It takes the place of
        `human`; a training error below it is overfitting.
    same_distribution : bool
        Whether dev is drawn like the training data. If not, and there is no `train_dev`, two causes cannot be told
        apart.
    threshold : float
        A gap of this size counts as a problem; default two points.
    counts : dict, optional
        Number of examples behind the errors (``{"dev": 2500, ...}``): gaps within their noise are marked.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ValueError, TypeError
        For errors outside 0 .. 1, a missing `train` or `dev`, or a Bayes error above human level.

    Examples
    --------
    >>> print(diagnose(human=0.01, train=0.08, dev=0.10))
    """
    levels = human if isinstance(human, dict) else {"human": human}
    if not levels:
        raise ValueError("diagnose: expected at least one human level, got an empty dict")
    levels = {str(k): _error(f"human level {k!r}", v) for k, v in levels.items()}
    given = {"train": train, "train_dev": train_dev, "dev": dev, "test": test, "real": real}
    missing = [name for name in ("train", "dev") if given[name] is None]
    if missing:
        raise ValueError(f"diagnose: the error {missing[0]!r} is needed")
    given = {name: _error(name, value) for name, value in given.items() if value is not None}
    if not 0 < threshold < 1:
        raise ValueError(f"diagnose: threshold must lie between 0 and 1, got {threshold}")
    unknown = set(counts or ()) - set(given)
    if unknown or any(not n >= 1 for n in (counts or {}).values()):
        raise ValueError(f"diagnose: counts are numbers >= 1 for {', '.join(given)}, got {counts}")
    best = min(levels.values())
    if bayes is not None and not _error("bayes", bayes) <= best + _TIE:
        raise ValueError(f"diagnose: the Bayes error {bayes:g} cannot be above a human error of {best:g}")
    errors = {"human": float(best if bayes is None else bayes), **given}
    gaps = _gaps(errors, same_distribution, counts or {})
    largest = _largest(gaps, errors, bayes is not None)
    by_human = {}
    if bayes is None:
        for name, level in levels.items():
            chain = {**errors, "human": level}
            steps = _gaps(chain, same_distribution, {})
            by_human[name] = (steps[0].size, _largest(steps, chain, False))
    notes = _notes(errors, gaps, largest, by_human, bayes)
    return Diagnosis(errors, gaps, largest, float(threshold), by_human, notes, bayes is not None)


def _gaps(errors, same_distribution, counts):
    keys, gaps = list(errors), []
    for start, end in zip(keys, keys[1:]):
        name = _CAUSES[start, end]
        if (start, end) == ("train", "dev") and not same_distribution:
            name = EITHER
        noise = None
        if end in counts and (start in counts or start == "human"):
            parts = [errors[k] * (1 - errors[k]) / counts[k] for k in (start, end) if k in counts]
            noise = 1.96 * math.sqrt(sum(parts))
        gaps.append(Gap(name, start, end, errors[end] - errors[start], noise))
    return gaps


def _largest(gaps, errors, bayes_known):
    """The first of the largest gaps; None when there is none, or when an unknown bias could be larger."""
    known = gaps
    ceiling = -math.inf
    if gaps[0].size < -_TIE and not bayes_known:
        known, ceiling = gaps[1:], errors["train"]  # the Bayes error lies somewhere between 0 and the training error
    top = max(gap.size for gap in known)
    if top <= max(ceiling, _TIE):
        return None
    return next(gap.name for gap in known if gap.size >= top - _TIE)


def _notes(errors, gaps, largest, by_human, bayes):
    notes = []
    sizes = {gap.name: gap.size for gap in gaps}
    if sizes[BIAS] < -_TIE and bayes is None:
        notes.append(
            f"the training error is below human level: the Bayes error lies between 0 and {errors['train']:.2%}, and "
            "people can no longer label, explain or guide"
            + ("" if largest else "; these numbers do not say what to work on")
        )
    elif sizes[BIAS] < -_TIE:
        notes.append("the training error is below the Bayes error: the model has learnt the noise of its training set")
    verdicts = {cause for _, cause in by_human.values()}
    if len(verdicts) > 1:
        each = ", ".join(f"{name}: {cause or 'not known'}" for name, (_, cause) in by_human.items())
        notes.append(f"the verdict depends on what counts as human level ({each}); the lowest is nearest to Bayes")
    fall = next((gap for gap in gaps if gap.name == MISMATCH and gap.size < -_TIE and not gap.is_noise), None)
    if fall and sizes.get(DEV, 0) < -fall.size / 2:  # else the dev error is low because the dev set was tuned on
        notes.append("the dev set is easier than the training data: compare the two with `ErrorMatrix`")
    if EITHER in sizes and sizes[EITHER] > _TIE:
        notes.append("two things change between training and dev at once: the examples and the distribution")
    for gap in gaps:
        if gap.name == largest and gap.is_noise:
            notes.append(f"the {gap.name} is within the noise of these sets: get more data before acting on it")
    return notes


def diagnose_trainer(trainer, train, dev, train_dev=None, test=None, real=None, *, human=0.0, metric: str = "accuracy",
                     **options) -> Diagnosis:  # fmt: skip
    """`diagnose` with the errors of a trained model, each measured now and in eval mode.

    Parameters
    ----------
    trainer : fastnn.train.Trainer
        Whose `metrics` include `metric`.
    train, dev, train_dev, test, real : loaders of batches
        The training set is scored again, because its number in the history is an average over a changing model with
        dropout on.
    human : float or dict
        As for `diagnose`.
    metric : str
        A rate between 0 and 1; one that is better high (accuracy) counts as ``1 - value``.
    **options
        Of `diagnose`: bayes, same_distribution, threshold.
    """
    loaders = {"train": train, "train_dev": train_dev, "dev": dev, "test": test, "real": real}
    errors, counts = {}, {}
    for name, loader in loaders.items():
        if loader is None:
            continue
        scores = trainer.evaluate(loader)
        if metric not in scores:
            raise ValueError(f"diagnose_trainer: the trainer has no metric {metric!r}; it has {', '.join(scores)}")
        value = scores[metric]
        errors[name] = 1 - value if trainer.direction(metric) == "max" else value
        data = getattr(loader, "dataset", None)
        if data is not None:
            counts[name] = len(data)
    return diagnose(human, **errors, counts=counts, **options)
