"""One line that shows where the training stands; plain lines where there is no terminal."""

from __future__ import annotations

import shutil
import sys
import time

__all__ = ["Progress", "format_seconds"]


def format_duration(seconds: float) -> str:
    """``0.3 s`` while short, then as `format_seconds`."""
    return f"{seconds:.1f} s" if seconds < 9.95 else format_seconds(seconds)


def format_seconds(seconds: float) -> str:
    """``0:07``, ``12:34`` or ``1:02:03``."""
    s = max(0, int(seconds + 0.5))
    return f"{s // 3600}:{s // 60 % 60:02}:{s % 60:02}" if s >= 3600 else f"{s // 60}:{s % 60:02}"


def format_logs(logs: dict) -> str:
    """``loss 0.1234  accuracy 0.9876``"""
    parts = []
    for key, value in logs.items():
        if isinstance(value, (int, float)):
            parts.append(f"{key} {value:.4g}" if abs(value) >= 1000 or 0 < abs(value) < 1e-3 else f"{key} {value:.4f}")
    return "  ".join(parts)


class Progress:
    """Draws the progress of a run.

    On a terminal the current line is redrawn at most ten times a second and shows the epoch, a bar, loss, metrics and
    the time left for the whole run. Elsewhere (a file, a pipe, CI) there is one line per epoch, and one every half
    minute within a long epoch.

    Parameters
    ----------
    epochs : int
        Number of the last epoch.
    batches : int or None
        Batches per epoch, if known.
    stream : file, optional
        Default: ``sys.stdout``.
    """

    def __init__(self, epochs: int, batches: int | None, stream=None):
        self.epochs, self.batches = epochs, batches
        self.stream = stream or sys.stdout
        self.tty = bool(getattr(self.stream, "isatty", lambda: False)())
        self.interval = 0.1 if self.tty else 30.0
        self.start = self.drawn = time.perf_counter()
        self.done = 0  # batches of this run, which set its pace
        self.width = 0
        encoding = getattr(self.stream, "encoding", None) or "ascii"
        try:
            "█░".encode(encoding)
            self.full, self.empty = "█", "░"
        except (UnicodeEncodeError, LookupError):
            self.full, self.empty = "#", "."

    def left(self, epoch: int, batch: int) -> float | None:
        """Seconds the run still takes at the pace so far, validation included."""
        if not self.done or self.batches is None:
            return None
        remaining = (self.epochs - epoch) * self.batches - batch
        return (time.perf_counter() - self.start) / self.done * max(remaining, 0)

    def batch(self, epoch: int, batch: int, logs) -> None:
        """After a batch. `logs` is a function, called only when a line is drawn."""
        self.done += 1
        now = time.perf_counter()
        if now - self.drawn < self.interval:
            return
        self.drawn = now
        count = f"batch {batch}" if self.batches is None else f"{batch}/{self.batches}"
        parts = [f"epoch {epoch + 1}/{self.epochs}", count, format_logs(logs())]
        left = self.left(epoch, batch)
        if left is not None:
            parts.append(f"left {format_seconds(left)}")
        if self.tty and self.batches:
            # The bar takes what the numbers leave of the line.
            room = min(24, shutil.get_terminal_size().columns - 3 - len("  ".join(parts)))
            if room >= 4:
                filled = min(room, room * batch // self.batches)
                parts.insert(1, self.full * filled + self.empty * (room - filled))
        self._draw("  ".join(parts))

    def epoch(self, epoch: int, logs: dict, seconds: float) -> None:
        """After an epoch: a line that stays."""
        parts = [f"epoch {epoch + 1}/{self.epochs}", format_logs(logs), format_duration(seconds)]
        left = self.left(epoch + 1, 0)
        if left is not None and epoch + 1 < self.epochs:
            parts.append(f"left {format_seconds(left)}")
        self.note("  ".join(parts))

    def note(self, text: str) -> None:
        """A line that stays, in place of the one being drawn."""
        self._clear()
        self._write(text + "\n")

    def close(self) -> None:
        """Leave the terminal clean, whatever happened."""
        self._clear()

    def _draw(self, text):
        if not self.tty:
            self._write(text + "\n")
            return
        text = text[: shutil.get_terminal_size().columns - 1]
        self._write("\r" + text + " " * (self.width - len(text)))
        self.width = len(text)

    def _clear(self):
        if self.width:
            self._write("\r" + " " * self.width + "\r")
            self.width = 0

    def _write(self, text):
        try:
            self.stream.write(text)
            self.stream.flush()
        except (BrokenPipeError, ValueError):  # whoever read the output has gone; the training has not
            self.tty, self.interval = False, float("inf")
