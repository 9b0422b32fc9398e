"""What a training run measured, epoch by epoch."""

from __future__ import annotations

import csv
import io
import json
import math

from ..io import atomic_write

__all__ = ["History"]


class History(dict):
    """Equally long lists, one value an epoch: ``epoch``, ``loss``, the metrics, ``val_...``, ``lr``, ``seconds``.

    Attributes
    ----------
    step_losses : list of float
        The loss of every step, when the trainer was asked to record it.
    stopped : str or None
        Why the run ended before the last epoch: "interrupted", "early stopping", "nan", ...; None when it did not.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.step_losses: list[float] = []
        self.stopped: str | None = None

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.get("epoch", ()))

    def append(self, logs: dict) -> None:
        """Add one epoch. A key that is new, or missing this time, gets NaN where it has no value."""
        n = max((len(column) for column in self.values()), default=0)
        for key, value in logs.items():
            self.setdefault(key, [math.nan] * n).append(value)
        for column in self.values():
            if len(column) == n:
                column.append(math.nan)

    def best(self, monitor: str = "val_loss", mode: str = "min") -> tuple[int, float]:
        """The epoch (as in the column ``epoch``) with the best value of `monitor`, and that value. NaN never wins."""
        if monitor not in self:
            raise KeyError(f"history: no column {monitor!r}; it has {', '.join(self) or 'none'}")
        values = [(v if mode == "min" else -v, i) for i, v in enumerate(self[monitor]) if not math.isnan(v)]
        if not values:
            raise ValueError(f"history: {monitor!r} has no value yet")
        i = min(values)[1]
        return self["epoch"][i], self[monitor][i]

    def to_csv(self, path) -> None:
        """Write one line per epoch."""
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(self)
        rows.writerows(zip(*self.values()))
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())

    def to_json(self, path) -> None:
        """Write the columns as one JSON object; NaN and infinity, which JSON lacks, become null."""

        def plain(v):
            return None if isinstance(v, float) and not math.isfinite(v) else v

        columns = {key: [plain(v) for v in column] for key, column in self.items()}
        with atomic_write(path) as file:
            file.write(json.dumps(columns, indent=1).encode())

    def plot(self, path, title: str | None = None) -> None:
        """Draw the curves as a PNG; see `fastnn.train.plots.plot_history`."""
        from .plots import plot_history

        plot_history(self, path, title)
