"""Pictures of ROC, precision-recall and calibration, several models in one panel."""

from __future__ import annotations

import numpy as np

from ..train.plots import PALETTE, new_figure, save_figure
from .ranking import (
    average_precision,
    calibration_curve,
    expected_calibration_error,
    precision_recall_curve,
    roc_auc,
    roc_curve,
)

__all__ = ["plot_roc", "plot_precision_recall", "plot_reliability"]


def _panel(xlabel, ylabel, title):
    figure, axes = new_figure(4.8, 4.6)
    ax = axes[0, 0]
    ax.grid(True, color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_xlim(-0.01, 1.01)
    ax.set_ylim(-0.01, 1.02)
    ax.set_xlabel(xlabel, fontsize=9, color="#444444")
    ax.set_ylabel(ylabel, fontsize=9, color="#444444")
    if title:
        ax.set_title(title, fontsize=11, color="#222222")
    return figure, ax


def _models(models, what):
    if not isinstance(models, dict) or not models:
        raise ValueError(f"{what}: expected a dict of name to scores, got {type(models).__name__}")
    return [(str(name), scores, PALETTE[i % len(PALETTE)]) for i, (name, scores) in enumerate(models.items())]


def plot_roc(models: dict, target, path, title: str | None = None) -> None:
    """ROC curves of ``{name: scores [N]}`` against the same targets, with their areas."""
    figure, ax = _panel("false-positive rate", "true-positive rate (recall)", title)
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    for name, scores, color in _models(models, "plot_roc"):
        x, y, _ = roc_curve(scores, target)
        ax.plot(x, y, color=color, linewidth=1.8, label=f"{name}: area {roc_auc(scores, target):.4f}")
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    save_figure(figure, path)


def plot_precision_recall(models: dict, target, path, title: str | None = None) -> None:
    """Precision-recall curves of ``{name: scores [N]}``, with their average precision and lines of equal F1."""
    figure, ax = _panel("recall", "precision", title)
    for f1 in (0.2, 0.4, 0.6, 0.8, 0.9):
        r = np.linspace(f1 / 2 + 1e-3, 1, 200)
        ax.plot(r, f1 * r / (2 * r - f1), color="#cccccc", linewidth=0.8)
        ax.text(1.0, f1 / (2 - f1), f"F1 {f1:g}", fontsize=7, color="#999999", ha="right", va="bottom")
    for name, scores, color in _models(models, "plot_precision_recall"):
        recall, precision, _ = precision_recall_curve(scores, target)
        label = f"{name}: average precision {average_precision(scores, target):.4f}"
        ax.step(recall, precision, where="pre", color=color, linewidth=1.8, label=label)
    ax.legend(frameon=False, fontsize=9, loc="lower left")
    save_figure(figure, path)


def plot_reliability(models: dict, target, path, bins: int = 10, title: str | None = None) -> None:
    """Reliability diagram of ``{name: probabilities}``: observed against predicted, with the calibration error.

    Points on the diagonal mean what they say; below it the model is too sure of itself. The size of a point grows
    with the number of items in its bin.
    """
    figure, ax = _panel("predicted probability", "how often it is right", title)
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    for name, probabilities, color in _models(models, "plot_reliability"):
        r = calibration_curve(probabilities, target, bins)
        error = expected_calibration_error(probabilities, target, bins)
        ax.plot(r.predicted, r.observed, color=color, linewidth=1.4, label=f"{name}: calibration error {error:.4f}")
        ax.scatter(r.predicted, r.observed, color=color, s=12 + 120 * r.count / r.count.sum(), zorder=3)
    ax.legend(frameon=False, fontsize=9)
    save_figure(figure, path)
