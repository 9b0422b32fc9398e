"""Figures of a training run as PNG files. matplotlib is imported only when something is drawn."""

from __future__ import annotations

import math

import numpy as np

from .._arrays import require, to_numpy
from ..io import atomic_write

__all__ = ["plot_history", "plot_curves", "plot_decision_boundary", "plot_confusion_matrix", "plot_images",
           "plot_points", "new_figure", "save_figure", "PALETTE"]  # fmt: skip

# Distinct for colour-blind readers and in grey print (Okabe and Ito).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1):
    """``(figure, axes)`` in the style of the package; no global state and no window system is touched."""
    require("matplotlib", "plot", "drawing")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color("#888888")
        ax.tick_params(colors="#444444", labelsize=9)
    return figure, axes


def save_figure(figure, path) -> None:
    """Write a figure as PNG, atomically."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _grid(ax):
    ax.grid(True, color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)


def plot_history(history, path, title: str | None = None) -> None:
    """Curves of the loss and of every metric over the epochs, training and validation in one panel, the best marked.

    Parameters
    ----------
    history : History, or a dict of equally long lists
    path : str or Path
        The PNG to write.
    title : str, optional
    """
    x = list(history.get("epoch", ()))
    if not x:
        raise ValueError("plot_history: the history is empty")
    names = [k for k in history if k not in ("epoch", "lr", "seconds") and not k.startswith("val_")]
    names = [k for k in names if all(isinstance(v, (int, float)) for v in history[k])]
    rates = history.get("lr", ())
    if len(set(rates)) > 1:
        names.append("lr")
    figure, axes = new_figure(4.6 * len(names), 3.6, 1, len(names))
    for ax, name in zip(axes.flat, names):
        _grid(ax)
        marker = "o" if len(x) < 25 else None
        own = history[name]
        ax.plot(x, own, color=PALETTE[0], linewidth=1.8, marker=marker, markersize=3.5, label="train")
        values = history.get(f"val_{name}")
        if values is not None:
            ax.plot(x, values, color=PALETTE[1], linewidth=1.8, marker=marker, markersize=3.5, label="validation")
            finite = [(v, i) for i, v in enumerate(values) if math.isfinite(v)]
            if finite:
                lower = finite[-1][0] <= finite[0][0] if name != "loss" else True
                best, i = min(finite) if lower else max(finite, key=lambda item: (item[0], -item[1]))
                ax.plot(
                    [x[i]], [best], "o", color=PALETTE[1], markersize=8, markerfacecolor="none", markeredgewidth=1.5
                )
                ax.annotate(f"{best:.4g}", (x[i], best), textcoords="offset points", xytext=(0, -15 if lower else 8),
                            ha="center", fontsize=9, color=PALETTE[1])  # fmt: skip
            ax.legend(frameon=False, fontsize=9)
        ax.margins(y=0.12)
        positive = [v for v in [*own, *(values or ())] if math.isfinite(v)]
        if name == "loss" and positive and min(positive) > 0 and max(positive) > 30 * min(positive):
            ax.set_yscale("log")
        ax.set_title("learning rate" if name == "lr" else name.replace("_", " "), fontsize=11, color="#222222")
        ax.set_xlabel("epoch", fontsize=9, color="#444444")
        ax.xaxis.get_major_locator().set_params(integer=True)
    if title:
        figure.suptitle(title, fontsize=12, color="#222222")
    save_figure(figure, path)


def plot_curves(curves: dict, path, xlabel: str = "step", ylabel: str = "loss", title: str | None = None,
                smooth: int = 1, log: bool = False) -> None:  # fmt: skip
    """Several curves in one panel, to compare runs.

    Parameters
    ----------
    curves : dict of str to sequence of float
    smooth : int
        Width of a moving average; the raw curve stays visible behind it.
    """
    figure, axes = new_figure(7, 4.2)
    ax = axes[0, 0]
    _grid(ax)
    for i, (label, values) in enumerate(curves.items()):
        y = np.asarray(values, np.float64)
        color = PALETTE[i % len(PALETTE)]
        if 1 < smooth <= len(y):
            ax.plot(y, color=color, linewidth=0.6, alpha=0.25)
            sums = np.cumsum(np.insert(y, 0, 0.0))
            ax.plot(np.arange(smooth - 1, len(y)), (sums[smooth:] - sums[:-smooth]) / smooth, color=color,
                    linewidth=1.8, label=label)  # fmt: skip
        else:
            ax.plot(y, color=color, linewidth=1.8, label=label)
    if log:
        ax.set_yscale("log")
    ax.set_xlabel(xlabel, fontsize=9, color="#444444")
    ax.set_ylabel(ylabel, fontsize=9, color="#444444")
    if title:
        ax.set_title(title, fontsize=11, color="#222222")
    ax.legend(frameon=False, fontsize=9)
    save_figure(figure, path)


def plot_decision_boundary(panels, x, y, path, resolution: int = 300) -> None:
    """Points in the plane over the regions a classifier assigns to the classes.

    Parameters
    ----------
    panels : callable, or dict of str to callable
        ``predict(points [M, 2] float32 array) -> [M]`` probability of class 1, or ``[M, C]`` scores. With a dict, one
        panel for each, side by side.
    x : Tensor or ndarray [N, 2]
    y : Tensor or ndarray [N]
    path : str or Path
    """
    x, y = to_numpy(x), to_numpy(y).reshape(-1)
    if x.ndim != 2 or x.shape[1] != 2 or len(y) != len(x) or not len(x):
        raise ValueError(f"plot_decision_boundary: expected points [N, 2] and N classes, got {list(x.shape)}, {len(y)}")
    if not isinstance(panels, dict):
        panels = {"": panels}
    margin = 0.12 * (x.max(axis=0) - x.min(axis=0)).max() + 1e-3
    (left, low), (right, high) = x.min(axis=0) - margin, x.max(axis=0) + margin
    gx, gy = np.meshgrid(np.linspace(left, right, resolution), np.linspace(low, high, resolution))
    points = np.stack([gx.ravel(), gy.ravel()], axis=1).astype(np.float32)
    figure, axes = new_figure(4.4 * len(panels), 4.2, 1, len(panels))
    colors = [PALETTE[int(c) % len(PALETTE)] for c in y]
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    for ax, (label, predict) in zip(axes.flat, panels.items()):
        scores = to_numpy(predict(points))
        if scores.ndim == 2 and scores.shape[1] > 1:
            region = scores.argmax(axis=1).reshape(gx.shape)
            c = scores.shape[1]
            ax.pcolormesh(gx, gy, region, cmap=ListedColormap([PALETTE[i % len(PALETTE)] for i in range(c)]), vmin=-0.5,
                          vmax=c - 0.5, alpha=0.25, rasterized=True)  # fmt: skip
        else:
            p = scores.reshape(gx.shape)
            cmap = LinearSegmentedColormap.from_list("two", [PALETTE[0], "#ffffff", PALETTE[1]])
            ax.pcolormesh(gx, gy, p, cmap=cmap, vmin=0, vmax=1, alpha=0.45, rasterized=True)
            if p.min() < 0.5 < p.max():
                ax.contour(gx, gy, p, levels=[0.5], colors="#333333", linewidths=1.2)
        ax.scatter(x[:, 0], x[:, 1], c=colors, s=14, edgecolors="white", linewidths=0.4)
        ax.set_aspect("equal")
        if label:
            ax.set_title(label, fontsize=11, color="#222222")
    save_figure(figure, path)


def plot_confusion_matrix(matrix, path, classes=None, title: str | None = None) -> None:
    """A confusion matrix (rows true, columns predicted) with its counts, coloured by the fraction of the row."""
    m = to_numpy(matrix)
    if m.ndim != 2 or m.shape[0] != m.shape[1] or not m.size:
        raise ValueError(f"plot_confusion_matrix: expected a square matrix, got shape {list(m.shape)}")
    n = len(m)
    names = [str(c) for c in (classes if classes is not None else range(n))]
    if len(names) != n:
        raise ValueError(f"plot_confusion_matrix: {n} classes, {len(names)} names")
    share = m / np.maximum(m.sum(axis=1, keepdims=True), 1)
    side = max(3.6, 0.5 * n + 1.6)
    figure, axes = new_figure(side, side)
    ax = axes[0, 0]
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if n <= 30:
        for i in range(n):
            for j in range(n):
                if m[i, j]:
                    ax.text(j, i, int(m[i, j]), ha="center", va="center", fontsize=8,
                            color="white" if share[i, j] > 0.5 else "#333333")  # fmt: skip
        ax.set_xticks(
            range(n),
            names,
            rotation=45 if max(map(len, names)) > 3 else 0,
            ha="right" if n and max(map(len, names)) > 3 else "center",
        )
        ax.set_yticks(range(n), names)
    ax.set_xlabel("predicted", fontsize=9, color="#444444")
    ax.set_ylabel("true", fontsize=9, color="#444444")
    if title:
        ax.set_title(title, fontsize=11, color="#222222")
    save_figure(figure, path)


def plot_images(images, path, labels=None, columns: int = 8, title: str | None = None) -> None:
    """A sheet of images ``[N, H, W]``, ``[N, H, W, 1]`` or ``[N, H, W, 3]`` with a caption each."""
    a = to_numpy(images)
    if a.ndim == 4 and a.shape[3] == 1:
        a = a[..., 0]
    if a.ndim not in (3, 4) or not len(a) or (a.ndim == 4 and a.shape[3] != 3):
        raise ValueError(f"plot_images: expected images [N, H, W], [N, H, W, 1] or [N, H, W, 3], got {list(a.shape)}")
    columns = min(columns, len(a))
    rows = -(-len(a) // columns)
    figure, axes = new_figure(1.2 * columns, 1.4 * rows, rows, columns)
    for i, ax in enumerate(axes.flat):
        ax.axis("off")
        if i < len(a):
            ax.imshow(a[i], cmap="gray" if a.ndim == 3 else None)
            if labels is not None:
                ax.set_title(str(labels[i]), fontsize=9, color="#222222")
    if title:
        figure.suptitle(title, fontsize=12, color="#222222")
    save_figure(figure, path)


def plot_points(points, labels, path, title: str | None = None) -> None:
    """Named points on a plane.

    Parameters
    ----------
    points : array_like [N, 2]
    labels : sequence of str
        One a point.
    path : str or Path
    title : str, optional
    """
    points = np.asarray(to_numpy(points), np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) != len(labels):
        raise ValueError(f"plot_points: expected [N, 2] and N labels, got shape {points.shape} and {len(labels)}")
    figure, axes = new_figure(8, 8)
    ax = axes[0, 0]
    ax.scatter(points[:, 0], points[:, 1], s=12, color=PALETTE[0])
    for (x, y), label in zip(points, labels):
        ax.annotate(label, (x, y), xytext=(3, 3), textcoords="offset points", fontsize=8, parse_math=False)
    ax.set(xticks=[], yticks=[], title=title or "")
    save_figure(figure, path)
