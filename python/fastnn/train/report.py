"""A run as one HTML file that needs nothing else: it can be mailed, archived and opened without a network."""

from __future__ import annotations

import base64
import html
import tempfile
from pathlib import Path

import numpy as np

from .._arrays import to_numpy
from ..io import atomic_write
from .tracking import read_run

__all__ = ["write_report"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; } td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f6f6f6; padding: .8em; overflow-x: auto; font-size: 13px; }
img { max-width: 100%; height: auto; }
"""


def write_report(
    path,
    *,
    title: str,
    history=None,
    results: dict | None = None,
    model=None,
    input_shape=None,
    scores=None,
    labels=None,
    examples=None,
    classes=None,
    run=None,
    worst: int = 32,
) -> None:
    """Write the report of a run: numbers, curves, confusion matrix, worst errors, the model's table, how it was made.

    Every part is optional and left out without its data. Pictures need matplotlib.

    Parameters
    ----------
    path : str or Path
        The HTML file.
    title : str
    history : History, optional
        Learning curves, and the table of epochs.
    results : dict, optional
        Final numbers, shown at the top.
    model, input_shape : nn.Module, tuple, optional
        The table of layers for inputs of this shape (without the batch).
    scores : array [N, C], optional
        Logits or probabilities of the evaluated examples.
    labels : array [N] of int, optional
        Their classes; with `scores` gives the confusion matrix and, with `examples`, the worst errors.
    examples : array [N, H, W] or [N, H, W, C], optional
        The images.
    classes : sequence of str, optional
    run : Run, dict or folder of a run, optional
        Configuration, seed, revision and environment.
    worst : int
        How many errors are shown, those first that the model was surest of.
    """
    parts = []
    record = read_run(run) if isinstance(run, (str, Path)) else getattr(run, "record", run) or {}
    if results is None:
        results = record.get("results")
    if results:
        parts.append(_table("Results", results))
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        if history:
            parts.append(_curves(history, picture))
        if scores is not None and labels is not None:
            parts += _errors(to_numpy(scores), to_numpy(labels).reshape(-1), examples, classes, worst, picture)
        elif scores is not None or labels is not None:
            raise ValueError("write_report: scores and labels go together")
    if model is not None:
        if input_shape is None:
            raise ValueError("write_report: the model's table needs input_shape")
        parts.append(f"<h2>Model</h2>\n<pre>{html.escape(model.summary(input_shape))}</pre>")
    if record:
        about = {
            k: record[k] for k in ("name", "status", "started", "seconds", "seed", "git", "command") if k in record
        }
        about["command"] = " ".join(about.get("command") or [])
        parts.append(_table("Run", about))
        for name in ("config", "environment"):
            if record.get(name):
                parts.append(_table("Settings" if name == "config" else "Environment", record[name]))
    if not parts:
        raise ValueError("write_report: there is nothing to report: give a history, results, scores, a model or a run")
    text = (
        f"<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        f"<meta name='viewport' content='width=device-width'>\n<title>{html.escape(title)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n" + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )  # fmt: skip
    with atomic_write(path) as file:
        file.write(text.encode())


def _text(value) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _table(name, values) -> str:
    rows = "\n".join(
        f"<tr><th>{html.escape(str(k).replace('_', ' '))}</th>"
        f"<td{' class=n' if isinstance(v, (int, float)) else ''}>{html.escape(_text(v))}</td></tr>"
        for k, v in values.items()
    )
    return f"<h2>{html.escape(name)}</h2>\n<table>\n{rows}\n</table>"


def _image(path, description) -> str:
    data = base64.b64encode(Path(path).read_bytes()).decode()
    return f"<img alt='{html.escape(description, quote=True)}' src='data:image/png;base64,{data}'>"


def _curves(history, picture) -> str:
    from .plots import plot_history

    plot_history(history, picture)
    head = "".join(f"<th>{html.escape(k)}</th>" for k in history)
    rows = "\n".join(
        "<tr>" + "".join(f"<td class=n>{html.escape(_text(v))}</td>" for v in row) + "</tr>"
        for row in zip(*history.values())
    )
    return (
        f"<h2>Curves</h2>\n{_image(picture, 'learning curves')}\n"
        f"<details><summary>{len(history['epoch'])} epochs</summary>\n"
        f"<table><tr>{head}</tr>\n{rows}\n</table></details>"
    )


def _errors(scores, labels, examples, classes, worst, picture) -> list[str]:
    from ..metrics import confusion_matrix
    from ..strategy import most_confident_errors
    from .plots import plot_confusion_matrix, plot_images

    if scores.ndim != 2 or len(scores) != len(labels) or not len(labels):
        raise ValueError(
            f"write_report: expected scores [N, C] and labels [N], got {list(scores.shape)} and {len(labels)}"
        )
    guess = scores.argmax(1)
    n = scores.shape[1]
    names = [str(c) for c in (classes if classes is not None else range(n))]
    if len(names) != n:
        raise ValueError(f"write_report: scores have {n} classes, {len(names)} names were given")
    plot_confusion_matrix(confusion_matrix(guess, labels, num_classes=n), picture, names)
    wrong = np.flatnonzero(guess != labels)
    parts = [
        f"<h2>Confusion matrix</h2>\n<p>{len(labels) - len(wrong)} of {len(labels)} right "
        f"({1 - len(wrong) / len(labels):.2%}).</p>\n{_image(picture, 'confusion matrix')}"
    ]
    if examples is not None and len(wrong):
        shown = to_numpy(examples)
        if len(shown) != len(labels):
            raise ValueError(f"write_report: {len(shown)} examples, {len(labels)} labels")
        order = most_confident_errors(scores.astype(np.float64), labels, worst)
        plot_images(shown[order], picture, [f"{names[guess[i]]}\n(is {names[labels[i]]})" for i in order])
        parts.append(f"<h2>Worst errors</h2>\n<p>Those the model was surest of.</p>\n{_image(picture, 'worst errors')}")
    return parts
