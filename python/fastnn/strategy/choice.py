"""Choosing a model: one metric to optimise, the others only good enough; and measuring time and memory for it."""

from __future__ import annotations

import math
import re
import time

__all__ = ["Choice", "measure", "select"]

_RULE = re.compile(r"^\s*(<=|>=|<|>|==)\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*$", re.I)
_HOLDS = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, ">": lambda a, b: a > b,
          "==": lambda a, b: a == b}  # fmt: skip
_LOWER = re.compile(r"(^|_)(error|error_rate|loss|ms|seconds|bytes|memory|mse|mae|parameters)(_|$)")


class Choice:
    """What `select` found.

    Attributes
    ----------
    best : str
        Name of the model to take.
    ranked : list of str
        All that satisfy the constraints, the best first.
    rejected : dict of str to list of str
        The others, with the constraints each one breaks.
    """

    def __init__(self, models, optimize, rules, ranked, rejected):
        self.models, self.optimize, self._rules = models, optimize, rules
        self.ranked, self.rejected, self.best = ranked, rejected, ranked[0]

    def report(self) -> str:
        """A table, the chosen model marked, with what the others fail by."""
        columns = [self.optimize, *(c for c in self._rules if c != self.optimize)]
        width = max(5, *(len(n) for n in self.models))
        lines = [" " * (width + 2) + "".join(c.rjust(max(len(c), 8) + 2) for c in columns)]
        for name in [*self.ranked, *self.rejected]:
            cells = "".join(f"{self.models[name][c]:.4g}".rjust(max(len(c), 8) + 2) for c in columns)
            mark = "  <-- take this one" if name == self.best else ""
            mark = f"  breaks {', '.join(self.rejected[name])}" if name in self.rejected else mark
            lines.append(f"{name.ljust(width + 2)}{cells}{mark}")
        return "\n".join(lines)

    __str__ = report


def select(models: dict, optimize: str, subject_to: dict | None = None, mode: str = "auto") -> Choice:
    """The best model by one metric among those that are good enough in all others.

    Of N metrics one is optimised and N - 1 are satisficing: between 50 and 80 ms nobody sees a difference, over 100 ms
    everybody does. A weighted sum would trade accuracy for milliseconds that nobody notices.

    Parameters
    ----------
    models : dict of str to dict of str to float
        Metrics of each model.
    optimize : str
        The metric to optimise.
    subject_to : dict of str to str, optional
        Constraints ``"<=100"``, ``">0.9"``, ``"==0"``.
    mode : {"auto", "max", "min"}
        Whether more is better. "auto" takes errors, losses, times and sizes to be better low, all else high.

    Raises
    ------
    ValueError
        When no model satisfies the constraints (with what each breaks), a metric is missing or NaN, or a constraint
        cannot be read.

    Examples
    --------
    >>> models = {"B": {"accuracy": 0.92, "ms": 95}, "C": {"accuracy": 0.95, "ms": 1500}}
    >>> select(models, optimize="accuracy", subject_to={"ms": "<=100"}).best
    'B'
    """
    if not isinstance(models, dict) or not models:
        raise ValueError("select: expected a dict of model name to metrics")
    if mode not in ("auto", "max", "min"):
        raise ValueError(f"select: mode must be auto, max or min, got {mode!r}")
    rules = {}
    for metric, text in (subject_to or {}).items():
        match = _RULE.match(str(text))
        try:
            rules[metric] = match[1], float(match[2]), f"{metric} {match[1]} {match[2]}"
        except (TypeError, ValueError):
            raise ValueError(f"select: cannot read the constraint {metric}: {text!r}; write '<=100'") from None
    for name, metrics in models.items():
        for metric in (optimize, *rules):
            if metrics.get(metric) is None or math.isnan(float(metrics[metric])):
                raise ValueError(f"select: model {name!r} has no value for {metric!r}")
    broken = {name: [text for metric, (sign, bound, text) in rules.items() if not _HOLDS[sign](m[metric], bound)]
              for name, m in models.items()}  # fmt: skip
    rejected = {name: texts for name, texts in broken.items() if texts}
    lower = mode == "min" or mode == "auto" and bool(_LOWER.search(optimize))
    ranked = [name for name in models if name not in rejected]
    ranked.sort(key=lambda name: models[name][optimize] if lower else -models[name][optimize])
    if not ranked:
        each = "; ".join(f"{name} breaks {', '.join(texts)}" for name, texts in rejected.items())
        raise ValueError(f"select: no model satisfies the constraints: {each}")
    return Choice(models, optimize, rules, ranked, rejected)


def measure(model, *inputs, repeats: int = 30, warmup: int = 5) -> dict:
    """Latency and memory of a model's forward pass, for `select`.

    Parameters
    ----------
    model : nn.Module
        Run in eval mode without gradients; its mode is put back.
    *inputs : Tensor
        A batch of the size that matters: one example for an answer while somebody waits.
    repeats, warmup : int

    Returns
    -------
    dict
        ``ms`` (median of one call), ``ms_p95``, ``parameters`` (numbers), ``bytes`` (of parameters and buffers),
        ``peak_bytes`` (the most that the forward pass holds beside them).
    """
    import fastnn

    if repeats < 1 or warmup < 0:
        raise ValueError(f"measure: expected repeats >= 1 and warmup >= 0, got {repeats} and {warmup}")
    if not inputs or not hasattr(model, "parameters"):
        raise TypeError("measure: expected a Module and at least one input tensor")
    training, times = model.training, []
    on_device = inputs[0].device != "cpu"
    memory, wait = (fastnn.cuda, fastnn.cuda.synchronize) if on_device else (fastnn, lambda: None)
    model.eval()
    try:
        with fastnn.no_grad():
            for _ in range(warmup):
                model(*inputs)
            before = memory.memory_stats()["allocated"]
            memory.reset_peak_memory()
            for _ in range(repeats):
                wait()
                start = time.perf_counter()
                model(*inputs)
                wait()
                times.append(time.perf_counter() - start)
            peak = memory.memory_stats()["peak"] - before
    finally:
        model.train(training)
    times.sort()
    tensors = {id(t): t for t in [*model.parameters(), *model.buffers()]}.values()
    return {
        "ms": 1e3 * times[len(times) // 2],
        "ms_p95": 1e3 * times[min(len(times) - 1, math.ceil(0.95 * len(times)) - 1)],
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": sum(t.nbytes for t in tensors),
        "peak_bytes": max(int(peak), 0),
    }
